"""What one recipe trains and is judged on: images as bytes, and how networks read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from lottery_core.data.fetching import DataUnavailable
from lottery_core.data.prepared import header_of, mapped, prepared, read_part
from lottery_core.data.preparing import prepare
from lottery_core.method.seeds import seed_of
from lottery_core.spec.datasets import title_of
from lottery_core.spec.recipe import Recipe

_PIECE = 2_000  # images whose numbers are worked out at once


@dataclass(frozen=True)
class Images:
    """Images as they lie on disk, and as networks read them: `images[index]` is float32,
    (n, pixels), or (pixels,) for a single one; the pixels of one channel after another.

    `pixels` (n, pixels) uint8 may be in memory that other processes share. A pixel has 256 values:
    what becomes of each is in `values` (256,) float32, or (channels, 256), and is divided by the
    image's length in `lengths` (n,) float32, which is 1 unless images are scaled to length 1.
    """

    pixels: np.ndarray
    values: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray, normalisation: str, values: np.ndarray) -> Images:
        """Images of uint8 pixels, (n, ...), of a data set with these `values_of`."""
        pixels = pixels.reshape(len(pixels), -1)
        lengths = np.ones(len(pixels), np.float32)
        if normalisation == "unit":
            for first in range(0, len(pixels), _PIECE):
                norms = np.linalg.norm(_looked_up(values, pixels[first : first + _PIECE]), axis=1)
                # A black image stays one.
                lengths[first : first + _PIECE] = np.maximum(norms, np.finfo(np.float32).tiny)
        return cls(pixels, values, lengths)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        found = _looked_up(self.values, self.pixels[index])
        if self._is_scaled:
            found /= np.asarray(self.lengths[index])[..., None]
        return found

    @cached_property
    def _is_scaled(self) -> bool:
        return bool((self.lengths != 1).any())

    def take(self, index: slice | np.ndarray) -> Images:
        """Some of the images, as bytes still."""
        return replace(self, pixels=self.pixels[index], lengths=self.lengths[index])


def _looked_up(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """What becomes of pixels (..., pixels), each channel by its own values."""
    # "clip" spares the check of bounds, which no byte can break: half of the time.
    if values.ndim == 1:
        return np.take(values, pixels, mode="clip")
    channels = zip(values, np.split(pixels, len(values), axis=-1), strict=True)
    return np.concatenate([np.take(row, part, mode="clip") for row, part in channels], axis=-1)


@dataclass(frozen=True)
class Data:
    """What one recipe trains and is judged on.

    `images` and `labels` (n,) int64 are all training images, of which `train_index` are trained
    on and `validation_index` held out; `test_images` and `test_labels` only report. `digest`
    names the bytes they came from.
    """

    images: Images
    labels: np.ndarray
    train_index: np.ndarray
    validation_index: np.ndarray
    test_images: Images
    test_labels: np.ndarray
    digest: str


def load_data(
    recipe: Recipe,
    root: Path,
    *,
    folder: Path | str | None = None,
    check: Callable[[], None] = lambda: None,
) -> Data:
    """The recipe's data from `root` (cache/datasets), prepared first if it is not there.

    `folder` holds the original files, for when there is no network; `check` is called while
    waiting and may raise to stop. Raises `InvalidValue` and `DataUnavailable`.
    """
    prepare(recipe.dataset, root, content=recipe.content, folder=folder, check=check)
    path = prepared(recipe.dataset, root, recipe.content)
    try:
        changed = path.stat().st_mtime_ns
        arrays = _arrays(recipe.dataset, recipe.normalisation, path, changed)
    except FileNotFoundError:
        title = title_of(recipe.dataset, recipe.content)
        raise DataUnavailable(f"{title} vanished from the cache; run again") from None
    images, labels, test_images, test_labels, digest = arrays
    order = np.random.default_rng(seed_of(recipe.seed, "validation")).permutation(len(images))
    held_out = np.sort(order[: recipe.validation_size])
    kept = np.sort(order[recipe.validation_size :])
    return Data(images, labels, kept, held_out, test_images, test_labels, digest)


@lru_cache(maxsize=1)
def _arrays(name: str, normalisation: str, path: Path, changed: int):
    header = header_of(name, path)
    if header is None:
        raise FileNotFoundError(path)
    arrays = mapped(name, path, header)
    training = read_part(name, path, header, "train_images")
    values = values_of(normalisation, lambda: counts_of(training))
    train, test = (
        Images.of(arrays[f"{part}_images"], normalisation, values) for part in ("train", "test")
    )
    labels, test_labels = (
        arrays[part].astype(np.int64) for part in ("train_labels", "test_labels")
    )
    return train, labels, test, test_labels, header.digest


# How pixels become numbers


def values_of(normalisation: str, counts: Callable[[], np.ndarray]) -> np.ndarray:
    """What becomes of each of a pixel's 256 values, (256,) float32, or where channels differ
    (channels, 256); images of norm 1 are then divided by their lengths. `counts` gives the
    `counts_of` the training images, where they matter."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    if normalisation == "unit":
        return values
    mean = deviation = 0.5
    if normalisation == "dataset":
        found = [mean_and_deviation(row) for row in counts()]
        if len(found) > 1:
            mean, deviation = np.array(found, np.float32).T[..., None]
            return (values - mean) / deviation
        ((mean, deviation),) = found
    return (values - np.float32(mean)) / np.float32(deviation or 1.0)  # 0 if all are of one grey


def mean_and_deviation(counts: np.ndarray) -> tuple[float, float]:
    """Of all pixels, from 0 to 1, by how often each of their 256 values stands there."""
    values = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float64)
    mean = np.average(values, weights=counts)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))


def counts_of(images: Iterable[np.ndarray]) -> np.ndarray:
    """How often each of a pixel's 256 values stands in each channel, (channels, 256), of images,
    uint8 (n, rows, columns) or (n, channels, rows, columns), that come in pieces."""
    counts = np.zeros((1, 256), np.int64)
    for piece in images:  # bincount makes eight bytes of each pixel
        channels = np.moveaxis(piece, 1, 0) if piece.ndim == 4 else [piece]
        found = [np.bincount(channel.reshape(-1), minlength=256) for channel in channels]
        counts = counts + np.stack(found)
    return counts
