"""Another mask in the middle of a training: survivors go on as if nothing had been, and what grows
was never there."""

from dataclasses import replace

import numpy as np
import pytest

from lottery_core.method.masks import apply
from lottery_core.spec.recipe import Recipe
from lottery_core.training import sparse_loop
from lottery_core.training.base import Training
from lottery_core.training.models import initial_weights
from lottery_core.training.sparse_loop import one_blas_thread
from lottery_core.training.torch_loop import TorchNetwork, one_torch_thread
from tests.reference import Reference

PLAIN = Recipe(network="20 12", batch_size=16, iterations=100)
ADAM = replace(PLAIN, optimiser="adam", momentum=0, learning_rate=0.001)
RECIPES = {
    "momentum": PLAIN,
    "weight decay": replace(PLAIN, weight_decay=0.01),
    "Adam": ADAM,
    "Adam, weight decay": replace(ADAM, weight_decay=0.01),
}
NORMED = replace(PLAIN, network="norm 8 pool 12@5v mean 10", batch_size=8)
EDGE = 2e-5  # of such networks float32 is off by less before a ReLU


def masks_of(recipe, seed=0):
    """A mask and another after it that has lost units, and gained some that the first one lacks."""
    chance, found = np.random.default_rng(seed), []
    for n in range(2):
        mask = {name: chance.random(shape) < 0.4 for name, shape in recipe.shapes.items()}
        for kept in list(mask.values())[1:]:  # units that nobody reads now, others then
            kept[:, 2 * n : 2 * n + 2] = False
        found.append(mask)
    return found


def compiled(recipe, weights, mask, data, form):
    def forms(mask):
        return dict.fromkeys(mask, form)

    network = sparse_loop.packed(recipe, weights, mask, forms(mask), moving=forms)
    network.attach(data)
    return network


def in_torch(recipe, weights, mask, data, form):
    return TorchNetwork(Training(recipe, weights, mask, moving=lambda: None), data)


LOOPS = {
    "torch": (in_torch, None),
    "compiled, sparse form": (compiled, True),
    "compiled, dense form": (compiled, False),
}


def remembered(network):
    """What the optimiser remembers, a dictionary by name for each of its sums."""
    if isinstance(network, TorchNetwork):
        names = [name for name, _ in network._model.named_parameters()]
        return [
            {name: one.numpy().copy() for name, one in zip(names, sums, strict=True)}
            for sums in network._optimiser.sums
        ]
    found = []
    for what in ("gradient", "mean", "square"):
        if all(len(getattr(net, what)) for _, net in network.parts):
            arrays = {name: np.zeros_like(a) for name, a in network.weights().items()}
            network._unpack(what, arrays)
            found.append(arrays)
    return found


def steps(network, first, count):
    with one_blas_thread(), one_torch_thread():
        network.steps(0, first, np.zeros(count, np.float32))


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def make(request):
    make, form = request.param
    return lambda recipe, weights, mask, data: make(recipe, weights, mask, data, form)


@pytest.mark.parametrize("recipe", [*RECIPES.values(), NORMED], ids=[*RECIPES, "convolutions"])
def test_survivors_keep_all_they_have_and_what_grows_is_new(recipe, make, mnist):
    first, second = masks_of(recipe)
    network = make(recipe, apply(initial_weights(recipe), first), first, mnist)
    steps(network, 0, 5)
    before, sums = network.weights(), remembered(network)
    network = network.under(second)
    after = network.weights()
    assert before.keys() == after.keys()
    for name, values in after.items():
        both = first[name] & second[name] if name in first else np.ones(values.shape, bool)
        np.testing.assert_array_equal(values[both], before[name][both])
        # Not even -0.0, which another optimiser may tell from 0.0.
        assert not values[~both].view(np.uint32).any()
    for old, new in zip(sums, remembered(network), strict=True):
        for name in recipe.net.parameters:
            stays = first[name] & second[name] if name in first else np.ones_like(new[name], bool)
            grown = second[name] & ~first[name] if name in first else ~stays
            np.testing.assert_array_equal(new[name][stays], old[name][stays])
            assert not new[name][grown].any()
    assert any(one[recipe.output_layer].any() for one in remembered(network))
    steps(network, 5, 3)
    later = network.weights()
    for name, kept in second.items():
        assert not later[name][~kept].any()
    grown = second[recipe.output_layer] & ~first[recipe.output_layer]
    assert (later[recipe.output_layer] != after[recipe.output_layer])[grown].any()


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_step_after_a_change_is_the_one_that_float64_takes(recipe, make, mnist):
    for seed in range(20):
        recipe = replace(recipe, seed=seed)
        first, second = masks_of(recipe, seed)
        network = make(recipe, apply(initial_weights(recipe), first), first, mnist)
        steps(network, 0, 5)
        network = network.under(second)
        reference = Reference(recipe, network.weights(), second, mnist, iteration=5, steps=5)
        sums = remembered(network)
        is_torch = isinstance(network, TorchNetwork)
        if recipe.optimiser == "sgd":
            # The compiled loop keeps the velocity times the momentum.
            part = 1 if is_torch else recipe.momentum
            reference.mean = {name: sums[0][name] / part for name in reference.mean}
        else:
            mean, square = sums[-2:]
            reference.mean, reference.square = (
                {name: one[name].astype(np.float64) for name in reference.mean}
                for one in (mean, square)
            )
        steps(network, 5, 1)
        reference.step()
        if reference.edge > EDGE:
            break
    else:
        pytest.fail("every seed has a step that hangs on rounding")
    for name, values in network.weights().items():
        expected = reference.weights[name]
        allowed = 1e-6 * np.abs(expected).max() + reference.slack(name)
        assert (np.abs(values - expected) <= allowed).all(), name


def test_what_a_unit_that_leads_nowhere_has_left_of_its_velocity_is_not_lost(make, mnist):
    """It leads somewhere again later, as in a network that is masked and never packed."""
    first = {name: np.ones(shape, bool) for name, shape in PLAIN.shapes.items()}
    cut = {name: kept.copy() for name, kept in first.items()}
    cut["fc2.weight"][:, 3] = False  # nobody reads unit 3 of the first layer
    network = make(PLAIN, initial_weights(PLAIN), first, mnist)
    steps(network, 0, 5)
    network = network.under(cut)
    before, (velocity, *_) = network.weights(), remembered(network)
    steps(network, 5, 1)
    moved = network.weights()["fc1.weight"][3] - before["fc1.weight"][3]
    part = 1 if not isinstance(network, TorchNetwork) else PLAIN.momentum
    expected = -PLAIN.learning_rate * part * velocity["fc1.weight"][3]
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(moved, expected, atol=2e-8)
