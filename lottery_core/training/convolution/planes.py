"""What happens between convolutions, as compiled code: batch norm, pooling, sums, and images split
for a stride of 2. Forward functions write the activity of an operation's target on one panel,
backward ones hand its derivative back to its source; only `NORM` takes a whole batch at once."""

from __future__ import annotations

import numpy as np

from lottery_core.training.convolution.kernels import sizes_of
from lottery_core.training.vectors import (
    larger,
    load,
    minus,
    part,
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


@part
def activity_at(net, result, panel, channel, row):
    """Where the first pixel of a row of a result lies in `net.activity`."""
    step, plane, whole, first = sizes_of(net, result, net.results[result].rim)
    return net.results[result].activity_at + panel * whole + channel * plane + first + row * step


@part
def delta_at(net, result, panel, channel, row):
    """The same in `net.delta`."""
    step, plane, whole, first = sizes_of(net, result, net.results[result].edge)
    return net.results[result].delta_at + panel * whole + channel * plane + first + row * step


@part
def _deliver(net, result, adds, at, active_at, values):
    """Eight numbers of a result's derivative, of which only those pass whose activity a ReLU let
    pass; added to what is there if somebody else wrote before."""
    if adds:
        values = plus(values, load(8, net.delta, at))
    if net.results[result].has_relu:
        values = where_positive(load(8, net.activity, active_at), values)
    store(net.delta, at, values)


@part
def pool(net, op, panel):
    """The largest of 2x2 pixels."""
    this = net.operations[op]
    source, target, width = this.source, this.target, net.width
    for channel in range(net.results[target].channels):
        for row in range(net.results[target].rows):
            upper = activity_at(net, source, panel, channel, 2 * row)
            lower = activity_at(net, source, panel, channel, 2 * row + 1)
            to = activity_at(net, target, panel, channel, row)
            for column in range(net.results[target].columns):
                for lane in range(column * 2 * width, column * 2 * width + width, 8):
                    left = load(8, net.activity, upper + lane)
                    right = load(8, net.activity, upper + lane + width)
                    top = larger(left, right)
                    left = load(8, net.activity, lower + lane)
                    right = load(8, net.activity, lower + lane + width)
                    place = to + lane - column * width
                    store(net.activity, place, larger(top, larger(left, right)))


@part
def pool_back(net, op, panel):
    """To the first of the four that is the largest."""
    this = net.operations[op]
    source, target, width = this.source, this.target, net.width
    adds = this.adds
    for channel in range(net.results[target].channels):
        for row in range(2 * net.results[target].rows):
            upper = activity_at(net, source, panel, channel, row - row % 2)
            reads = activity_at(net, source, panel, channel, row)
            to = delta_at(net, source, panel, channel, row)
            top_at = activity_at(net, target, panel, channel, row // 2)
            from_ = delta_at(net, target, panel, channel, row // 2)
            for column in range(net.results[target].columns):
                for lane in range(column * width, column * width + width, 8):
                    top, rest = (
                        load(8, net.activity, top_at + lane),
                        load(8, net.delta, from_ + lane),
                    )
                    here = lane + column * width
                    if row % 2:  # what the upper row took is gone
                        for x in range(here, here + 2 * width, width):
                            values = load(8, net.activity, upper + x)
                            rest = minus(rest, where_equal(values, top, rest))
                    for x in range(here, here + 2 * width, width):
                        part = where_equal(load(8, net.activity, reads + x), top, rest)
                        rest = minus(rest, part)
                        _deliver(net, source, adds, to + x, reads + x, part)


@part
def mean(net, op, panel):
    """The mean over all pixels."""
    this = net.operations[op]
    source, target, width = this.source, this.target, net.width
    share = spread(8, np.float32(1 / (net.results[source].rows * net.results[source].columns)))
    for channel in range(net.results[target].channels):
        to = activity_at(net, target, panel, channel, 0)
        for lane in range(0, width, 8):
            sums = zeros(8)
            for row in range(net.results[source].rows):
                at = activity_at(net, source, panel, channel, row) + lane
                for place in range(at, at + net.results[source].columns * width, width):
                    sums = plus(sums, load(8, net.activity, place))
            store(net.activity, to + lane, times(sums, share))


@part
def mean_back(net, op, panel):
    """To every pixel its share."""
    this = net.operations[op]
    source, target, width = this.source, this.target, net.width
    share = spread(8, np.float32(1 / (net.results[source].rows * net.results[source].columns)))
    for channel in range(net.results[target].channels):
        from_ = delta_at(net, target, panel, channel, 0)
        for row in range(net.results[source].rows):
            to = delta_at(net, source, panel, channel, row)
            active = activity_at(net, source, panel, channel, row)
            for x in range(0, net.results[source].columns * width, 8):
                part = times(load(8, net.delta, from_ + x % width), share)
                _deliver(net, source, this.adds, to + x, active + x, part)


@part
def add(net, op, panel):
    """The sum of two results, and ReLU."""
    this = net.operations[op]
    source, other, target = this.source, this.other, this.target
    has_relu = net.results[target].has_relu
    for channel in range(net.results[target].channels):
        for row in range(net.results[target].rows):
            one = activity_at(net, source, panel, channel, row)
            two = activity_at(net, other, panel, channel, row)
            to = activity_at(net, target, panel, channel, row)
            for x in range(0, net.results[target].columns * net.width, 8):
                sums = plus(load(8, net.activity, one + x), load(8, net.activity, two + x))
                store(net.activity, to + x, rectified(sums) if has_relu else sums)


@part
def add_back(net, op, panel):
    """To both; one that nobody else reads shares the sum's derivative, and is given nothing."""
    this = net.operations[op]
    target = this.target
    for result, adds in ((this.source, this.adds), (this.other, this.other_adds)):
        if net.results[result].delta_at == net.results[target].delta_at:
            continue
        for channel in range(net.results[target].channels):
            for row in range(net.results[target].rows):
                from_ = delta_at(net, target, panel, channel, row)
                to = delta_at(net, result, panel, channel, row)
                active = activity_at(net, result, panel, channel, row)
                for x in range(0, net.results[target].columns * net.width, 8):
                    _deliver(net, result, adds, to + x, active + x, load(8, net.delta, from_ + x))


@part
def split(net, op, panel):
    """Images of every `stride`-th row and column, one after another for all channels."""
    this = net.operations[op]
    source, target, width = this.source, this.target, net.width
    stride, padding, phases = this.stride, this.padding, this.phases
    channels = net.results[source].channels
    for channel in range(channels):
        for row in range(net.results[source].rows):
            down, phase = divmod(row + padding, stride)
            if phase >= phases or down >= net.results[target].rows:
                continue
            at = activity_at(net, source, panel, channel, row)
            for column in range(net.results[source].columns):
                right, side = divmod(column + padding, stride)
                if side < phases and right < net.results[target].columns:
                    image = (phase * phases + side) * channels + channel
                    to = activity_at(net, target, panel, image, down) + right * width
                    for lane in range(0, width, 8):
                        values = load(8, net.activity, at + column * width + lane)
                        store(net.activity, to + lane, values)


@part
def split_back(net, op, panel):
    """To each pixel that of the image it went to; 0 where it went nowhere."""
    this = net.operations[op]
    source, target, width = this.source, this.target, net.width
    stride, padding, phases = this.stride, this.padding, this.phases
    channels, adds = net.results[source].channels, this.adds
    for channel in range(channels):
        for row in range(net.results[source].rows):
            down, phase = divmod(row + padding, stride)
            to = delta_at(net, source, panel, channel, row)
            active = activity_at(net, source, panel, channel, row)
            for column in range(net.results[source].columns):
                right, side = divmod(column + padding, stride)
                went = phase < phases and down < net.results[target].rows
                went = went and side < phases and right < net.results[target].columns
                image = (phase * phases + side) * channels + channel if went else 0
                from_ = delta_at(net, target, panel, image, down if went else 0) + right * width
                for x in range(column * width, column * width + width, 8):
                    lane = x - column * width
                    values = load(8, net.delta, from_ + lane) if went else zeros(8)
                    _deliver(net, source, adds, to + x, active + x, values)


@part
def _batch_statistics(net, op, channel, panels, count):
    """Mean and variance of a channel over `count` examples, as float64."""
    this = net.operations[op]
    source = this.source
    length = net.results[source].columns * net.width
    numbers, middle, variance = count * net.results[source].rows * length // net.width, 0.0, 0.0
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(net.results[source].rows):
            at, sums = activity_at(net, source, panel, channel, row), zeros(8)
            for x in range(0, length, 8):
                sums = plus(
                    sums, times(load(8, net.activity, at + x), load(8, net.valid, mask + x))
                )
            middle += total(sums)
    middle /= numbers
    centre = spread(8, np.float32(middle))
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(net.results[source].rows):
            at, sums = activity_at(net, source, panel, channel, row), zeros(8)
            for x in range(0, length, 8):
                off = minus(load(8, net.activity, at + x), centre)
                sums = plus(sums, times(times(off, off), load(8, net.valid, mask + x)))
            variance += total(sums)
    return middle, variance / numbers


@part
def norm(net, op, count, is_training):
    """Batch norm, and ReLU, of `count` examples: by their own mean and variance, which are
    remembered, or by those that are."""
    this = net.operations[op]
    source = this.source
    panels, channels = -(-count // net.width), net.results[source].channels
    numbers = count * net.results[source].rows * net.results[source].columns
    for channel in range(channels):
        at = this.norm_at + channel
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


@part
def _normalise(net, op, channel, panels):
    this = net.operations[op]
    source, target, at = this.source, this.target, this.norm_at + channel
    weight_at = this.biases_at + channel
    centre = spread(8, net.batch_mean[at])
    factor = spread(8, net.parameters[weight_at] * net.batch_scale[at])
    shift = spread(8, net.parameters[weight_at + net.results[source].channels])
    for panel in range(panels):
        for row in range(net.results[source].rows):
            from_ = activity_at(net, source, panel, channel, row)
            to = activity_at(net, target, panel, channel, row)
            for x in range(0, net.results[source].columns * net.width, 8):
                off = minus(load(8, net.activity, from_ + x), centre)
                values = plus(times(off, factor), shift)
                store(
                    net.activity,
                    to + x,
                    rectified(values) if net.results[target].has_relu else values,
                )


@part
def norm_back(net, op, count):
    """The gradient of scale and shift, and the derivative by the operation's source."""
    this = net.operations[op]
    source, target = this.source, this.target
    panels, channels = -(-count // net.width), net.results[source].channels
    length = net.results[source].columns * net.width
    for channel in range(channels):
        at = this.norm_at + channel
        centre, by_scale, by_shift = spread(8, net.batch_mean[at]), 0.0, 0.0
        for panel in range(panels):
            for row in range(net.results[source].rows):
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
        net.gradient[this.biases_at + channel] += by_scale
        net.gradient[this.biases_at + channels + channel] += by_shift
        numbers = count * net.results[source].rows * net.results[source].columns
        _norm_back(net, op, channel, panels, by_scale / numbers, by_shift / numbers)


@part
def _norm_back(net, op, channel, panels, by_scale, by_shift):
    this = net.operations[op]
    source, target, at = this.source, this.target, this.norm_at + channel
    length, scale = net.results[source].columns * net.width, net.batch_scale[at]
    centre, less = spread(8, net.batch_mean[at]), spread(8, np.float32(by_shift))
    slant = spread(8, np.float32(by_scale * scale))
    factor = spread(8, net.parameters[this.biases_at + channel] * scale)
    for panel in range(panels):
        mask = len(net.valid) // 2 if panel + 1 == panels else 0
        for row in range(net.results[source].rows):
            reads = activity_at(net, source, panel, channel, row)
            from_ = delta_at(net, target, panel, channel, row)
            to = delta_at(net, source, panel, channel, row)
            for x in range(0, length, 8):
                off = minus(load(8, net.activity, reads + x), centre)
                slope = minus(minus(load(8, net.delta, from_ + x), less), times(off, slant))
                is_there = load(8, net.valid, mask + x)
                store(net.delta, to + x, times(times(slope, factor), is_there))
