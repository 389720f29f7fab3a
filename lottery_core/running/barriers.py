"""Barriers: what error lies on the straight lines from a trained ticket to other networks.

At the other ends stand `spec.barriers.ENDS`: the same mask trained in another data order, on new
weights, on another network's, and what the ticket was pruned from. Each line is drawn where both
ends have one mask, so that all networks on it are as sparse. A mask whose units were matched to
another network's has them in another order: there the ticket's trained weights are put in that
order first, which changes nothing that it computes.

Frankle et al. 2020, arXiv 1912.05671, section 2; Evci et al. 2022, arXiv 2010.03533, section 4;
Adnan et al. 2025, arXiv 2505.05143.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from lottery_core.data import load_data
from lottery_core.method.masks import Arrays, apply
from lottery_core.running.engine import matched
from lottery_core.running.instability import path_of
from lottery_core.spec.barriers import ENDS, PRUNED, trained_ends
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Barriers, Level, LineTo, Store
from lottery_core.training.context import Context


def measure(experiment: Experiment, context: Context) -> Barriers:
    """The lines from an experiment's last level, a ticket, to `ENDS`, in their order.

    That level, the one before, level 0 and the arms have to be in the store; nothing is trained.
    The context's monitor is told the number of lines done, and asked many times a second whether to
    stop. Raises `InvalidValue` and `DataUnavailable`.
    """
    began, recipe, monitor = time.perf_counter(), experiment.recipe, context.monitor
    store = context.store
    data = load_data(recipe, store.datasets, folder=context.folder, check=monitor.check)
    ticket = _level(store, experiment.key)
    lines = []
    for end, one, other in ends(experiment, store):
        monitor.report(len(lines))
        line = path_of(recipe, one, other, data, monitor.check, context.device)
        lines.append(LineTo(**vars(line), end=end))
    return Barriers(
        level=ticket.info.level,
        kept=ticket.info.weights_kept,
        total=recipe.weights_total,
        seed=recipe.seed,
        lines=tuple(lines),
        seconds=time.perf_counter() - began,
    )


def ends(experiment: Experiment, store: Store) -> Iterator[tuple[str, Arrays, Arrays]]:
    """For each of `ENDS` its name, the ticket's trained weights, and those at the other end: of
    both those that one mask leaves."""
    ticket, arms = _level(store, experiment.key), trained_ends(experiment)
    for end in ENDS:
        if end == PRUNED:
            before = _level(store, experiment.keys[-2])
            yield end, ticket.end, apply(before.end, ticket.mask)
        elif end in arms:
            one = ticket.end
            if end == "permuted":
                dense = _level(store, experiment.keys[0])
                lender = _level(store, experiment.donor.key)
                one = matched(experiment.recipe.net, one, dense.end, lender.end)
            yield end, one, _level(store, arms[end].key).end


def _level(store: Store, key: str) -> Level:
    level = store.read(key)
    if level is None:
        raise RuntimeError(f"level {key} is not in the store; run the experiment again")
    return level
