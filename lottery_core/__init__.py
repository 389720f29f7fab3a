"""Find lottery tickets from Python.

    import lottery_core as lt
    run = lt.run(lt.preset("quick"), cache="cache")
    run.table(); run.figure("accuracy"); run.levels[-1].mask["fc1.weight"]

docs/library.md tells of the names below. The core is ten packages; each imports only those below
it.

cli/        the command line
running/    engine.py, the procedure: train, prune, restart, train again; the queue and its workers,
            progress, time left, what is measured on finished levels; library.py, for notebooks
training/   one level's training: networks in torch, the compiled loop, which of them is faster
tickets/    masks and tickets as files: to take away, and brought back
findings/   what came of it: tables, seeds, verdicts, comparison, anatomy, answers; handout/, all of
            that as one HTML file and as tables for a paper
data/       a data set's name and content -> images and labels
report/     findings as charts
store/      levels on disk, jobs, locks, and the news of what runs
spec/       what can be asked for: networks, data sets, recipes, rounds, experiments, arms, the
            choice a person makes and the one table of its fields; checks and keys
method/     the method as functions of arrays: criteria, masks, pruning, restart rules

Only training and parts of running import torch and Numba, so that a web process need not.
"""

from importlib import import_module

# Each is fetched when it is first asked for: the web process imports packages below this one, and
# must not get torch with them.
_HOMES = {
    "run": "lottery_core.running.library",
    "Run": "lottery_core.running.library",
    "preset": "lottery_core.spec.presets",
    "Choice": "lottery_core.spec.choice",
    "criterion": "lottery_core.spec.own",
    "network": "lottery_core.training.own",
    "Level": "lottery_core.store",
    "compare": "lottery_core.findings.handout.compared",
    "InvalidValue": "lottery_core.spec.checks",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
