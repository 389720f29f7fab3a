"""Compact pictures of weights, small enough to be written a few times a second."""

from __future__ import annotations

import math

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.limits import MAX_CELLS

PRUNED = -128


def shrink(
    values: np.ndarray, mask: np.ndarray, most: int = MAX_CELLS, *, means: bool = False
) -> tuple[np.ndarray, int]:
    """A layer as a picture (float32, NaN where nothing is kept) of `most` cells at most, and the
    side of its blocks, 1 where every weight or kernel has a cell of its own.

    Where there is room, weights are drawn as they are: (outputs, inputs), or kernels, (outputs,
    inputs, rows, columns). Else a cell of (outputs, inputs) shows the density, in (0, 1], of a
    block of weights, or of a kernel or a block of kernels; or with `means` their mean weight, where
    pruned ones count as 0.
    """
    outputs, inputs, *kernel = values.shape
    # A kernel is drawn with a gap around it.
    room = math.prod(side + 1 for side in kernel) if kernel else 1
    if outputs * inputs * room <= most:
        return np.where(mask, values, np.float32(np.nan)), 1
    of = np.where(mask, values, np.float32(0)) if means else mask
    cells = of.reshape(outputs, inputs, -1).mean(axis=2, dtype=np.float32)
    there = mask.reshape(outputs, inputs, -1).any(axis=2)
    return averaged(np.where(there, cells, np.float32(np.nan)), most)


def averaged(cells: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """A matrix in blocks of which there are `most` at most, and their side: each is the mean of its
    cells, where NaN counts as 0, or NaN where all of them are."""
    block = 1
    while (cells.shape[0] // block) * (cells.shape[1] // block) > most:
        block += 1
    if block == 1:
        return cells, 1
    there = _blocks(np.ones_like(cells), block).sum(axis=(1, 3))  # fewer at the edges
    some = _blocks(np.isfinite(cells), block).any(axis=(1, 3))
    means = _blocks(np.nan_to_num(cells), block).sum(axis=(1, 3)) / there
    return np.where(some, means, np.float32(np.nan)), block


def _blocks(cells: np.ndarray, side: int) -> np.ndarray:
    """(rows, columns) as (rows of blocks, side, columns of blocks, side), filled up with zeros."""
    rows, columns = (-(-size // side) for size in cells.shape)
    filled = np.zeros((rows * side, columns * side), cells.dtype)
    filled[: cells.shape[0], : cells.shape[1]] = cells
    return filled.reshape(rows, side, columns, side)


def counted(kept: np.ndarray) -> dict[str, int]:
    """How many weights a mask keeps; of a convolution also the kernels with a weight left, and the
    output channels with a kernel left."""
    found = {"kept": int(kept.sum())}
    if kept.ndim == 4:
        kernels = kept.any(axis=(2, 3))
        found |= {"kernels": int(kernels.sum()), "channels": int(kernels.any(axis=1).sum())}
    return found


def pack(weights: Arrays, mask: Arrays) -> tuple[Arrays, dict[str, dict]]:
    """int8 pictures by weight name, and what there is to know of each: the step per `unit` and the
    side of a `block` (see `unpack`, `shrink`), and what is `counted`."""
    pictures, scales = {}, {}
    for name, kept in mask.items():
        picture, block = shrink(weights[name], kept)
        largest = float(np.abs(picture[np.isfinite(picture)]).max(initial=0.0))
        unit = largest / 127 or 1.0
        # A diverging network has no picture worth drawing, but must not break the report.
        levels = np.nan_to_num(np.rint(picture / unit), nan=PRUNED, posinf=127, neginf=-127)
        pictures[name] = np.where(np.isnan(picture), PRUNED, levels).astype(np.int8)
        scales[name] = {"unit": unit, "block": block, **counted(kept)}
    return pictures, scales


def unpack(picture: np.ndarray, unit: float) -> np.ndarray:
    """The float32 picture that `pack` made small, NaN where pruned; exact to half a unit."""
    values = picture.astype(np.float32) * np.float32(unit)
    values[picture == PRUNED] = np.nan
    return values
