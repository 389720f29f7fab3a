"""At which evaluations of the dense network's training its masks are drawn and kept, and how long
that takes: what is known of it without training anything."""

from __future__ import annotations

from lottery_core.running.time_left import seconds_of_level
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Store

MOST = 40  # looks: enough for a picture
_BYTES = 2**28  # of masks that are held at once


def evaluations_of(experiment: Experiment) -> list[int]:
    """The iterations at which the dense network is evaluated, from 0 on."""
    recipe = experiment.recipe
    return [*range(0, recipe.iterations, recipe.evaluate_every), recipe.iterations]


def looks_of(experiment: Experiment) -> list[int]:
    """Those of `evaluations_of` whose masks are held against each other: all or, of many, some at
    equal distances, the first and the last among them; of large networks fewer."""
    every = evaluations_of(experiment)
    bytes_each = max(1, len(experiment.rounds) * experiment.recipe.weights_total // 8)
    count = min(len(every), MOST, max(5, _BYTES // bytes_each))
    return [every[round(n * (len(every) - 1) / (count - 1))] for n in range(count)]


def watching(store: Store, experiment: Experiment) -> float | None:
    """Seconds that the training takes in which they are drawn; None while nobody knows."""
    return seconds_of_level(store.read_machine(), experiment, 0)
