"""Weight matching: the order of one network's units in which its weights come nearest another's.

A hidden unit may change places with any of its layer if the rows that make it and the columns that
read it go along: the network computes the same. Two trainings from other weights end near each
other only up to such an order (Ainsworth et al. 2022, arXiv 2209.04836, algorithm 1), and a mask
found in one fits the other only in that order (Adnan et al. 2025, arXiv 2505.05143).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from lottery_core.method.masks import Arrays
from lottery_core.method.units import Axes, Orders, put_in_order


def match(one: Arrays, other: Arrays, axes: Axes) -> Orders:
    """The orders in which `one`, both having the same names and shapes, comes nearest `other`.

    Group after group gets the order with the greatest inner product of all weights, the others
    staying, until none changes: a linear assignment each, exact, and from the same start always
    the same. What comes of it is a local optimum. No array has a group on two axes.
    """
    orders = {
        axis.group: np.arange(one[name].shape[n] // axis.block)
        for name in one
        for n, axis in enumerate(axes[name])
        if axis
    }
    is_better = True
    while is_better:
        is_better = False
        for group in sorted(orders):
            products = _products(one, other, axes, orders, group)
            _, best = linear_sum_assignment(products, maximize=True)
            units = np.arange(len(best))
            before, after = products[units, orders[group]].sum(), products[units, best].sum()
            if after > before + 1e-9 * abs(before):  # more than what rounding leaves
                orders[group], is_better = best, True
    return orders


def _products(one: Arrays, other: Arrays, axes: Axes, orders: Orders, group: int) -> np.ndarray:
    """(units, units): what unit i of `other` and unit j of `one`, all other groups in order, have
    in common."""
    rest = {name: order for name, order in orders.items() if name != group}
    total = np.zeros((len(orders[group]),) * 2)
    for name, values in one.items():
        for n, axis in enumerate(axes[name]):
            if axis and axis.group == group:
                moved = put_in_order({name: values}, rest, axes)[name]
                total += _by_unit(other[name], n, len(total)) @ _by_unit(moved, n, len(total)).T
    return total


def _by_unit(values: np.ndarray, n: int, units: int) -> np.ndarray:
    return np.moveaxis(values, n, 0).reshape(units, -1).astype(float)
