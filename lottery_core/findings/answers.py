"""What networks answer, computed with NumPy alone: for pages, whose process imports no torch.

The images are those of the test set as they lie in the cache, or drawn ones; a network is its
weights by name. Answers agree with torch's to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count as count_from
from itertools import takewhile
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lottery_core.data import (
    Images,
    counts_of,
    read_part,
    values_of,
)
from lottery_core.findings import forward
from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe

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
    """What turns images, uint8, into what the recipe's network reads, (n, pixels) float32: as
    `data.load_data` has them."""

    def counts() -> np.ndarray:
        return counts_of(read_part(recipe.dataset, root, "train_images", recipe.content))

    values = values_of(recipe.normalisation, counts)
    return lambda images: Images.of(images, recipe.normalisation, values)[:]


# Answers


def logits(recipe: Recipe, weights: Arrays, images: np.ndarray) -> np.ndarray:
    """What a network gives each class, (n, classes) float32, for images (n, pixels) as it reads
    them."""
    return forward.logits(recipe.net, weights, images.reshape(len(images), *recipe.net.input))


def answers(recipe: Recipe, weights: Arrays, images: np.ndarray) -> np.ndarray:
    """The class that a network names for each image, (n,)."""
    return logits(recipe, weights, images).argmax(axis=1)


def confidences(given: np.ndarray) -> np.ndarray:
    """Logits (n, classes) -> the probability the network gives each class (softmax)."""
    powers = np.exp(given - given.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def confusion(labels: np.ndarray, named: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class (row) a network names as each class (column): (classes,
    classes)."""
    pairs = np.bincount(labels.astype(np.int64) * classes + named, minlength=classes**2)
    return pairs.reshape(classes, classes)


@dataclass(frozen=True)
class Judged:
    """Two networks on the same test images, the first n of `total`: labels, and each one's logits,
    (n,) and (n, classes)."""

    labels: np.ndarray
    dense: np.ndarray
    ticket: np.ndarray
    total: int

    @property
    def disagree(self) -> np.ndarray:
        """Positions of the images that the two name differently, in their order."""
        return np.flatnonzero(self.dense.argmax(axis=1) != self.ticket.argmax(axis=1))

    @property
    def images_in_words(self) -> str:
        """Which images they were: "all 10,000 test images"."""
        count = len(self.labels)
        if count == self.total:
            return f"all {count:,} test images"
        return f"the first {count:,} of {self.total:,} test images"

    def accuracy(self, which: str) -> float:
        """The fraction that "dense" or "ticket" names rightly."""
        return float((getattr(self, which).argmax(axis=1) == self.labels).mean())


def judge(
    recipe: Recipe, dense: Arrays, ticket: Arrays, root: Path, seconds: float = math.inf
) -> Judged:
    """Both networks' answers to the test images of the recipe's data set: to all of them, or to as
    many of the first, in round numbers, as it can be expected to look at in so many seconds."""
    images, labels = unseen_images(recipe.dataset, root, content=recipe.content)
    read, total, began = reader(recipe, root), len(images), time.perf_counter()
    given: tuple[list[np.ndarray], ...] = ([], [])
    done = 0
    # The cores may be busy with trainings: two threads would wait for each other.
    with threadpool_limits(1, "blas"):
        for count in (*takewhile(lambda count: count < total, _round_numbers()), total):
            if done and (time.perf_counter() - began) * count / done > seconds:
                break
            for part in parts(count - done):
                some = read(images[done:count][part])
                for rows, weights in zip(given, (dense, ticket), strict=True):
                    rows.append(logits(recipe, weights, some))
            done = count
    return Judged(labels[:done], *(np.concatenate(rows) for rows in given), total)


def _round_numbers() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50 and so on."""
    return (first * 10**power for power in count_from(0) for first in (1, 2, 5))
