"""Training on other machines, through a Dask scheduler.

crew.py      their workers, each given one part at a time; watched, stopped, and replaced
remote.py    what runs in one of them, over a cache of its own
messages.py  what travels between the two: bytes, never objects
"""
