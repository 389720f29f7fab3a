"""Weights, mask, round -> the next mask.

Masks are dicts of boolean arrays, True where a weight is kept; dicts in, dicts out. A
criterion scores every weight; the lowest scores go first. To add one, write a function
with the signature of `magnitude` and list it in `CRITERIA`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lottery_core.seeds import seed_of

if TYPE_CHECKING:
    from lottery_core.experiment import Round

Arrays = dict[str, np.ndarray]


def magnitude(weights: Arrays, seed: int) -> Arrays:
    """Smallest final magnitude goes first (Han et al. 2015; Frankle & Carbin 2018)."""
    return {name: np.abs(values) for name, values in weights.items()}


def random(weights: Arrays, seed: int) -> Arrays:
    """Every weight is as likely to go as any other: the control for any criterion."""
    return {
        name: np.random.default_rng(seed_of(seed, name)).random(values.shape)
        for name, values in weights.items()
    }


CRITERIA: dict[str, Callable[[Arrays, int], Arrays]] = {"magnitude": magnitude, "random": random}


def dense_mask(shapes: dict[str, tuple[int, int]]) -> Arrays:
    """The mask that keeps everything."""
    return {name: np.ones(shape, bool) for name, shape in shapes.items()}


def removed_of(sparsity: float, count: int) -> int:
    """floor(sparsity * count): how many of `count` weights are gone at `sparsity`.

    The small term keeps 0.29 * 100 = 28.999999999999996 at 29; it is the last of the twelve
    digits that a round's sparsity has.
    """
    return math.floor((sparsity + 1e-12) * count)


def prune(weights: Arrays, mask: Arrays, step: Round, output_layer: str, seed: int) -> Arrays:
    """The mask after one round.

    `weights` are the trained weights by name, `mask` what the round before kept, `seed` the
    seed of a criterion that draws. Exactly `removed_of(...)` weights are gone afterwards, per
    layer or in the whole network, earlier ones included; ties go in order of position.
    """
    trained = {name: weights[name] for name in mask}
    scores = CRITERIA[step.criterion](trained, seed)
    if step.scope == "global":
        kept = _keep_best(
            np.concatenate([scores[name].ravel() for name in mask]),
            np.concatenate([mask[name].ravel() for name in mask]),
            step.sparsity,
        )
        ends = np.cumsum([values.size for values in mask.values()])[:-1]
        parts = np.split(kept, ends)
        return {
            name: part.reshape(mask[name].shape) for name, part in zip(mask, parts, strict=True)
        }
    return {
        name: _keep_best(
            scores[name].ravel(),
            mask[name].ravel(),
            step.output_sparsity if name == output_layer else step.sparsity,
        ).reshape(mask[name].shape)
        for name in mask
    }


def _keep_best(scores: np.ndarray, kept: np.ndarray, sparsity: float) -> np.ndarray:
    # A weight that is gone ranks below every survivor, whatever its score: a survivor may be
    # exactly 0.0 too, and must not change places with it.
    ranked = np.where(kept, scores, -np.inf)
    removed = max(removed_of(sparsity, scores.size), int(scores.size - kept.sum()))
    result = np.ones(scores.size, bool)
    result[np.argsort(ranked, kind="stable")[:removed]] = False
    return result


def apply(weights: Arrays, mask: Arrays) -> Arrays:
    """A copy of `weights` with pruned ones exactly 0.0; arrays without a mask (biases) as is."""
    return {
        name: np.where(mask[name], values, np.float32(0)) if name in mask else values.copy()
        for name, values in weights.items()
    }
