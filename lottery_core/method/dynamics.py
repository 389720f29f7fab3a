"""How a mask changes while a network trains.

Before some of the iterations (see `changes`) a rule is handed what there is to see, and returns the
mask to go on with. Whoever trains then makes it so: a weight that is new in the mask begins at
exactly 0.0 with nothing remembered of it by the optimiser, one that is no longer in it is 0.0, all
others stay what they are. To add a rule, write a function with the signature of `set_` and list it
in `DYNAMICS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from lottery_core.method.early import LOOKS, distance, drawn, stands_still
from lottery_core.method.masks import Arrays, removed_of
from lottery_core.method.pruning import keep_best
from lottery_core.method.seeds import seed_of

EVERY, LEAST = 100, 20  # iterations between two changes; at least so many changes
UNTIL = Fraction(3, 4)  # of the training
EXCHANGED = 0.3  # of a layer's weights, at first


def changes(iterations: int) -> range:
    """The iterations before which the mask changes: every 100th, as in RigL, or more often where
    there would be fewer than 20, until three quarters of the training are done."""
    end = int(UNTIL * iterations)
    every = max(1, min(EVERY, end // LEAST))
    return range(every, end + 1, every)


def looks(iterations: int, evaluate_every: int) -> Sequence[int]:
    """The iterations of the evaluations, the untrained network's included, until three quarters of
    the training are done; where there is no other, that moment too."""
    end = int(UNTIL * iterations)
    return range(0, end + 1, evaluate_every) if evaluate_every <= end else (0, end)


@dataclass
class Memory:
    """What is remembered of one training between changes: the masks that a rule drew last, oldest
    first, and the iteration at which they had `settled`, once they have."""

    masks: list[Arrays] = field(default_factory=list)
    settled: int | None = None


@dataclass(frozen=True)
class Sight:
    """What a rule may look at, before an `iteration`.

    `mask` and `weights` are those of the moment, by name, pruned weights 0.0; `kept` says how many
    weights each layer shall have at the end, `progress` how far the changes have come: 1 at the
    last. `memory` is the training's, for a rule to write to. `slopes()` gives the derivatives of
    the loss by all weights, those that are pruned too, on the batch that comes next; `draw(name)`
    gives a layer's generator.
    """

    mask: Arrays
    weights: Arrays
    kept: Mapping[str, int]
    progress: float
    slopes: Callable[[], Arrays]
    draw: Callable[[str], np.random.Generator]
    iteration: int = 0
    memory: Memory = field(default_factory=Memory)


def set_(sight: Sight) -> Arrays:
    """Sparse Evolutionary Training: what grows is drawn by chance (Mocanu et al. 2018)."""
    return _exchange(
        sight,
        lambda: {name: sight.draw(name).random(kept.shape) for name, kept in sight.mask.items()},
    )


def rigl(sight: Sight) -> Arrays:
    """What grows has the largest |dL/dw| of all weights that are pruned (Evci et al. 2020)."""
    # What is no number counts as 0, and the loss will soon be none.
    return _exchange(
        sight, lambda: {name: np.nan_to_num(abs(slope)) for name, slope in sight.slopes().items()}
    )


def gradual(sight: Sight) -> Arrays:
    """The smallest magnitudes of each layer go, until it has as many as `gradually` says."""
    return {
        name: _best(
            abs(sight.weights[name]), now, gradually(sight.progress, now.size, sight.kept[name])
        )
        for name, now in sight.mask.items()
    }


def early_bird(sight: Sight) -> Arrays:
    """All weights until the largest magnitudes of each layer stand still, then these (You et al.
    2020); where they never do, those of the last look."""
    memory = sight.memory
    if not all(now.all() for now in sight.mask.values()):
        return sight.mask
    found = drawn(sight.weights, sight.kept)
    if stands_still([distance(found, one) for one in memory.masks]):
        memory.settled = sight.iteration
    memory.masks = [*memory.masks, found][1 - LOOKS :]
    return found if memory.settled is not None or sight.progress == 1 else sight.mask


def gradually(progress: float, weights: int, kept: int) -> int:
    """How many of a layer's `weights` are left, of which `kept` are in the end: the sparsity is
    s (1 - (1 - progress)^3), rounded down to whole weights (Zhu & Gupta 2017, equation 1)."""
    return weights - removed_of(1 - (1 - progress) ** 3, weights - kept)


def _exchange(sight: Sight, worth: Callable[[], Arrays]) -> Arrays:
    """Each layer drops a fraction of its weights, the smallest magnitudes, and grows as many of
    those that are pruned then, of the largest `worth`; what was dropped and grows again was never
    gone. The fraction falls from 0.3 to 0 along a cosine (Evci et al. 2020, section 3)."""
    fraction = EXCHANGED / 2 * (1 + math.cos(math.pi * sight.progress))
    going = {name: removed_of(fraction, int(now.sum())) for name, now in sight.mask.items()}
    if not any(going.values()):
        return sight.mask
    worths, found = worth(), {}
    for name, now in sight.mask.items():
        stays = _best(abs(sight.weights[name]), now, int(now.sum()) - going[name])
        found[name] = stays | _best(worths[name], ~stays, going[name])
    return found


def _best(scores: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
    return keep_best({"": scores}, {"": among}, count)[""]


@dataclass(frozen=True)
class Dynamics:
    """A rule, and what a page says of it.

    `left(progress, weights, kept)` says how many of a layer's weights it has at each moment, where
    it begins with all (or has at most, where that is not known before); without, it has as many all
    along as in the end. Where it is asked at evaluations it is `at_evaluations`, else at
    `changes`. `version` is raised when
    the same sight gives another mask than before; levels trained by it then get other keys.
    """

    change: Callable[[Sight], Arrays]
    title: str
    summary: str
    left: Callable[[float, int, int], int] | None = None
    at_evaluations: bool = False
    version: int = 1


_MOVING = "each layer drops its smallest magnitudes and grows as many"
DYNAMICS = {
    "set": Dynamics(set_, "SET", f"{_MOVING}, by chance (Mocanu et al. 2018, arXiv 1707.04780)"),
    "rigl": Dynamics(
        rigl,
        "RigL",
        f"{_MOVING}, where the loss is steepest (Evci et al. 2020, arXiv 1911.11134)",
    ),
    "gradual": Dynamics(
        gradual,
        "gradual pruning",
        "the smallest magnitudes of each layer go while it trains, fewer and fewer at a time "
        "(Zhu & Gupta 2017, arXiv 1710.01878)",
        left=gradually,
    ),
    "early-bird": Dynamics(
        early_bird,
        "early bird",
        "pruned once, as soon as the mask that the dense network in training would be given stands "
        "still from one evaluation to the next (You et al. 2020, arXiv 1909.11957)",
        left=lambda progress, weights, kept: weights if progress < 1 else kept,
        at_evaluations=True,
    ),
}


@dataclass(frozen=True)
class Moving:
    """A mask that changes in one training: by which `rule` of `DYNAMICS`, how many weights each
    layer keeps at the end, the `seed` of its draws, and `slopes(weights, iteration)`, the loss's
    derivatives by all weights on the batch of that iteration."""

    rule: str
    kept: Mapping[str, int]
    seed: int
    slopes: Callable[[Arrays, int], Arrays]

    def changes(self, iterations: int, evaluate_every: int) -> Sequence[int]:
        """The iterations before which the mask may change, of a training of so many that is
        evaluated so often."""
        is_at_evaluations = DYNAMICS[self.rule].at_evaluations
        return looks(iterations, evaluate_every) if is_at_evaluations else changes(iterations)

    def after(
        self, iteration: int, last: int, mask: Arrays, weights: Arrays, memory: Memory
    ) -> Arrays:
        """The mask from that iteration on, which is one of `changes`, the `last` of which is
        named."""
        sight = Sight(
            mask=mask,
            weights=weights,
            kept=self.kept,
            progress=iteration / last,
            iteration=iteration,
            memory=memory,
            slopes=lambda: self.slopes(weights, iteration),
            draw=lambda name: np.random.default_rng(seed_of(self.seed, name, iteration)),
        )
        return DYNAMICS[self.rule].change(sight)

    def usual(self, iterations: int, mask: Arrays) -> Arrays:
        """A mask as full as that of a training of so many iterations is on average."""
        counts = {
            name: mean_left(self.rule, iterations, now.size, self.kept[name])
            for name, now in mask.items()
        }
        return {
            name: (np.arange(now.size) < round(counts[name])).reshape(now.shape)
            for name, now in mask.items()
        }


def mean_left(rule: str, iterations: int, weights: int, kept: int) -> float:
    """How many of so many weights there are on average over the iterations, `kept` at the end."""
    left, stops = DYNAMICS[rule].left, changes(iterations)
    if left is None:
        return kept
    counts = [weights, *(left(at / stops[-1], weights, kept) for at in stops)]
    return float(np.average(counts, weights=np.diff([0, *stops, iterations])))
