"""Units and channels of hidden layers: along which axes of the weights they lie, which of them are
left, and a network without the others.

A unit that nothing reads changes no answer, whatever it computes. So a cut takes the weights that
read a unit, and those that make it, which then are good for nothing; biases and batch norm are not
touched, and go when the unit is taken out of the arrays. A unit that reads nothing but is read is
no such one: it gives the same number for every image, which its readers count on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.method.seeds import seed_of


@dataclass(frozen=True)
class Axis:
    """An axis along which units lie, `block` entries each: pixels of a channel that was flattened.
    All axes of a `group` belong to the same units: what several layers read, or what shortcuts add
    up."""

    group: int
    block: int = 1


Axes = Mapping[str, Sequence[Axis | None]]  # by array's name, one an axis; None for one that stays
PerUnit = dict[int, np.ndarray]  # by group: a value for each of its units
Orders = dict[int, np.ndarray]  # by group; unit i comes from where the order's entry i says


def summed(values: Arrays, axes: Axes, n: int) -> PerUnit:
    """For each unit the sum of the `values` of the weights that make it (`n` is 0) or that read it
    (`n` is 1), over all layers that do."""
    found: PerUnit = {}
    for name, array in values.items():
        if axis := axes[name][n]:
            by_entry = np.moveaxis(array, n, 0).reshape(array.shape[n], -1).sum(1)
            total = by_entry.reshape(-1, axis.block).sum(1)
            found[axis.group] = found.get(axis.group, 0) + total
    return dict(sorted(found.items()))


def read(mask: Arrays, axes: Axes) -> PerUnit:
    """Which units a weight reads that `mask` keeps."""
    return {group: count > 0 for group, count in summed(mask, axes, 1).items()}


def normalised(scores: PerUnit, there: PerUnit) -> PerUnit:
    """Scores over the l2 norm of those of the group's units that are `there`, so that layers whose
    weights differ in size and number can be ranked together (Molchanov et al. 2017, arXiv
    1611.06440, section 2.2). Where all are 0 they stay so."""
    found = {}
    for group, values in scores.items():
        norm = np.sqrt(np.square(values[there[group]], dtype=np.float64).sum())
        found[group] = values / (norm or 1)
    return found


def without(mask: Arrays, left: PerUnit, axes: Axes) -> Arrays:
    """`mask` without the weights that make or read a unit which is not `left`."""
    found = {}
    for name, kept in mask.items():
        now = kept.copy()
        for n, axis in enumerate(axes[name]):
            if axis:
                np.moveaxis(now, n, 0)[~np.repeat(left[axis.group], axis.block)] = False
        found[name] = now
    return found


def useful(mask: Arrays, axes: Axes) -> PerUnit:
    """Which units the outputs depend on: those that are read, if only by units that are read
    themselves. Of a group without any it is the first, so that there is a layer."""
    while True:
        left = read(mask, axes)
        smaller = without(mask, left, axes)
        if all(np.array_equal(smaller[name], mask[name]) for name in mask):
            break
        mask = smaller
    for units in left.values():
        units[0] |= not units.any()
    return left


def taken(arrays: Arrays, left: PerUnit, axes: Axes) -> Arrays:
    """Weights, masks, biases and what batch norm remembers, of the units that are `left` alone."""
    found = {}
    for name, values in arrays.items():
        for n, axis in enumerate(axes[name]):
            if axis:
                values = values.compress(np.repeat(left[axis.group], axis.block), axis=n)
        found[name] = values
    return found


def put_in_order(arrays: Arrays, orders: Orders, axes: Axes) -> Arrays:
    """Weights or masks with the units of each group in that order."""
    found = {}
    for name, values in arrays.items():
        for n, axis in enumerate(axes[name]):
            if axis and axis.group in orders:
                first = orders[axis.group][:, None] * axis.block
                values = values.take((first + np.arange(axis.block)).ravel(), axis=n)
        found[name] = values
    return found


def reshuffle_units(mask: Arrays, axes: Axes, seed: int) -> Arrays:
    """The mask with the units of each group in an order by chance: as many are gone of each layer,
    and others."""
    orders = {
        group: np.random.default_rng(seed_of(seed, group)).permutation(len(units))
        for group, units in read(mask, axes).items()
    }
    return put_in_order(mask, orders, axes)
