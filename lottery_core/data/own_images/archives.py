"""An .npz archive of arrays -> labels, and images in parts; nothing is held whole.

A pickle is never loaded: what is no plain array of numbers is refused by its header.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from lottery_core.data.own_images.decoding import MAX_PIXELS
from lottery_core.data.own_images.folders import MAX_CLASSES, MAX_IMAGES
from lottery_core.data.own_images.wording import counted, few, shown
from lottery_core.spec.checks import InvalidValue

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_PART = 8 * 2**20  # bytes unpacked at once
_SHAPES = "(n, height, width), (n, height, width, 1 or 3) or (n, 1 or 3, height, width)"


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class Archive:
    """The checked arrays of a source. `labels` and `test_labels` (None without a test set) are
    uint8, from 0; `shape` is an image's (height, width)."""

    source: Path
    headers: dict[str, _Header]
    class_names: tuple[str, ...]
    labels: np.ndarray
    test_labels: np.ndarray | None
    scale: int  # what values are multiplied by to reach 255
    notes: list[str]

    @property
    def shape(self) -> tuple[int, int]:
        return _sides(self.headers["x_train"].shape)[:2]

    def images(self) -> Iterator[np.ndarray]:
        """All images, training images first, in parts: uint8 (n, height, width, 1 or 3)."""
        for name in ("x_train", "x_test"):
            if name in self.headers:
                for part in _parts(self.source, name, self.headers[name]):
                    yield self._as_bytes(part)

    def _as_bytes(self, part: np.ndarray) -> np.ndarray:
        values = (
            part
            if part.dtype.kind == "u" and self.scale == 1
            else np.rint(part.astype(np.float64) * self.scale)
        )
        images = values.astype(np.uint8)
        if images.ndim == 3:
            return images[..., None]
        return images if images.shape[3] in (1, 3) else images.transpose(0, 2, 3, 1)


def read_archive(source: Path, check: Callable[[], None]) -> Archive:
    """Check an .npz file with x_train, y_train and perhaps x_test, y_test.

    Raises `InvalidValue` for anything that is not images with a whole number each.
    """
    headers, notes = _headers(source)
    _check_images(source, headers)
    labels = {
        name: np.concatenate([*_parts(source, name, headers[name])]).reshape(-1)
        for name in ("y_train", "y_test")
        if name in headers
    }
    class_names, numbered = _numbered(source, labels, notes)
    scale = _scale(source, headers, check, notes)
    return Archive(
        source, headers, class_names, numbered["y_train"], numbered.get("y_test"), scale, notes
    )


def _refused(source: Path, rule: str) -> InvalidValue:
    return InvalidValue("source", str(source), rule)


@contextmanager
def _unpacking(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except InvalidValue:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        rule = f"can't be read as an .npz file ({error}); save it again with numpy.savez_compressed"
        raise _refused(source, rule) from None


def _headers(source: Path) -> tuple[dict[str, _Header], list[str]]:
    """The arrays that are asked for, by name, and a note of those that are not."""
    with _unpacking(source) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        names = [name for name in _NAMES if name in there]
        if names not in ([*_NAMES], [*_NAMES[:2]]):
            raise _refused(
                source,
                f"holds {few(map(shown, there)) or 'nothing'}; name the arrays x_train, y_train "
                "and, if there are test images, x_test, y_test",
            )
        rest = [shown(name) for name in there if name not in _NAMES]
        notes = [f"Left out of the archive: {few(rest)}."] if rest else []
        headers = {}
        for name in names:
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as file:
                headers[name], start = _header(source, name, file)
            shape, dtype = headers[name]
            if math.prod(shape) * dtype.itemsize + start != entry.file_size:
                raise _refused(
                    source, f"holds {name} of another length than it says; save it again"
                )
    return headers, notes


def _header(source: Path, name: str, file: BinaryIO) -> tuple[_Header, int]:
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise _refused(source, f"holds {name} with named columns; save a plain array of numbers")
    shape, is_fortran, dtype = readers[version](file)
    if dtype.kind not in "buif":
        raise _refused(
            source, f"holds {name} as {dtype}; save numbers: images as uint8, labels as int64"
        )
    if is_fortran and len(shape) > 1:
        raise _refused(
            source, f"holds {name} column by column; save numpy.ascontiguousarray({name})"
        )
    return _Header(shape, dtype), file.tell()


def _parts(source: Path, name: str, header: _Header) -> Iterator[np.ndarray]:
    """An array in parts along its first axis, and its checksum verified at the end."""
    shape, dtype = header
    row = math.prod(shape[1:]) * dtype.itemsize
    rows = max(1, _PART // row)
    with _unpacking(source) as archive, archive.open(f"{name}.npy") as file:
        _header(source, name, file)
        for start in range(0, shape[0], rows):
            count = min(rows, shape[0] - start)
            content = file.read(count * row)
            if len(content) != count * row:
                raise EOFError(f"{name} is cut short")
            yield np.frombuffer(content, dtype).reshape(count, *shape[1:])
        file.read(1)  # reaching the end is what compares the checksum


# What the arrays are


def _sides(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, channels) of images by their array's shape."""
    if len(shape) == 3:
        return *shape[1:], 1
    return shape[1:] if shape[3] in (1, 3) else (*shape[2:], shape[1])


def _check_images(source: Path, headers: dict[str, _Header]) -> None:
    for part in ("train", "test"):
        if f"x_{part}" not in headers:
            continue
        shape, labels = headers[f"x_{part}"].shape, headers[f"y_{part}"].shape
        channels = [side in (1, 3) for side in shape[1::2]]  # first, last
        if len(shape) not in (3, 4) or (len(shape) == 4 and channels in ([False] * 2, [True] * 2)):
            raise _refused(source, f"holds x_{part} of shape {shape}; make it {_SHAPES}")
        if labels not in ((shape[0],), (shape[0], 1)):
            raise _refused(
                source,
                f"holds {shape[0]:,} images in x_{part} and y_{part} of shape {labels}; give each "
                "image one whole number",
            )
        height, width, _ = _sides(shape)
        if not shape[0] or not 0 < height * width <= MAX_PIXELS or shape[0] > MAX_IMAGES:
            raise _refused(
                source,
                f"holds x_{part} of shape {shape}; between 1 and {MAX_IMAGES:,} images of 1 to "
                f"{MAX_PIXELS:,} pixels are read",
            )
    sides = {name: _sides(headers[name].shape) for name in ("x_train", "x_test") if name in headers}
    if len({*sides.values()}) > 1:
        raise _refused(
            source,
            f"holds training images of {sides['x_train']} and test images of {sides['x_test']} "
            "(height, width, channels); make them alike",
        )


def _numbered(
    source: Path, labels: dict[str, np.ndarray], notes: list[str]
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Class names, and labels from 0 as uint8, in the order of the labels' values."""
    found = {}
    for name, values in labels.items():
        if values.dtype.kind not in "bui":
            raise _refused(
                source, f"holds {name} as {values.dtype}; labels are whole numbers, as int64"
            )
        found[name] = np.unique(values, return_inverse=True)
    each = {name: {*map(int, unique[: MAX_CLASSES + 1])} for name, (unique, _) in found.items()}
    values = sorted(each["y_train"])
    if not 2 <= len(values) <= MAX_CLASSES:
        raise _refused(
            source,
            f"holds {'more than ' * (len(values) > MAX_CLASSES)}"
            f"{counted(min(len(values), MAX_CLASSES), 'class', 'classes')} in y_train; "
            f"2 to {MAX_CLASSES} are supported",
        )
    if each.get("y_test", each["y_train"]) != each["y_train"]:
        differing = few(map(str, sorted(each["y_train"] ^ each["y_test"])))
        raise _refused(
            source,
            f"has labels in one of y_train and y_test that the other lacks: {differing}; every "
            "class needs images in both",
        )
    if values != [*range(len(values))]:
        notes.append(f"The labels {few(map(str, values))} became 0 to {len(values) - 1}.")
    notes.append("The classes are named by their labels.")
    return tuple(map(str, values)), {
        name: inverse.reshape(-1).astype(np.uint8) for name, (_, inverse) in found.items()
    }


def _scale(
    source: Path, headers: dict[str, _Header], check: Callable[[], None], notes: list[str]
) -> int:
    """What the images' values are multiplied by: 1 where they reach from 0 to 255, 255 where
    they reach from 0 to 1."""
    least, most = math.inf, -math.inf
    names = [name for name in ("x_train", "x_test") if name in headers]
    for name in names:
        for part in _parts(source, name, headers[name]):
            check()
            low, high = float(part.min()), float(part.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise _refused(source, f"holds NaN or infinite values in {name}; remove them")
            least, most = min(least, low), max(most, high)
    if least < 0 or most > 255:
        raise _refused(
            source,
            f"holds pixels from {least:g} to {most:g}; scale them to 0..255 (or 0..1), without "
            "normalising them",
        )
    kinds = {headers[name].dtype for name in names}
    scale = 255 if most <= 1 else 1
    if scale == 255:
        notes.append("Pixels from 0 to 1 were multiplied by 255 and rounded.")
    elif kinds != {np.dtype(np.uint8)}:
        notes.append(f"Pixels stored as {few(sorted(map(str, kinds)))} were rounded to uint8.")
    return scale
