"""The core of the Lottery Ticket Explorer. A map of it, from what is asked to what is shown:

asking       choice.py      what a person picks; presets; links and commands
             experiment.py  recipe, round, experiment: checked values and their keys
             arms.py        ways to treat the same masks, side by side
             datasets.py    the data sets one can name
computing    engine.py      the procedure: train, prune, restart, train again
             data/          a data set's name and content -> arrays
             models.py      networks and their initial weights
             pruning.py     evidence, round -> mask
             gradients.py   slopes of the loss, for criteria that ask for them
             restart.py     what the survivors restart from
             training/      one level's training, by torch or compiled for this processor
             yardsticks.py  what the compiled loop is compared with
             measurement.py how fast this machine is with an experiment's levels
             instability.py what another order of the data does to where they end
             seeds.py       one seed, one stream per purpose
keeping      store/         levels on disk, locks, jobs
             progress.py    what can be seen of a level while it trains
             pictures.py    compact pictures of weights
running      queue.py       submit, watch, cancel
             worker.py      what a worker process does
             speed.py       how long it will take
             __main__.py    the same without a browser; terminal.py: how it prints
showing      tables.py      levels -> data frames
             replicates.py  seeds -> bands, paired differences, the verdict on a ticket
             comparison.py  experiments side by side: names, differences, what can be added
             catch.py       a measurement -> curves, tables, sentences
             answers.py     what networks answer, for pages
             drawing.py     a drawn digit as an image like MNIST's
             anatomy.py     what a ticket is made of, and which weights died when
             story.py       the notebook's walk: its experiment, sentences, and slider
             paths.py       an instability measurement -> curves, sentences
             figures.py     data frames -> charts; ticket_figures.py: those of one ticket
             tickets/       masks and tickets as files: to take away, and brought back

Only computing and worker import torch and Numba, so that a web process need not.
"""
