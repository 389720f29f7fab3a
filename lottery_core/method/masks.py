"""Masks: boolean arrays by weight name, True where a weight is kept; dicts in, dicts out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lottery_core.method.seeds import seed_of

Arrays = dict[str, np.ndarray]


def dense_mask(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """The mask that keeps everything."""
    return {name: np.ones(shape, bool) for name, shape in shapes.items()}


def removed_of(sparsity: float, count: int) -> int:
    """floor(sparsity * count): how many of `count` weights are gone at `sparsity`.

    The small term keeps 0.29 * 100 = 28.999999999999996 at 29; it is the last of the twelve
    digits that a round's sparsity has.
    """
    return math.floor((sparsity + 1e-12) * count)


def reshuffle(mask: Arrays, seed: int) -> Arrays:
    """The same number of weights in each layer, in places drawn anew."""
    return {
        name: np.random.default_rng(seed_of(seed, name)).permuted(kept.ravel()).reshape(kept.shape)
        for name, kept in mask.items()
    }


def apply(weights: Arrays, mask: Arrays) -> Arrays:
    """A copy of `weights` with pruned ones exactly 0.0; arrays without a mask (biases) as is."""
    return {
        name: np.where(mask[name], values, np.float32(0)) if name in mask else values.copy()
        for name, values in weights.items()
    }
