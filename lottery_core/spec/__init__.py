"""What can be asked for, and nothing else: values that are checked when they are made.

networks.py    a network as a value: operations, shapes, counts; symmetries.py: which of its
               units can change places
own.py         code that a process brings along: names, own criteria
datasets.py    the data sets one can name
terms.py       what names of initialisations, optimisers, augmentations, scopes stand for
recipe.py      what fixes one training; rounds.py: pruning steps; experiment.py: both together
keys.py        keys that last
arms.py        ways to treat the same masks, side by side; barriers.py: between which lines lie
fields.py      the one table of choices; choice.py: a person's choice; presets.py; links.py: a
               choice as text
checks.py      errors with value, rule and remedy; limits.py: how much one request may ask for
"""
