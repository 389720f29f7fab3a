"""A network's way forward in NumPy alone: for pages, whose process imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network, Operation

EPSILON = 1e-5  # that batch norm adds to the variance, as torch does
_MOST = 2**19  # numbers at once, 2 MB: more would not fit a processor's cache
# And of a layer's results: a fully connected layer should read its weights for several images.
_BLOCK = 2**18


def results(network: Network, weights: Arrays, images: np.ndarray) -> Iterator[np.ndarray]:
    """What each operation gives for (n, *input) float32 images, in their order; the last one's are
    the logits (n, classes). Batch norm uses the running statistics, as in an evaluation."""
    return onward(network, weights, {0: images})


def onward(
    network: Network, weights: Arrays, known: Mapping[int, np.ndarray], first: int = 1
) -> Iterator[np.ndarray]:
    """As `results`, from operation `first` on, counted from 1: `known` has what it and those after
    it read of earlier ones, by number; 0 are the images."""
    read_last = {read: n for n, at in enumerate(network.operations, 1) for read in at.reads}
    found = dict(known)
    for n, at in enumerate(network.operations[first - 1 :], first):
        result = compute(at, weights, *[found[read] for read in at.reads])
        yield result
        found[n] = result
        for read in {*at.reads}:
            if read_last[read] == n:
                found.pop(read)


def compute(at: Operation, weights: Arrays, *read: np.ndarray) -> np.ndarray:
    """What one operation gives for what it reads."""
    return _COMPUTE[at.kind](at, weights, *read)


def logits(network: Network, weights: Arrays, images: np.ndarray) -> np.ndarray:
    """Logits (n, classes) float32 of (n, *input) images, any number of them."""
    found = [np.zeros((0, network.classes), np.float32)]
    for part in blocks(network, len(images)):
        *_, last = results(network, weights, images[part])
        found.append(last)
    return np.concatenate(found)


def blocks(network: Network, images: int) -> list[slice]:
    """Slices that cover so many images, each of as many as are answered at once."""
    largest = max(int(np.prod(network.shape_of(n))) for n in range(len(network.operations) + 1))
    at_once = max(1, _BLOCK // largest)
    return [slice(first, first + at_once) for first in range(0, images, at_once)]


def _conv(at: Operation, weights: Arrays, images: np.ndarray) -> np.ndarray:
    matrix = weights[f"{at.name}.weight"].reshape(at.shape[0], -1)
    results = np.empty((len(images), *at.shape), images.dtype)
    rows, columns = at.shape[1:]
    at_once = max(1, _MOST // (matrix.shape[1] * rows * columns))
    form = (images.shape[1], at.kernel, at.kernel, min(at_once, len(images)), rows, columns)
    laid_out = np.empty(form, images.dtype)
    for first in range(0, len(images), at_once):
        some = images[first : first + at_once]
        if len(some) < form[3]:
            laid_out = np.empty((*form[:3], len(some), rows, columns), images.dtype)
        _lay_out(at, some, laid_out)
        sums = matrix @ laid_out.reshape(matrix.shape[1], -1)
        by_channel = sums.reshape(at.shape[0], len(some), rows, columns)
        results[first : first + at_once] = by_channel.transpose(1, 0, 2, 3)
    if f"{at.name}.bias" in weights:
        results += weights[f"{at.name}.bias"][:, None, None]
    return results


def _lay_out(at: Operation, images: np.ndarray, laid_out: np.ndarray) -> None:
    """What each weight of a kernel is multiplied with, a row of pixels at a time: several times as
    fast as a kernel's window at a time."""
    rim = ((0, 0), (0, 0), (at.padding, at.padding), (at.padding, at.padding))
    channels = np.pad(images, rim).transpose(1, 0, 2, 3)
    rows, columns = at.shape[1:]
    for row, column in product(range(at.kernel), repeat=2):
        laid_out[:, row, column] = channels[
            :,
            :,
            row : row + at.stride * (rows - 1) + 1 : at.stride,
            column : column + at.stride * (columns - 1) + 1 : at.stride,
        ]


def _norm(at: Operation, weights: Arrays, images: np.ndarray) -> np.ndarray:
    scale, shift, mean, variance = (
        weights[f"{at.name}.{part}"][:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale / np.sqrt(variance + np.float32(EPSILON))
    results = (images - mean) * scale
    results += shift
    return results


def _pool(at: Operation, weights: Arrays, images: np.ndarray) -> np.ndarray:
    rows, columns = (2 * side for side in at.shape[1:])
    upper, lower = images[:, :, 0:rows:2, :columns], images[:, :, 1:rows:2, :columns]
    taller = np.maximum(upper, lower)
    return np.maximum(taller[..., 0::2], taller[..., 1::2])


def _fc(at: Operation, weights: Arrays, flow: np.ndarray) -> np.ndarray:
    return flow @ weights[f"{at.name}.weight"].T + weights[f"{at.name}.bias"]


_COMPUTE: dict[str, Callable[..., np.ndarray]] = {
    "conv": _conv,
    "norm": _norm,
    "pool": _pool,
    "fc": _fc,
    "relu": lambda at, weights, flow: np.maximum(flow, 0),
    "mean": lambda at, weights, images: images.mean(axis=(2, 3)),
    "flat": lambda at, weights, images: images.reshape(len(images), -1),
    "add": lambda at, weights, one, other: one + other,
}
