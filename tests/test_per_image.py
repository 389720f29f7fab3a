"""Second derivatives and what weights read, against their definitions in double precision."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

import lottery_core as lt
from lottery_core.spec.recipe import Recipe
from lottery_core.training import per_image
from lottery_core.training.models import build, initial_weights, load
from lottery_core.training.torch_loop import one_torch_thread
from tests.networks import masked, masks, weights

pytestmark = pytest.mark.usefixtures("forgotten")

FULL, CONV, NORM = "6 5", "3 pool 4@5v pool 7", "norm 4 pool 6 mean"
IMAGES = torch.tensor(np.random.default_rng(3).normal(size=(5, 784)))


class Odd(nn.Module):
    """Groups, strides, a padding that mirrors, a layer that is used twice, and one for each row."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 5, stride=4, padding=2, padding_mode="reflect")
        self.second = nn.Conv2d(4, 6, 3, groups=2, padding="same")
        self.rows = nn.Linear(7, 5)
        self.twice = nn.Linear(5, 5)
        self.out = nn.Linear(6 * 7 * 5, 10)

    def forward(self, images):
        values = torch.relu_(self.second(torch.relu_(self.first(images))))
        values = self.twice(torch.tanh(self.twice(self.rows(values))))
        return self.out(values.flatten(1))


class Turned(nn.Module):
    """A layer that gets row after row, of all images at once."""

    def __init__(self):
        super().__init__()
        self.rows, self.out = nn.Linear(28, 3), nn.Linear(84, 10)

    def forward(self, images):
        return self.out(self.rows(images[:, 0].transpose(0, 1)).transpose(0, 1).flatten(1))


class Tripled(nn.Linear):
    def forward(self, values):
        return super().forward(3 * values)


class Plain(nn.Module):
    def __init__(self, layer=nn.Linear):
        super().__init__()
        self.out = layer(784, 10)

    def forward(self, images):
        return self.out(images.flatten(1))


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """So that no ReLU and no pool hangs on rounding."""
    plain = per_image._evaluated
    monkeypatch.setattr(per_image, "_evaluated", lambda *what: plain(*what).double())
    with one_torch_thread():
        yield


@pytest.fixture(params=[FULL, CONV, NORM, "own"])
def asked(request):
    """(recipe, weights) of a network of which about half is pruned."""
    if request.param == "own":
        recipe = Recipe(network=lt.network("odd", 1, Odd))
        return recipe, initial_weights(recipe)
    recipe = Recipe(network=request.param)
    values = {name: value - np.float32(0.5) for name, value in weights(request.param).items()}
    values |= {name: value for name, value in weights(request.param).items() if "running" in name}
    return recipe, masked(values, masks(request.param))


def evaluated(recipe, values) -> nn.Module:
    model = build(recipe)
    load(model, values)
    return model.double().eval()


def test_gauss_newton_is_the_diagonal_of_its_matrix_summed_image_by_image(asked, monkeypatch):
    monkeypatch.setattr(per_image, "_AT_ONCE", 3)
    monkeypatch.setattr(per_image, "_NUMBERS", 1_000)
    recipe, values = asked
    found = per_image.gauss_newton(recipe, values, IMAGES)
    model = evaluated(recipe, values)
    for name in recipe.shapes:
        expected = 0
        for image in IMAGES:
            logits = model(image[None])[0]
            jacobian = torch.stack(
                [
                    torch.autograd.grad(logit, model.get_parameter(name), retain_graph=True)[0]
                    for logit in logits
                ]
            ).flatten(1)
            p = logits.detach().softmax(0)
            expected += torch.einsum("ci,cd,di->i", jacobian, p.diag() - p.outer(p), jacobian)
        expected = (expected / len(IMAGES)).reshape(recipe.shapes[name]).numpy()
        assert found[name].dtype == np.float64
        assert found[name] == pytest.approx(expected, rel=1e-9, abs=1e-12 * expected.max())


def test_the_inverse_fisher_is_that_of_its_blocks(asked, monkeypatch):
    monkeypatch.setattr(per_image, "_AT_ONCE", 3)
    monkeypatch.setattr(per_image, "_NUMBERS", 1_000)
    monkeypatch.setattr(per_image, "_WEIGHTS", 100)  # layer by layer
    recipe, values = asked
    labels = torch.tensor([3, 1, 4, 1, 5])
    mask = {name: values[name] != 0 for name in recipe.shapes}
    found = per_image.inverse_fisher(recipe, values, mask, IMAGES, labels)
    model = evaluated(recipe, values)
    for name, shape in recipe.shapes.items():
        weight = model.get_parameter(name)
        each = torch.stack(
            [
                torch.autograd.grad(F.cross_entropy(model(one), label), weight)[0] * (weight != 0)
                for one, label in zip(IMAGES.split(1), labels.split(1), strict=True)
            ]
        ).flatten(2)
        assert found[name].shape == shape
        inverse = torch.tensor(found[name]).flatten(1)
        for unit in range(shape[0]):
            for at in range(0, each.shape[2], per_image.BLOCK):
                block = slice(at, at + per_image.BLOCK)
                g = each[:, unit, block]
                fisher = g.T @ g / len(IMAGES) + per_image.DAMPING * torch.eye(g.shape[1])
                expected = fisher.inverse().diagonal()
                torch.testing.assert_close(inverse[unit, block], expected, rtol=1e-6, atol=0)


def test_what_a_weight_reads_are_the_values_it_is_multiplied_with(asked, monkeypatch):
    """The slope of one of the sums that a weight enters is what it is multiplied with there."""
    monkeypatch.setattr(per_image, "_AT_ONCE", 1)
    recipe, values = asked
    model = evaluated(recipe, values)
    expected = {name: np.zeros(shape) for name, shape in recipe.shapes.items()}

    def read_off(name):
        def hook(layer, given, result):
            with torch.enable_grad():
                again = layer.forward(given[0].detach())
                one = again.movedim(1, -1) if isinstance(layer, nn.Conv2d) else again
                sums = one.flatten(0, -2).sum(1)  # of each place: a weight enters one once
                places = [sums[n] for n in range(len(sums))]  # each with a way back of its own
            for place in places:
                slope = torch.autograd.grad(place, layer.weight, retain_graph=True)[0]
                expected[name] += slope.square().numpy()

        return hook

    for name in recipe.shapes:
        model.get_submodule(name.removesuffix(".weight")).register_forward_hook(read_off(name))
    with torch.no_grad():
        model(IMAGES[:2])
    found = per_image.squared_inputs(recipe, values, IMAGES[:2])
    for name, squares in expected.items():
        assert found[name].shape == squares.shape
        assert found[name] == pytest.approx(squares, rel=1e-9, abs=1e-12)


def test_a_layer_that_is_more_than_a_product_has_its_own_slopes():
    plain, tripled = (
        Recipe(network=lt.network(f"net-{n}", 1, partial(Plain, layer)))
        for n, layer in enumerate((nn.Linear, Tripled))
    )
    values = initial_weights(plain)
    found = per_image.gauss_newton(tripled, values, IMAGES)["out.weight"]
    expected = per_image.gauss_newton(plain, values, 3 * IMAGES)["out.weight"]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("found", [per_image.gauss_newton, per_image.inverse_fisher])
def test_no_gradient_of_a_fully_connected_network_is_made_image_by_image(found, monkeypatch):
    """Products do, in a hundredth of the time."""
    monkeypatch.setattr(per_image, "_each_gradient", None)
    recipe = Recipe(network=FULL)
    start = initial_weights(recipe)
    more = (masks(FULL), torch.arange(5)) if found is per_image.inverse_fisher else ()
    values = found(recipe, start, *more[:1], IMAGES, *more[1:])
    assert all(np.isfinite(values[name]).all() for name in recipe.shapes)


def test_a_layer_that_does_not_get_image_after_image_has_no_second_derivatives_of_images():
    recipe = Recipe(network=lt.network("turned", 1, Turned))
    with pytest.raises(lt.InvalidValue, match=r"gives rows\.weight something else .* choose anoth"):
        per_image.gauss_newton(recipe, initial_weights(recipe), IMAGES)
    norms = per_image.squared_inputs(recipe, initial_weights(recipe), IMAGES)["rows.weight"]
    rows = IMAGES.reshape(-1, 28).square().sum(0).numpy()
    assert norms == pytest.approx(np.tile(rows, (3, 1)))
