"""Compact pictures of weights, small enough to be written a few times a second."""

from __future__ import annotations

import numpy as np

from lottery_core.method.masks import Arrays

PRUNED = -128
_CELLS = 300 * 784  # of one picture; a larger layer is drawn coarser


def shrink(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, int]:
    """`values` (rows, columns) with NaN where pruned, in blocks of side `block`.

    A block shows its survivor of largest magnitude, NaN if it has none. Returns the picture
    (float32) and the side, 1 for all layers of up to 300x784 weights.
    """
    block = 1
    while (values.shape[0] // block) * (values.shape[1] // block) > _CELLS:
        block += 1
    picture = np.where(mask, values, np.float32(np.nan))
    if block == 1:
        return picture, 1
    rows, columns = (-(-size // block) for size in values.shape)
    padded = np.full((rows * block, columns * block), np.nan, np.float32)
    padded[: values.shape[0], : values.shape[1]] = picture
    cells = padded.reshape(rows, block, columns, block).swapaxes(1, 2).reshape(rows, columns, -1)
    largest = np.abs(np.nan_to_num(cells, nan=-0.0)).argmax(axis=2, keepdims=True)
    chosen = np.take_along_axis(cells, largest, axis=2)[..., 0]
    empty = np.isnan(cells).all(axis=2)
    return np.where(empty, np.float32(np.nan), np.nan_to_num(chosen)), block


def pack(weights: Arrays, mask: Arrays) -> tuple[Arrays, dict[str, dict]]:
    """int8 pictures by weight name, and what `unpack` needs: step per unit, and block side."""
    pictures, scales = {}, {}
    for name, kept in mask.items():
        picture, block = shrink(weights[name], kept)
        largest = float(np.abs(picture[np.isfinite(picture)]).max(initial=0.0))
        unit = largest / 127 or 1.0
        # A diverging network has no picture worth drawing, but must not break the report.
        levels = np.nan_to_num(np.rint(picture / unit), nan=PRUNED, posinf=127, neginf=-127)
        pictures[name] = np.where(np.isnan(picture), PRUNED, levels).astype(np.int8)
        scales[name] = {"unit": unit, "block": block}
    return pictures, scales


def unpack(picture: np.ndarray, unit: float) -> np.ndarray:
    """The float32 picture that `pack` made small, NaN where pruned; exact to half a unit."""
    values = picture.astype(np.float32) * np.float32(unit)
    values[picture == PRUNED] = np.nan
    return values
