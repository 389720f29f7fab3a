"""Arms treat the same masks or densities in the ways their names say, and share what they can."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lottery_core.data import load_data
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS, arm_of, at, title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.spec.terms import CONTROLS
from lottery_core.training.base import Training
from lottery_core.training.context import Context
from lottery_core.training.models import initial_weights

RECIPE = Recipe(network="12 6", iterations=40, evaluate_every=20, batch_size=32, decay_at=(30,))
TICKET = Experiment(RECIPE, rounds_of([0.5, 0.8], rewind_iteration=10))


@pytest.fixture(scope="module")
def levels(make_store, tmp_path_factory):
    """Every arm's levels, in one store."""
    store = make_store(tmp_path_factory.mktemp("arms") / "store")
    found = {"ticket": list(engine.run(TICKET, Context(store, loop="torch")))}
    for name, arm in ARMS.items():
        found[name] = list(engine.run(arm.of(TICKET), Context(store, loop="torch")))
    return found


def same(a, b) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("restart", "criterion", "name"),
    [
        ("rewind", "magnitude", "rewound ticket"),
        ("keep", "magnitude", "fine-tuned, no rewind"),
        ("reinit", "magnitude", "random reinit"),
        ("rewind", "random", "rewound ticket, random criterion"),
    ],
)
def test_arms_have_the_fields_names(restart, criterion, name):
    rounds = rounds_of([0.5], restart=restart, criterion=criterion)
    assert title_of(Experiment(RECIPE, rounds)) == name
    assert title_of(Experiment(RECIPE)) == "dense"


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_recognised_and_the_same_whatever_arm_it_is_made_from(name):
    arm = ARMS[name].of(TICKET)
    assert arm_of(arm) == name
    assert Experiment.from_dict(arm.as_dict()) == arm
    if name in CONTROLS:
        assert arm.trunk == TICKET


@pytest.mark.parametrize("name", ARMS)
def test_all_arms_begin_with_the_one_dense_network(levels, name):
    assert ARMS[name].of(TICKET).keys[0] == TICKET.keys[0]
    assert same(levels[name][0].end, levels["ticket"][0].end)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_costs_one_training_a_level_beside_the_ticket(levels, name, store):
    keys = ARMS[name].of(TICKET).keys
    assert not set(keys[1:]) & set(TICKET.keys)
    # The control of a longer experiment begins with that of a shorter one.
    longer = replace(TICKET, rounds=rounds_of([0.5, 0.8, 0.9], rewind_iteration=10))
    assert ARMS[name].of(longer).keys[:3] == keys


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_at_one_level_is_that_level_of_the_arm(levels, name):
    alone = at(name, TICKET, 2)
    assert alone.key == ARMS[name].of(TICKET).keys[2]
    assert arm_of(alone) == name
    if name in CONTROLS:  # and nothing but the ticket's own levels before
        assert alone.keys[:2] == TICKET.keys[:2]


def test_random_reinit_has_the_tickets_masks_and_other_weights_every_level(levels):
    for ticket, arm in zip(levels["ticket"][1:], levels["reinit"][1:], strict=True):
        assert same(ticket.mask, arm.mask)
        n = arm.info.level
        drawn = initial_weights(RECIPE, "reinit", n)
        for name, kept in arm.mask.items():
            np.testing.assert_array_equal(arm.start[name], np.where(kept, drawn[name], 0))
        assert arm.info.iterations_trained == RECIPE.iterations
    first, second = levels["reinit"][1:]
    assert not same(first.start, second.start)


def test_a_random_mask_has_the_tickets_counts_and_the_original_values(levels):
    snapshot = levels["ticket"][0].snapshots[10]
    for ticket, arm in zip(levels["ticket"][1:], levels["random-mask"][1:], strict=True):
        for name, kept in arm.mask.items():
            assert kept.sum() == ticket.mask[name].sum()
            np.testing.assert_array_equal(arm.start[name], np.where(kept, snapshot[name], 0))
        assert not same(ticket.mask, arm.mask)


def test_a_reshuffled_mask_with_new_weights_has_nothing_of_the_ticket_but_its_counts(levels):
    for ticket, random, arm in zip(
        levels["ticket"][1:], levels["random-mask"][1:], levels["reshuffled-reinit"][1:],
        strict=True,
    ):  # fmt: skip
        assert same(random.mask, arm.mask)
        assert {k: m.sum() for k, m in arm.mask.items()} == {
            k: m.sum() for k, m in ticket.mask.items()
        }
        drawn = initial_weights(RECIPE, "reinit", arm.info.level)
        for name, kept in arm.mask.items():
            np.testing.assert_array_equal(arm.start[name], np.where(kept, drawn[name], 0))


def test_without_rewinding_survivors_go_on_from_where_they_were_for_a_whole_training(levels):
    for name in ("fine-tune", "rate-rewind"):
        for before, arm in pairwise(levels[name]):
            for weight, kept in arm.mask.items():
                np.testing.assert_array_equal(
                    arm.start[weight], np.where(kept, before.end[weight], 0)
                )
    assert levels["fine-tune"][1].info.iterations_trained == RECIPE.iterations
    assert levels["rate-rewind"][1].info.iterations_trained == RECIPE.iterations - 10


def test_the_dense_network_trained_equally_long_loses_nothing_and_trains_on(levels):
    arm = levels["dense-longer"]
    for before, level in pairwise(arm):
        assert all(kept.all() for kept in level.mask.values())
        assert same(before.end, level.start)
    assert len(arm) == len(TICKET.keys)


def test_fine_tuning_uses_the_last_learning_rate_and_rate_rewinding_the_schedule(levels, store):
    """Replayed by the training loop itself with a rate that never changes."""
    from lottery_core.training.torch_loop import train

    recipe = replace(RECIPE, decay_at=(), learning_rate=RECIPE.learning_rate * 0.1)
    data = load_data(RECIPE, store.datasets)
    arm = levels["fine-tune"][1]
    again = train(Training(recipe, arm.start, arm.mask), data, lambda moment: None)
    assert same(again.weights, arm.end)
    arm = levels["rate-rewind"][1]
    again = train(
        Training(RECIPE, arm.start, arm.mask, first_iteration=10), data, lambda moment: None
    )
    assert same(again.weights, arm.end)


def test_nothing_follows_a_reshuffled_round():
    with pytest.raises(InvalidValue, match="choose control=random-mask"):
        Experiment(RECIPE, (Round(0.5, 0.5, reshuffled=True), Round(0.8, 0.8)))
    with pytest.raises(InvalidValue, match="control='x' is unknown"):
        Experiment(RECIPE, rounds_of([0.5]), "x")


def test_a_round_that_prunes_nothing_must_train_on():
    with pytest.raises(InvalidValue, match="repeats the training before"):
        Round(0.0, 0.0)
