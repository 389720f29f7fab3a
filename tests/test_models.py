"""The networks are the ones asked for, and their first weights are drawn as they say."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from lottery_core.spec.recipe import Recipe
from lottery_core.spec.terms import INITS
from lottery_core.training.models import _INITS, build, initial_weights, load

LAYERS = [(128, 784), (64, 128), (10, 64)]


def test_the_network_is_a_chain_of_linear_layers_with_relu_between():
    model = build(Recipe())
    kinds = [at.kind for at in Recipe().net.operations]
    assert kinds == ["flat", "fc", "relu", "fc", "relu", "fc"]
    assert {name: tuple(value.shape) for name, value in model.named_parameters()} == {
        "fc1.weight": (128, 784),
        "fc1.bias": (128,),
        "fc2.weight": (64, 128),
        "fc2.bias": (64,),
        "fc3.weight": (10, 64),
        "fc3.bias": (10,),
    }


def test_without_hidden_layers_it_is_one_linear_map():
    assert [name for name, _ in build(Recipe(network="none")).named_parameters()] == [
        "fc1.weight",
        "fc1.bias",
    ]


def test_first_weights_fit_the_network():
    recipe = Recipe(network="20 5")
    weights = initial_weights(recipe)
    expected = build(recipe).state_dict()
    assert {name: array.shape for name, array in weights.items()} == {
        name: tuple(value.shape) for name, value in expected.items()
    }
    assert {array.dtype for array in weights.values()} == {np.dtype("float32")}


def test_every_initialisation_that_can_be_asked_for_exists():
    assert set(_INITS) == set(INITS)


def test_the_pytorch_initialisation_is_uniform_with_the_bounds_of_linear():
    weights = initial_weights(Recipe())
    for n, (outputs, inputs) in enumerate(LAYERS, 1):
        torch.manual_seed(n)
        theirs, ours = nn.Linear(inputs, outputs), weights[f"fc{n}.weight"]
        bound = inputs**-0.5
        assert np.abs(ours).max() <= bound
        assert np.abs(ours).max() == pytest.approx(theirs.weight.abs().max().item(), rel=0.01)
        # Uniform: its standard deviation and its quartiles (four standard errors).
        slack = 4 * bound / (outputs * inputs) ** 0.5
        assert ours.std() == pytest.approx(bound / 3**0.5, abs=slack)
        assert np.quantile(ours, [0.25, 0.5, 0.75]) == pytest.approx(
            [-bound / 2, 0, bound / 2], abs=2 * slack
        )
        bias = weights[f"fc{n}.bias"]
        assert 0.5 * bound < np.abs(bias).max() <= bound


def test_the_glorot_initialisation_is_normal_with_zero_biases():
    weights = initial_weights(Recipe(init="glorot"))
    for n, (outputs, inputs) in enumerate(LAYERS, 1):
        values = weights[f"fc{n}.weight"]
        deviation = (2 / (inputs + outputs)) ** 0.5
        assert values.std() == pytest.approx(deviation, rel=4 / (2 * values.size) ** 0.5)
        assert abs(values.mean()) < 4 * deviation / values.size**0.5
        # Normal, not uniform: 68 % within one deviation, and something beyond three.
        assert (np.abs(values) < deviation).mean() == pytest.approx(0.6827, abs=0.08)
        assert not weights[f"fc{n}.bias"].any()
    assert (np.abs(weights["fc1.weight"]) > 3 * (2 / 912) ** 0.5).any()


def test_first_weights_repeat_with_their_seed_and_purpose_alone():
    recipe = Recipe(network="8")
    first = initial_weights(recipe)["fc1.weight"]
    torch.manual_seed(123)  # the global generator has no say
    assert np.array_equal(first, initial_weights(recipe)["fc1.weight"])
    assert np.array_equal(
        first, initial_weights(Recipe(network="8", batch_size=7, learning_rate=1))["fc1.weight"]
    )
    drawn = [
        recipe_weights["fc1.weight"]
        for recipe_weights in (
            initial_weights(recipe),
            initial_weights(Recipe(network="8", seed=1)),
            initial_weights(recipe, "reinit", 1),
            initial_weights(recipe, "reinit", 2),
        )
    ]
    for one, other in combinations(drawn, 2):
        # Of 6,272 float32 in one, a few are in the other too: they have 2^24 values.
        assert np.isin(one, other).mean() < 0.01


@pytest.mark.parametrize("width", ["0.25", "0.5"])
def test_a_narrow_network_with_strides_has_the_gradient_of_float64(width):
    recipe = Recipe(network=f"resnet-20 x{width}")
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.randn(8, 784, generator=draw), torch.arange(8)
    found = {}
    for kind in (torch.float32, torch.float64):
        model = build(recipe)
        load(model, initial_weights(recipe))
        model.to(kind)
        nn.functional.cross_entropy(model(images.to(kind)), labels).backward()
        found[kind] = {name: one.grad.double() for name, one in model.named_parameters()}
    for name, exact in found[torch.float64].items():
        off = (found[torch.float32][name] - exact).norm() / exact.norm()
        assert off < 1e-3, name
