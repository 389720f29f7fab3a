"""The core of the Lottery Ticket Explorer, as ten packages; each imports only those below it.

cli/        the command line
running/    engine.py, the procedure: train, prune, restart, train again; the queue and its workers,
            progress, time left, and what is measured on finished levels
training/   one level's training: networks in torch, the compiled loop, which of them is faster
tickets/    masks and tickets as files: to take away, and brought back
findings/   what came of it: tables, seeds, verdicts, comparison, anatomy, answers
data/       a data set's name and content -> images and labels
report/     findings as charts
store/      levels on disk, jobs, locks, and the news of what runs
spec/       what can be asked for: networks, data sets, recipes, rounds, experiments, arms, the
            choice a person makes and the one table of its fields; checks and keys
method/     the method as functions of arrays: criteria, masks, pruning, restart rules

Only training and parts of running import torch and Numba, so that a web process need not.
"""
