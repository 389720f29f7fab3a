"""Batch norm as compiled code, a channel of the whole batch at a time: so it stays near. Another
result may be added to what it makes, and a ReLU follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lottery_core.training.convolution.planes import activity_at, deliver, delta_at
from lottery_core.training.vectors import (
    load,
    minus,
    part,
    plus,
    rectified,
    spread,
    store,
    times,
    total,
    zeros,
)

EPSILON, REMEMBERED = 1e-5, 0.9  # as in torch


@part
def _sum_of_row(net, at, mask, length):
    """Of numbers that belong to an example."""
    wide, narrow, x = zeros(32), zeros(8), 0
    while x + 32 <= length:
        wide = plus(wide, times(load(32, net.activity, at + x), load(32, net.valid, mask + x)))
        x += 32
    while x < length:
        narrow = plus(narrow, times(load(8, net.activity, at + x), load(8, net.valid, mask + x)))
        x += 8
    return total(wide) + total(narrow)


@part
def _squares_of_row(net, at, mask, length, middle):
    """The sum of their squared distances from the mean."""
    wide, narrow, x = zeros(32), zeros(8), 0
    while x + 32 <= length:
        off = minus(load(32, net.activity, at + x), spread(32, middle))
        wide = plus(wide, times(times(off, off), load(32, net.valid, mask + x)))
        x += 32
    while x < length:
        off = minus(load(8, net.activity, at + x), spread(8, middle))
        narrow = plus(narrow, times(times(off, off), load(8, net.valid, mask + x)))
        x += 8
    return total(wide) + total(narrow)


@part
def _statistics(net, op, channel, count):
    """Mean and variance of a channel over `count` examples, as float64."""
    source = net.operations[op].source
    rows, length = net.results[source].rows, net.results[source].columns * net.width
    panels, numbers = -(-count // net.width), count * rows * net.results[source].columns
    middle, variance = 0.0, 0.0
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(rows):
            at = activity_at(net, source, panel, channel, row)
            middle += _sum_of_row(net, at, mask, length)
    middle /= numbers
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(rows):
            at = activity_at(net, source, panel, channel, row)
            variance += _squares_of_row(net, at, mask, length, np.float32(middle))
    return middle, variance / numbers


@part
def norm(net, op, count, is_training):
    """Batch norm of `count` examples: by their own mean and variance, which are remembered, or by
    those that are."""
    source = net.results[net.operations[op].source]
    numbers = count * source.rows * source.columns
    for channel in range(source.channels):
        at = net.operations[op].norm_at + channel
        if is_training:
            middle, variance = _statistics(net, op, channel, count)
            new = 1 - REMEMBERED
            net.running_mean[at] = REMEMBERED * net.running_mean[at] + new * middle
            unbiased = variance * (numbers / max(numbers - 1, 1))
            net.running_variance[at] = REMEMBERED * net.running_variance[at] + new * unbiased
        else:
            middle, variance = float(net.running_mean[at]), float(net.running_variance[at])
        net.batch_mean[at], net.batch_scale[at] = middle, 1 / np.sqrt(variance + EPSILON)
        _normalise(net, op, channel, -(-count // net.width))


def _normalise_of(lanes: int) -> Callable:
    """(net, op, channel, places, first, end) -> how far of a row's numbers were normalised."""

    @part
    def normalise(net, op, channel, places, first, end):
        this, (from_, to, more) = net.operations[op], places
        at, weight_at = this.norm_at + channel, this.biases_at + channel
        centre = spread(lanes, net.batch_mean[at])
        factor = spread(lanes, net.parameters[weight_at] * net.batch_scale[at])
        shift_at = weight_at + net.results[this.source].channels
        shift = spread(lanes, net.parameters[shift_at])
        has_relu, adds = net.results[this.target].has_relu, this.other >= 0
        x = first
        while x + lanes <= end:
            off = minus(load(lanes, net.activity, from_ + x), centre)
            values = plus(times(off, factor), shift)
            if adds:
                values = plus(values, load(lanes, net.activity, more + x))
            store(net.activity, to + x, rectified(values) if has_relu else values)
            x += lanes
        return x

    return normalise


_normalise_32, _normalise_8 = _normalise_of(32), _normalise_of(8)


@part
def _normalise(net, op, channel, panels):
    source, other = net.operations[op].source, net.operations[op].other
    target, length = net.operations[op].target, net.results[source].columns * net.width
    for panel in range(panels):
        for row in range(net.results[source].rows):
            places = (
                activity_at(net, source, panel, channel, row),
                activity_at(net, target, panel, channel, row),
                activity_at(net, other, panel, channel, row) if other >= 0 else 0,
            )
            done = _normalise_32(net, op, channel, places, 0, length)
            _normalise_8(net, op, channel, places, done, length)


@part
def norm_back(net, op, count):
    """The gradient of scale and shift, and the derivative by what the operation reads."""
    this, panels = net.operations[op], -(-count // net.width)
    source = net.results[this.source]
    numbers = count * source.rows * source.columns
    for channel in range(source.channels):
        by_scale, by_shift = _sums_back(net, op, channel, panels)
        net.gradient[this.biases_at + channel] += by_scale
        net.gradient[this.biases_at + source.channels + channel] += by_shift
        _norm_back(net, op, channel, panels, by_scale / numbers, by_shift / numbers)
        if this.other >= 0:
            place = net.results[this.other].delta_at
            if place >= 0 and place != net.results[this.target].delta_at:
                _add_back(net, op, channel, panels)


@part
def _sums_back(net, op, channel, panels):
    """What a channel's scale and shift change the loss by."""
    source, target = net.operations[op].source, net.operations[op].target
    at, length = net.operations[op].norm_at + channel, net.results[source].columns * net.width
    by_scale, by_shift, middle = 0.0, 0.0, net.batch_mean[at]
    for panel in range(panels):
        for row in range(net.results[source].rows):
            reads = activity_at(net, source, panel, channel, row)
            from_, x = delta_at(net, target, panel, channel, row), 0
            sums, products, sums_8, products_8 = zeros(32), zeros(32), zeros(8), zeros(8)
            while x + 32 <= length:
                slope = load(32, net.delta, from_ + x)
                off = minus(load(32, net.activity, reads + x), spread(32, middle))
                sums, products = plus(sums, slope), plus(products, times(off, slope))
                x += 32
            while x < length:
                slope_8 = load(8, net.delta, from_ + x)
                off_8 = minus(load(8, net.activity, reads + x), spread(8, middle))
                sums_8 = plus(sums_8, slope_8)
                products_8 = plus(products_8, times(off_8, slope_8))
                x += 8
            by_shift += total(sums) + total(sums_8)
            by_scale += total(products) + total(products_8)
    return by_scale * net.batch_scale[at], by_shift


def _norm_back_of(lanes: int) -> Callable:
    """(net, places, numbers, first, end) -> how far a row's derivative was written."""

    @part
    def write(net, places, numbers, first, end):
        reads, from_, to, mask = places
        middle, less, slant, factor = numbers
        x = first
        while x + lanes <= end:
            off = minus(load(lanes, net.activity, reads + x), spread(lanes, middle))
            slope = minus(load(lanes, net.delta, from_ + x), spread(lanes, less))
            slope = minus(slope, times(off, spread(lanes, slant)))
            is_there = load(lanes, net.valid, mask + x)
            store(net.delta, to + x, times(times(slope, spread(lanes, factor)), is_there))
            x += lanes
        return x

    return write


_norm_back_32, _norm_back_8 = _norm_back_of(32), _norm_back_of(8)


@part
def _norm_back(net, op, channel, panels, by_scale, by_shift):
    this = net.operations[op]
    source, target, at = this.source, this.target, this.norm_at + channel
    length, scale = net.results[source].columns * net.width, net.batch_scale[at]
    factor = net.parameters[this.biases_at + channel] * scale
    numbers = (net.batch_mean[at], np.float32(by_shift), np.float32(by_scale * scale), factor)
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(net.results[source].rows):
            places = (
                activity_at(net, source, panel, channel, row),
                delta_at(net, target, panel, channel, row),
                delta_at(net, source, panel, channel, row),
                mask,
            )
            done = _norm_back_32(net, places, numbers, 0, length)
            _norm_back_8(net, places, numbers, done, length)


@part
def _add_back(net, op, channel, panels):
    """The derivative by the result that was added, where that has a place of its own."""
    this = net.operations[op]
    for panel in range(panels):
        for row in range(net.results[this.target].rows):
            from_ = delta_at(net, this.target, panel, channel, row)
            to = delta_at(net, this.other, panel, channel, row)
            active = activity_at(net, this.other, panel, channel, row)
            for x in range(0, net.results[this.target].columns * net.width, 8):
                values = load(8, net.delta, from_ + x)
                deliver(net, this.other, this.other_adds, to + x, active + x, values)
