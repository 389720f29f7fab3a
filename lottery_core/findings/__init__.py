"""What came of it, told from levels that are there.

tables.py      levels -> data frames
outcome.py     a choice with its controls and seeds: the level found, the sentence, the curves
replicates.py  seeds -> bands, paired differences, the verdict on a ticket
lines.py       experiments that are equal but for the seed; naming.py: what to call them;
               view.py: a link to several; additions.py: controls and seeds to add to them
comparison.py  lines side by side, at equal density and seed by seed
anatomy.py     what a ticket is made of, and which weights died when; values.py: of its weights
flow.py        who reads whom, and what is dead; features.py: feature maps of an image
answers.py     what networks answer, for pages; forward.py: a network's way forward in NumPy
drawing.py     a drawn digit as an image like MNIST's
speed.py       a measurement of speed -> curves, tables, sentences
stability.py   a measurement of instability -> curves, sentences; barriers.py: the same of what
               lies between a ticket and other networks of its mask
luck.py        which of mask, signs, magnitudes and data order, changed, loses a ticket
walk.py        the notebook's walk: its experiment, sentences, and slider
"""
