"""Units are matched as the definition says, and a network in another order is the same network."""

from itertools import permutations, product

import numpy as np
import pytest

from lottery_core.findings.forward import logits
from lottery_core.method.matching import match
from lottery_core.method.units import Axis, put_in_order
from lottery_core.spec.networks import network
from lottery_core.spec.symmetries import axes_of
from tests.networks import CONVOLUTIONAL

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
NETWORKS = [("20 12", GREY), *((text, GREY) for text in CONVOLUTIONAL), ("lenet-5", GREY),
            ("resnet-8 x0.5", COLOUR)]  # fmt: skip


def drawn(net, seed):
    """Weights of both signs; batch norm's variances are none below 0."""
    source = np.random.default_rng(seed)
    shapes = net.parameters | net.buffers
    return {
        name: np.abs(values) if name.endswith("var") else values
        for name, shape in shapes.items()
        for values in [source.normal(size=shape).astype(np.float32)]
    }


def chance_orders(net, seed=0):
    source, axes, found = np.random.default_rng(seed), axes_of(net), {}
    for name, shape in net.parameters.items():
        for size, axis in zip(shape, axes[name], strict=True):
            if axis:
                found.setdefault(axis.group, source.permutation(size // axis.block))
    return found


@pytest.mark.parametrize(("text", "image"), NETWORKS)
def test_a_network_computes_the_same_with_its_units_in_any_order(text, image):
    net = network(text, image, 10)
    weights, axes = drawn(net, 1), axes_of(net)
    moved = put_in_order(weights, chance_orders(net), axes)
    images = np.random.default_rng(2).normal(size=(5, *image)).astype(np.float32)
    assert any((moved[name] != weights[name]).any() for name in net.shapes)
    before, after = (logits(net, each, images) for each in (weights, moved))
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3 * np.abs(before).max())


@pytest.mark.parametrize(("text", "image"), NETWORKS)
def test_a_network_that_was_put_in_another_order_is_put_back(text, image):
    net = network(text, image, 10)
    weights, axes = drawn(net, 1), axes_of(net)
    moved = put_in_order(weights, chance_orders(net), axes)
    trained = {name: moved[name] for name in net.parameters}
    found = put_in_order(weights, match({n: weights[n] for n in trained}, trained, axes), axes)
    for name, values in moved.items():
        np.testing.assert_array_equal(found[name], values)


def test_what_a_shortcut_adds_up_moves_together_and_pixels_and_classes_stay():
    axes = axes_of(network("resnet-8 x0.25", GREY, 10))
    stage = axes["conv1.weight"][0]
    assert axes["conv1.weight"][1:] == (None, None, None)
    assert axes["conv2.weight"][1] == axes["conv3.weight"][0] == axes["norm3.bias"][0] == stage
    assert axes["conv2.weight"][0] != stage
    assert axes["fc1.weight"][0] is axes["fc1.bias"][0] is None
    chain = axes_of(network("4 pool 6@5v pool 12", GREY, 10))
    assert chain["fc1.weight"][1] == Axis(chain["conv2.weight"][0].group, block=25)


def test_each_order_is_the_best_of_all_while_the_others_stay():
    """Against all orders of three units in each of two layers."""
    axes = axes_of(network("3 3", (1, 2, 2), 2))
    shapes = {"fc1.weight": (3, 4), "fc2.weight": (3, 3), "fc3.weight": (2, 3)}
    source = np.random.default_rng(0)
    groups = (axes["fc1.weight"][0].group, axes["fc2.weight"][0].group)

    def common(one, other, orders):
        moved = put_in_order(one, orders, axes)
        return sum(float((moved[name] * other[name]).sum()) for name in shapes)

    exact = 0
    for _ in range(20):
        one, other = ({n: source.normal(size=s) for n, s in shapes.items()} for _ in "ab")
        orders = match(one, other, axes)
        found = common(one, other, orders)
        for group, order in product(groups, permutations(range(3))):
            assert found >= common(one, other, orders | {group: np.array(order)}) - 1e-9
        best = max(
            common(one, other, dict(zip(groups, map(np.array, both), strict=True)))
            for both in product(permutations(range(3)), repeat=2)
        )
        exact += found == pytest.approx(best)
    assert exact >= 10  # what is found is a local optimum; most often it is the best there is


def test_masks_are_put_in_order_as_their_weights_are():
    net = network("4 pool 6@5v pool 12", GREY, 10)
    weights, axes, orders = drawn(net, 1), axes_of(net), chance_orders(net)
    mask = {name: weights[name] > 0 for name in net.shapes}
    moved = put_in_order(mask, orders, axes)
    for name, kept in put_in_order(weights, orders, axes).items():
        if name in mask:
            np.testing.assert_array_equal(moved[name], kept > 0)
            assert moved[name].sum() == mask[name].sum()
