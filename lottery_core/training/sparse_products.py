"""The three products of a sparse layer, compiled for `lanes` examples of a panel from `p` on.

The network is a `layers.Net`; the functions are compiled into those that call them.
"""

from __future__ import annotations

from collections.abc import Callable

from lottery_core.training.vectors import (
    eight_totals,
    folded_product,
    load,
    multiply_add,
    part,
    plus,
    store,
    total,
    where_positive,
    zeros,
)


def forward_of(lanes: int) -> Callable:
    """(net, layer, p) -> activity of the layer's outputs, without bias."""

    @part
    def forward(net, layer, p):
        """activity of the next layer = W x, without bias."""
        width, rows = net.width, net.sizes[layer + 1]
        x, start = net.activity, net.panel_at[layer] + p
        for tile in range(net.tiles[layer]):
            for row in range(rows):
                target = net.panel_at[layer + 1] + row * width + p
                segment = net.segment_from[layer] + tile * rows + row
                # Two sums at a time: a fused multiply-add takes longer than the next can wait.
                even, odd = zeros(lanes), zeros(lanes)
                if tile > 0:
                    even = load(lanes, net.activity, target)
                at, end = net.segment_at[segment], net.segment_at[segment + 1]
                while at + 2 <= end:
                    here, there = net.column[at], net.column[at + 1]
                    values = load(lanes, x, start + here * width)
                    even = multiply_add(even, net.parameters[at], values)
                    values = load(lanes, x, start + there * width)
                    odd = multiply_add(odd, net.parameters[at + 1], values)
                    at += 2
                if at < end:
                    values = load(lanes, x, start + net.column[at] * width)
                    even = multiply_add(even, net.parameters[at], values)
                store(net.activity, target, plus(even, odd))

    return forward


def gradient_of(lanes: int) -> Callable:
    """(net, layer, p) -> gradient of the layer's kept weights, added up."""

    @part
    def gradient(net, layer, p):
        """gradient of the kept weights += delta x^T."""
        width, rows, column = net.width, net.sizes[layer + 1], net.column
        x, start = net.activity, net.panel_at[layer] + p
        for tile in range(net.tiles[layer]):
            for row in range(rows):
                delta = load(lanes, net.delta, net.panel_at[layer + 1] + row * width + p)
                segment = net.segment_from[layer] + tile * rows + row
                at, end = net.segment_at[segment], net.segment_at[segment + 1]
                while at + 8 <= end:
                    products = (
                        folded_product(delta, load(lanes, x, start + column[at] * width)),
                        folded_product(delta, load(lanes, x, start + column[at + 1] * width)),
                        folded_product(delta, load(lanes, x, start + column[at + 2] * width)),
                        folded_product(delta, load(lanes, x, start + column[at + 3] * width)),
                        folded_product(delta, load(lanes, x, start + column[at + 4] * width)),
                        folded_product(delta, load(lanes, x, start + column[at + 5] * width)),
                        folded_product(delta, load(lanes, x, start + column[at + 6] * width)),
                        folded_product(delta, load(lanes, x, start + column[at + 7] * width)),
                    )
                    store(net.gradient, at, plus(eight_totals(products), load(8, net.gradient, at)))
                    at += 8
                while at < end:
                    values = load(lanes, x, start + column[at] * width)
                    net.gradient[at] += total(folded_product(delta, values))
                    at += 1

    return gradient


def backward_of(lanes: int) -> Callable:
    """(net, layer, p) -> the loss's derivative by the layer's inputs."""

    @part
    def backward(net, layer, p):
        """delta of this layer's inputs = W^T delta, where they were above 0."""
        width, column_from = net.width, net.column_from[layer]
        upper = net.panel_at[layer + 1] + p
        for column in range(net.sizes[layer]):
            even, odd = zeros(lanes), zeros(lanes)
            at = net.column_at[column_from + column]
            end = net.column_at[column_from + column + 1]
            while at + 2 <= end:
                here, there = net.back_row[at], net.back_row[at + 1]
                weight = net.parameters[net.back_parameter[at]]
                even = multiply_add(even, weight, load(lanes, net.delta, upper + here * width))
                weight = net.parameters[net.back_parameter[at + 1]]
                odd = multiply_add(odd, weight, load(lanes, net.delta, upper + there * width))
                at += 2
            if at < end:
                here = net.back_row[at]
                weight = net.parameters[net.back_parameter[at]]
                even = multiply_add(even, weight, load(lanes, net.delta, upper + here * width))
            target = net.panel_at[layer] + column * width + p
            active = load(lanes, net.activity, target)
            store(net.delta, target, where_positive(active, plus(even, odd)))

    return backward
