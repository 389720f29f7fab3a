"""The compiled loop computes what torch does of any network: convolutions, batch norm, shortcuts,
pools, moved and coloured images; and holds no pruned weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data, Images
from lottery_core.method.masks import apply, dense_mask
from lottery_core.running.engine import run
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.training import calibration, sparse_loop
from lottery_core.training.augmentation import Moves, moved
from lottery_core.training.base import Training, batch_order
from lottery_core.training.context import Context
from lottery_core.training.convolution import steps
from lottery_core.training.convolution.loop import ConvolutionalNetwork
from lottery_core.training.models import build, initial_weights
from lottery_core.training.torch_loop import one_torch_thread

CHAIN = Recipe(network="6 pool 8 pool 12", validation_size=0, batch_size=20, momentum=0.5)
NORMED = replace(CHAIN, network="resnet-8 x0.25")
COUNT = 60  # images that stand for all


def nobody(moment):
    """Nobody looks."""


def data_for(recipe, chance):
    """Images of pixels 0 and ±1, three in four of them 0."""
    channels, rows, columns = recipe.net.input
    pixels = chance.integers(0, 8, (COUNT, channels * rows * columns)).astype(np.uint8)
    values = np.zeros((channels, 256), np.float32)
    values[:, 6], values[:, 7] = 1, -1
    values[1:] *= 2  # each channel has its own
    values = values if channels > 1 else values[0]
    images = Images(pixels, values, np.ones(COUNT, np.float32))
    labels = chance.integers(0, recipe.net.classes, COUNT)
    index = np.arange(recipe.train_size) % COUNT
    return Data(images, labels, index, np.arange(7), images.take(slice(13)), labels[:13], "")


def numbers_for(recipe, chance):
    """Weights by name, of which no ReLU is opened by rounding alone."""
    weights = {}
    for name, shape in (recipe.net.parameters | recipe.net.buffers).items():
        if "norm" not in name:  # products and sums of such numbers are exact
            weights[name] = chance.integers(-8, 9, shape) * np.float32(1 / 32)
        elif name.endswith(".bias"):
            # Normed numbers are a few units large: all of a channel are above 0, or none.
            weights[name] = chance.choice(np.array([40, 50, -90], np.float32), shape)
        elif name.endswith("running_mean"):
            weights[name] = chance.normal(0, 0.1, shape).astype(np.float32)
        else:
            weights[name] = chance.uniform(0.5, 1.5, shape).astype(np.float32)
    return weights


def mask_for(recipe, chance, densities):
    """A mask, by chance with channels that read nothing and others that nobody reads."""
    mask = {}
    for name, shape in recipe.shapes.items():
        kept = chance.random(shape) < chance.choice(densities)
        if chance.random() < 0.5:
            kept[chance.random(shape[0]) < 0.3] = False
            kept[:, chance.random(shape[1]) < 0.3] = False
        mask[name] = kept
    return mask


@st.composite
def networks(draw):
    """(recipe, masked weights, mask, forms, data)."""
    words = []
    for _ in range(draw(st.integers(0, 2))):
        kernel = draw(st.sampled_from(["", "@1", "@5", "@5v", "@7", "@3v"]))
        words += [f"{draw(st.integers(1, 6))}{kernel}", *draw(st.sampled_from([[], ["pool"]]))]
    words += [draw(st.sampled_from(["pool", "mean"])), *draw(st.sampled_from([[], ["5"]]))]
    text = " ".join(words)
    if draw(st.booleans()):
        text = draw(st.sampled_from(["norm 4 pool 3@5v mean 6", "resnet-8 x0.2", "norm 3@1 pool"]))
    recipe = Recipe(
        network=text,
        dataset=draw(st.sampled_from(["mnist", "cifar-10"])),
        validation_size=0,
        momentum=0.5,
        batch_size=draw(st.integers(1, 40)),
        augmentation=draw(st.sampled_from(["none", "flip-shift"])),
    )
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = mask_for(recipe, chance, [0, 0.05, 0.3, 1])
    forms = {name: draw(st.booleans()) for name in mask}
    return recipe, apply(numbers_for(recipe, chance), mask), mask, forms, data_for(recipe, chance)


def in_float64(recipe, weights):
    """(torch's module, parameters and buffers that it is called with)."""
    there = {name: torch.from_numpy(value.astype(np.float64)) for name, value in weights.items()}
    for name in recipe.net.parameters:
        there[name].requires_grad_()
    return build(recipe).double(), there


def first_batch(recipe, data):
    """(images as they are shown, labels), of the first batch."""
    chosen = data.train_index[batch_order(recipe, 0)[: recipe.batch_size]]
    images, labels = torch.from_numpy(data.images[chosen]), torch.from_numpy(data.labels[chosen])
    if moves := Moves.of(recipe, 0):
        black = torch.from_numpy(data.images.values.reshape(-1, 256)[:, 0])
        shaped = images.reshape(-1, *recipe.net.input)
        parts = (part[: recipe.batch_size] for part in moves.on("cpu"))
        images = moved(shaped, *parts, black).flatten(1)
    return images.double(), labels


def slopes(recipe, weights, data):
    """(mean loss of the first batch, its gradient by name, batch norm's memory after it)."""
    model, there = in_float64(recipe, weights)
    images, labels = first_batch(recipe, data)
    with one_torch_thread():
        loss = F.cross_entropy(functional_call(model.train(), there, (images,)), labels)
        loss.backward()
    gradient = {name: there[name].grad.numpy() for name in recipe.net.parameters}
    return loss.item(), gradient, {name: there[name].numpy() for name in recipe.net.buffers}


def answers(recipe, weights, images):
    """Logits in float64, by what batch norm remembers."""
    model, there = in_float64(recipe, weights)
    with torch.no_grad(), one_torch_thread():
        return functional_call(model.eval(), there, (torch.from_numpy(images).double(),)).numpy()


def by_name(network, part, other=0.0):
    """An array of the network's as weights by name; `other` for what it does not hold."""
    found = {name: np.full_like(value, other) for name, value in network.weights().items()}
    for places, net in network.parts:
        for name, place, where in places:
            found[name][place] = getattr(net, part)[where].reshape(found[name][place].shape)
    return found


def assert_close(found, expected, mask):
    """To rounding: of the sums that make a gradient, the largest anywhere may have cancelled."""
    most = max(np.abs(values).max() for values in expected.values())
    for name, values in expected.items():
        allowed = 2e-5 * np.abs(values).max() + 2e-6 * most
        error = np.abs(found[name] - values) * mask.get(name, 1)  # holes of dense layers have one
        assert error.max() <= allowed, name


@given(networks())
@settings(max_examples=80)
def test_gradients_are_those_of_autograd_for_any_network_mask_form_and_batch(drawn):
    recipe, weights, mask, forms, data = drawn
    network = ConvolutionalNetwork(recipe, weights, mask, forms)
    network.attach(data)
    losses = np.zeros(1, np.float32)
    network.steps(0, 0, losses)
    loss, gradient, remembered = slopes(recipe, weights, data)
    assert losses[0] == pytest.approx(loss, rel=2e-6, abs=2e-6)
    # Of the first step momentum 0.5 leaves exactly half for the next.
    found = {name: 2 * values for name, values in by_name(network, "gradient").items()}
    assert_close(found, gradient, mask)
    live = by_name(network, "gradient", np.nan)
    for name, values in remembered.items():
        norm = name.rpartition(".")[0]
        held = ~np.isnan(live[f"{norm}.bias"])  # no channel that leads nowhere
        assert network.weights()[name][held] == pytest.approx(values[held], rel=1e-5, abs=1e-6)
    after = network.weights()
    assert not any(after[name][~kept].any() for name, kept in mask.items())


@given(networks(), st.integers(1, COUNT))
@settings(max_examples=40)
def test_logits_are_those_of_float64_for_any_number_of_images(drawn, count):
    recipe, weights, mask, forms, data = drawn
    images = data.images[:count]
    expected = answers(recipe, weights, images)
    for network in (
        ConvolutionalNetwork(recipe, weights, mask, forms),
        ConvolutionalNetwork(replace(recipe, batch_size=1), weights, mask, forms, trains=False),
    ):
        found = network.predict(images)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5 * np.abs(expected).max())


@given(networks())
@settings(max_examples=20)
def test_a_network_that_took_no_step_gives_back_the_weights_it_was_given(drawn):
    recipe, weights, mask, _, _ = drawn
    recipe = replace(recipe, weight_decay=0.1)  # what leads nowhere is held too
    network = ConvolutionalNetwork(recipe, weights, mask, dict.fromkeys(mask, True))
    found = network.weights()
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    held = by_name(network, "parameters", np.nan)
    for name in recipe.net.parameters:
        kept = mask.get(name, np.ones(held[name].shape, bool))
        assert np.array_equal(~np.isnan(held[name]), kept)


OPTIMISERS = {
    "SGD": {"momentum": 0.9},
    "SGD, decay": {"momentum": 0.9, "weight_decay": 0.01},
    "SGD, schedule": {"momentum": 0.9, "warmup": 20, "decay_at": (10, 50)},
    "Adam": {"optimiser": "adam", "momentum": 0},
    "Adam, decay": {"optimiser": "adam", "momentum": 0, "weight_decay": 0.01},
}


@pytest.mark.parametrize("recipe", [CHAIN, NORMED], ids=["chain", "normed"])
@pytest.mark.parametrize("changes", OPTIMISERS.values(), ids=OPTIMISERS)
def test_from_any_moment_it_takes_the_step_that_float64_takes(recipe, changes):
    recipe, before = replace(recipe, learning_rate=0.01, **changes), 12
    chance = np.random.default_rng(0)
    mask = mask_for(recipe, chance, [0.4])
    weights = apply(numbers_for(recipe, chance), mask)
    data = data_for(recipe, chance)
    network = ConvolutionalNetwork(recipe, weights, mask)
    network.attach(data)
    network._steps = before
    for net in (network.net, network.head):
        net.mean[:] = chance.normal(size=len(net.mean))
        net.square[:] = chance.uniform(1, 2, size=len(net.square))
        if recipe.optimiser == "sgd":  # what the last step left of the velocity
            net.gradient[:] = 0.9 * chance.normal(size=len(net.gradient))
    velocity, mean, square = (by_name(network, part) if len(getattr(network.net, part)) else {}
                              for part in ("gradient", "mean", "square"))  # fmt: skip
    network.steps(0, 0, np.zeros(1, np.float32))
    _, gradient, _ = slopes(recipe, weights, data)
    rate = recipe.learning_rates(0, 1)[0]
    found = network.weights()
    for name in recipe.net.parameters:
        slope = gradient[name] + recipe.weight_decay * weights[name].astype(np.float64)
        if recipe.optimiser == "sgd":
            change = velocity[name] + slope
        else:
            middle = 0.9 * mean[name] + 0.1 * slope
            spread = np.sqrt((0.999 * square[name] + 0.001 * slope**2) / (1 - 0.999**13))
            change = middle / (1 - 0.9**13) / (spread + 1e-8)
        expected = (weights[name] - rate * change) * mask.get(name, 1)
        assert found[name] == pytest.approx(expected, abs=1e-6 * np.abs(expected).max()), name


def test_it_judges_as_float64_does_and_lets_a_cancel_through():
    chance = np.random.default_rng(1)
    for recipe in (CHAIN, NORMED):
        weights, data = numbers_for(recipe, chance), data_for(recipe, chance)
        network = ConvolutionalNetwork(recipe, weights, dense_mask(recipe.shapes))
        network.attach(data)
        looks = []
        found = network.evaluate(lambda looks=looks: looks.append(1))
        held_out = data.validation_index
        judged_on = [(data.images[held_out], data.labels[held_out]),
                     (data.test_images[:], data.test_labels)]  # fmt: skip
        for (loss, accuracy), (images, labels) in zip(found, judged_on, strict=True):
            logits = answers(recipe, weights, images)
            labels = torch.from_numpy(labels)
            assert loss == pytest.approx(F.cross_entropy(torch.tensor(logits), labels).item(), 1e-5)
            assert accuracy == (logits.argmax(1) == labels.numpy()).mean()
        assert len(looks) == 2


def test_a_step_after_a_judgement_is_the_same_as_without_it():
    chance = np.random.default_rng(2)
    mask = mask_for(NORMED, chance, [0.4])
    weights, data = apply(numbers_for(NORMED, chance), mask), data_for(NORMED, chance)
    ends = []
    for looked in (False, True):
        network = ConvolutionalNetwork(NORMED, weights, mask)
        network.attach(data)
        for n in range(3):
            network.steps(0, n, np.zeros(1, np.float32))
            if looked:
                network.evaluate(lambda: None)
                network.predict(data.images[:33])
        ends.append(network.weights())
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_what_leads_nowhere_is_not_worked_on():
    recipe = replace(CHAIN, network="4 4 pool 3")
    mask = dense_mask(recipe.shapes)
    mask["conv2.weight"][:, 1] = False  # channel 1 of the first is read by nobody
    mask["conv2.weight"][2] = False  # channel 2 of the second reads nothing
    mask["fc1.weight"][:, : 14 * 14] = False  # channel 0 of the second is not looked at
    network = ConvolutionalNetwork(recipe, initial_weights(recipe), mask)
    images, first, second, pooled = network.net.results
    assert (images["channels"], first["channels"]) == (1, 3)
    assert (second["channels"], pooled["channels"]) == (3, 3)
    held = by_name(network, "parameters", np.nan)
    assert np.array_equal(np.isnan(held["conv1.bias"]), [False, True, False, False])
    weights_held = 3 * 9 + 2 * 3 * 9
    assert len(network.net.offset) == weights_held
    assert len(network.net.parameters) == weights_held + 3 + 3


def test_a_channel_that_reads_nothing_is_a_constant_that_trains():
    recipe = replace(CHAIN, network="4 pool", iterations=3, evaluate_every=3, learning_rate=0.1)
    chance = np.random.default_rng(3)
    mask = dense_mask(recipe.shapes)
    mask["conv1.weight"][1] = False
    weights = apply(numbers_for(recipe, chance), mask)
    weights["conv1.bias"][1] = 0.5
    data = data_for(recipe, chance)
    end = sparse_loop.train(Training(recipe, weights, mask), data, nobody).weights
    assert not end["conv1.weight"][1].any()
    assert abs(end["conv1.bias"][1] - 0.5) > 1e-4


def test_costs_of_convolutions_are_measured_layer_by_layer(mnist):
    recipe = replace(CHAIN, network="3 pool 4", validation_size=5_000)
    costs = calibration._measure(recipe, mnist, lambda: None)
    assert costs.dense.keys() == costs.sparse.keys() == recipe.shapes.keys()
    assert min(costs.torch, costs.compiled, *costs.dense.values()) > 0
    assert all(min(seconds) > 0 for seconds in costs.sparse.values())


def test_every_network_and_data_set_takes_the_code_that_is_compiled(store, mnist):
    recipe = replace(CHAIN, network="3 pool 4", iterations=2, evaluate_every=1, batch_size=16,
                     validation_size=5_000)  # fmt: skip
    levels = run(Experiment(recipe, rounds_of([0.5])), Context(store, loop="compiled"))
    assert [level.info.loop for level in levels] == ["compiled"] * 2
    assert all(not level.end[name][~kept].any() for level in levels
               for name, kept in level.mask.items())  # fmt: skip
    chance = np.random.default_rng(0)
    for other in (NORMED, replace(CHAIN, dataset="cifar-10", augmentation="flip-shift"),
                  replace(CHAIN, network="8", augmentation="shift")):  # fmt: skip
        network = sparse_loop.packed(other, initial_weights(other), dense_mask(other.shapes))
        network.attach(data_for(other, chance))
        network.steps(0, 0, np.zeros(1, np.float32))
        network.evaluate(lambda: None)
        network.predict(data_for(other, chance).images[:3])
    assert len(steps.perform.signatures) == 1
