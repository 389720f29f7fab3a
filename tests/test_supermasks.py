"""Masks that are learned while no weight is trained: exact counts, the papers' gradients, and
weights that stay what they are, bit for bit."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.method.masks import apply
from lottery_core.method.pruning import best
from lottery_core.method.supermasks import SUPERMASKS, Learning
from lottery_core.running import engine
from lottery_core.running.starts import starts_of
from lottery_core.running.time_left import seconds_of_level
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.tickets import files, train_ticket
from lottery_core.tickets.card import card, gather
from lottery_core.tickets.incoming import read_upload
from lottery_core.tickets.repeat import command_of
from lottery_core.tickets.verify import verify
from lottery_core.training.base import Training
from lottery_core.training.context import Context
from lottery_core.training.mask_search import Scored, ScoredNetwork, train
from lottery_core.training.models import initial_weights
from tests.pages import open_page, said
from ui import stability

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="12 6", iterations=30, evaluate_every=15, batch_size=16, init="glorot")
TICKET = Experiment(RECIPE, rounds_of([0.5, 0.8]))
LEARNED = [name for name, arm in ARMS.items() if arm.of(TICKET).supermask(1)]


# The rules, each beside its definition


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_a_layer_keeps_exactly_the_greatest_scores_of_equal_ones_the_last(values, data):
    count = data.draw(st.integers(0, len(values)))
    kept = best(np.array(values, np.float32).reshape(1, -1), count)
    order = sorted(range(len(values)), key=lambda at: (values[at], at))
    assert set(np.flatnonzero(kept)) == set(order[len(values) - count :])


def test_scores_begin_as_the_papers_have_them_and_anew_for_another_seed():
    shapes, kept = {"a": (40, 25), "b": (3, 2, 2, 2)}, {"a": 100, "b": 24}
    spread, again, other = (Learning("edge-popup", kept, seed).first(shapes) for seed in (1, 1, 2))
    assert 0.19 < abs(spread["a"]).max() <= 0.2
    assert abs(spread["b"]).max() <= 8**-0.5
    assert {name: one.shape for name, one in spread.items()} == shapes
    np.testing.assert_array_equal(spread["a"], again["a"])
    assert (spread["a"] != other["a"]).any()
    equal = Learning("learned-mask", kept, 1).first(shapes)
    # On average as many are drawn as shall be kept.
    assert (1 / (1 + np.exp(-equal["a"]))).sum() == pytest.approx(100, rel=1e-5)


def by_definition(weight, scores, kept, images, labels, chosen):
    """The gradient of a layer's scores in float64 by autograd: `chosen(scores)` is what stands for
    the mask, whose value is the mask and whose slope is that of the smooth choice."""
    scores = scores.clone().requires_grad_()
    loss = F.cross_entropy(images @ (weight * chosen(scores)).T, labels)
    return torch.autograd.grad(loss, scores)[0]


@pytest.mark.parametrize("is_drawn", [False, True])
def test_a_scores_gradient_is_that_of_the_papers_straight_through(is_drawn):
    torch.manual_seed(3)
    weight, scores = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    images, labels = torch.randn(8, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 3] * 2)
    layer = Scored(torch.nn.Parameter(weight.clone()), scores.numpy(), 9, is_drawn)
    layer.choose()
    mask = (layer.weight != 0).double()
    F.cross_entropy(images @ layer.weight.T, labels).backward()
    layer.pass_on()

    def chosen(values):
        smooth = values.sigmoid() if is_drawn else values
        return mask + smooth - smooth.detach()

    expected = by_definition(weight, layer.scores.data, 9, images, labels, chosen)
    torch.testing.assert_close(layer.scores.grad, expected)
    assert layer.weight.grad is None
    if not is_drawn:
        assert mask.sum() == 9
        order = sorted(range(24), key=lambda at: scores.flatten()[at])
        assert set(np.flatnonzero(mask)) == set(order[15:])


def test_as_many_are_drawn_on_average_as_shall_be_kept_however_scores_moved():
    torch.manual_seed(0)
    layer = Scored(torch.nn.Parameter(torch.ones(100, 100)), np.zeros((100, 100)), 2_000, True)
    layer.scores.data += torch.randn(100, 100)
    for _ in range(20):
        layer.choose()
    assert float(layer.scores.data.sigmoid().sum()) == pytest.approx(2_000, rel=1e-3)
    assert abs(float(layer.weight.data.sum()) - 2_000) < 5 * math.sqrt(2_000)


def test_the_greatest_scores_are_the_same_on_any_device(monkeypatch):
    # What other devices do, on this one: the CPU has a way of its own, which is faster there.
    from lottery_core.training import mask_search

    scores = torch.randn(30, 40, generator=torch.Generator().manual_seed(1))
    elsewhere = mask_search.greatest_elsewhere(scores, 77)
    np.testing.assert_array_equal(elsewhere.numpy() != 0, best(scores.numpy(), 77))


# What comes of it


@pytest.fixture(scope="module")
def levels(make_store, tmp_path_factory):
    """Every arm whose mask is learned, beside its ticket; nobody writes to the store."""
    store = make_store(tmp_path_factory.mktemp("learned") / "store")
    found = {"ticket": list(engine.run(TICKET, Context(store, loop="torch")))}
    for name in LEARNED:
        found[name] = list(engine.run(ARMS[name].of(TICKET), Context(store, loop="compiled")))
    return store, found


def test_there_are_four_of_them():
    assert tuple(LEARNED) == train_ticket.LEARNED
    assert LEARNED == ["edge-popup", "edge-popup-signs", "learned-mask", "learned-mask-signs"]
    assert [arm_of(ARMS[name].of(TICKET)) for name in LEARNED] == LEARNED
    last = [Experiment(RECIPE, (ARMS[name].of(TICKET).round(1),)) for name in LEARNED]
    assert [arm_of(one) for one in last] == LEARNED


@pytest.mark.parametrize("name", LEARNED)
def test_an_arm_keeps_as_many_of_each_layer_as_the_ticket_and_trains_no_weight(levels, name):
    _, found = levels
    initial = found["ticket"][0].start
    for n in (1, 2):
        level, ticket = found[name][n], found["ticket"][n]
        for one, kept in level.mask.items():
            assert kept.sum() == ticket.mask[one].sum()
            values = initial[one]
            if name.endswith("-signs"):
                values = np.copysign(np.float32(values.std(dtype=np.float64)), values)
            np.testing.assert_array_equal(level.end[one], np.where(kept, values, 0))
        assert {k: v.tobytes() for k, v in level.end.items()} == {
            k: v.tobytes() for k, v in level.start.items()
        }
        assert any((level.mask[one] != ticket.mask[one]).any() for one in level.mask)
        assert level.info.loop == "torch"
        assert level.info.iterations_trained == 30
        assert level.info.test_accuracy_before_retraining is None
        assert level.info.test_accuracy == level.history["test_accuracy"].iloc[-1]


def test_the_same_seed_learns_the_same_mask_and_another_does_not(levels, make_store, tmp_path):
    _, found = levels
    context = Context(make_store(tmp_path / "again"), loop="torch")
    name = "fc1.weight"
    for arm in ("edge-popup", "learned-mask"):
        *_, again = engine.run(ARMS[arm].of(TICKET), context)
        np.testing.assert_array_equal(again.mask[name], found[arm][2].mask[name])
    other = replace(TICKET, recipe=replace(RECIPE, seed=1))
    *_, another = engine.run(ARMS["edge-popup"].of(other), context)
    assert (another.mask[name] != found["edge-popup"][2].mask[name]).any()


@pytest.mark.parametrize("rule", [*SUPERMASKS])
def test_a_mask_learns_what_untrained_weights_can_tell_of_images(rule, mnist):
    recipe = replace(
        RECIPE, network="100", normalisation="dataset", optimiser="adam", momentum=0.0,
        learning_rate=0.002, batch_size=64, iterations=150, evaluate_every=150,
        validation_size=5_000,
    )  # fmt: skip
    kept = {name: math.prod(shape) // 5 for name, shape in recipe.shapes.items()}
    whole = {name: np.ones(shape, bool) for name, shape in recipe.shapes.items()}
    training = Training(recipe, initial_weights(recipe), whole, learning=Learning(rule, kept, 0))
    trained = train(training, mnist, lambda moment: None)
    assert trained.history[0].test_accuracy < 0.3
    assert trained.history[-1].test_accuracy > 0.6
    assert {name: one.sum() for name, one in trained.mask.items()} == kept


@pytest.mark.parametrize("rule", [*SUPERMASKS])
def test_batch_norm_measures_and_learns_nothing_else(rule, mnist):
    recipe = Recipe(network="norm 4@3 pool mean", iterations=3, evaluate_every=3, batch_size=8)
    weights = initial_weights(recipe)
    kept = {name: math.prod(shape) // 2 for name, shape in recipe.shapes.items()}
    mask = {name: np.ones(shape, bool) for name, shape in recipe.shapes.items()}
    training = Training(recipe, weights, mask, learning=Learning(rule, kept, 0))
    network = ScoredNetwork(training, mnist)
    before = network.weights()
    assert all((before[name] == weights[name]).all() for name in recipe.net.buffers)
    losses = np.zeros(3, np.float32)
    network.steps(0, 0, losses)
    assert np.isfinite(losses).all()
    found = network.found()
    after = network.weights()
    assert {name: one.sum() for name, one in found.items()} == kept
    for name, value in after.items():
        if name in recipe.net.buffers:
            assert (value != weights[name]).any()
        else:
            np.testing.assert_array_equal(value, apply(weights, found)[name])


# What is said and asked of it


def test_card_file_and_script_say_that_no_weight_was_trained(levels):
    store, found = levels
    for name in ("edge-popup", "learned-mask-signs"):
        level = found[name][2]
        told = card(gather(store, level))
        assert "No weight was trained: only the mask was learned" in told
        assert "The script learns no mask" in told
        assert "winning ticket" not in told
        upload = read_upload("ticket.safetensors", files.export(store, level.info.key, "ticket"))
        assert {one.verdict for one in verify(upload, store)} == {"matches"}
        experiment = level.info.experiment
        assert train_ticket.learned_mask_of(experiment)
        assert command_of(Experiment.from_dict(experiment)).endswith(f"--controls {name}")
    assert not train_ticket.learned_mask_of(found["ticket"][2].info.experiment)
    assert not train_ticket.learned_mask_of(found["ticket"][0].info.experiment)


def test_the_time_that_is_left_is_that_of_a_dense_network_in_torch():
    facts = {"step": [[1_000, 0.001], [2_000, 0.001]]}
    dense = seconds_of_level(facts, TICKET, 0)
    learned = seconds_of_level(facts, ARMS["edge-popup"].of(TICKET), 2, loop="compiled")
    assert learned == pytest.approx(dense + 30 * 1e-8 * RECIPE.weights_total)
    assert {start.level for start in starts_of(ARMS["learned-mask"].of(TICKET))} == {0}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"supermask": "popup"}, "supermask='popup'"),
        ({"supermask": "edge-popup", "restart": "keep"}, "one of untrained weights"),
        ({"supermask": "edge-popup", "rewind_iteration": 10}, "rewind_iteration=0"),
        ({"supermask": "edge-popup", "transplant": "plain"}, "no transplant"),
        ({"supermask": "edge-popup", "dynamics": "set"}, "choose one of the two"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(fields, words):
    with pytest.raises(InvalidValue, match=words):
        Round(0.5, 0.5, **fields)


def test_nothing_goes_on_from_a_learned_mask():
    learned = Round(0.5, 0.5, supermask="edge-popup")
    with pytest.raises(InvalidValue, match="only the last round may have it; for every level"):
        Experiment(RECIPE, (learned, Round(0.8, 0.8)))


def test_pages_say_that_no_weight_was_trained(shared):
    arm = ARMS["edge-popup"].of(Experiment(RECIPE, rounds_of([0.5])))
    list(engine.run(arm, Context(shared.store, loop="torch")))
    page = open_page("pages/ticket.py", key=arm.key, level="1")
    assert "Proof that no weight was trained" in said(page)
    assert "No weight moved while this level's mask was learned." in said(page)
    assert "While this level trained" not in said(page)
    assert "none of its levels, whose masks come about" in stability.plan_in_words(arm)
