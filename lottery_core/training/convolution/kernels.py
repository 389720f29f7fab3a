"""The three products of a sparse convolution: forward, gradient of its weights, derivative by its
input.

All three go over the rows of an image in blocks of so many numbers as registers hold, and for each
block over all outputs and their kept weights. A weight is read once for a block, and what it is
multiplied with lies side by side. The windows of a block's pixels in all the channels of a *tile*
fit the first-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from llvmlite import binding
from numba import njit

from lottery_core.training.vectors import (
    load,
    multiply_add,
    plus,
    product_added,
    rectified,
    spread,
    store,
    total,
    where_positive,
    zeros,
)

# Float32 numbers of a block: eight registers of AVX-512 or of AVX2, sixteen of NEON. Eight sums at a
# time hide what a multiply-add takes; twice as many leave no registers for anything else.
BLOCK = 128 if binding.get_host_cpu_features().get("avx512f") else 64
LANES = 16  # of a gradient's partial sums


class Sweep(NamedTuple):
    """Rows of one panel to go over: block by block from `read_at` in `values`, the results from
    `write_at` in `into`; `plane` apart for each of the `outputs`. `mask_at` is where in the
    activities those of the results lie that may have to be above 0."""

    rows: int
    length: int
    values: np.ndarray
    read_at: int
    read_row: int
    into: np.ndarray
    write_at: int
    write_row: int
    plane: int
    mask_at: int
    mask_row: int
    mask_plane: int
    outputs: int


def forward_of(lanes: int) -> Callable:
    """(net, op, sweep, at, to, mask) -> a block of all outputs."""

    @njit(error_model="numpy")
    def forward(net, op, sweep, at, to, mask):
        """activity = W x + bias, and ReLU."""
        segment, tiles = net.segment_from[op], net.tiles[op]
        has_relu, bias_at = net.has_relu[net.target[op]], net.biases_at[op]
        for tile in range(tiles):
            for output in range(sweep.outputs):
                place = to + output * sweep.plane
                if tile > 0:
                    sums = load(lanes, sweep.into, place)
                elif bias_at >= 0:
                    sums = spread(lanes, net.parameters[bias_at + output])
                else:
                    sums = zeros(lanes)
                for k in range(net.segment_at[segment], net.segment_at[segment + 1]):
                    values = load(lanes, sweep.values, at + net.offset[k])
                    sums = multiply_add(sums, net.parameters[k], values)
                segment += 1
                if has_relu and tile + 1 == tiles:
                    sums = rectified(sums)
                store(sweep.into, place, sums)

    return forward


def backward_of(lanes: int) -> Callable:
    """(net, op, sweep, at, to, mask) -> a block of the derivative by all sources."""

    @njit(error_model="numpy")
    def backward(net, op, sweep, at, to, mask):
        """delta of the source = W^T delta, where it is above 0."""
        segment, tiles = net.back_segment_from[op], net.back_tiles[op]
        has_relu, adds = net.has_relu[net.source[op]], net.adds[op]
        for tile in range(tiles):
            for output in range(sweep.outputs):
                place = to + output * sweep.plane
                sums = load(lanes, sweep.into, place) if tile > 0 or adds else zeros(lanes)
                for k in range(net.back_segment_at[segment], net.back_segment_at[segment + 1]):
                    values = load(lanes, sweep.values, at + net.back_offset[k])
                    sums = multiply_add(sums, net.back_weight[k], values)
                segment += 1
                if has_relu and tile + 1 == tiles:
                    active = load(lanes, net.activity, mask + output * sweep.mask_plane)
                    sums = where_positive(active, sums)
                store(sweep.into, place, sums)

    return backward


def gradient_of(lanes: int) -> Callable:
    """(net, op, sweep, at, to, mask) -> what a block adds to the gradient of all weights."""
    few = min(lanes, LANES)

    @njit(error_model="numpy")
    def gradient(net, op, sweep, at, to, mask):
        """partial sums of delta x^T for the kept weights."""
        segment, first = net.segment_from[op], net.weights_at[op]
        for _ in range(net.tiles[op]):
            for output in range(sweep.outputs):
                delta = load(lanes, sweep.into, to + output * sweep.plane)
                for k in range(net.segment_at[segment], net.segment_at[segment + 1]):
                    place = (k - first) * LANES
                    values = load(lanes, sweep.values, at + net.offset[k])
                    before = load(few, net.partial, place)
                    store(net.partial, place, product_added(before, delta, values))
                segment += 1

    return gradient


def swept(block_of: Callable[[int], Callable]) -> Callable:
    """(net, op, sweep) -> all rows, in blocks as large as fit."""
    block, half, quarter = block_of(BLOCK), block_of(BLOCK // 2), block_of(BLOCK // 4)
    eighth, eight = block_of(max(8, BLOCK // 8)), block_of(8)

    @njit(error_model="numpy")
    def go_over(net, op, sweep):
        for row in range(sweep.rows):
            at = sweep.read_at + row * sweep.read_row
            to = sweep.write_at + row * sweep.write_row
            mask = sweep.mask_at + row * sweep.mask_row
            end = at + sweep.length
            while at + BLOCK <= end:
                block(net, op, sweep, at, to, mask)
                at, to, mask = at + BLOCK, to + BLOCK, mask + BLOCK
            if at + BLOCK // 2 <= end:
                half(net, op, sweep, at, to, mask)
                at, to, mask = at + BLOCK // 2, to + BLOCK // 2, mask + BLOCK // 2
            if at + BLOCK // 4 <= end:
                quarter(net, op, sweep, at, to, mask)
                at, to, mask = at + BLOCK // 4, to + BLOCK // 4, mask + BLOCK // 4
            if at + BLOCK // 8 <= end:
                eighth(net, op, sweep, at, to, mask)
                at, to, mask = at + BLOCK // 8, to + BLOCK // 8, mask + BLOCK // 8
            if at + 8 <= end:
                eight(net, op, sweep, at, to, mask)

    return go_over


_forward, _backward, _gradient = swept(forward_of), swept(backward_of), swept(gradient_of)


@njit(error_model="numpy")
def sizes_of(net, result, rim):
    """(numbers of a row, of a plane, of a panel, from a panel's start to its first pixel)."""
    row = (net.columns[result] + 2 * rim) * net.width
    plane = (net.rows[result] + 2 * rim) * row
    return row, plane, net.channels[result] * plane, rim * row + rim * net.width


@njit(error_model="numpy")
def convolve(net, op, panel):
    """The activity of the operation's result on one panel."""
    source, target = net.source[op], net.target[op]
    read_row, _, read_panel, _ = sizes_of(net, source, net.rim[source])
    row, plane, whole, first = sizes_of(net, target, net.rim[target])
    sweep = Sweep(
        net.rows[target], net.columns[target] * net.width,
        net.activity, net.activity_at[source] + panel * read_panel, read_row,
        net.activity, net.activity_at[target] + panel * whole + first, row, plane,
        0, 0, 0, net.channels[target],
    )  # fmt: skip
    _forward(net, op, sweep)


@njit(error_model="numpy")
def convolve_back(net, op, panel):
    """The loss's derivative by the operation's source, of one panel."""
    source, target = net.source[op], net.target[op]
    read_row, _, read_panel, _ = sizes_of(net, target, net.edge[target])
    row, plane, whole, first = sizes_of(net, source, net.edge[source])
    mask_row, mask_plane, mask_panel, mask_first = sizes_of(net, source, net.rim[source])
    sweep = Sweep(
        net.rows[source], net.columns[source] * net.width,
        net.delta, net.delta_at[target] + panel * read_panel, read_row,
        net.delta, net.delta_at[source] + panel * whole + first, row, plane,
        net.activity_at[source] + panel * mask_panel + mask_first, mask_row, mask_plane,
        net.channels[source],
    )  # fmt: skip
    _backward(net, op, sweep)


@njit(error_model="numpy")
def _gradient_of_panel(net, op, panel):
    source, target = net.source[op], net.target[op]
    read_row, _, read_panel, _ = sizes_of(net, source, net.rim[source])
    row, plane, whole, first = sizes_of(net, target, net.edge[target])
    sweep = Sweep(
        net.rows[target], net.columns[target] * net.width,
        net.activity, net.activity_at[source] + panel * read_panel, read_row,
        net.delta, net.delta_at[target] + panel * whole + first, row, plane,
        0, 0, 0, net.channels[target],
    )  # fmt: skip
    _gradient(net, op, sweep)


@njit(error_model="numpy")
def _add_bias_gradient(net, op, panels):
    target = net.target[op]
    row, plane, whole, first = sizes_of(net, target, net.edge[target])
    for channel in range(net.channels[target]):
        sum_ = 0.0
        for panel in range(panels):
            at = net.delta_at[target] + panel * whole + channel * plane + first
            for y in range(net.rows[target]):
                sums = zeros(8)
                start = at + y * row
                for place in range(start, start + net.columns[target] * net.width, 8):
                    sums = plus(sums, load(8, net.delta, place))
                sum_ += total(sums)
        net.gradient[net.biases_at[op] + channel] += sum_


@njit(error_model="numpy")
def convolution_backward(net, op, panels):
    """Add up the gradient of the operation's parameters over the panels; the derivative by its
    source, unless that is the images."""
    first, end = net.weights_at[op], net.weights_end[op]
    has_delta = net.delta_at[net.source[op]] >= 0
    if has_delta:
        for k in range(first, end):
            net.back_weight[k] = net.parameters[net.back_parameter[k]]
    net.partial[: (end - first) * LANES] = 0
    for panel in range(panels):
        _gradient_of_panel(net, op, panel)
        if has_delta:
            convolve_back(net, op, panel)
    for k in range(first, end):
        net.gradient[k] += total(load(LANES, net.partial, (k - first) * LANES))
    if net.biases_at[op] >= 0:
        _add_bias_gradient(net, op, panels)
