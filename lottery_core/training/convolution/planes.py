"""What happens between convolutions, as compiled code: batch norm, pooling, sums, and images split
for a stride of 2. Forward functions write the activity of an operation's target on one panel,
backward ones hand its derivative back to its source; only `NORM` takes a whole batch at once."""

from __future__ import annotations

import numpy as np
from numba import njit

from lottery_core.training.convolution.kernels import sizes_of
from lottery_core.training.vectors import (
    larger,
    load,
    minus,
    plus,
    rectified,
    spread,
    store,
    times,
    total,
    where_equal,
    where_positive,
    zeros,
)

EPSILON, REMEMBERED = 1e-5, 0.9  # of batch norm, as in torch


@njit(error_model="numpy")
def activity_at(net, result, panel, channel, row):
    """Where the first pixel of a row of a result lies in `net.activity`."""
    step, plane, whole, first = sizes_of(net, result, net.rim[result])
    return net.activity_at[result] + panel * whole + channel * plane + first + row * step


@njit(error_model="numpy")
def delta_at(net, result, panel, channel, row):
    """The same in `net.delta`."""
    step, plane, whole, first = sizes_of(net, result, net.edge[result])
    return net.delta_at[result] + panel * whole + channel * plane + first + row * step


@njit(error_model="numpy")
def _deliver(net, result, adds, at, active_at, values):
    """Eight numbers of a result's derivative, of which only those pass whose activity a ReLU let
    pass; added to what is there if somebody else wrote before."""
    if adds:
        values = plus(values, load(8, net.delta, at))
    if net.has_relu[result]:
        values = where_positive(load(8, net.activity, active_at), values)
    store(net.delta, at, values)


@njit(error_model="numpy")
def pool(net, op, panel):
    """The largest of 2x2 pixels."""
    source, target, width = net.source[op], net.target[op], net.width
    for channel in range(net.channels[target]):
        for row in range(net.rows[target]):
            upper = activity_at(net, source, panel, channel, 2 * row)
            lower = activity_at(net, source, panel, channel, 2 * row + 1)
            to = activity_at(net, target, panel, channel, row)
            for column in range(net.columns[target]):
                for lane in range(column * 2 * width, column * 2 * width + width, 8):
                    left = load(8, net.activity, upper + lane)
                    right = load(8, net.activity, upper + lane + width)
                    top = larger(left, right)
                    left = load(8, net.activity, lower + lane)
                    right = load(8, net.activity, lower + lane + width)
                    place = to + lane - column * width
                    store(net.activity, place, larger(top, larger(left, right)))


@njit(error_model="numpy")
def pool_back(net, op, panel):
    """To the first of the four that is the largest."""
    source, target, width = net.source[op], net.target[op], net.width
    adds = net.adds[op]
    for channel in range(net.channels[target]):
        for row in range(2 * net.rows[target]):
            upper = activity_at(net, source, panel, channel, row - row % 2)
            reads = activity_at(net, source, panel, channel, row)
            to = delta_at(net, source, panel, channel, row)
            top_at = activity_at(net, target, panel, channel, row // 2)
            from_ = delta_at(net, target, panel, channel, row // 2)
            for column in range(net.columns[target]):
                for lane in range(column * width, column * width + width, 8):
                    top, rest = load(8, net.activity, top_at + lane), load(8, net.delta, from_ + lane)
                    here = lane + column * width
                    if row % 2:  # what the upper row took is gone
                        for x in range(here, here + 2 * width, width):
                            values = load(8, net.activity, upper + x)
                            rest = minus(rest, where_equal(values, top, rest))
                    for x in range(here, here + 2 * width, width):
                        part = where_equal(load(8, net.activity, reads + x), top, rest)
                        rest = minus(rest, part)
                        _deliver(net, source, adds, to + x, reads + x, part)


@njit(error_model="numpy")
def mean(net, op, panel):
    """The mean over all pixels."""
    source, target, width = net.source[op], net.target[op], net.width
    share = spread(8, np.float32(1 / (net.rows[source] * net.columns[source])))
    for channel in range(net.channels[target]):
        to = activity_at(net, target, panel, channel, 0)
        for lane in range(0, width, 8):
            sums = zeros(8)
            for row in range(net.rows[source]):
                at = activity_at(net, source, panel, channel, row) + lane
                for place in range(at, at + net.columns[source] * width, width):
                    sums = plus(sums, load(8, net.activity, place))
            store(net.activity, to + lane, times(sums, share))


@njit(error_model="numpy")
def mean_back(net, op, panel):
    """To every pixel its share."""
    source, target, width = net.source[op], net.target[op], net.width
    share = spread(8, np.float32(1 / (net.rows[source] * net.columns[source])))
    for channel in range(net.channels[target]):
        from_ = delta_at(net, target, panel, channel, 0)
        for row in range(net.rows[source]):
            to = delta_at(net, source, panel, channel, row)
            active = activity_at(net, source, panel, channel, row)
            for x in range(0, net.columns[source] * width, 8):
                part = times(load(8, net.delta, from_ + x % width), share)
                _deliver(net, source, net.adds[op], to + x, active + x, part)


@njit(error_model="numpy")
def add(net, op, panel):
    """The sum of two results, and ReLU."""
    source, other, target = net.source[op], net.other[op], net.target[op]
    has_relu = net.has_relu[target]
    for channel in range(net.channels[target]):
        for row in range(net.rows[target]):
            one = activity_at(net, source, panel, channel, row)
            two = activity_at(net, other, panel, channel, row)
            to = activity_at(net, target, panel, channel, row)
            for x in range(0, net.columns[target] * net.width, 8):
                sums = plus(load(8, net.activity, one + x), load(8, net.activity, two + x))
                store(net.activity, to + x, rectified(sums) if has_relu else sums)


@njit(error_model="numpy")
def add_back(net, op, panel):
    """To both; one that nobody else reads shares the sum's derivative, and is given nothing."""
    target = net.target[op]
    for result, adds in ((net.source[op], net.adds[op]), (net.other[op], net.other_adds[op])):
        if net.delta_at[result] == net.delta_at[target]:
            continue
        for channel in range(net.channels[target]):
            for row in range(net.rows[target]):
                from_ = delta_at(net, target, panel, channel, row)
                to = delta_at(net, result, panel, channel, row)
                active = activity_at(net, result, panel, channel, row)
                for x in range(0, net.columns[target] * net.width, 8):
                    _deliver(net, result, adds, to + x, active + x, load(8, net.delta, from_ + x))


@njit(error_model="numpy")
def split(net, op, panel):
    """Images of every `stride`-th row and column, one after another for all channels."""
    source, target, width = net.source[op], net.target[op], net.width
    stride, padding, phases = net.stride[op], net.padding[op], net.phases[op]
    channels = net.channels[source]
    for channel in range(channels):
        for row in range(net.rows[source]):
            down, phase = divmod(row + padding, stride)
            if phase >= phases or down >= net.rows[target]:
                continue
            at = activity_at(net, source, panel, channel, row)
            for column in range(net.columns[source]):
                right, side = divmod(column + padding, stride)
                if side < phases and right < net.columns[target]:
                    image = (phase * phases + side) * channels + channel
                    to = activity_at(net, target, panel, image, down) + right * width
                    for lane in range(0, width, 8):
                        values = load(8, net.activity, at + column * width + lane)
                        store(net.activity, to + lane, values)


@njit(error_model="numpy")
def split_back(net, op, panel):
    """To each pixel that of the image it went to; 0 where it went nowhere."""
    source, target, width = net.source[op], net.target[op], net.width
    stride, padding, phases = net.stride[op], net.padding[op], net.phases[op]
    channels, adds = net.channels[source], net.adds[op]
    for channel in range(channels):
        for row in range(net.rows[source]):
            down, phase = divmod(row + padding, stride)
            to = delta_at(net, source, panel, channel, row)
            active = activity_at(net, source, panel, channel, row)
            for column in range(net.columns[source]):
                right, side = divmod(column + padding, stride)
                went = phase < phases and side < phases
                went = went and down < net.rows[target] and right < net.columns[target]
                image = (phase * phases + side) * channels + channel if went else 0
                from_ = delta_at(net, target, panel, image, down if went else 0) + right * width
                for x in range(column * width, column * width + width, 8):
                    lane = x - column * width
                    values = load(8, net.delta, from_ + lane) if went else zeros(8)
                    _deliver(net, source, adds, to + x, active + x, values)


@njit(error_model="numpy")
def _batch_statistics(net, op, channel, panels, count):
    """Mean and variance of a channel over `count` examples, as float64."""
    source, length = net.source[op], net.columns[net.source[op]] * net.width
    numbers, middle, variance = count * net.rows[source] * net.columns[source], 0.0, 0.0
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(net.rows[source]):
            at, sums = activity_at(net, source, panel, channel, row), zeros(8)
            for x in range(0, length, 8):
                sums = plus(sums, times(load(8, net.activity, at + x), load(8, net.valid, mask + x)))
            middle += total(sums)
    middle /= numbers
    centre = spread(8, np.float32(middle))
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(net.rows[source]):
            at, sums = activity_at(net, source, panel, channel, row), zeros(8)
            for x in range(0, length, 8):
                off = minus(load(8, net.activity, at + x), centre)
                sums = plus(sums, times(times(off, off), load(8, net.valid, mask + x)))
            variance += total(sums)
    return middle, variance / numbers


@njit(error_model="numpy")
def norm(net, op, count, is_training):
    """Batch norm, and ReLU, of `count` examples: by their own mean and variance, which are
    remembered, or by those that are."""
    source, target = net.source[op], net.target[op]
    panels, channels = -(-count // net.width), net.channels[net.source[op]]
    numbers = count * net.rows[source] * net.columns[source]
    for channel in range(channels):
        at = net.norm_at[op] + channel
        if is_training:
            middle, variance = _batch_statistics(net, op, channel, panels, count)
            new = 1 - REMEMBERED
            net.running_mean[at] = REMEMBERED * net.running_mean[at] + new * middle
            unbiased = variance * (numbers / max(numbers - 1, 1))
            net.running_variance[at] = REMEMBERED * net.running_variance[at] + new * unbiased
        else:
            middle, variance = float(net.running_mean[at]), float(net.running_variance[at])
        scale = 1 / np.sqrt(variance + EPSILON)
        net.batch_mean[at], net.batch_scale[at] = middle, scale
        _normalise(net, op, channel, panels)


@njit(error_model="numpy")
def _normalise(net, op, channel, panels):
    source, target, at = net.source[op], net.target[op], net.norm_at[op] + channel
    weight_at = net.biases_at[op] + channel
    centre = spread(8, net.batch_mean[at])
    factor = spread(8, net.parameters[weight_at] * net.batch_scale[at])
    shift = spread(8, net.parameters[weight_at + net.channels[source]])
    for panel in range(panels):
        for row in range(net.rows[source]):
            from_ = activity_at(net, source, panel, channel, row)
            to = activity_at(net, target, panel, channel, row)
            for x in range(0, net.columns[source] * net.width, 8):
                off = minus(load(8, net.activity, from_ + x), centre)
                values = plus(times(off, factor), shift)
                store(net.activity, to + x, rectified(values) if net.has_relu[target] else values)


@njit(error_model="numpy")
def norm_back(net, op, count):
    """The gradient of scale and shift, and the derivative by the operation's source."""
    source, target = net.source[op], net.target[op]
    panels, channels = -(-count // net.width), net.channels[net.source[op]]
    length = net.columns[source] * net.width
    for channel in range(channels):
        at = net.norm_at[op] + channel
        centre, by_scale, by_shift = spread(8, net.batch_mean[at]), 0.0, 0.0
        for panel in range(panels):
            for row in range(net.rows[source]):
                reads = activity_at(net, source, panel, channel, row)
                from_ = delta_at(net, target, panel, channel, row)
                sums, products = zeros(8), zeros(8)
                for x in range(0, length, 8):
                    slope = load(8, net.delta, from_ + x)
                    off = minus(load(8, net.activity, reads + x), centre)
                    sums, products = plus(sums, slope), plus(products, times(off, slope))
                by_shift += total(sums)
                by_scale += total(products)
        by_scale *= net.batch_scale[at]
        net.gradient[net.biases_at[op] + channel] += by_scale
        net.gradient[net.biases_at[op] + channels + channel] += by_shift
        numbers = count * net.rows[source] * net.columns[source]
        _norm_back(net, op, channel, panels, by_scale / numbers, by_shift / numbers)


@njit(error_model="numpy")
def _norm_back(net, op, channel, panels, by_scale, by_shift):
    source, target, at = net.source[op], net.target[op], net.norm_at[op] + channel
    length, scale = net.columns[source] * net.width, net.batch_scale[at]
    centre, less = spread(8, net.batch_mean[at]), spread(8, np.float32(by_shift))
    slant = spread(8, np.float32(by_scale * scale))
    factor = spread(8, net.parameters[net.biases_at[op] + channel] * scale)
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(net.rows[source]):
            reads = activity_at(net, source, panel, channel, row)
            from_ = delta_at(net, target, panel, channel, row)
            to = delta_at(net, source, panel, channel, row)
            for x in range(0, length, 8):
                off = minus(load(8, net.activity, reads + x), centre)
                slope = minus(minus(load(8, net.delta, from_ + x), less), times(off, slant))
                is_there = load(8, net.valid, mask + x)
                store(net.delta, to + x, times(times(slope, factor), is_there))
