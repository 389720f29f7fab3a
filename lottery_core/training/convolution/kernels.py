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

from lottery_core.training.vectors import (
    load,
    multiply_add,
    part,
    plus,
    product_added,
    rectified,
    spread,
    store,
    total,
    where_positive,
    zeros,
)

# Float32 numbers of a block: eight registers of AVX-512 or of AVX2, sixteen of NEON. Eight sums at
# a time hide what a multiply-add takes; twice as many leave no registers for anything else.
BLOCK = 128 if binding.get_host_cpu_features().get("avx512f") else 64
LANES = 16  # of a gradient's partial sums


def blocks_cost(length: int) -> int:
    """What a row of so many numbers costs, in quarters of a block of up to half the size: a sum of
    few registers waits for the multiply-add before, and takes nearly as long as one of many."""
    whole, rest = divmod(length, BLOCK)
    return 5 * whole + 4 * (rest // 8).bit_count()


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

    @part
    def forward(net, op, sweep, at, to, mask):
        """activity = W x + bias, and ReLU."""
        this = net.operations[op]
        segment, tiles = this.segment_from, this.tiles
        has_relu, bias_at = (
            net.results[this.target].has_relu,
            this.biases_at,
        )
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

    @part
    def backward(net, op, sweep, at, to, mask):
        """delta of the source = W^T delta, where it is above 0."""
        this = net.operations[op]
        segment, tiles = this.back_segment_from, this.back_tiles
        has_relu, adds = net.results[this.source].has_relu, this.adds
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

    @part
    def gradient(net, op, sweep, at, to, mask):
        """partial sums of delta x^T for the kept weights."""
        this = net.operations[op]
        segment, first = this.segment_from, this.weights_at
        for _ in range(this.tiles):
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

    @part
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


@part
def sizes_of(net, result, rim):
    """(numbers of a row, of a plane, of a panel, from a panel's start to its first pixel)."""
    row = (net.results[result].columns + 2 * rim) * net.width
    plane = (net.results[result].rows + 2 * rim) * row
    return row, plane, net.results[result].channels * plane, rim * row + rim * net.width


@part
def convolve(net, op, panel):
    """The activity of the operation's result on one panel."""
    this = net.operations[op]
    source, target = this.source, this.target
    read_row, _, read_panel, _ = sizes_of(net, source, net.results[source].rim)
    row, plane, whole, first = sizes_of(net, target, net.results[target].rim)
    sweep = Sweep(
        net.results[target].rows, net.results[target].columns * net.width,
        net.activity, net.results[source].activity_at + panel * read_panel, read_row,
        net.activity, net.results[target].activity_at + panel * whole + first, row, plane,
        0, 0, 0, net.results[target].channels,
    )  # fmt: skip
    _forward(net, op, sweep)


@part
def convolve_back(net, op, panel):
    """The loss's derivative by the operation's source, of one panel."""
    this = net.operations[op]
    source, target = this.source, this.target
    read_row, _, read_panel, _ = sizes_of(net, target, net.results[target].edge)
    row, plane, whole, first = sizes_of(net, source, net.results[source].edge)
    mask_row, mask_plane, mask_panel, mask_first = sizes_of(net, source, net.results[source].rim)
    sweep = Sweep(
        net.results[source].rows, net.results[source].columns * net.width,
        net.delta, net.results[target].delta_at + panel * read_panel, read_row,
        net.delta, net.results[source].delta_at + panel * whole + first, row, plane,
        net.results[source].activity_at + panel * mask_panel + mask_first, mask_row, mask_plane,
        net.results[source].channels,
    )  # fmt: skip
    _backward(net, op, sweep)


@part
def _gradient_of_panel(net, op, panel):
    this = net.operations[op]
    source, target = this.source, this.target
    read_row, _, read_panel, _ = sizes_of(net, source, net.results[source].rim)
    row, plane, whole, first = sizes_of(net, target, net.results[target].edge)
    sweep = Sweep(
        net.results[target].rows, net.results[target].columns * net.width,
        net.activity, net.results[source].activity_at + panel * read_panel, read_row,
        net.delta, net.results[target].delta_at + panel * whole + first, row, plane,
        0, 0, 0, net.results[target].channels,
    )  # fmt: skip
    _gradient(net, op, sweep)


@part
def _add_bias_gradient(net, op, panels):
    this = net.operations[op]
    target = this.target
    row, plane, whole, first = sizes_of(net, target, net.results[target].edge)
    for channel in range(net.results[target].channels):
        sum_ = 0.0
        for panel in range(panels):
            at = net.results[target].delta_at + panel * whole + channel * plane + first
            for y in range(net.results[target].rows):
                sums = zeros(8)
                start = at + y * row
                for place in range(start, start + net.results[target].columns * net.width, 8):
                    sums = plus(sums, load(8, net.delta, place))
                sum_ += total(sums)
        net.gradient[this.biases_at + channel] += sum_


@part
def convolution_backward(net, op, panels):
    """Add up the gradient of the operation's parameters over the panels; the derivative by its
    source, unless that is the images."""
    this = net.operations[op]
    first, end = this.weights_at, this.weights_end
    has_delta = net.results[this.source].delta_at >= 0
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
    if this.biases_at >= 0:
        _add_bias_gradient(net, op, panels)
