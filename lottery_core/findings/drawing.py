"""A drawing -> an image like those that a network was trained on.

MNIST's digits were scaled to fit a box of 20x20 pixels, keeping their shape, with grey levels
from the smoothing, and placed in 28x28 so that their centre of mass is in the middle (LeCun et
al., The MNIST database of handwritten digits).
"""

from __future__ import annotations

import base64
import binascii

import numpy as np
from PIL import Image

from lottery_core.spec.checks import InvalidValue

SIDE = 140  # of the drawing, in pixels: fine enough to be smoothed
_BOX = 20
_INK = 32  # of 255: paler than this is no stroke but its smoothing


def read_drawing(text: object) -> np.ndarray:
    """What a browser sends, base64 of SIDE x SIDE bytes of ink row by row, as uint8 (SIDE, SIDE).

    Raises `InvalidValue` for anything else: a forged client may send what it likes.
    """
    expected = 4 * -(-SIDE * SIDE // 3)
    if not isinstance(text, str) or len(text) != expected:
        raise InvalidValue("drawing", type(text).__name__, f"must be {expected:,} signs of base64")
    try:
        ink = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidValue("drawing", text, "must be base64") from None
    if len(ink) != SIDE * SIDE:
        raise InvalidValue("drawing", len(ink), f"must be {SIDE * SIDE:,} bytes")
    return np.frombuffer(ink, np.uint8).reshape(SIDE, SIDE)


def as_digit(ink: np.ndarray) -> np.ndarray | None:
    """A drawing of any size, uint8 with 255 for ink, as an image of 28x28 like MNIST's; None
    where nothing is drawn."""
    small = _scaled(ink, _BOX)
    if small is None:
        return None
    height, width = small.shape
    centre = np.array([(small.sum(axis=axis) @ np.arange(side)) / small.sum()
                       for axis, side in ((1, height), (0, width))])  # fmt: skip
    # Row 14 and column 14, counted from 0, as measured on MNIST: half a pixel past the middle.
    return _placed(small, *np.rint(14 - centre).astype(int))


def as_image(ink: np.ndarray) -> np.ndarray | None:
    """As `as_digit`, for other images of 28x28: as large as it can be, in the middle."""
    small = _scaled(ink, 28)
    return None if small is None else _placed(small, *((28 - side) // 2 for side in small.shape))


def _scaled(ink: np.ndarray, box: int) -> np.ndarray | None:
    """What is drawn, in a box of so many pixels: float64 to 255."""
    rows, columns = (np.flatnonzero((ink >= _INK).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    drawn = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = box / max(drawn.shape)
    height, width = (max(1, round(scale * side)) for side in drawn.shape)
    # BOX averages the pixels that fall together, as a scanner does.
    filter_ = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(drawn).resize((width, height), filter_), np.float64)
    return small * (255 / max(1.0, small.max()))  # a thin line must not fade


def _placed(small: np.ndarray, top: int, left: int) -> np.ndarray:
    height, width = small.shape
    top, left = np.clip(top, 0, 28 - height), np.clip(left, 0, 28 - width)
    image = np.zeros((28, 28), np.uint8)
    image[top : top + height, left : left + width] = np.rint(small)
    return image
