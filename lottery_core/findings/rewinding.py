"""The proof of rewinding: a level's restart weights held against its dense network's, bit for bit.

A saved initialisation that is the live network's own arrays, a mask by value, a copy through
another format: each would leave a rewinding that is none, and would show in no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level, Store

UNTRAINED = (
    "No weight was trained: only the mask was learned, and its accuracy is that of untrained "
    "weights. Losses are those of answers scaled by one number."
)
MOVED = (
    "There is no proof of rewinding: what its mask gained while it trained began at 0 then, and "
    "what it lost is not in it."
)


@dataclass(frozen=True)
class Rewinding:
    """What was found of restart weights, or of those at the end where these are `untrained`: of
    `kept` surviving weights, and of `others` that are never pruned (biases, all of batch norm), how
    many differ from those of the dense network at `iteration`, if only by a bit; and how many of
    `pruned` weights are not exactly 0."""

    iteration: int
    kept: int
    kept_unlike: int
    others: int
    others_unlike: int
    pruned: int
    pruned_unlike: int
    untrained: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is a rewinding."""
        return not (self.kept_unlike or self.others_unlike or self.pruned_unlike)

    def in_words(self) -> str:
        """A sentence."""
        when = f"at iteration {self.iteration:,}" if self.iteration else "at initialisation"
        others = f"{self.others:,} numbers that are never pruned, such as biases,"
        if self.holds and self.untrained:
            return (
                f"Proof that no weight was trained: at the end all {self.kept:,} that the learned "
                f"mask keeps, and all {others} are the dense network's {when}, bit for bit; all "
                f"{self.pruned:,} pruned weights are exactly 0."
            )
        if self.holds:
            return (
                f"Proof of rewinding: the restart weights of all {self.kept:,} survivors, and all "
                f"{others} are the dense network's {when}, bit for bit; all {self.pruned:,} pruned "
                "weights are exactly 0."
            )
        what = "Weights were trained" if self.untrained else "This is no rewinding"
        return (
            f"{what}: beside the dense network {when}, {self.kept_unlike:,} of "
            f"{self.kept:,} survivors and {self.others_unlike:,} of {others} differ, and "
            f"{self.pruned_unlike:,} of {self.pruned:,} pruned weights are not 0."
        )


def rewinding(mask: Arrays, start: Arrays, snapshot: Arrays, iteration: int) -> Rewinding:
    """Hold restart weights against a snapshot: all by name, `start` and `snapshot` float32 with
    biases and buffers. A parameter that only one of them has counts as one that differs."""
    kept = kept_unlike = pruned = pruned_unlike = others = others_unlike = 0
    for name in mask.keys() | start.keys() | snapshot.keys():
        one, other = start.get(name), snapshot.get(name)
        known = next(array for array in (mask.get(name), one, other) if array is not None)
        unlike = _unlike(one, other, known.shape)
        if name not in mask:
            others += unlike.size
            others_unlike += int(np.count_nonzero(unlike))
            continue
        survives = mask[name]
        kept += int(np.count_nonzero(survives))
        kept_unlike += int(np.count_nonzero(unlike & survives))
        pruned += int(np.count_nonzero(~survives))
        revived = unlike if one is None else one != 0
        pruned_unlike += int(np.count_nonzero(revived & ~survives))
    return Rewinding(iteration, kept, kept_unlike, others, others_unlike, pruned, pruned_unlike)


def _unlike(one: np.ndarray | None, other: np.ndarray | None, shape: tuple) -> np.ndarray:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return np.ones(shape, bool)
    bits = np.dtype(f"u{one.dtype.itemsize}")
    return np.ascontiguousarray(one).view(bits) != np.ascontiguousarray(other).view(bits)


def rewound_to(experiment: Experiment, n: int) -> int | None:
    """The iteration of the dense network that the survivors of level `n` restart from; None of the
    dense network itself, of survivors that restart from something else, another seed's say, and of
    a mask that changed while it trained."""
    step = experiment.round(n) if 0 < n <= len(experiment.rounds) else None
    rewinds = step and step.restart == "rewind" and not (step.transplant or step.dynamics)
    return step.rewind_iteration if rewinds else None


def snapshot_of(store: Store, level: Level) -> tuple[Arrays, int] | None:
    """The dense network's weights that a level's survivors are to restart from, and the iteration
    it had them at. None where they restart from something else, where the level was made by another
    version, or where its dense network is not in the store."""
    experiment, n = Experiment.known(level.info.experiment), level.info.level
    if experiment is None or experiment.keys[n] != level.info.key:
        return None
    iteration = rewound_to(experiment, n)
    if iteration is None or not store.has(experiment.keys[0]):
        return None
    dense = store.read(experiment.keys[0])
    snapshot = dense and dense.snapshots.get(iteration)
    return None if snapshot is None else (snapshot, iteration)


def proof(store: Store, level: Level) -> Rewinding | None:
    """What a level's own restart weights are beside its dense network's, or, where its mask was
    learned, those it ended with; None as for `snapshot_of`."""
    found = snapshot_of(store, level)
    if found is None:
        return None
    experiment = Experiment.from_dict(level.info.experiment)
    if not experiment.supermask(level.info.level):
        return rewinding(level.mask, level.start, *found)
    snapshot, iteration = found
    # What batch norm measured is no weight, and other under another mask.
    end, begin = (
        {name: value for name, value in one.items() if name not in experiment.recipe.net.buffers}
        for one in (level.end, snapshot)
    )
    return replace(rewinding(level.mask, end, begin, iteration), untrained=True)
