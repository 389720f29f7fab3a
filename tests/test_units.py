"""Whole units and channels go as the definition says, and what is left is a smaller network that
answers the same."""

import io
import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

import lottery_core as lt
from lottery_core.findings.forward import logits
from lottery_core.findings.unstructured import unstructured_beside
from lottery_core.method.criteria import CRITERIA
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.method.pruning import cut_units
from lottery_core.method.units import read
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import network
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.spec.symmetries import axes_of
from lottery_core.spec.terms import SCOPES_OF_UNITS
from lottery_core.tickets import files
from lottery_core.tickets.smaller import smaller
from lottery_core.training.context import Context
from lottery_core.training.models import Model
from tests.infos import judged_info
from tests.networks import CONVOLUTIONAL
from tests.test_own import Everything

pytestmark = pytest.mark.usefixtures("judged_on_few")

GREY = (1, 28, 28)
NETWORKS = ("9 7", *CONVOLUTIONAL)
each_network = pytest.mark.parametrize("text", NETWORKS)
EACH_UNIT = [name for name, known in CRITERIA.items() if known.takes_units]


def drawn(net, seed=1):
    """Weights in float64, of both signs; batch norm's variances are none below 0."""
    source = np.random.default_rng(seed)
    return {
        name: np.abs(values) if name.endswith("var") else values
        for name, shape in (net.parameters | net.buffers).items()
        for values in [source.normal(size=shape)]
    }


def evidence_of(net, seed=1, mask=None):
    weights, mask = drawn(net, seed), mask or dense_mask(net.shapes)
    return Evidence(weights, apply(weights, mask), mask, axes=axes_of(net))


def kept(mask):
    return sum(int(part.sum()) for part in mask.values())


# What a unit is worth


def test_the_norm_of_a_unit_sums_the_magnitudes_of_what_makes_it():
    net = network("3 2", GREY, 10)
    evidence = evidence_of(net)
    first, second = (evidence.trained[name] for name in ("fc1.weight", "fc2.weight"))
    one, two = CRITERIA["unit-norm"].score(evidence).values()
    assert one == pytest.approx([sum(abs(value) for value in row) for row in first])
    assert two == pytest.approx([sum(abs(value) for value in row) for row in second])


def test_channels_that_shortcuts_add_up_are_one_unit_of_all_layers_that_make_it():
    net = network("resnet-8 x0.25", GREY, 10)
    evidence = evidence_of(net)
    group = evidence.axes["conv1.weight"][0].group
    found = CRITERIA["unit-norm"].score(evidence)[group]
    made = [evidence.trained[f"conv{n}.weight"] for n in (1, 3)]
    assert found == pytest.approx(sum(np.abs(weights).sum((1, 2, 3)) for weights in made))


@pytest.mark.parametrize("text", ["5 4", "4 pool 6@5v pool 12", "norm 4 pool 6 mean"])
def test_the_gradient_of_a_unit_is_its_activation_times_the_loss_by_it(text):
    """By autograd at the results of the ReLUs, over all images and places, in float64."""
    net = network(text, GREY, 10)
    weights, source = drawn(net), np.random.default_rng(5)
    images = torch.tensor(source.normal(size=(6, *GREY)))
    labels = torch.tensor(source.integers(0, 10, 6))
    model = Model(net).double()
    model.load_state_dict(
        {name: torch.tensor(values) for name, values in weights.items()}, strict=False
    )
    at, flow = [], F.relu

    def kept_relu(values):
        at.append(flow(values))
        at[-1].retain_grad()
        return at[-1]

    model._plan = [(kept_relu if f is F.relu else f, *rest) for f, *rest in model._plan]
    F.cross_entropy(model(images), labels).backward()
    slopes = {name: dict(model.named_parameters())[name].grad.numpy() for name in net.shapes}

    class Fixed:
        def of_loss(self, weights, mask):
            return slopes

    found = CRITERIA["unit-gradient"].score(replace(evidence_of(net), slopes=Fixed()))
    for values, scores in zip(at, found.values(), strict=True):
        dims = [n for n in range(values.ndim) if n != 1]
        expected = (values * values.grad).sum(dims).abs().detach().numpy()
        np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-12)


# Which units go


def by_hand(scores, net, axes, most, scope):
    """The mask after taking units one by one until few enough weights are left."""
    share = {group: values / sum(values**2) ** 0.5 for group, values in scores.items()}
    left = {group: np.ones(len(units), bool) for group, units in scores.items()}

    def mask():
        found = dense_mask(net.shapes)
        for name, part in found.items():
            for at in np.ndindex(part.shape):
                for place, axis in zip(at, axes[name], strict=True):
                    part[at] &= axis is None or left[axis.group][place // axis.block]
        return found

    while kept(mask()) > most:
        # Sainte-Lague: the seat that was given out last is the first to go, but for a last one.
        groups = [group for group, units in left.items() if units.sum() > 1]
        group = max(groups, key=lambda g: ((2 * left[g].sum() - 1) / left[g].size, g))
        if scope == "global":
            group = min(groups, key=lambda g: min(share[g][left[g]]))
        left[group][min(np.flatnonzero(left[group]), key=lambda n: scores[group][n])] = False
    return mask()


@each_network
@pytest.mark.parametrize("scope", SCOPES_OF_UNITS)
@pytest.mark.parametrize("sparsity", [0.2, 0.7])
def test_as_few_units_go_as_leave_no_more_weights_than_asked_for(text, sparsity, scope):
    net = network(text, GREY, 10)
    evidence = evidence_of(net)
    found = Round(sparsity, sparsity, scope, "unit-norm").pruned(evidence)
    most = net.weights_total - int(sparsity * net.weights_total)
    scores = CRITERIA["unit-norm"].score(evidence)
    expected = by_hand(scores, net, evidence.axes, most, scope)
    for name, part in found.items():
        np.testing.assert_array_equal(part, expected[name])


@pytest.mark.parametrize("scope", SCOPES_OF_UNITS)
def test_what_is_gone_stays_gone_and_the_last_unit_of_a_layer_stays(scope):
    net = network("9 7", GREY, 10)
    evidence = evidence_of(net)
    before = Round(0.5, 0.5, scope, "unit-norm").pruned(evidence)
    other = replace(evidence_of(net, 2), mask=before)
    after = Round(0.8, 0.8, scope, "unit-norm").pruned(other)
    assert all(not (after[name] & ~before[name]).any() for name in after)
    assert kept(after) < kept(before)
    scores = CRITERIA["unit-norm"].score(other)
    least = cut_units(scores, before, 0, other.axes, together=scope == "global")
    for group, units in read(least, other.axes).items():
        assert units.sum() == 1
        assert units[scores[group].argmax()]
    again = Round(0.5, 0.5, scope, "unit-norm").pruned(other)
    assert kept(again) == kept(before)  # as few as were asked for are left already


def test_a_layer_of_small_weights_loses_no_more_for_it_when_all_are_ranked_together():
    net = network("9 7", GREY, 10)
    evidence = evidence_of(net)
    smaller = dict(evidence.trained) | {"fc1.weight": evidence.trained["fc1.weight"] / 1024}
    step = Round(0.6, 0.6, "global", "unit-norm")
    one, other = (step.pruned(replace(evidence, trained=w)) for w in (evidence.trained, smaller))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_of_equal_units_the_first_go():
    net = network("4", GREY, 10)
    mask, axes = dense_mask(net.shapes), axes_of(net)
    (group,) = read(mask, axes)
    found = cut_units({group: np.ones(4)}, mask, net.weights_total // 2, axes)
    assert read(found, axes)[group].tolist() == [False, False, True, True]


def test_how_many_units_go_depends_on_no_weight_so_that_seeds_compare():
    net = network("resnet-8 x0.25", GREY, 10)
    step = Round(0.6, 0.6, criterion="unit-norm")
    one, other = (step.pruned(evidence_of(net, seed)) for seed in (1, 2))
    assert {n: part.sum() for n, part in one.items()} == {
        n: part.sum() for n, part in other.items()
    }
    assert any((one[name] != other[name]).any() for name in one)


# What is refused


@pytest.mark.parametrize("criterion", EACH_UNIT)
def test_what_means_nothing_for_units_is_refused_with_a_remedy(criterion):
    for scope in ("erk", "balanced"):
        with pytest.raises(InvalidValue, match=rf"^scope='{scope}' .* one of layerwise, global$"):
            Round(0.5, 0.5, scope, criterion)
    with pytest.raises(InvalidValue, match=r"^output_sparsity=0\.4 must equal sparsity=0\.5"):
        Round(0.5, 0.4, criterion=criterion)
    with pytest.raises(InvalidValue, match=r"^layers=.* leave them out"):
        Round(0.5, 0.5, criterion=criterion, layers=(("fc1.weight", 0.1),))
    with pytest.raises(InvalidValue, match=r"^output_factor=0\.5 cannot apply .* leave it out$"):
        rounds_of([0.5], output_factor=0.5, scope="global", criterion=criterion)


def test_a_sparsity_beyond_the_last_units_is_refused_with_the_most_there_is():
    recipe = Recipe(network="2")  # 1,588 weights, of which one unit has 794
    Experiment(recipe, rounds_of([0.5], criterion="unit-norm"))
    with pytest.raises(InvalidValue, match=r"sparsities=0\.6 .* at most 0\.5 of this network"):
        Experiment(recipe, rounds_of([0.5, 0.6], criterion="unit-norm"))
    with pytest.raises(InvalidValue, match="no two in any layer; choose a wider network"):
        Experiment(Recipe(network="none"), rounds_of([0.5], criterion="unit-norm"))


@pytest.mark.usefixtures("forgotten")
def test_units_of_a_module_of_ones_own_are_not_known():
    own = lt.network("everything", 1, Everything)
    with pytest.raises(InvalidValue, match="nor a criterion that takes whole units"):
        Experiment(Recipe(network=own), rounds_of([0.5], criterion="unit-norm"))


# In the procedure


@pytest.fixture(scope="module")
def trained(make_store, tmp_path_factory):
    """(store, experiment, its levels) of two rounds by norm."""
    store = make_store(tmp_path_factory.mktemp("units") / "store")
    recipe = Recipe(network="8 6", iterations=12, evaluate_every=6, batch_size=16)
    experiment = Experiment(recipe, rounds_of([0.4, 0.7], criterion="unit-norm"))
    return store, experiment, list(engine.run(experiment, Context(store, loop="torch")))


def test_every_level_has_whole_units_and_its_true_percent(trained):
    _, experiment, levels = trained
    axes = axes_of(experiment.recipe.net)
    for step, before, level in zip(experiment.rounds, levels, levels[1:], strict=False):
        evidence = Evidence(levels[0].start, before.end, before.mask, axes=axes)
        expected = step.pruned(evidence)
        assert all(np.array_equal(level.mask[name], expected[name]) for name in expected)
        assert level.info.percent_remaining == 100 * kept(level.mask) / 6_380
        assert level.info.sparsity >= step.sparsity
        one, two = read(level.mask, axes).values()
        np.testing.assert_array_equal(level.mask["fc2.weight"], np.outer(two, one))
        np.testing.assert_array_equal(level.mask["fc1.weight"], np.outer(one, np.ones(784)) > 0)
    counts = [[int(u.sum()) for u in read(one.mask, axes).values()] for one in levels]
    assert counts == [[8, 6], [4, 3], [2, 2]]


def test_ranked_together_a_level_and_the_random_mask_beside_it_keep_as_many_of_each_layer(store):
    recipe = Recipe(network="8 6", iterations=12, evaluate_every=6, batch_size=16)
    experiment = Experiment(recipe, rounds_of([0.4], scope="global", criterion="unit-norm"))
    arm = ARMS["random-mask"].of(experiment)
    dense, level = engine.run(experiment, Context(store, loop="torch"))
    _, other = engine.run(arm, Context(store, loop="torch"))
    evidence = Evidence(dense.start, dense.end, dense.mask, axes=axes_of(recipe.net))
    expected = experiment.round(1).pruned(evidence)
    assert all(np.array_equal(level.mask[name], expected[name]) for name in expected)
    assert level.info.sparsity >= 0.4
    assert level.info.layers == other.info.layers


@pytest.mark.parametrize("name", ["random-mask", "reshuffled-reinit"])
def test_a_random_mask_beside_units_draws_as_many_units(trained, name):
    store, experiment, levels = trained
    arm = list(engine.run(ARMS[name].of(experiment), Context(store, loop="torch")))
    axes, others = axes_of(experiment.recipe.net), False
    for ticket, level in zip(levels[1:], arm[1:], strict=True):
        ours, found = (read(one.mask, axes) for one in (ticket, level))
        assert kept(level.mask) == kept(ticket.mask)
        assert [u.sum() for u in ours.values()] == [u.sum() for u in found.values()]
        others |= any((ours[group] != found[group]).any() for group in ours)
        one, two = found.values()
        np.testing.assert_array_equal(level.mask["fc2.weight"], np.outer(two, one))
    assert others


def test_a_random_mask_with_a_budget_has_as_many_single_weights(trained):
    store, experiment, levels = trained
    arm = list(engine.run(ARMS["random-erk"].of(experiment), Context(store, loop="torch")))
    assert [kept(one.mask) for one in arm] == [kept(one.mask) for one in levels]


# The smaller network


def both_answers(net, mask, seed=1):
    """(logits of the masked network, logits of the smaller one, the smaller one)."""
    weights, found = apply(drawn(net, seed), mask), smaller(net, mask)
    part = found.of(weights, net)
    shapes = {name: values.shape for name, values in part.items()}
    assert shapes == found.network.parameters | found.network.buffers
    images = np.random.default_rng(3).normal(size=(4, *net.input))
    return logits(net, weights, images), logits(found.network, part, images), found


@each_network
def test_the_smaller_network_answers_as_the_masked_one_and_is_all_of_it(text):
    net = network(text, GREY, 10)
    mask = Round(0.6, 0.6, criterion="unit-norm").pruned(evidence_of(net))
    masked, small, found = both_answers(net, mask)
    np.testing.assert_allclose(small, masked, rtol=1e-11, atol=1e-12 * np.abs(masked).max())
    assert found.is_smaller
    assert found.network.weights_total == kept(mask)
    assert all(part.all() for part in found.of(mask, net).values())
    if "resnet" not in text:  # the notation can say it
        assert network(found.network.text, GREY, 10) == found.network


@each_network
def test_units_that_single_weights_left_unread_go_too_and_what_only_they_read(text):
    net = network(text, GREY, 10)
    source = np.random.default_rng(4)
    mask = {name: source.random(shape) < 0.5 for name, shape in net.shapes.items()}
    axes = axes_of(net)
    last = [name for name in mask if axes[name][0]][-1]
    # The last hidden layer reads its first unit's inputs alone, and nothing reads that unit.
    for name, part in mask.items():
        if axes[name][1] == axes[last][0] or (
            axes[name][1] and axes[name][1].group == axes[last][0].group
        ):
            part[:, : axes[name][1].block] = False
    if text == "9 7":
        mask["fc2.weight"][1:, 0] = False
    masked, small, found = both_answers(net, mask)
    np.testing.assert_allclose(small, masked, rtol=1e-11, atol=1e-12 * np.abs(masked).max())
    left, of = found.units[last.removesuffix(".weight")]
    assert left < of
    if text == "9 7":
        assert found.network.text == "8 6"


def test_a_unit_that_reads_nothing_stays_as_its_bias_is_read():
    net = network("3", GREY, 10)
    mask = dense_mask(net.shapes)
    mask["fc1.weight"][1] = False
    assert not smaller(net, mask).is_smaller


def test_a_layer_that_nothing_reads_keeps_one_unit():
    net = network("3", GREY, 10)
    mask = dense_mask(net.shapes)
    mask["fc2.weight"][:] = False
    masked, small, found = both_answers(net, mask)
    np.testing.assert_allclose(small, masked)
    assert found.network.text == "1"


def test_files_of_the_smaller_network_are_read_as_a_dense_one(trained):
    store, experiment, levels = trained
    level, key = levels[-1], experiment.key
    assert set(files.OF_SMALLER) <= set(files.offered(level))
    content = files.export(store, key, "smaller")
    arrays = load(content)
    model = Model(network("2 2", GREY, 10))
    state = torch.load(io.BytesIO(files.export(store, key, "smaller-pt")), weights_only=True)
    model.load_state_dict(state)  # strict: not a name too many or too few
    assert all(np.array_equal(state[name].numpy(), arrays[name]) for name in arrays)
    images = np.random.default_rng(0).normal(size=(5, 784)).astype(np.float32)
    session = onnxruntime.InferenceSession(files.export(store, key, "smaller-onnx"))
    (answers,) = session.run(["logits"], {"image": images})
    expected = logits(experiment.recipe.net, level.end, images.reshape(5, *GREY))
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


def test_the_header_of_the_smaller_network_says_what_it_is(trained, tmp_path):
    store, experiment, _ = trained
    (tmp_path / "file").write_bytes(files.export(store, experiment.key, "smaller"))
    with safe_open(tmp_path / "file", "np") as file:
        header = file.metadata()
    assert json.loads(header["network"])["text"] == "2 2"
    assert json.loads(header["units"]) == {"fc1": [2, 8], "fc2": [2, 6]}
    assert header["key"] == experiment.key


def test_a_ticket_of_which_no_unit_is_gone_has_no_smaller_network(trained):
    store, experiment, levels = trained
    assert not set(files.OF_SMALLER) & set(files.offered(levels[0]))
    for name in files.OF_SMALLER:
        with pytest.raises(InvalidValue, match="has no unit that is gone as a whole"):
            files.export(store, experiment.keys[0], name)


# Beside tickets of single weights


def test_beside_it_stands_the_smallest_ticket_by_magnitude_that_is_no_less_accurate():
    recipe = Recipe(network="8", iterations=12, evaluate_every=6)
    ours = Experiment(recipe, rounds_of([0.5, 0.7], criterion="unit-norm"))

    def level(experiment, n, accuracy, kept, **more):
        upto = replace(experiment, rounds=experiment.rounds[:n])
        fields = {"layers": {"fc1.weight": (1000, kept)}, "experiment": upto.as_dict(), **more}
        return judged_info(n, 0.1, 6, accuracy, key=upto.key, **fields)

    by_magnitude = Experiment(recipe, rounds_of([0.5, 0.7, 0.9], scope="global"))
    good, best, bad = (
        level(by_magnitude, n, accuracy, kept)
        for n, accuracy, kept in [(1, 0.95, 500), (2, 0.9, 300), (3, 0.8, 100)]
    )
    unlike = [
        level(by_magnitude, 0, 0.99, 1),
        level(ours, 1, 0.99, 2),
        level(Experiment(replace(recipe, seed=1), by_magnitude.rounds), 1, 0.99, 3),
        level(Experiment(recipe, rounds_of([0.5], restart="keep")), 1, 0.99, 4),
        level(ARMS["reinit"].of(by_magnitude), 1, 0.99, 5),
    ]
    mine = level(ours, 2, 0.9, 250)
    found = unstructured_beside(ours, mine, [good, bad, best, *unlike])
    assert (found.key, found.level, found.kept) == (best.key, 2, 300)
    assert (found.accuracy, found.reached, found.on_validation) == (0.9, 0.9, True)
    assert unstructured_beside(ours, mine, [bad, *unlike]) is None
