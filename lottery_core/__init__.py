"""The core of the Lottery Ticket Explorer. A map of it, from what is asked to what is shown:

asking       choice.py      what a person picks; presets; links and commands
             experiment.py  recipe, round, experiment: checked values and their keys
             datasets.py    the data sets one can name
computing    engine.py      the procedure: train, prune, restart, train again
             data.py        a data set's name -> arrays
             models.py      networks and their initial weights
             pruning.py     weights, mask, round -> mask
             restart.py     what the survivors restart from
             training/      one level's training
             seeds.py       one seed, one stream per purpose
keeping      store.py       levels on disk, locks, jobs
             progress.py    what can be seen of a level while it trains
             pictures.py    compact pictures of weights
running      queue.py       submit, watch, cancel
             worker.py      what a worker process does
             speed.py       how long it will take
             __main__.py    the same without a browser
showing      tables.py      levels -> data frames
             figures.py     data frames -> charts
             ticket.py      masks and tickets as files

Only engine, models, training and worker import torch, so that a web process need not.
"""
