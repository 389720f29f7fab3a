"""A network is what its text says, in words, in torch and in NumPy alike."""

import math

import numpy as np
import pytest
import torch

from lottery_core.findings.forward import logits
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.networks import network
from lottery_core.spec.notation import NAMED, called, shortest
from lottery_core.training.models import Model, load

GREY, COLOUR = (1, 28, 28), (3, 32, 32)


# Counted by hand from the papers' tables: weights of convolutions and fully connected layers.
@pytest.mark.parametrize(
    ("name", "image", "weights"),
    [
        ("notebook", GREY, 784 * 128 + 128 * 64 + 64 * 10),
        ("lenet-300-100", GREY, 266_200),
        ("lenet-5", GREY, 150 + 2_400 + 400 * 120 + 120 * 84 + 840),
        ("conv-2", COLOUR, 4_300_992),
        ("conv-4", COLOUR, 2_425_024),
        ("conv-6", COLOUR, 2_261_184),
        ("vgg-16", COLOUR, 14_710_464 + 5_120),
        # 3x3 layers of He et al. 2016, the output layer, and two shortcuts of 1x1.
        ("resnet-20", COLOUR, 432 + 6 * 2_304 + 4_608 + 5 * 9_216 + 18_432 + 5 * 36_864
         + 640 + 512 + 2_048),
    ],
)  # fmt: skip
def test_named_networks_have_the_weights_that_their_papers_count(name, image, weights):
    assert network(name, image, 10).weights_total == weights


@pytest.mark.parametrize("image", [GREY, COLOUR, (3, 64, 64)])
@pytest.mark.parametrize("name", [*NAMED, "vgg-16 x0.25", "8@5 16@3v pool 12 mean", "none"])
def test_parameters_shapes_and_multiply_adds_are_torchs_own(name, image):
    value = network(name, image, 7)
    model, stored = Model(value).eval(), value.parameters | value.buffers
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == value.parameters
    assert {n: tuple(b.shape) for n, b in model.named_buffers()} == value.buffers
    work, shapes = {}, []

    def count(layer, inputs, result):
        places = math.prod(result.shape[2:])
        work[layer] = layer.weight.numel() * places
        shapes.append(tuple(result.shape[1:]))

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        load(model, {n: np.ones(s, np.float32) for n, s in stored.items()})
        assert model(torch.zeros(1, *image)).shape == (1, 7)
    assert sum(work.values()) == value.multiply_adds()
    assert shapes == [at.shape for at in value.operations if at.kind in ("conv", "fc")]


@pytest.mark.parametrize(
    "text", ["lenet-5", "norm 6@5 16@3v pool 11", "resnet-8 x0.5", "norm 8 pool 9 mean", "20"]
)
def test_numpy_answers_as_torch_does_in_float64(text):
    value, chance = network(text, (3, 12, 12), 5), np.random.default_rng(0)
    weights = {
        name: chance.uniform(0.2, 1.5, shape) if name.endswith("var") else chance.normal(size=shape)
        for name, shape in (value.parameters | value.buffers).items()
    }
    model = Model(value).double().eval()
    load(model, weights)
    images = chance.normal(size=(9, 3, 12, 12))
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits(value, weights, images), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMED)
def test_a_network_has_one_shortest_text_however_it_is_written(name):
    text = shortest(name)
    assert shortest(text) == shortest(f" {text.upper()} ") == shortest(text.replace(" ", ", "))
    assert network(name, COLOUR, 10) == network(text, COLOUR, 10)
    assert network(text, COLOUR, 10).title == name


def test_a_width_factor_multiplies_all_widths_and_is_part_of_the_shortest_text():
    assert shortest("conv-2 x0.5") == "32 32 pool 128 128"
    assert shortest("128,64 x2") == "256 128"
    assert shortest("resnet-20 x0.5") == "resnet-20 x0.5"
    for text in ("conv-2 x0.5", "vgg-16 x0.3", "lenet-5 x2", "resnet-20 x0.25", "vgg-16"):
        assert network(text, COLOUR, 10).title == called(shortest(text)) == text
    # Nearly: one layer is wider than the factor makes it.
    assert called("32 32 pool 128 129") == "32 32 pool 128 129"
    narrow, whole = (network(text, COLOUR, 10) for text in ("resnet-20 x0.5", "resnet-20"))
    assert narrow.shapes["conv1.weight"] == (8, 3, 3, 3)
    assert narrow.weights_total < 0.27 * whole.weights_total


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("64 pool pool pool pool pool pool", "only one pixel is left"),
        ("64 bool 10", "has 'bool', which is none of"),
        ("6@4 pool 3", "kernel of 4; it must be odd"),
        ("64 64@5", "after its last pool"),
        ("norm 64", "batch norm without a convolution"),
        ("resnet-19", "must be 6n [+] 2"),
        ("99999", "must be from 1 to 2,048"),
        ("0 pool", "must be from 1 to 2,048"),
        ("mean 64 pool", "a mean before its last pool"),
        ("conv-2 x0", "width factor"),
        ("9@11v 9@11v 9@11v 9@11v pool", "only .* pixels are left"),
        ("1 " * 61, "has 62 layers"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_network_is_refused_with_the_rule(text, rule):
    with pytest.raises(InvalidValue, match=rule) as refused:
        network(text, COLOUR, 10)
    assert refused.value.field == "network"
