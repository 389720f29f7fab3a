"""Training steps of a sparse network as compiled code: one thread, no Python per step.

A batch is worked through in panels, each forward and back through the `layers`.

The code is kept on disk beside the results (see `kept`), so that only the first process ever
waits for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import njit

from lottery_core.training import kept
from lottery_core.training.layers import (
    cross_entropy,
    drop_holes,
    forward,
    judged,
    layer_backward,
    layer_forward,
    layer_gradient,
    update,
)
from lottery_core.training.vectors import load, part, prefetch, read_eight, transpose_eight

numba.config.CACHE_DIR = str(kept.folder())  # read by the decorators below


class Pictures(NamedTuple):
    """Images as they lie on disk, one after another, and how they are read (see `data.Images`)."""

    pixels: np.ndarray
    values: np.ndarray
    lengths: np.ndarray


class Stretch(NamedTuple):
    """Steps to take: from batch number `batch` of the images in `order` on, after `before` steps,
    each at its own of the learning `rates` (float32)."""

    order: np.ndarray
    batch_size: int
    batch: int
    before: int
    rates: np.ndarray


@part
def _places(start, pixel):
    """Where this pixel of eight images lies."""
    return (
        start[0] + pixel, start[1] + pixel, start[2] + pixel, start[3] + pixel,
        start[4] + pixel, start[5] + pixel, start[6] + pixel, start[7] + pixel,
    )  # fmt: skip


@part
def _gather(net, images, chosen, first, count):
    """The pixels that are read, of images `chosen[first : first + count]`, as the input's panel."""
    start, length, ahead = np.empty(8, np.intp), np.empty(8, np.float32), np.empty(8, np.intp)
    for example in range(0, count, 8):
        for k in range(8):  # the last ones again where there are fewer
            image = chosen[first + min(example + k, count - 1)]
            start[k], length[k] = image * net.pixels, images.lengths[image]
            ahead[k] = chosen[min(first + example + 8 + k, len(chosen) - 1)] * net.pixels
        lengths = load(8, length, 0)
        for block in range(len(net.blocks)):
            pixel = net.blocks[block] * 8
            prefetch(images.pixels, ahead[block & 7] + 64 * (block >> 3))
            target = block * 8 * net.width + example
            read_eight(images, _places(start, pixel), lengths, net.activity, target, net.width)


@part
def _gather_numbers(net, numbers, first, count):
    """The same of `numbers`, images as networks read them, one after another."""
    start = np.empty(8, np.intp)
    for example in range(0, count, 8):
        for k in range(8):
            start[k] = (first + min(example + k, count - 1)) * net.pixels
        for block in range(len(net.blocks)):
            pixel = net.blocks[block] * 8
            target = block * 8 * net.width + example
            transpose_eight(numbers, _places(start, pixel), net.activity, target, net.width)


@njit(error_model="numpy", nogil=True, cache=True)
def train_steps(net, rule, sgemm, images, labels, stretch, losses):
    """Take the `len(losses)` steps of a stretch; their losses.

    Ends early once a loss is not finite, with all later ones the same.
    """
    layers, order = len(net.sizes) - 1, stretch.order
    for n in range(len(losses)):
        first = (stretch.batch + n) * stretch.batch_size
        end = min(first + stretch.batch_size, len(order))
        scale = np.float32(1 / (end - first))
        loss = 0.0
        for panel in range(first, end, net.width):
            count = min(net.width, end - panel)
            _gather(net, images, order, panel, count)
            forward(net, sgemm)
            loss += cross_entropy(net, labels, order, panel, count, scale)
            for layer in range(layers - 1, -1, -1):
                if layer > 0:
                    layer_backward(net, sgemm, layer)
                layer_gradient(net, sgemm, layer)
        losses[n] = loss / (end - first)
        if not np.isfinite(losses[n]):
            losses[n:] = losses[n]
            return
        update(net, rule, 0, len(net.parameters), stretch.before + n + 1, stretch.rates[n])
        for layer in range(layers):
            drop_holes(net, layer)


@njit(error_model="numpy", nogil=True, cache=True)
def judge(net, sgemm, images, labels, chosen):
    """Sum of losses and number of right answers on the `chosen` images."""
    loss, right = 0.0, 0
    for first in range(0, len(chosen), net.width):
        count = min(net.width, len(chosen) - first)
        _gather(net, images, chosen, first, count)
        forward(net, sgemm)
        more = judged(net, labels, chosen, first, count)
        loss, right = loss + more[0], right + more[1]
    return loss, right


@njit(error_model="numpy", nogil=True, cache=True)
def predict(net, sgemm, numbers, count, logits):
    """Write the logits of the first `count` images, one row of `logits` for each."""
    last = len(net.sizes) - 1
    at, width = net.panel_at[last], net.width
    for first in range(0, count, width):
        here = min(width, count - first)
        _gather_numbers(net, numbers, first, here)
        forward(net, sgemm)
        for example in range(here):
            for c in range(net.sizes[last]):
                logits[first + example, c] = net.activity[at + c * width + example]


@njit(error_model="numpy", nogil=True, cache=True)
def rehearse(net, rule, sgemm, layer, times, is_head):
    """Do one layer's part of a step `times` times, for a clock to watch; a head passes the
    derivative by its inputs back."""
    rate = np.float32(0.001)  # a usual one: some processors divide a zero faster
    for _ in range(times):
        layer_forward(net, sgemm, layer)
        if layer > 0 or is_head:
            layer_backward(net, sgemm, layer)
        layer_gradient(net, sgemm, layer)
        update(net, rule, net.weights_at[layer], net.weights_at[layer + 1], 1, rate)
        drop_holes(net, layer)
