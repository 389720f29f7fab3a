"""Training steps of a convolutional network as compiled code: one thread, no Python per step.

Operation by operation over all panels of the batch, then the head with its loss, and back.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import njit

from lottery_core.training import kept
from lottery_core.training.convolution import planes
from lottery_core.training.convolution.kernels import convolution_backward, convolve, sizes_of
from lottery_core.training.convolution.program import ADD, CONVOLVE, MEAN, NORM, POOL, SPLIT
from lottery_core.training.layers import (
    cross_entropy,
    drop_holes,
    forward,
    judged,
    layer_backward,
    layer_gradient,
    update,
)
from lottery_core.training.vectors import load, store

numba.config.CACHE_DIR = str(kept.folder())  # read by the decorators below


class Shown(NamedTuple):
    """Images as they lie on disk, each channel's `values` (channels * 256), and how they are moved:
    the row and column that each one of an image with `margin` black pixels around it is taken from
    (see `augmentation`). One row in `rows` and `columns` stands for all images."""

    pixels: np.ndarray
    values: np.ndarray
    lengths: np.ndarray
    margin: int
    rows: np.ndarray
    columns: np.ndarray


@njit(error_model="numpy")
def _gather(net, shown, chosen, first, count):
    """Images `chosen[first : first + count]` as result 0; the last again where there are fewer."""
    rows, columns, width = net.rows[0], net.columns[0], net.width
    size = net.channels[0] * rows * columns
    start, length, move = np.empty(width, np.intp), np.empty(width, np.float32), np.empty(width, np.intp)
    for panel in range(-(-count // width)):
        for lane in range(width):
            number = first + min(panel * width + lane, count - 1)
            image = chosen[number]
            start[lane], length[lane] = image * size, shown.lengths[image]
            move[lane] = number if len(shown.rows) > 1 else 0
        for channel in range(net.channels[0]):
            values = shown.values[256 * channel : 256 * (channel + 1)]
            for row in range(rows):
                to = planes.activity_at(net, 0, panel, channel, row)
                for column in range(columns):
                    for lane in range(width):
                        y = shown.rows[move[lane], row] - shown.margin
                        x = shown.columns[move[lane], column] - shown.margin
                        if 0 <= y < rows and 0 <= x < columns:
                            at = start[lane] + (channel * rows + y) * columns + x
                            number = values[shown.pixels[at]] / length[lane]
                        else:
                            number = values[0]
                        net.activity[to + column * width + lane] = number


@njit(error_model="numpy")
def _gather_numbers(net, numbers, first, count):
    """The same of `numbers`, images as networks read them, one after another."""
    rows, columns, width = net.rows[0], net.columns[0], net.width
    size = net.channels[0] * rows * columns
    for panel in range(-(-count // width)):
        for channel in range(net.channels[0]):
            for row in range(rows):
                to = planes.activity_at(net, 0, panel, channel, row)
                for column in range(columns):
                    pixel = (channel * rows + row) * columns + column
                    for lane in range(width):
                        image = first + min(panel * width + lane, count - 1)
                        net.activity[to + column * width + lane] = numbers[image * size + pixel]


@njit(error_model="numpy")
def _operation_forward(net, op, count, is_training):
    kind = net.kind[op]
    if kind == NORM:
        planes.norm(net, op, count, is_training)
        return
    for panel in range(-(-count // net.width)):
        if kind == CONVOLVE:
            convolve(net, op, panel)
        elif kind == POOL:
            planes.pool(net, op, panel)
        elif kind == ADD:
            planes.add(net, op, panel)
        elif kind == SPLIT:
            planes.split(net, op, panel)
        elif kind == MEAN:
            planes.mean(net, op, panel)


@njit(error_model="numpy")
def _operation_backward(net, op, count):
    kind, panels = net.kind[op], -(-count // net.width)
    if kind == CONVOLVE:
        convolution_backward(net, op, panels)
    elif kind == NORM:
        planes.norm_back(net, op, count)
    elif net.delta_at[net.source[op]] >= 0:
        for panel in range(panels):
            if kind == POOL:
                planes.pool_back(net, op, panel)
            elif kind == ADD:
                planes.add_back(net, op, panel)
            elif kind == SPLIT:
                planes.split_back(net, op, panel)
            elif kind == MEAN:
                planes.mean_back(net, op, panel)


@njit(error_model="numpy")
def _forward(net, count, is_training):
    for op in range(len(net.kind)):
        _operation_forward(net, op, count, is_training)


@njit(error_model="numpy")
def _gather_features(net, head, first, count):
    """The head's inputs for `count` examples from `first` on."""
    last = len(net.channels) - 1
    _, _, whole, _ = sizes_of(net, last, net.rim[last])
    for example in range(0, count, net.width):
        at = net.activity_at[last] + (first + example) // net.width * whole
        for feature in range(len(net.feature_at)):
            for lane in range(0, net.width, 8):
                values = load(8, net.activity, at + net.feature_at[feature] + lane)
                store(head.activity, feature * head.width + example + lane, values)


@njit(error_model="numpy")
def _scatter_features(net, head, first, count):
    """The loss's derivative by them, to where they came from."""
    last = len(net.channels) - 1
    _, _, whole, _ = sizes_of(net, last, net.edge[last])
    for example in range(0, count, net.width):
        at = net.delta_at[last] + (first + example) // net.width * whole
        for feature in range(len(net.feature_at)):
            for lane in range(0, net.width, 8):
                values = load(8, head.delta, feature * head.width + example + lane)
                store(net.delta, at + net.feature_delta_at[feature] + lane, values)


@njit(error_model="numpy")
def _head_step(net, head, sgemm, labels, chosen, first, count):
    """The head forward and back; the sum of the losses of `count` examples from `first` on."""
    loss, scale = 0.0, np.float32(1 / count)
    for example in range(0, count, head.width):
        here = min(head.width, count - example)
        _gather_features(net, head, example, here)
        forward(head, sgemm)
        loss += cross_entropy(head, labels, chosen, first + example, here, scale)
        for layer in range(len(head.sizes) - 2, -1, -1):
            layer_backward(head, sgemm, layer)
            layer_gradient(head, sgemm, layer)
        if net.delta_at[-1] >= 0:
            _scatter_features(net, head, example, here)
    return loss


@njit(error_model="numpy")
def _set_valid(net, count):
    """Say which lanes of the last panel hold an example."""
    half, last = len(net.valid) // 2, (count - 1) % net.width
    for k in range(half):
        net.valid[half + k] = k % net.width <= last


@njit(error_model="numpy", nogil=True, cache=True)
def train_steps(net, head, rule, sgemm, shown, labels, stretch, losses):
    """As `compiled.train_steps`, of a network and its head."""
    order = stretch.order
    for n in range(len(losses)):
        first = (stretch.batch + n) * stretch.batch_size
        count = min(stretch.batch_size, len(order) - first)
        _set_valid(net, count)
        _gather(net, shown, order, first, count)
        _forward(net, count, True)
        losses[n] = _head_step(net, head, sgemm, labels, order, first, count) / count
        if not np.isfinite(losses[n]):
            losses[n:] = losses[n]
            return
        for op in range(len(net.kind) - 1, -1, -1):
            _operation_backward(net, op, count)
        step, rate = stretch.before + n + 1, stretch.rates[n]
        update(net, rule, 0, len(net.parameters), step, rate)
        update(head, rule, 0, len(head.parameters), step, rate)
        for layer in range(len(head.sizes) - 1):
            drop_holes(head, layer)


@njit(error_model="numpy", nogil=True, cache=True)
def judge(net, head, sgemm, shown, labels, chosen):
    """Sum of losses and number of right answers on the `chosen` images."""
    loss, right, batch = 0.0, 0, net.panels * net.width
    for first in range(0, len(chosen), batch):
        count = min(batch, len(chosen) - first)
        _gather(net, shown, chosen, first, count)
        _forward(net, count, False)
        for example in range(0, count, head.width):
            here = min(head.width, count - example)
            _gather_features(net, head, example, here)
            forward(head, sgemm)
            more = judged(head, labels, chosen, first + example, here)
            loss, right = loss + more[0], right + more[1]
    return loss, right


@njit(error_model="numpy", nogil=True, cache=True)
def predict(net, head, sgemm, numbers, count, logits):
    """Write the logits of the first `count` images, one row of `logits` for each."""
    last, batch = len(head.sizes) - 1, net.panels * net.width
    at = head.panel_at[last]
    for first in range(0, count, batch):
        here = min(batch, count - first)
        _gather_numbers(net, numbers, first, here)
        _forward(net, here, False)
        for example in range(0, here, head.width):
            some = min(head.width, here - example)
            _gather_features(net, head, example, some)
            forward(head, sgemm)
            for k in range(some):
                for c in range(head.sizes[last]):
                    logits[first + example + k, c] = head.activity[at + c * head.width + k]


@njit(error_model="numpy", nogil=True, cache=True)
def rehearse(net, count, op, times):
    """Do one operation's part of a step `times` times, for a clock to watch."""
    for _ in range(times):
        _operation_forward(net, op, count, True)
        _operation_backward(net, op, count)
