"""The compiled loop computes what torch does, in either form, and holds no pruned weight."""

import functools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery_core.data import Data, load_data
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.training import sparse_loop, torch_loop
from lottery_core.training.base import Training, TrainingDiverged, batch_order
from lottery_core.training.models import initial_weights
from lottery_core.training.sparse_loop import SparseNetwork, one_blas_thread
from lottery_core.training.torch_loop import TorchNetwork, one_torch_thread
from tests.images import images_of
from tests.reference import Reference, bias_of, judged, logits, slopes
from tests.rounds import prune

NOTEBOOK = Recipe()
LENET = Recipe(
    network="300 100", init="glorot", optimiser="adam", momentum=0, learning_rate=0.0012,
    batch_size=60,
)  # fmt: skip
RECIPES = {
    "notebook": NOTEBOOK,
    "notebook, plain SGD": replace(NOTEBOOK, momentum=0),
    "notebook, weight decay": replace(NOTEBOOK, weight_decay=0.01),
    "notebook, schedule": replace(NOTEBOOK, warmup=20, decay_at=(10, 50)),
    "LeNet-300-100": LENET,
    "LeNet-300-100, weight decay": replace(LENET, weight_decay=0.01),
    "LeNet-300-100, schedule": replace(LENET, warmup=20, decay_at=(10, 50)),
}
DENSITIES = (1, 0.36, 0.0467)
EDGE = 2e-5  # of these networks float32 is off by less than 1e-5 before a ReLU


def nobody(moment):
    """Nobody looks."""


def start_of(recipe, density):
    """(masked initial weights, mask) of a network pruned by its initial magnitudes."""
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    if density < 1:
        (step,) = rounds_of([1 - density])
        mask = prune(Evidence(weights, weights, mask), step)
    return apply(weights, mask), mask


# Small networks of any shape, and data in which float32 loses nothing on the way forward


@st.composite
def networks(draw):
    """(recipe, masked weights, mask, forms, source of chance)."""
    hidden = " ".join(map(str, draw(st.lists(st.integers(1, 40), max_size=3)))) or "none"
    recipe = Recipe(
        network=hidden, validation_size=0, momentum=0.5, batch_size=draw(st.integers(1, 100))
    )
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights, mask, forms = {}, {}, {}
    for name, shape in recipe.shapes.items():
        kept = chance.random(shape) < draw(st.sampled_from([0, 0.01, 0.1, 0.5, 1]))
        if draw(st.booleans()):  # units that read nothing, and some that nothing reads
            kept[chance.random(shape[0]) < 0.3] = False
            kept[:, chance.random(shape[1]) < 0.3] = False
        # Products and sums of such numbers are exact: no ReLU opens by rounding alone.
        weights[name] = chance.integers(-8, 9, shape) * np.float32(1 / 32) * kept
        weights[bias_of(name)] = chance.integers(-8, 9, shape[0]) * np.float32(1 / 32)
        mask[name], forms[name] = kept, draw(st.booleans())
    return recipe, weights, mask, forms, chance


def data_of(recipe, chance, count=150):
    """`count` images of pixels 0 and ±1, three in four of them 0, that stand for all."""
    images = chance.choice(np.array([0, 0, 0, 0, 0, 0, -1, 1], np.float32), (count, 784))
    labels = chance.integers(0, 10, count)
    index = np.arange(recipe.train_size) % count
    images = images_of(images)
    return Data(images, labels, index, np.arange(0), images, labels, "")


def held(network):
    """By name, which weights and biases the network holds at all."""
    before = network.net.parameters.copy()
    network.net.parameters[:] = np.nan
    found = {name: np.isnan(values) for name, values in network.weights().items()}
    network.net.parameters[:] = before
    return found


def gradient_of(network):
    """The gradient of the first step, of which momentum 0.5 leaves exactly half for the next;
    0 for what the network does not hold."""
    places = held(network)
    network.net.parameters[:] = 2 * network.net.gradient
    found = network.weights()
    return {name: np.where(places[name], values, 0) for name, values in found.items()}


def added(recipe, weights, images, labels):
    """By name, the sums that make the gradient, with every term positive.

    Terms may cancel; what float32 loses is a share of what was added, not of what is left.
    """
    inputs = [images.astype(np.float64)]
    for name in list(recipe.shapes)[:-1]:
        inputs.append(np.maximum(inputs[-1] @ weights[name].T + weights[bias_of(name)], 0))
    powers = np.exp(logits(weights, images))
    delta = (powers / powers.sum(axis=1, keepdims=True) + np.eye(10)[labels]) / len(labels)
    found = {}
    for name, values in zip(reversed(recipe.shapes), reversed(inputs), strict=True):
        found[name], found[bias_of(name)] = delta.T @ np.abs(values), delta.sum(axis=0)
        delta = delta @ np.abs(weights[name]) * (values > 0)
    return found


@given(networks())
@settings(max_examples=100)
def test_gradients_are_those_of_autograd_for_any_shape_mask_form_and_batch(drawn):
    recipe, weights, mask, forms, chance = drawn
    data = data_of(recipe, chance)
    network = SparseNetwork(recipe, weights, mask, forms)
    network.attach(data)
    losses = np.zeros(1, np.float32)
    network.steps(0, 0, losses)

    batch = data.train_index[batch_order(recipe, 0)[: recipe.batch_size]]
    images, labels = data.images[batch], data.labels[batch]
    loss, expected, _ = slopes(recipe, weights, images, labels)
    assert losses[0] == pytest.approx(loss, rel=1e-6, abs=1e-6)
    found, terms = gradient_of(network), added(recipe, weights, images, labels)
    for name, kept in mask.items():
        for part, where in ((name, kept), (bias_of(name), np.ones(len(kept), bool))):
            error = np.abs(found[part] - expected[part])
            assert (error <= 2e-6 * terms[part])[where].all(), part


@given(networks())
def test_a_network_that_took_no_step_gives_back_the_weights_it_was_given(drawn):
    recipe, weights, mask, forms, _ = drawn
    found = SparseNetwork(recipe, weights, mask, forms).weights()
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


@given(networks())
def test_the_sparse_form_holds_kept_weights_and_biases_that_can_matter_and_no_other(drawn):
    recipe, weights, mask, _, _ = drawn
    network = SparseNetwork(recipe, weights, mask, dict.fromkeys(mask, True))
    # A unit can matter if its output moves some logit when all weights are 1.
    matters, expected = np.ones(10, bool), {}
    for name, kept in reversed(mask.items()):
        expected[name] = kept & matters[:, None]
        expected[bias_of(name)] = matters
        matters = expected[name].any(axis=0)
    found = held(network)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert len(network.net.parameters) == sum(places.sum() for places in expected.values())


@given(networks(), st.integers(1, 150))
@settings(max_examples=50)
def test_logits_are_those_of_float64_for_any_number_of_images(drawn, count):
    recipe, weights, mask, forms, chance = drawn
    images = data_of(recipe, chance, count).images[:]
    found = SparseNetwork(recipe, weights, mask, forms).predict(images)
    assert found == pytest.approx(logits(weights, images), rel=1e-6, abs=1e-6)


# Agreement with float64


def float32(arrays):
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def compiled_from(reference, forms=None):
    """The compiled loop where the reference stands, moments included."""

    def packed(arrays):
        return SparseNetwork(recipe, float32(arrays), reference.mask, forms).net.parameters

    recipe = reference.recipe
    network = SparseNetwork(recipe, float32(reference.weights), reference.mask, forms)
    network.attach(reference.data)
    if recipe.optimiser == "sgd":
        network.net.gradient[:] = np.float32(recipe.momentum) * packed(reference.mean)
    else:
        network.net.mean[:] = packed(reference.mean)
        network.net.square[:] = packed(reference.square)
    network._steps = reference.steps
    return network


def torch_from(reference):
    """torch's loop where the reference stands, moments included."""
    recipe, weights = reference.recipe, float32(reference.weights)
    network = TorchNetwork(Training(recipe, weights, reference.mask), reference.data, "cpu")
    optimiser = network._optimiser
    for n, (name, _) in enumerate(network._model.named_parameters()):
        moments = (reference.mean, reference.square) if recipe.optimiser == "adam" else ()
        moments = moments or ((reference.mean,) if recipe.momentum else ())
        for sums, moment in zip(optimiser.sums, moments, strict=False):
            sums[n].copy_(torch.from_numpy(moment[name].astype(np.float32)))
        optimiser.taken[n].fill_(reference.steps)
    return network


def assert_landed(network, reference):
    """Every weight is where the reference is, to a millionth of the largest of its array."""
    found = network.weights()
    for name, expected in reference.weights.items():
        allowed, slack = 1e-6 * np.abs(expected).max(), reference.slack(name)
        assert (np.abs(found[name] - expected) <= allowed + slack).all(), name
        if name in reference.mask:
            assert (slack <= allowed).mean() > 0.9, "what is allowed would hide a fault"


# At each density once with either optimiser; what else a recipe may say at one of them.
MOMENTS_OF = [
    pytest.param(recipe, density, id=f"{name}-{density}")
    for name, recipe in RECIPES.items()
    for density in (DENSITIES if recipe in (NOTEBOOK, LENET) else DENSITIES[1:2])
]


# A step at which rounding could open a ReLU shows nothing: then it is the next.
@pytest.mark.parametrize(("recipe", "density"), MOMENTS_OF)
def test_from_any_moment_of_a_training_both_loops_take_the_step_that_float64_takes(
    recipe, density, mnist
):
    reference = Reference(recipe, *start_of(recipe, density), mnist)
    moments = [0, 1, 10, 60]  # after all that the schedules change
    while moments:
        networks = []
        if reference.iteration >= moments[0]:
            networks = [compiled_from(reference), torch_from(reference)]
        losses = np.zeros((2, 1), np.float32)
        with one_blas_thread(), one_torch_thread():
            for network, loss in zip(networks, losses, strict=False):
                network.steps(0, reference.iteration, loss)
        expected = reference.step()
        if networks and reference.edge > EDGE:
            del moments[0]
            assert losses == pytest.approx(expected, rel=2e-6)
            for network in networks:
                assert_landed(network, reference)
    assert reference.iteration < 100


@pytest.mark.parametrize("form", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 60, 64, 65, 100, 130])
def test_no_batch_size_is_special(batch_size, form, mnist):
    recipe = replace(NOTEBOOK, network="24 12", batch_size=batch_size)
    reference = Reference(recipe, *start_of(recipe, 0.36), mnist)
    compared = 0
    while compared < 3:
        network = compiled_from(reference, dict.fromkeys(reference.mask, form))
        loss = np.zeros(1, np.float32)
        with one_blas_thread():
            network.steps(0, reference.iteration, loss)
        expected = reference.step()
        if reference.edge > EDGE:
            compared += 1
            assert loss[0] == pytest.approx(expected, rel=2e-6)
            assert_landed(network, reference)


@pytest.mark.parametrize("density", DENSITIES)
def test_both_loops_judge_as_float64_does(density, datasets):
    mnist = load_data(LENET, datasets)  # all of it is looked at in parts
    start, mask = start_of(LENET, density)
    compiled = SparseNetwork(LENET, start, mask)
    compiled.attach(mnist)
    held_out = mnist.validation_index
    expected = [
        judged(start, mnist.images[held_out], mnist.labels[held_out]),
        judged(start, mnist.test_images[:], mnist.test_labels),
    ]
    for network in (compiled, TorchNetwork(Training(LENET, start, mask), mnist, "cpu")):
        looks = []
        with one_blas_thread(), one_torch_thread():
            found = network.evaluate(functools.partial(looks.append, 1))
        for (loss, accuracy), (true_loss, true_accuracy, level) in zip(
            found, expected, strict=True
        ):
            assert loss == pytest.approx(true_loss, rel=1e-6)
            assert abs(accuracy - true_accuracy) <= level < 0.001
        assert len(looks) >= 15  # a cancel is noticed on the way


def test_a_step_after_a_judgement_is_the_same_as_without_it(mnist):
    recipe = replace(NOTEBOOK, network="24 12")
    ends = []
    for looked in (False, True):
        network = SparseNetwork(recipe, *start_of(recipe, 0.36))
        network.attach(mnist)
        for n in range(3):
            network.steps(0, n, np.zeros(1, np.float32))
            if looked:
                network.evaluate(lambda: None)
                network.predict(mnist.test_images[:100])
        ends.append(network.weights())
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])


# Units without a way in or out


@pytest.fixture
def with_idle_units():
    """Makes (start, mask) with hidden units 0 to 3 of layer 1 and 0 to 1 of layer 2 leading
    nowhere, and unit 5 of layer 1 reading nothing."""

    def make(recipe):
        start, mask = start_of(recipe, 0.5)
        mask["fc2.weight"][:, :4] = False
        mask["fc3.weight"][:, :2] = False
        mask["fc1.weight"][5] = False
        mask["fc2.weight"][2:, 5] = True
        return apply(initial_weights(recipe) | start, mask), mask

    return make


IDLE = {"fc1.weight": np.s_[:4], "fc1.bias": np.s_[:4], "fc2.weight": np.s_[:2],
        "fc2.bias": np.s_[:2]}  # fmt: skip


@pytest.mark.parametrize("form", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("changes", [{}, {"optimiser": "adam", "momentum": 0}], ids=["SGD", "Adam"])
def test_units_that_lead_nowhere_stay_what_they_are(changes, form, mnist, with_idle_units):
    recipe = replace(NOTEBOOK, network="24 12", iterations=20, learning_rate=0.001, **changes)
    start, mask = with_idle_units(recipe)
    end = sparse_loop.train(
        Training(recipe, start, mask), mnist, nobody, forms=lambda mask: dict.fromkeys(mask, form)
    ).weights
    for name, where in IDLE.items():
        assert start[name][where].any()
        assert np.array_equal(end[name][where], start[name][where])


@pytest.mark.parametrize("form", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("changes", [{}, {"optimiser": "adam", "momentum": 0}], ids=["SGD", "Adam"])
def test_units_that_lead_nowhere_decay_all_the_same(changes, form, mnist, with_idle_units):
    recipe = replace(
        NOTEBOOK, network="24 12", iterations=20, learning_rate=0.001, weight_decay=0.1, **changes
    )
    start, mask = with_idle_units(recipe)
    end = sparse_loop.train(
        Training(recipe, start, mask), mnist, nobody, forms=lambda mask: dict.fromkeys(mask, form)
    ).weights
    expected = trained_in_float64(recipe, start, mask, mnist)
    for name, where in IDLE.items():
        # Each of 20 steps rounds once, by 6e-8 at most. No other unit has a part in it.
        scale = float(np.abs(expected[name][where]).max())
        assert end[name][where] == pytest.approx(expected[name][where], abs=2e-6 * scale)
        moving = start[name][where] != 0
        assert (end[name][where] != start[name][where])[moving].all()


def trained_in_float64(recipe, start, mask, data):
    reference = Reference(recipe, start, mask, data)
    while reference.iteration < recipe.iterations:
        reference.step()
    return reference.weights


@pytest.mark.parametrize("form", [True, False], ids=["sparse", "dense"])
def test_a_unit_that_reads_nothing_trains_its_bias(form, mnist, with_idle_units):
    recipe = replace(NOTEBOOK, network="24 12", iterations=20)
    start, mask = with_idle_units(recipe)
    start["fc1.bias"][5] = 0.5  # open for every image
    forms = dict.fromkeys(mask, form)
    end = sparse_loop.train(
        Training(recipe, start, mask), mnist, nobody, forms=lambda mask: forms
    ).weights
    expected = trained_in_float64(recipe, start, mask, mnist)
    # Of 640 images one may open another unit by rounding alone: it has little say.
    assert abs(expected["fc1.bias"][5] - 0.5) > 1e-4
    assert end["fc1.bias"][5] - 0.5 == pytest.approx(expected["fc1.bias"][5] - 0.5, rel=0.01)
    assert not end["fc1.weight"][5].any()


# Divergence


# Weight decay makes it certain: each step turns every weight into -9 times itself.
DIVERGING = replace(NOTEBOOK, learning_rate=10, weight_decay=1, iterations=500)


@pytest.mark.parametrize("density", [1, 0.36])
def test_both_loops_name_the_first_iteration_whose_loss_is_no_longer_finite(density, mnist):
    start, mask = start_of(DIVERGING, density)
    compiled = SparseNetwork(DIVERGING, start, mask)
    compiled.attach(mnist)
    torchs = TorchNetwork(Training(DIVERGING, start, mask), mnist, "cpu")
    for network, train in ((compiled, sparse_loop.train), (torchs, torch_loop.train)):
        with pytest.raises(TrainingDiverged) as caught:
            train(Training(DIVERGING, start, mask), mnist, nobody)
        where = re.search(r"from iteration ([\d,]+) on; choose a", str(caught.value))[1]
        losses = np.zeros(500, np.float32)
        with one_blas_thread(), one_torch_thread():
            network.steps(0, 0, losses)
        first = int(np.argmin(np.isfinite(losses)))
        assert int(where) == first > 0


def test_losses_after_the_first_that_is_not_finite_are_not_finite_either(mnist):
    network = SparseNetwork(DIVERGING, *start_of(DIVERGING, 0.36))
    network.attach(mnist)
    losses = np.zeros(200, np.float32)
    network.steps(0, 0, losses)
    first = int(np.argmin(np.isfinite(losses)))
    assert 0 < first < 199
    assert not np.isfinite(losses[first:]).any()
