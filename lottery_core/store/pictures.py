"""Compact pictures of weights, small enough to be written a few times a second."""

from __future__ import annotations

import math

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.limits import MAX_CELLS

PRUNED = -128


def shrink(values: np.ndarray, mask: np.ndarray, most: int = MAX_CELLS) -> tuple[np.ndarray, int]:
    """Weights with NaN where pruned, as a picture (float32) of `most` cells at most, and the
    side of its blocks, 1 where every weight or kernel has a cell of its own.

    Of a fully connected layer a block of (outputs, inputs) shows its survivor of largest
    magnitude, NaN if it has none. Kernels, (outputs, inputs, rows, columns), are drawn as they
    are where there is room; else the picture is one of (outputs, inputs), and each cell shows a
    kernel's survivor of largest magnitude, or that of a block of kernels.
    """
    outputs, inputs, *kernel = values.shape
    # A kernel is drawn with a gap around it.
    room = math.prod(side + 1 for side in kernel) if kernel else 1
    if outputs * inputs * room <= most:
        return np.where(mask, values, np.float32(np.nan)), 1
    survivors = np.where(mask, values, np.float32(0)).reshape(outputs, inputs, -1)
    high, low = survivors.max(axis=2), survivors.min(axis=2)
    there = mask.reshape(outputs, inputs, -1).any(axis=2)
    block = 1
    while (outputs // block) * (inputs // block) > most:
        block += 1
    high, low = _blocks(high, block).max(axis=(1, 3)), _blocks(low, block).min(axis=(1, 3))
    largest = np.where(high >= -low, high, low)
    return np.where(_blocks(there, block).any(axis=(1, 3)), largest, np.float32(np.nan)), block


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
