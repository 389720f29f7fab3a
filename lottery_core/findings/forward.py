"""A network's way forward in NumPy alone: for pages, whose process imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network, Operation

EPSILON = 1e-5  # that batch norm adds to the variance, as torch does
_MOST = 2**19  # numbers at once, 2 MB: more would not fit a processor's cache


def results(network: Network, weights: Arrays, images: np.ndarray) -> Iterator[np.ndarray]:
    """What each operation gives for (n, *input) float32 images, in their order; the last one's are
    the logits (n, classes). Batch norm uses the running statistics, as in an evaluation."""
    read_last = {read: n for n, at in enumerate(network.operations, 1) for read in at.reads}
    found: list[np.ndarray | None] = [images]
    for n, at in enumerate(network.operations, 1):
        result = _COMPUTE[at.kind](at, weights, *[found[read] for read in at.reads])
        yield result
        found.append(result)
        for read in {*at.reads}:
            if read_last[read] == n:
                found[read] = None


def logits(network: Network, weights: Arrays, images: np.ndarray) -> np.ndarray:
    """Logits (n, classes) float32 of (n, *input) images, any number of them."""
    at_once = max(1, _MOST // _largest(network))
    found = [np.zeros((0, network.classes), np.float32)]
    for first in range(0, len(images), at_once):
        *_, last = results(network, weights, images[first : first + at_once])
        found.append(last)
    return np.concatenate(found)


def _largest(network: Network) -> int:
    """The most numbers that one image's way takes at once: a convolution's input, laid out."""
    sizes = [int(np.prod(network.input))]
    for at in network.operations:
        inputs = network.shape_of(at.reads[0])[0] * at.kernel**2 if at.kind == "conv" else 1
        sizes.append(int(np.prod(at.shape[1:] if at.kind == "conv" else at.shape)) * inputs)
    return max(sizes)


def _conv(at: Operation, weights: Arrays, images: np.ndarray) -> np.ndarray:
    rim = ((0, 0), (0, 0), (at.padding, at.padding), (at.padding, at.padding))
    channels = np.pad(images, rim).transpose(1, 0, 2, 3)
    rows, columns = at.shape[1:]
    # What each weight of a kernel is multiplied with, a row of pixels at a time: several times as
    # fast as a kernel's window at a time.
    laid_out = np.empty(
        (len(channels), at.kernel, at.kernel, len(images), rows, columns), images.dtype
    )
    for row, column in product(range(at.kernel), repeat=2):
        laid_out[:, row, column] = channels[
            :,
            :,
            row : row + at.stride * (rows - 1) + 1 : at.stride,
            column : column + at.stride * (columns - 1) + 1 : at.stride,
        ]
    matrix = weights[f"{at.name}.weight"].reshape(at.shape[0], -1)
    sums = matrix @ laid_out.reshape(matrix.shape[1], -1)
    if f"{at.name}.bias" in weights:
        sums += weights[f"{at.name}.bias"][:, None]
    by_channel = sums.reshape(at.shape[0], len(images), rows, columns)
    return np.ascontiguousarray(by_channel.transpose(1, 0, 2, 3))


def _norm(at: Operation, weights: Arrays, images: np.ndarray) -> np.ndarray:
    scale, shift, mean, variance = (
        weights[f"{at.name}.{part}"][:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (images - mean) / np.sqrt(variance + np.float32(EPSILON)) * scale + shift


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
