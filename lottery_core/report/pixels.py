"""Weights as pixels: small pictures of units, and filters in the colours that they read."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from PIL import Image, ImageColor
from plotly.colors import sequential

from lottery_core.report.figures import DIVERGING, PRUNED

_SHADES = 63  # of a layer's cells, in its own file
_SATURATED = 99.5  # percentile of the magnitudes
# After Cividis, told apart by all readers and in grey: dark blue through grey to yellow.
_BRIGHT = np.array([ImageColor.getrgb(c) for c in sequential.Cividis], float)


def thumbnails(maps: np.ndarray, *, colours: bool, side: int = 56) -> np.ndarray:
    """A small square picture for each unit of (units, n, rows, columns), NaN where pruned: uint8
    (units, pixels, pixels, 4) of at most `side` pixels, each with a scale of its own.

    With `colours` three maps are red, green and blue. Maps that have no room are one pixel each,
    their survivor of largest magnitude.
    """
    units, count, rows, columns = maps.shape
    largest = np.abs(np.nan_to_num(maps)).reshape(units, -1).max(axis=1, initial=0)
    if colours and count == 3:
        found = rgb_of(np.moveaxis(maps, 1, -1), largest[:, None, None, None])
        return np.concatenate([found, np.full_like(found[..., :1], 255)], axis=-1)
    across = math.isqrt(count - 1) + 1
    gap = 1 if count > 1 and rows * columns > 1 else 0
    if across * (max(rows, columns) + gap) - gap > side:
        low, high = (np.nan_to_num(maps, nan=edge) for edge in (np.inf, -np.inf))
        low, high = low.min(axis=(2, 3), keepdims=True), high.max(axis=(2, 3), keepdims=True)
        chosen = np.where(high >= -low, high, low)
        maps, rows, columns, gap = np.where(np.isfinite(chosen), chosen, np.nan), 1, 1, 0
    drawn = diverging_of(maps, largest[:, None, None, None])
    tall, wide = rows + gap, columns + gap
    sheet = np.zeros((units, across, tall, across, wide, 4), np.uint8)
    for n in range(count):
        row, column = divmod(n, across)
        sheet[:, row, :rows, column, :columns, :3] = drawn[:, n]
        sheet[:, row, :rows, column, :columns, 3] = 255
    sheet = sheet.reshape(units, across * tall, across * wide, 4)
    return sheet[:, : across * tall - gap, : across * wide - gap]


def saturation(values: np.ndarray) -> float:
    """The magnitude at which the colours of weights end, NaN where pruned: a few outliers must not
    pale all."""
    kept = np.abs(values[np.isfinite(values)])
    return float(np.percentile(kept, _SATURATED)) or 1.0 if kept.size else 1.0


def diverging_of(values: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Colours, uint8 (..., 3), of values from -scale to scale; NaN is drawn as pruned."""
    part = (np.nan_to_num(values) / np.where(np.asarray(scale) > 0, scale, 1) + 1) / 2
    stops = [stop for stop, _ in DIVERGING]
    colours = np.array([ImageColor.getrgb(colour) for _, colour in DIVERGING], float)
    found = np.stack([np.interp(part, stops, colours[:, k]) for k in range(3)], axis=-1)
    found[np.isnan(values)] = ImageColor.getrgb(PRUNED)
    return np.rint(found).astype(np.uint8)


def rgb_of(values: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Weights for red, green and blue, (..., 3), as such a colour, uint8; that of pruned ones where
    all three are NaN."""
    part = np.nan_to_num(values) / np.where(np.asarray(scale) > 0, scale, 1)
    found = 127.5 * (1 + np.clip(part, -1, 1))
    found[np.isnan(values).all(axis=-1)] = ImageColor.getrgb(PRUNED)
    return np.rint(found).astype(np.uint8)


def bright_of(parts: np.ndarray) -> np.ndarray:
    """Colours, uint8 (..., 3), of values from 0, dark, to 1, bright."""
    stops = np.linspace(0, 1, len(_BRIGHT))
    found = [np.interp(np.nan_to_num(parts), stops, _BRIGHT[:, k]) for k in range(3)]
    return np.rint(np.stack(found, axis=-1)).astype(np.uint8)


def layer_png(cells: np.ndarray, scale: float | None) -> str:
    """A PNG in base64 of a layer's cells, (rows, columns), transparent where they are NaN: weights
    from -scale to scale, or without a scale densities from 0 to 1. It has so few shades that it
    is a fifth as large as with all."""
    parts = np.linspace(0, 1, _SHADES)
    if scale is None:
        colours, at = bright_of(parts), cells
    else:
        colours, at = diverging_of(2 * parts - 1, 1), (np.clip(cells / scale, -1, 1) + 1) / 2
    # Number 0 of the palette is transparent.
    numbers = np.where(np.isnan(cells), 0, 1 + np.rint(np.nan_to_num(at) * (_SHADES - 1)))
    image, buffer = Image.fromarray(numbers.astype(np.uint8)), io.BytesIO()
    image.putpalette(bytes(3) + colours.tobytes())
    image.save(buffer, "PNG", transparency=0)
    return base64.b64encode(buffer.getvalue()).decode()


def png_of(pixels: np.ndarray) -> str:
    """A PNG in base64 of uint8 (rows, columns, 3), or 4 with opacity."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
