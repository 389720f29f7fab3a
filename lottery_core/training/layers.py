"""The layers of a fully connected network as compiled code: one panel forward and back, the loss,
and the optimiser.

A *panel* is at most `width` examples, feature-major: a row per unit, a column per example. A
layer takes one of two forms. *Dense* is BLAS on the whole matrix, holes included. *Sparse* keeps
the weights row after row (compressed sparse rows), and for the way back an index of the same
weights by column; its inner loops run over the examples of a panel, whose sums stay in
registers. Where rows are long, columns are taken in tiles whose part of the panel fits the
first-level cache.

The functions are compiled into those that call them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from lottery_core.training.blas import Matrix, matrix_product
from lottery_core.training.sparse_products import backward_of, forward_of, gradient_of
from lottery_core.training.vectors import (
    load,
    part,
    plus,
    rectified,
    spread,
    store,
    total,
    where_positive,
    zeros,
)

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as in the paper and in torch


class Net(NamedTuple):
    """A network as flat arrays; one compiled form for all sizes and depths.

    `parameters` holds the weights layer by layer (dense: all; sparse: the kept ones, tile by
    tile and row by row), from `weights_at[layer]` on, then the biases from `biases_at[layer]`
    on, then those that no data reaches ("idle": they only decay).
    `gradient` has the same order; between steps it holds what remains of the velocity. Unit
    counts, pixels and weights are those that can matter: what nothing reads is not here.
    """

    width: int
    pixels: int  # of an image, all channels
    sizes: np.ndarray  # units of each layer, those of the input first
    blocks: np.ndarray  # the input's units are pixels 8 * block to 8 * block + 7 of these
    is_sparse: np.ndarray
    kept: np.ndarray  # 1.0 or 0.0 for every weight of a dense layer with holes ...
    kept_at: np.ndarray  # ... from here on; -1 where there are no holes
    parameters: np.ndarray
    gradient: np.ndarray
    mean: np.ndarray  # Adam's running means of the gradient
    square: np.ndarray  # and of its square
    weights_at: np.ndarray
    biases_at: np.ndarray
    column: np.ndarray  # of each parameter of a sparse layer
    tiles: np.ndarray  # a sparse layer's columns in so many parts, worked through one by one
    segment_at: np.ndarray  # where each row's parameters of each tile start ...
    segment_from: np.ndarray  # ... from here on for each layer
    back_row: np.ndarray  # the same weights by column: their rows ...
    back_parameter: np.ndarray  # ... and where they stand in `parameters`
    column_at: np.ndarray  # where each column starts in these two, from column_from[layer] on
    column_from: np.ndarray
    activity: np.ndarray  # a panel for each layer, from panel_at[layer] on
    delta: np.ndarray  # the loss's derivative by it
    panel_at: np.ndarray


class Answers(NamedTuple):
    """What of a `Net` the way forward needs, under the same names: the functions for it take
    either. A call hands over every array anew, which for one image takes as long as the work."""

    width: int
    pixels: int
    sizes: np.ndarray
    blocks: np.ndarray
    is_sparse: np.ndarray
    parameters: np.ndarray
    weights_at: np.ndarray
    biases_at: np.ndarray
    column: np.ndarray
    tiles: np.ndarray
    segment_at: np.ndarray
    segment_from: np.ndarray
    activity: np.ndarray
    panel_at: np.ndarray


class Rule(NamedTuple):
    """The optimiser but for its learning rate, as compiled code takes it; float32 as in torch."""

    adam: bool
    momentum: np.float32
    weight_decay: np.float32


_forward_32, _gradient_32, _backward_32 = forward_of(32), gradient_of(32), backward_of(32)
_forward_8, _gradient_8, _backward_8 = forward_of(8), gradient_of(8), backward_of(8)


@part
def layer_forward(net, sgemm, layer):
    rows, columns, width = net.sizes[layer + 1], net.sizes[layer], net.width
    target = net.panel_at[layer + 1]
    if net.is_sparse[layer]:
        p = 0
        while p + 32 <= width:
            _forward_32(net, layer, p)
            p += 32
        while p < width:
            _forward_8(net, layer, p)
            p += 8
    else:
        matrix_product(
            sgemm,
            (width, rows, columns),
            Matrix(net.activity, net.panel_at[layer], width, False),
            Matrix(net.parameters, net.weights_at[layer], columns, False),
            np.float32(0),
            Matrix(net.activity, target, width, False),
        )
    hidden = layer + 2 < len(net.sizes)
    for row in range(rows):
        bias = spread(8, net.parameters[net.biases_at[layer] + row])
        for at in range(target + row * width, target + (row + 1) * width, 8):
            value = plus(load(8, net.activity, at), bias)
            store(net.activity, at, rectified(value) if hidden else value)


@part
def layer_gradient(net, sgemm, layer):
    rows, columns, width = net.sizes[layer + 1], net.sizes[layer], net.width
    delta_at = net.panel_at[layer + 1]
    if net.is_sparse[layer]:
        p = 0
        while p + 32 <= width:
            _gradient_32(net, layer, p)
            p += 32
        while p < width:
            _gradient_8(net, layer, p)
            p += 8
    else:
        matrix_product(
            sgemm,
            (columns, rows, width),
            Matrix(net.activity, net.panel_at[layer], width, True),
            Matrix(net.delta, delta_at, width, False),
            np.float32(1),
            Matrix(net.gradient, net.weights_at[layer], columns, False),
        )
    for row in range(rows):
        at = net.biases_at[layer] + row
        sums = zeros(8)
        for p in range(delta_at + row * width, delta_at + (row + 1) * width, 8):
            sums = plus(sums, load(8, net.delta, p))
        net.gradient[at] += total(sums)


@part
def layer_backward(net, sgemm, layer):
    rows, columns, width = net.sizes[layer + 1], net.sizes[layer], net.width
    target = net.panel_at[layer]
    if net.is_sparse[layer]:
        p = 0
        while p + 32 <= width:
            _backward_32(net, layer, p)
            p += 32
        while p < width:
            _backward_8(net, layer, p)
            p += 8
    else:
        matrix_product(
            sgemm,
            (width, columns, rows),
            Matrix(net.delta, net.panel_at[layer + 1], width, False),
            Matrix(net.parameters, net.weights_at[layer], columns, True),
            np.float32(0),
            Matrix(net.delta, target, width, False),
        )
        for at in range(target, target + columns * width, 8):
            active = load(8, net.activity, at)
            store(net.delta, at, where_positive(active, load(8, net.delta, at)))


@part
def forward(net, sgemm):
    for layer in range(len(net.sizes) - 1):
        layer_forward(net, sgemm, layer)


@part
def cross_entropy(net, labels, chosen, first, count, scale):
    """The sum of the panel's losses; delta of the logits, times `scale`."""
    last = len(net.sizes) - 1
    classes, width, at = net.sizes[last], net.width, net.panel_at[last]
    loss = 0.0
    for example in range(count):
        top = net.activity[at + example]
        for c in range(1, classes):
            top = max(top, net.activity[at + c * width + example])
        sum_ = np.float32(0)
        for c in range(classes):
            place = at + c * width + example
            power = np.exp(net.activity[place] - top)
            net.delta[place] = power
            sum_ += power
        label = labels[chosen[first + example]]
        loss += np.log(sum_) - (net.activity[at + label * width + example] - top)
        for c in range(classes):
            net.delta[at + c * width + example] *= scale / sum_
        net.delta[at + label * width + example] -= scale
    for c in range(classes):
        net.delta[at + c * width + count : at + (c + 1) * width] = 0
    return loss


@part
def judged(net, labels, chosen, first, count):
    """The sum of the panel's losses, and how many of its answers are right."""
    last = len(net.sizes) - 1
    at, width, classes = net.panel_at[last], net.width, net.sizes[last]
    loss, right = 0.0, 0
    for example in range(count):
        answer = 0
        top = net.activity[at + example]
        for c in range(1, classes):
            value = net.activity[at + c * width + example]
            if value > top:
                answer, top = c, value
        sum_ = 0.0
        for c in range(classes):
            sum_ += np.exp(net.activity[at + c * width + example] - top)
        label = labels[chosen[first + example]]
        loss += np.log(sum_) - (net.activity[at + label * width + example] - top)
        right += answer == label
    return loss, right


@njit(error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def update(net, rule, first, end, step, learning_rate):
    """One step of the optimiser, number `step` (from 1), for parameters first to end.

    What remains of the gradient for the next step, the velocity times the momentum, is left
    where the next gradient is added: nothing has to be cleared, and BLAS only adds. As in
    torch no learning rate is part of it, so that each step's own is all that counts.
    """
    # As slices, whose indices the compiler need not check for negative ones: else the loops
    # are not vectorised.
    parameters, gradient = net.parameters[first:end], net.gradient[first:end]
    count = len(parameters)
    if rule.weight_decay > 0:
        for k in range(count):
            gradient[k] += rule.weight_decay * parameters[k]
    if not rule.adam:
        for k in range(count):
            velocity = gradient[k]
            parameters[k] -= learning_rate * velocity
            gradient[k] = rule.momentum * velocity
        return
    rate = np.float32(learning_rate / (1 - BETA_1**step))
    scale = np.float32(1 / np.sqrt(1 - BETA_2**step))
    mean, square = net.mean[first:end], net.square[first:end]
    mean_part, square_part = np.float32(1 - BETA_1), np.float32(1 - BETA_2)
    old_square, epsilon = np.float32(BETA_2), np.float32(EPSILON)
    for k in range(count):
        mean[k] += mean_part * (gradient[k] - mean[k])
        square[k] = old_square * square[k] + square_part * gradient[k] * gradient[k]
        parameters[k] -= rate * mean[k] / (np.sqrt(square[k]) * scale + epsilon)
        gradient[k] = 0


@part
def drop_holes(net, layer):
    if net.kept_at[layer] >= 0:
        weights = net.parameters[net.weights_at[layer] : net.weights_at[layer + 1]]
        kept = net.kept[net.kept_at[layer] :]
        for k in range(len(weights)):
            weights[k] *= kept[k]
