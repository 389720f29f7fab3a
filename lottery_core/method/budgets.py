"""Layer budgets: how many of the weights that are kept in all each layer keeps.

A budget gives every layer a share, by its shape; a layer keeps weights in proportion to its share,
but never more than it has. To add one, write a function like `erk` and list it in `BUDGETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np

from lottery_core.method.masks import Arrays

Shape = tuple[int, ...]


def erk(shape: Shape) -> int:
    """The sum of a layer's sides, so that its density goes with their sum over their product.

    Erdős-Rényi-Kernel (Evci et al. 2020, arXiv 1911.11134): of a convolution (outputs + inputs +
    rows + columns) / (outputs * inputs * rows * columns), of a fully connected layer (outputs +
    inputs) / (outputs * inputs), times one factor for all layers.
    """
    return sum(shape)


def balanced(shape: Shape) -> int:
    """The same of every layer: all keep equally many (Gadhikar et al. 2022, arXiv 2210.02412)."""
    return 1


BUDGETS: dict[str, Callable[[Shape], int]] = {"erk": erk, "balanced": balanced}


def spread(total: int, shares: Mapping[str, int], room: Mapping[str, int]) -> dict[str, int]:
    """How many of `total` weights each layer keeps, by name: together exactly so many, or all that
    there is room for if that is less.

    Rounded as seats are by Sainte-Laguë's rule: each weight in turn goes to the layer whose share
    is the largest multiple of twice the weights it has, and one; the first of those that tie. So
    no layer ever keeps more of a smaller total, whatever is rounded.
    """
    total = min(total, sum(room.values()))

    def counts(factor: float) -> dict[str, int]:
        return {name: min(most, int(factor * shares[name] + 0.5)) for name, most in room.items()}

    low, high = 0.0, 1.0 + max((most / shares[name] for name, most in room.items()), default=0.0)
    while low < (middle := (low + high) / 2) < high:
        if sum(counts(middle).values()) <= total:
            low = middle
        else:
            high = middle
    # What is rounded one way or the other is given out one by one, in whole numbers.
    found = counts(low * (1 - 1e-9))
    for _ in range(total - sum(found.values())):
        free = [name for name in found if found[name] < room[name]]
        found[max(free, key=lambda name: Fraction(shares[name], 2 * found[name] + 1))] += 1
    return found


def kept_by(budget: str, total: int, mask: Arrays) -> dict[str, int]:
    """How many weights each layer keeps by a name in `BUDGETS`, of those that `mask` keeps."""
    shares = {name: BUDGETS[budget](kept.shape) for name, kept in mask.items()}
    return spread(total, shares, {name: int(kept.sum()) for name, kept in mask.items()})


def respread(mask: Arrays, budget: str) -> Arrays:
    """As many weights in all as `mask` keeps, spread by a name in `BUDGETS` over the whole layers:
    in each the first ones."""
    total = sum(int(kept.sum()) for kept in mask.values())
    whole = {name: np.ones_like(kept) for name, kept in mask.items()}
    return {
        name: (np.arange(whole[name].size) < count).reshape(whole[name].shape)
        for name, count in kept_by(budget, total, whole).items()
    }
