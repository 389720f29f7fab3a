"""Masks that change while a network trains: by rules with exact counts, and with nothing left of
what a weight was before it was grown."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery_core.data import load_data
from lottery_core.method.budgets import kept_by
from lottery_core.method.dynamics import (
    DYNAMICS,
    Moving,
    Sight,
    changes,
    gradually,
    mean_left,
)
from lottery_core.method.masks import apply
from lottery_core.running import engine
from lottery_core.running.starts import starts_of
from lottery_core.running.time_left import done_part, seconds_of_level
from lottery_core.spec.arms import ARMS, how_much_longer, title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.tickets import files
from lottery_core.tickets.card import card, gather
from lottery_core.tickets.incoming import read_upload
from lottery_core.tickets.verify import verify, verify_in_words
from lottery_core.training.base import Training, batch_order, drive
from lottery_core.training.context import Context
from lottery_core.training.gradients import Slopes
from lottery_core.training.models import initial_weights
from tests.reference import slopes

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="12 6", iterations=80, evaluate_every=40, batch_size=16, decay_at=(60,))
TICKET = Experiment(RECIPE, rounds_of([0.5, 0.8]))
MOVING = [name for name, arm in ARMS.items() if arm.of(TICKET).dynamics(1)]


# When


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        (20_000, range(100, 15_001, 100)),  # every 100, as in RigL
        (2_000, range(75, 1_501, 75)),  # 20 times
        (100, range(3, 76, 3)),
        (10, range(1, 8)),
        (2, range(1, 2)),
        (1, range(1, 1)),
    ],
)
def test_a_mask_changes_every_100_iterations_or_20_times_in_three_quarters(iterations, expected):
    assert list(changes(iterations)) == list(expected)


# The rules, each beside its definition


@st.composite
def sights(draw):
    """What a rule sees of two layers, with magnitudes and slopes that tie."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = {"fc1.weight": (5, draw(st.integers(1, 12))), "conv.weight": (3, 2, 2, 2)}
    mask = {name: chance.random(shape) < chance.random() for name, shape in shapes.items()}
    weights = {name: chance.integers(-4, 5, now.shape) * now / 4 for name, now in mask.items()}
    steep = {name: chance.integers(-4, 5, now.shape) / 4 for name, now in mask.items()}
    kept = {name: int(now.sum()) for name, now in mask.items()}
    seed = int(chance.integers(100))
    return Sight(
        mask, weights, kept, draw(st.floats(0, 1)), lambda: steep,
        lambda name: np.random.default_rng([seed, len(name)]),
    )  # fmt: skip


def best(scores, places, count):
    """Of these places the `count` best; of equal ones the last."""
    return set(sorted(places, key=lambda at: (scores[at], at))[len(places) - count :])


@pytest.mark.parametrize("rule", ["set", "rigl"])
@given(sight=sights())
def test_a_layer_drops_its_smallest_weights_and_grows_as_many(rule, sight):
    after = DYNAMICS[rule].change(sight)
    for name, before in sight.mask.items():
        there = set(np.flatnonzero(before))
        fraction = 0.15 * (1 + math.cos(math.pi * sight.progress))
        going = math.floor(fraction * len(there) + 1e-9)
        stay = best(np.abs(sight.weights[name].ravel()), there, len(there) - going)
        free = set(range(before.size)) - stay
        worth = np.abs(sight.slopes()[name].ravel())
        if rule == "set":
            worth = sight.draw(name).random(before.size)
        assert set(np.flatnonzero(after[name])) == stay | best(worth, free, going)
        assert after[name].sum() == before.sum()


@given(sights(), st.data())
def test_gradual_pruning_takes_the_smallest_down_to_what_its_cubic_says(sight, data):
    kept = {name: data.draw(st.integers(0, now.size)) for name, now in sight.mask.items()}
    whole = {name: np.ones_like(now) for name, now in sight.mask.items()}
    after = DYNAMICS["gradual"].change(replace(sight, mask=whole, kept=kept))
    for name, now in after.items():
        final = 1 - kept[name] / now.size
        gone = final * (1 - (1 - sight.progress) ** 3) * now.size
        left = now.size - math.floor(gone + 1e-9)
        assert set(np.flatnonzero(now)) == best(
            np.abs(sight.weights[name].ravel()), set(range(now.size)), left
        )


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_gradual_pruning_begins_with_all_and_ends_with_exactly_what_is_asked(weights, part):
    kept = int(part * weights)
    assert gradually(0, weights, kept) == weights
    assert gradually(1, weights, kept) == kept
    steps = [gradually(at / 75, weights, kept) for at in range(76)]
    assert steps == sorted(steps, reverse=True)


def test_a_gradual_mask_is_as_full_as_its_iterations_are_on_average():
    by_hand, now = [], 1_000
    for iteration in range(200):
        if iteration in changes(200):
            now = gradually(iteration / changes(200)[-1], 1_000, 100)
        by_hand.append(now)
    assert mean_left("gradual", 200, 1_000, 100) == pytest.approx(np.mean(by_hand))
    assert mean_left("rigl", 200, 1_000, 100) == 100
    moving = Moving("gradual", {"fc1.weight": 100}, 0, None)
    usual = moving.usual(200, {"fc1.weight": np.ones((10, 100), bool)})
    assert usual["fc1.weight"].sum() == round(np.mean(by_hand))


@pytest.mark.parametrize("order", [0, 1])
def test_where_rigl_looks_is_the_slope_of_every_weight_on_the_batch_that_comes(datasets, order):
    mnist = load_data(RECIPE, datasets)
    weights = initial_weights(RECIPE)
    sparse = {name: np.random.default_rng(1).random(s) < 0.3 for name, s in RECIPE.shapes.items()}
    masked = apply(weights, sparse)
    found = Slopes(RECIPE, mnist, 0).of_batch(masked, 30, order)
    chosen = mnist.train_index[batch_order(RECIPE, 0, order)[30 * 16 : 31 * 16]]
    _, expected, _ = slopes(RECIPE, masked, mnist.images[chosen], mnist.labels[chosen])
    for name, values in found.items():
        assert values[~sparse[name]].any()
        np.testing.assert_allclose(values, expected[name], atol=2e-6 * abs(expected[name]).max())


# What the training makes of it


class Recorder:
    """A network that does nothing but note under which masks it was, from when on."""

    def __init__(self, mask):
        self.masks, self.iteration, self.mask = {}, 0, mask

    def steps(self, epoch, batch, losses):
        losses[:] = 1
        for _ in losses:
            self.masks[self.iteration] = self.mask
            self.iteration += 1

    def evaluate(self, tick):
        return [(1.0, 0.5), (1.0, 0.5)]

    def weights(self):
        chance = np.random.default_rng(self.iteration)
        return apply({n: chance.normal(size=m.shape) for n, m in self.mask.items()}, self.mask)

    def under(self, mask):
        self.mask = mask
        return self


@pytest.mark.parametrize("rule", ["set", "gradual"])
def test_a_mask_changes_at_its_iterations_alone_and_what_was_in_any_is_explored(rule):
    chance = np.random.default_rng(3)
    kept = {name: chance.random(shape) < 0.2 for name, shape in RECIPE.shapes.items()}
    counts = {name: int(now.sum()) for name, now in kept.items()}
    first = {n: np.ones_like(m) for n, m in kept.items()} if rule == "gradual" else kept
    moving = Moving(rule, counts, 5, lambda weights, iteration: pytest.fail("nobody asked"))
    network = Recorder(first)
    training = Training(RECIPE, {}, first, moving=moving)
    trained = drive(training, network, lambda moment: None)
    turns = [
        at for at in range(1, 80)
        if any((network.masks[at][n] != network.masks[at - 1][n]).any() for n in kept)
    ]  # fmt: skip
    assert turns
    assert set(turns) <= set(changes(80))
    ever = {n: np.any([masks[n] for masks in network.masks.values()], axis=0) for n in kept}
    assert trained.explored == sum(m.sum() for m in ever.values()) / RECIPE.weights_total
    assert {n: m.sum() for n, m in trained.mask.items()} == counts
    if rule == "set":
        for masks in network.masks.values():
            assert {n: m.sum() for n, m in masks.items()} == counts


@pytest.fixture(scope="module")
def levels(make_store, tmp_path_factory):
    """Every arm whose mask moves, beside its ticket, in torch; nobody writes to the store."""
    store = make_store(tmp_path_factory.mktemp("moving") / "store")
    context = Context(store, loop="torch")
    found = {"ticket": list(engine.run(TICKET, context))}
    for name in MOVING:
        found[name] = list(engine.run(ARMS[name].of(TICKET), context))
    return store, found


@pytest.mark.parametrize("name", MOVING)
def test_an_arm_has_exactly_its_counts_and_zeros_elsewhere(levels, name):
    _, found = levels
    initial = found["ticket"][0].start
    for n in (1, 2):
        level, ticket = found[name][n], found["ticket"][n]
        counts = {one: int(kept.sum()) for one, kept in level.mask.items()}
        like = {one: int(kept.sum()) for one, kept in ticket.mask.items()}
        assert sum(counts.values()) == sum(like.values())
        began = {one: level.start[one] != 0 for one in level.mask}
        if name in ("gradual", "early-bird"):
            assert counts == like
            assert all(kept.all() for kept in began.values())
            assert level.info.explored == 1
        else:
            assert counts == {one: int(kept.sum()) for one, kept in began.items()}
            whole = {one: np.ones_like(kept) for one, kept in level.mask.items()}
            assert counts == kept_by("erk", sum(counts.values()), whole)
            assert sum(counts.values()) / RECIPE.weights_total < level.info.explored < 1
        for one, kept in level.mask.items():
            assert not level.end[one][~kept].any()
            np.testing.assert_array_equal(level.start[one], np.where(began[one], initial[one], 0))
        assert level.info.test_accuracy_before_retraining is None
        long = name.endswith("-long")
        assert level.info.iterations_trained == (80 * (n + 1) if long else 80)
        assert len(level.history) == 3  # at the same parts of the training


def test_the_same_seed_gives_the_same_masks_and_another_does_not(levels, make_store, tmp_path):
    _, found = levels
    again = make_store(tmp_path / "again")
    (*_, level) = engine.run(ARMS["set"].of(TICKET), Context(again, loop="torch"))
    other = replace(TICKET, recipe=replace(RECIPE, seed=1))
    (*_, another) = engine.run(ARMS["set"].of(other), Context(again, loop="torch"))
    for name, kept in found["set"][2].mask.items():
        np.testing.assert_array_equal(level.mask[name], kept)
    name = "fc1.weight"
    assert (another.mask[name] != level.mask[name]).any()
    assert (found["rigl"][2].mask[name] != level.mask[name]).any()


@pytest.mark.parametrize("name", ["rigl", "gradual", "early-bird"])
def test_the_compiled_loop_keeps_the_same_counts(store, name):
    *_, level = engine.run(ARMS[name].of(TICKET), Context(store, loop="compiled"))
    assert level.info.loop == "compiled"
    total = sum(int(kept.sum()) for kept in level.mask.values())
    assert total == sum(-(-kept.size // 5) for kept in level.mask.values())
    for one, kept in level.mask.items():
        assert level.end[one].any()
        assert not level.end[one][~kept].any()


# As long as the search


def test_a_schedule_as_long_as_the_search_comes_at_the_same_parts_of_it():
    recipe = replace(RECIPE, warmup=10)
    one = ARMS["rigl-long"].of(Experiment(recipe, rounds_of([0.5, 0.8])))
    assert [one.iterations(n) for n in range(3)] == [80, 160, 240]
    schedule = one.schedule(2)
    assert (schedule.iterations, schedule.warmup, schedule.decay_at) == (240, 30, (180,))
    assert schedule.evaluate_every == 120
    rates, longer = recipe.learning_rates(0, 80), schedule.learning_rates(0, 240)
    np.testing.assert_allclose(longer[2::3][10:], rates[10:])
    plain = ARMS["rigl"].of(one.trunk)
    assert one.multiply_adds == plain.multiply_adds * (1 + 2 + 3) / 3
    assert how_much_longer(one) == " (up to 3x as long)"
    assert not how_much_longer(plain)
    assert title_of(one) == "RigL, as long as the search"


def test_a_search_may_be_longer_than_a_training_that_is_asked_for():
    long = replace(RECIPE, iterations=200_000, evaluate_every=200)
    one = ARMS["set-long"].of(Experiment(long, rounds_of([0.5, 0.8])))
    assert one.schedule(2).iterations == 600_000


def test_the_time_that_is_left_counts_the_longer_training(store):
    facts = {"step": [[1_000, 0.001], [2_000, 0.001]]}
    plain, long = (
        seconds_of_level(facts, ARMS[name].of(TICKET), 2) for name in ("set", "set-long")
    )
    assert long == pytest.approx(3 * plain)
    assert done_part(store, [ARMS["set-long"].of(TICKET)]) == 0


def test_no_copies_are_trained_of_a_level_whose_mask_would_part():
    assert {start.level for start in starts_of(TICKET)} == {0, 1, 2}
    assert {start.level for start in starts_of(ARMS["gradual"].of(TICKET))} == {0}


# What is said of it


def test_a_card_and_verify_say_that_there_is_no_proof_of_rewinding_and_why(levels):
    store, found = levels
    for name in ("rigl-long", "gradual"):
        level = found[name][2]
        told = card(gather(store, level))
        assert "its mask changed while it trained" in told
        assert "There is no proof of rewinding: what its mask gained" in told
        assert f"| Weights that were in its mask at any time | {level.info.explored:.2%} |" in told
        upload = read_upload("ticket.safetensors", files.export(store, level.info.key, "ticket"))
        said = {one.what: one for one in verify(upload, store)}
        proof = said["dense network's weights in the cache"]
        assert (proof.found, proof.verdict) == (
            "not to be had: its mask changed while it trained", "unknown",
        )  # fmt: skip
        assert {one.verdict for one in said.values()} - {"matches"} == {"unknown"}
        assert "bit for bit" in verify_in_words([*said.values()])


def test_a_level_from_before_says_nothing_of_what_was_explored(levels):
    _, found = levels
    plain = found["ticket"][1].info.as_dict()
    assert plain["explored"] is None
    del plain["explored"]
    assert type(found["ticket"][1].info).from_dict(plain).explored is None


@pytest.mark.parametrize(
    ("changes_of_it", "words"),
    [
        ({"dynamics": "grow"}, "dynamics='grow'"),
        ({"dynamics": "set", "restart": "keep"}, "begins with the dense network's initial weights"),
        ({"dynamics": "set", "rewind_iteration": 10}, "begins with the dense network's"),
        ({"dynamics": "set", "transplant": "plain"}, "and no transplant"),
        ({"as_long_as_search": True}, "needs dynamics"),
        ({"as_long_as_search": 1, "dynamics": "set"}, "must be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(changes_of_it, words):
    with pytest.raises(InvalidValue, match=words):
        Round(0.5, 0.5, **changes_of_it)


def test_nothing_goes_on_from_a_mask_that_moved_and_a_training_has_to_have_time():
    moved = Round(0.5, 0.5, dynamics="gradual")
    with pytest.raises(InvalidValue, match="only the last round"):
        Experiment(RECIPE, (moved, Round(0.8, 0.8)))
    short = replace(RECIPE, iterations=1, evaluate_every=1, decay_at=())
    with pytest.raises(InvalidValue, match="no time to change a mask"):
        ARMS["set"].of(Experiment(short, rounds_of([0.5])))
