"""What can be asked for, and nothing else: values that are checked when they are made.

networks.py    a network as a value: operations, shapes, counts
own.py         code that a process brings along: names, own criteria
datasets.py    the data sets one can name
experiment.py  recipe, round, experiment; their keys
arms.py        ways to treat the same masks, side by side
fields.py      the one table of choices; choice.py: a person's choice, presets, links, commands
checks.py      errors with value, rule and remedy
"""
