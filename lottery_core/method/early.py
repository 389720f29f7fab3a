"""Early birds: when the mask that a network in training would be given stands still.

At each look the network is pruned as if it were trained already; how many places two such masks
differ at is their distance. A ticket drawn once they hardly differ any more trains as well as one
drawn at the end (You et al. 2020, arXiv 1909.11957).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.method.pruning import keep_best

# As in the authors' code: the newest of five masks is held against the four before it.
LOOKS, EPSILON = 5, 0.1


def drawn(weights: Arrays, kept: Mapping[str, int]) -> Arrays:
    """The mask of each layer's largest magnitudes, `kept` in number; of equal ones the last."""
    return {
        name: keep_best(
            {name: abs(weights[name])}, {name: np.ones(weights[name].shape, bool)}, count
        )[name]
        for name, count in kept.items()
    }


def distance(one: Arrays, other: Arrays) -> float:
    """The fraction of all places at which two masks differ: their Hamming distance over the number
    of weights, 0 to 1. Masks that keep the fraction p are at most 2p apart."""
    differing = sum(int(np.count_nonzero(one[name] != other[name])) for name in one)
    return differing / sum(mask.size for mask in one.values())


def stands_still(distances: Sequence[float]) -> bool:
    """Whether a mask with these distances to those before it, oldest first, has settled: it is
    nearer than 0.1 to each of the last four."""
    last = distances[-(LOOKS - 1) :]
    return len(last) == LOOKS - 1 and max(last) < EPSILON
