"""What happens between convolutions, as compiled code: pooling, and images split for a stride of 2.

Forward functions write the activity of an operation's target on one panel, backward ones hand its
derivative back to its source.
"""

from __future__ import annotations

import numpy as np

from lottery_core.training.convolution.kernels import sizes_of
from lottery_core.training.vectors import (
    larger,
    load,
    minus,
    part,
    plus,
    spread,
    store,
    times,
    where_equal,
    where_positive,
    zeros,
)


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
def deliver(net, result, adds, at, active_at, values):
    """Eight numbers of a result's derivative, of which only those pass whose activity a ReLU let
    pass; added to what is there if somebody else wrote before."""
    if adds:
        values = plus(values, load(8, net.delta, at))
    if net.results[result].has_relu:
        values = where_positive(load(8, net.activity, active_at), values)
    store(net.delta, at, values)


@part
def _pool_alone(net, upper, lower, to, columns):
    """A row of the same for one example: eight lanes would write beyond it."""
    for column in range(columns):
        at = upper + 2 * column
        top = max(net.activity[at], net.activity[at + 1])
        at = lower + 2 * column
        net.activity[to + column] = max(top, max(net.activity[at], net.activity[at + 1]))


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
            if width == 1:
                _pool_alone(net, upper, lower, to, net.results[target].columns)
                continue
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
                        deliver(net, source, adds, to + x, reads + x, part)


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
                deliver(net, source, this.adds, to + x, active + x, part)


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
                    deliver(net, source, adds, to + x, active + x, values)
