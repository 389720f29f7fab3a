"""When the mask that the dense network would be given stands still in its training.

The dense network is trained once more, exactly as level 0 was; at each evaluation the mask is drawn
that each level's counts would leave of it, and held against those before.

You et al. 2020, arXiv 1909.11957, figure 2 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lottery_core.data import load_data
from lottery_core.method.early import LOOKS, drawn, stands_still
from lottery_core.method.masks import Arrays, dense_mask
from lottery_core.running.looks import looks_of
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Distances, LevelDistances, LevelInfo
from lottery_core.training.base import Moment, Training
from lottery_core.training.context import Context
from lottery_core.training.loops import train
from lottery_core.training.models import initial_weights


def measure(experiment: Experiment, context: Context) -> Distances:
    """The distances of all levels that prune anything, whose counts have to be in the store. The
    context's monitor is told the number of looks done, and asked many times a second whether to
    stop. Raises `InvalidValue`, `DataUnavailable` and `TrainingDiverged`."""
    recipe, store, check = experiment.recipe, context.store, context.monitor.check
    infos = store.infos(experiment.keys)
    if gone := [n for n, key in enumerate(experiment.keys) if key not in infos]:
        raise RuntimeError(f"level {gone[0]} is not in the store; run the experiment again")
    data = load_data(recipe, store.datasets, folder=context.folder, check=check)
    levels = [
        _Watched(info, recipe.weights_total)
        for info in (infos[key] for key in experiment.keys[1:])
        if info.weights_kept < info.weights_total
    ]
    looks = looks_of(experiment)
    watch = _Watch(levels, {*looks}, check, context.monitor.report)
    start = Training(recipe, initial_weights(recipe), dense_mask(recipe.shapes))
    train(start, data, watch, context)
    return Distances(
        total=recipe.weights_total,
        seed=recipe.seed,
        looks=tuple(looks),
        levels=tuple(one.found() for one in levels),
    )


@dataclass
class _Watched:
    """A level's counts, the `last` masks that these gave, those `shown`, each as bits, and when
    they had settled."""

    info: LevelInfo
    total: int
    last: list[np.ndarray] = field(default_factory=list)
    shown: list[np.ndarray] = field(default_factory=list)
    settled: int | None = None

    def look(self, weights: Arrays, iteration: int, *, is_shown: bool) -> None:
        """Draw the mask of these weights."""
        counts = {name: layer.kept for name, layer in self.info.layers.items()}
        mask = drawn(weights, counts)
        bits = np.packbits(np.concatenate([kept.ravel() for kept in mask.values()]))
        still = stands_still([_differing(bits, one) / self.total for one in self.last])
        if still and self.settled is None:
            self.settled = iteration
        self.last = [*self.last, bits][1 - LOOKS :]
        if is_shown:
            self.shown.append(bits)

    def found(self) -> LevelDistances:
        """What came of it."""
        rows = (
            tuple(_differing(one, self.shown[k]) for k in range(n))
            for n, one in enumerate(self.shown)
        )
        return LevelDistances(
            level=self.info.level,
            kept=self.info.weights_kept,
            settled=self.settled,
            differing=tuple(rows),
        )


@dataclass
class _Watch:
    """What is called as the network trains: looks at each evaluation."""

    levels: list[_Watched]
    shown: set[int]
    check: Callable[[], None]
    report: Callable[[int], None]
    seen: int = 0
    done: int = 0

    def __call__(self, moment: Moment) -> None:
        self.check()
        if len(moment.history) == self.seen:
            return
        self.seen = len(moment.history)
        is_shown = moment.iteration in self.shown
        if is_shown:
            self.report(self.done)
            self.done += 1
        weights = moment.weights()
        for one in self.levels:
            one.look(weights, moment.iteration, is_shown=is_shown)


def _differing(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.bitwise_count(one ^ other).sum(dtype=np.int64))
