"""What networks answer, computed with NumPy alone: for pages, whose process imports no torch.

The images are those of the test set as they lie in the cache, or drawn ones; a network is its
weights by name. Answers agree with torch's to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lottery_core.data import (
    Images,
    counts_of,
    read_part,
    values_of,
)
from lottery_core.method.masks import Arrays
from lottery_core.spec.datasets import CLASSES
from lottery_core.spec.experiment import Recipe

_BATCH = 2_000  # images at once: all of them, with what is computed of them, would be 100 MB


def parts(count: int) -> list[slice]:
    """Slices of at most 2,000 that cover `count` images."""
    return [slice(first, first + _BATCH) for first in range(0, count, _BATCH)]


# Images


def unseen_images(
    dataset: str, root: Path, count: int | None = None, content: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` test images, uint8 (count, 28, 28), and their labels; all by default.

    `root` is cache/datasets, `content` that of `Recipe`. Raises `DataUnavailable` where the data
    set was never fetched.
    """
    return tuple(
        first(read_part(dataset, root, part, content), count)
        for part in ("test_images", "test_labels")
    )


def first(pieces: Iterator[np.ndarray], count: int | None = None) -> np.ndarray:
    """The first `count` images or labels that come in pieces, or all of them."""
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if count is not None and size >= count:
            break
    return np.concatenate(found)[:count]


def reader(recipe: Recipe, root: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What turns images, uint8, into what the recipe's network reads, (n, 784) float32: as
    `data.load_data` has them."""

    def counts() -> np.ndarray:
        return counts_of(read_part(recipe.dataset, root, "train_images", recipe.content))

    values = values_of(recipe.normalisation, counts)
    return lambda images: Images.of(images, recipe.normalisation, values)[:]


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
    images, labels = unseen_images(recipe.dataset, root, content=recipe.content)
    read = reader(recipe, root)
    given: tuple[list[np.ndarray], ...] = ([], [])
    for part in parts(len(images)):
        some = read(images[part])
        for rows, weights in zip(given, (dense, ticket), strict=True):
            rows.append(logits(recipe, weights, some))
    return Judged(labels, *(np.concatenate(rows) for rows in given))
