"""Training steps of a convolutional network as compiled code: one thread, no Python per step.

Operation by operation over some panels, then the head with its loss, and back; over all panels of
the batch at once where batch norm has to know them, else over as many as the head takes, which
stay nearer.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import njit

from lottery_core.training import kept
from lottery_core.training.convolution import planes
from lottery_core.training.convolution.kernels import convolution_backward, convolve, sizes_of
from lottery_core.training.convolution.norms import norm, norm_back
from lottery_core.training.convolution.program import CONVOLVE, MEAN, NORM, POOL, SPLIT
from lottery_core.training.layers import (
    Rule,
    cross_entropy,
    drop_holes,
    forward,
    judged,
    layer_backward,
    layer_gradient,
    update,
)
from lottery_core.training.vectors import load, part, store

numba.config.CACHE_DIR = str(kept.folder())  # read by the decorators below


TRAIN, JUDGE, ANSWER, REHEARSE = range(4)


class Task(NamedTuple):
    """What to do: take the steps of a stretch; judge `count` images, or answer them; or do the
    operation `op` on so many, `times` times, for a clock to watch."""

    kind: int
    sgemm: int
    rule: Rule
    count: int = 0
    op: int = 0
    times: int = 0


class Shown(NamedTuple):
    """Images as they lie on disk, each channel's `values` (channels * 256), and how they are moved:
    the row and column that each one of an image with `margin` black pixels around it is taken from
    (see `augmentation`). One row in `rows` and `columns` stands for all images. Or images as
    networks read them: `numbers`."""

    pixels: np.ndarray
    values: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    margin: int
    rows: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray


@part
def _gather(net, shown, chosen, first, count):
    """Images `chosen[first : first + count]` as result 0; the last again where there are fewer."""
    rows, columns, width = net.results[0].rows, net.results[0].columns, net.width
    size = net.results[0].channels * rows * columns
    start, length, move = (
        np.empty(width, np.intp),
        np.empty(width, np.float32),
        np.empty(width, np.intp),
    )
    for panel in range(-(-count // width)):
        for lane in range(width):
            number = first + min(panel * width + lane, count - 1)
            image = chosen[number]
            start[lane], length[lane] = image * size, shown.lengths[image]
            move[lane] = number if len(shown.rows) > 1 else 0
        for channel in range(net.results[0].channels):
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


@part
def _gather_numbers(net, numbers, first, count):
    """The same of `numbers`, images as networks read them, one after another."""
    rows, columns, width = net.results[0].rows, net.results[0].columns, net.width
    size = net.results[0].channels * rows * columns
    for panel in range(-(-count // width)):
        for channel in range(net.results[0].channels):
            for row in range(rows):
                to = planes.activity_at(net, 0, panel, channel, row)
                for column in range(columns):
                    pixel = (channel * rows + row) * columns + column
                    for lane in range(width):
                        image = first + min(panel * width + lane, count - 1)
                        net.activity[to + column * width + lane] = numbers[image * size + pixel]


@part
def _operation_forward(net, op, count, is_training):
    this = net.operations[op]
    kind = this.kind
    if kind == NORM:
        norm(net, op, count, is_training)
        return
    for panel in range(-(-count // net.width)):
        if kind == CONVOLVE:
            convolve(net, op, panel)
        elif kind == POOL:
            planes.pool(net, op, panel)
        elif kind == SPLIT:
            planes.split(net, op, panel)
        elif kind == MEAN:
            planes.mean(net, op, panel)


@part
def _operation_backward(net, op, count):
    this = net.operations[op]
    kind, panels = this.kind, -(-count // net.width)
    if kind == CONVOLVE:
        convolution_backward(net, op, panels)
    elif kind == NORM:
        norm_back(net, op, count)
    elif net.results[this.source].delta_at >= 0:
        for panel in range(panels):
            if kind == POOL:
                planes.pool_back(net, op, panel)
            elif kind == SPLIT:
                planes.split_back(net, op, panel)
            elif kind == MEAN:
                planes.mean_back(net, op, panel)


@part
def _set_valid(net, count):
    """Say which lanes of the last panel hold an example."""
    half, last = len(net.valid) // 2, (count - 1) % net.width
    for k in range(half):
        net.valid[half + k] = k % net.width <= last


@part
def _forward(net, count, is_training):
    _set_valid(net, count)
    for op in range(len(net.operations)):
        _operation_forward(net, op, count, is_training)


@part
def _gather_features(net, head, first, count):
    """The head's inputs for `count` examples from `first` on."""
    last = len(net.results) - 1
    _, _, whole, _ = sizes_of(net, last, net.results[last].rim)
    for example in range(0, count, net.width):
        at = net.results[last].activity_at + (first + example) // net.width * whole
        for feature in range(len(net.feature_at)):
            for lane in range(0, net.width, 8):
                values = load(8, net.activity, at + net.feature_at[feature] + lane)
                store(head.activity, feature * head.width + example + lane, values)


@part
def _scatter_features(net, head, first, count):
    """The loss's derivative by them, to where they came from."""
    last = len(net.results) - 1
    _, _, whole, _ = sizes_of(net, last, net.results[last].edge)
    for example in range(0, count, net.width):
        at = net.results[last].delta_at + (first + example) // net.width * whole
        for feature in range(len(net.feature_at)):
            for lane in range(0, net.width, 8):
                values = load(8, head.delta, feature * head.width + example + lane)
                store(net.delta, at + net.feature_delta_at[feature] + lane, values)


@part
def _head_step(net, head, sgemm, labels, chosen, scale):
    """The head forward and back; the sum of the losses of the `chosen` images, of which derivatives
    are `scale` times as large."""
    loss = 0.0
    is_trained = net.results[-1].delta_at >= 0  # what its inputs come from
    for example in range(0, len(chosen), head.width):
        here = min(head.width, len(chosen) - example)
        _gather_features(net, head, example, here)
        forward(head, sgemm)
        loss += cross_entropy(head, labels, chosen, example, here, scale)
        for layer in range(len(head.sizes) - 2, -1, -1):
            if layer > 0 or is_trained:
                layer_backward(head, sgemm, layer)
            layer_gradient(head, sgemm, layer)
        if is_trained:
            _scatter_features(net, head, example, here)
    return loss


@part
def _add_gradient(net, head, shown, task, order, first, end):
    """Add up the gradient over a batch, images `order[first : end]`, as many at a time as there is
    room for; the sum of their losses."""
    loss, scale, at_once = 0.0, np.float32(1 / (end - first)), net.panels * net.width
    for start in range(first, end, at_once):
        count = min(at_once, end - start)
        _gather(net, shown, order, start, count)
        _forward(net, count, True)
        chosen = order[start : start + count]
        loss += _head_step(net, head, task.sgemm, shown.labels, chosen, scale)
        for op in range(len(net.operations) - 1, -1, -1):
            _operation_backward(net, op, count)
    return loss


@part
def _train(net, head, shown, stretch, task, losses):
    """As `compiled.train_steps`, of a network and its head."""
    order = stretch.order
    for n in range(len(losses)):
        first = (stretch.batch + n) * stretch.batch_size
        end = min(first + stretch.batch_size, len(order))
        losses[n] = _add_gradient(net, head, shown, task, order, first, end) / (end - first)
        if not np.isfinite(losses[n]):
            losses[n:] = losses[n]
            return
        step, rate = stretch.before + n + 1, stretch.rates[n]
        update(net, task.rule, 0, len(net.parameters), step, rate)
        update(head, task.rule, 0, len(head.parameters), step, rate)
        for layer in range(len(head.sizes) - 1):
            drop_holes(head, layer)


@part
def _answer(net, head, shown, stretch, task, logits):
    """Judge the images in the stretch's order, or write the logits of the first of `numbers`, one
    row of `logits` after another."""
    last, batch = len(head.sizes) - 1, net.panels * net.width
    classes, order = head.sizes[last], stretch.order
    loss, right = 0.0, 0
    for first in range(0, task.count, batch):
        count = min(batch, task.count - first)
        if task.kind == JUDGE:
            _gather(net, shown, order, first, count)
        else:
            _gather_numbers(net, shown.numbers, first, count)
        _forward(net, count, False)
        for example in range(0, count, head.width):
            here = min(head.width, count - example)
            _gather_features(net, head, example, here)
            forward(head, task.sgemm)
            if task.kind == JUDGE:
                more = judged(head, shown.labels, order, first + example, here)
                loss, right = loss + more[0], right + more[1]
                continue
            for k in range(here):
                to = (first + example + k) * classes
                for c in range(classes):
                    at = head.panel_at[last] + c * head.width + k
                    logits[to + c] = head.activity[at]
    return loss, right


@njit(error_model="numpy", nogil=True, cache=True)
def perform(net, head, shown, stretch, task, into):
    """Do a task, results `into` an array; of JUDGE the sum of losses and the number of right
    answers. One function for all tasks: what they share would be compiled for each."""
    if task.kind == TRAIN:
        _train(net, head, shown, stretch, task, into)
    elif task.kind == REHEARSE:
        for _ in range(task.times):
            _operation_forward(net, task.op, task.count, True)
            _operation_backward(net, task.op, task.count)
    else:
        return _answer(net, head, shown, stretch, task, into)
    return 0.0, 0
