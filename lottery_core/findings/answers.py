"""What networks answer, computed with NumPy alone: for pages, whose process imports no torch.

The images are those of the test set as they lie in the cache, or drawn ones; a network is its
weights by name. Answers agree with torch's to rounding.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from lottery_core.data import DataUnavailable, make_unit, originals, prepared
from lottery_core.method.masks import Arrays
from lottery_core.spec.datasets import CLASSES, DATASETS, PIXELS
from lottery_core.spec.experiment import Recipe

_BATCH = 2_000  # images at once: all of them, with what is computed of them, would be 100 MB


def parts(count: int) -> list[slice]:
    """Slices of at most 2,000 that cover `count` images."""
    return [slice(first, first + _BATCH) for first in range(0, count, _BATCH)]


# Images


def unseen_images(dataset: str, root: Path, count: int | None = None) -> tuple[np.ndarray, ...]:
    """The first `count` test images, uint8 (count, 28, 28), and their labels; all by default.

    `root` is cache/datasets. Raises `DataUnavailable` where the data set was never fetched.
    """
    size = DATASETS[dataset].test_size if count is None else count
    path = prepared(dataset, root)
    try:
        with safe_open(path, "numpy") as file:
            found = (file.get_slice(f"test_{part}")[:size] for part in ("images", "labels"))
            return tuple(found)
    except (OSError, SafetensorError):
        if dataset != "mnist" or not originals(dataset, root):
            raise DataUnavailable(
                f"{DATASETS[dataset].title} is not in this cache; train on it first"
            ) from None
    images = unpacked(root, "t10k-images-idx3-ubyte.gz", 16, PIXELS * size)
    return images.reshape(-1, 28, 28), unpacked(root, "t10k-labels-idx1-ubyte.gz", 8, size)


def unpacked(root: Path, file: str, header: int, size: int) -> np.ndarray:
    """`size` bytes after the `header` of one of MNIST's published archives."""
    with gzip.open(_original(root, file)) as source:
        source.read(header)
        return np.frombuffer(source.read(size), np.uint8)


def _original(root: Path, file: str) -> Path:
    return next(path for path in originals("mnist", root) if path.name == file)


def reader(recipe: Recipe, root: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What turns images, uint8, into what the recipe's network reads, (n, 784) float32: as
    `data.load_data` has them."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    if recipe.normalisation == "unit":
        return lambda images: make_unit(values[images.reshape(-1, PIXELS)])
    mean, deviation = np.float32(0.5), np.float32(0.5)
    if recipe.normalisation == "dataset":
        counts = np.zeros(256)
        for chunk in _training_pixels(recipe.dataset, root):
            counts += np.bincount(chunk, minlength=256)
        exact = np.average(values.astype(np.float64), weights=counts)
        spread = np.average((values.astype(np.float64) - exact) ** 2, weights=counts)
        mean, deviation = np.float32(exact), np.float32(np.sqrt(spread))
    scaled = (values - mean) / deviation
    return lambda images: scaled[images.reshape(-1, PIXELS)]


def _training_pixels(dataset: str, root: Path) -> Iterator[np.ndarray]:
    # In pieces: all of them would be 47 MB, or 188.
    path = prepared(dataset, root)
    if path.exists():
        with safe_open(path, "numpy") as file:
            images = file.get_slice("train_images")
            for part in parts(DATASETS[dataset].train_size):
                yield images[part].ravel()
        return
    with gzip.open(_original(root, "train-images-idx3-ubyte.gz")) as source:
        source.read(16)
        while chunk := source.read(_BATCH * PIXELS):
            yield np.frombuffer(chunk, np.uint8)


# Answers


def logits(recipe: Recipe, weights: Arrays, images: np.ndarray) -> np.ndarray:
    """What a network gives each class, (n, 10) float32, for images (n, 784) as it reads them."""
    found = []
    for part in parts(len(images)):
        flow = images[part]
        for name in recipe.shapes:
            flow = flow @ weights[name].T + weights[f"{name.removesuffix('.weight')}.bias"]
            if name != recipe.output_layer:
                np.maximum(flow, 0, out=flow)
        found.append(flow)
    return np.concatenate(found) if found else np.zeros((0, CLASSES), np.float32)


def answers(recipe: Recipe, weights: Arrays, images: np.ndarray) -> np.ndarray:
    """The class that a network names for each image, (n,)."""
    return logits(recipe, weights, images).argmax(axis=1)


def confidences(given: np.ndarray) -> np.ndarray:
    """Logits (n, 10) -> the probability the network gives each class (softmax), (n, 10)."""
    powers = np.exp(given - given.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def confusion(labels: np.ndarray, named: np.ndarray) -> np.ndarray:
    """How many images of each class (row) a network names as each class (column): (10, 10)."""
    pairs = np.bincount(labels.astype(np.int64) * CLASSES + named, minlength=CLASSES**2)
    return pairs.reshape(CLASSES, CLASSES)


@dataclass(frozen=True)
class Judged:
    """Two networks on the same test images: labels, and each one's logits, (n,) and (n, 10)."""

    labels: np.ndarray
    dense: np.ndarray
    ticket: np.ndarray

    @property
    def disagree(self) -> np.ndarray:
        """Positions of the images that the two name differently, in their order."""
        return np.flatnonzero(self.dense.argmax(axis=1) != self.ticket.argmax(axis=1))

    def accuracy(self, which: str) -> float:
        """The fraction that "dense" or "ticket" names rightly."""
        return float((getattr(self, which).argmax(axis=1) == self.labels).mean())


def judge(recipe: Recipe, dense: Arrays, ticket: Arrays, root: Path) -> Judged:
    """Both networks' answers to all test images of the recipe's data set."""
    images, labels = unseen_images(recipe.dataset, root)
    read = reader(recipe, root)
    given: tuple[list[np.ndarray], ...] = ([], [])
    for part in parts(len(images)):
        some = read(images[part])
        for rows, weights in zip(given, (dense, ticket), strict=True):
            rows.append(logits(recipe, weights, some))
    return Judged(labels, *(np.concatenate(rows) for rows in given))
