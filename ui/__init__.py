"""Streamlit pieces that app.py and pages/ are put together from: a folder for each page that has
several parts, a module for the others. Pages know nothing of each other.

explorer/   app.py: the sidebar, Start and Stop, the curves, the weights, the result
story/      the six steps, and what has to be trained and measured for them
compare/    which lines, what can be added, their charts, words and tables
ticket/     one level: a look inside, a trial, files to take away, files brought back
luck.py, speed.py, runs.py; stability.py and barriers.py, its second part
shared/     what several pages have: frame, troubles, reading the store, jobs, plots, widgets
"""
