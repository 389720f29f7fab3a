"""Arms treat the same masks or densities in the ways their names say, and share what they can."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lottery_core.data import load_data
from lottery_core.method.masks import apply
from lottery_core.method.matching import match
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS, arm_of, at, title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.spec.symmetries import axes_of
from lottery_core.spec.terms import CONTROLS
from lottery_core.training.base import Training, batch_order
from lottery_core.training.context import Context
from lottery_core.training.models import initial_weights

pytestmark = pytest.mark.usefixtures("judged_on_few")

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


@pytest.fixture(scope="module")
def donor(levels, make_store, tmp_path_factory):
    """The dense network of the next seed."""
    store = make_store(tmp_path_factory.mktemp("donor") / "store")
    return next(engine.run(Experiment(replace(RECIPE, seed=1)), Context(store, loop="torch")))


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


def test_signs_only_has_the_tickets_masks_and_initial_signs_and_no_magnitudes(levels):
    initial = levels["ticket"][0].start
    for ticket, arm in zip(levels["ticket"][1:], levels["signs"][1:], strict=True):
        assert same(ticket.mask, arm.mask)
        for name, kept in arm.mask.items():
            start = arm.start[name]
            assert (np.sign(start)[kept] == np.sign(initial[name])[kept]).all()
            assert not start[~kept].any()
            (magnitude,) = np.unique(np.abs(start[kept]))
            assert magnitude == pytest.approx(np.float64(initial[name]).std(), rel=1e-6)
            # PyTorch's default is uniform in ±1/√fan_in.
            assert magnitude == pytest.approx((3 * kept.shape[1]) ** -0.5, rel=0.2)
            bias = name.replace("weight", "bias")
            np.testing.assert_array_equal(arm.start[bias], initial[bias])
        assert arm.info.iterations_trained == RECIPE.iterations


def test_another_data_order_leaves_all_else_of_the_ticket_as_it_is(levels, store):
    """Replayed by the training loop itself, whose batches are others from the first on."""
    from lottery_core.training.torch_loop import train

    assert not np.array_equal(batch_order(RECIPE, 0), batch_order(RECIPE, 0, 1))
    data = load_data(RECIPE, store.datasets)
    for ticket, arm in zip(levels["ticket"][1:], levels["new-order"][1:], strict=True):
        assert same(ticket.mask, arm.mask)
        assert same(ticket.start, arm.start)
        assert ticket.losses[0] != arm.losses[0]
        training = Training(RECIPE, ticket.start, ticket.mask, first_iteration=10, order=1)
        assert same(train(training, data, lambda moment: None).weights, arm.end)


def test_new_magnitudes_and_new_signs_change_the_one_and_keep_the_other(levels):
    """Of the weights that the ticket restarts from; those of a random reinit have both."""
    for n in (1, 2):
        ticket, reinit, magnitudes, signs = (
            levels[name][n] for name in ("ticket", "reinit", "new-magnitudes", "new-signs")
        )
        for name, kept in ticket.mask.items():
            own, new = ticket.start[name], reinit.start[name]
            for arm, size, sign in ((magnitudes, new, own), (signs, own, new)):
                np.testing.assert_array_equal(arm.mask[name], kept)
                np.testing.assert_array_equal(np.abs(arm.start[name]), np.abs(size))
                np.testing.assert_array_equal(np.sign(arm.start[name]), np.sign(sign))
            bias = name.replace("weight", "bias")
            for arm in (magnitudes, signs):
                np.testing.assert_array_equal(arm.start[bias], ticket.start[bias])
                assert arm.info.iterations_trained == ticket.info.iterations_trained


def test_a_transplanted_mask_has_the_weights_of_the_next_seeds_dense_network(levels, donor):
    for ticket, arm in zip(levels["ticket"][1:], levels["transplanted"][1:], strict=True):
        assert same(ticket.mask, arm.mask)
        assert same(arm.start, apply(donor.snapshots[10], arm.mask))
        assert arm.info.iterations_trained == ticket.info.iterations_trained


def test_a_permuted_mask_is_the_tickets_in_the_order_that_brings_both_trainings_together(
    levels, donor
):
    """By hand: rows and columns of each layer of the dense network that found the mask."""
    found_in, axes = levels["ticket"][0].end, axes_of(RECIPE.net)
    trained = [{name: end[name] for name in RECIPE.net.parameters} for end in (found_in, donor.end)]
    first, second = (order for _, order in sorted(match(*trained, axes).items()))
    assert sorted(first) == [*range(12)] != [*first]
    for ticket, arm in zip(levels["ticket"][1:], levels["permuted"][1:], strict=True):
        expected = {
            "fc1.weight": ticket.mask["fc1.weight"][first],
            "fc2.weight": ticket.mask["fc2.weight"][second][:, first],
            "fc3.weight": ticket.mask["fc3.weight"][:, second],
        }
        assert same(expected, arm.mask)
        assert same(arm.start, apply(donor.snapshots[10], arm.mask))


def test_a_random_mask_has_the_tickets_counts_and_the_original_values(levels):
    snapshot = levels["ticket"][0].snapshots[10]
    for ticket, arm in zip(levels["ticket"][1:], levels["random-mask"][1:], strict=True):
        for name, kept in arm.mask.items():
            assert kept.sum() == ticket.mask[name].sum()
            np.testing.assert_array_equal(arm.start[name], np.where(kept, snapshot[name], 0))
        assert not same(ticket.mask, arm.mask)


def test_a_random_mask_by_erk_has_the_tickets_count_in_all_and_erks_in_each_layer(levels):
    snapshot = levels["ticket"][0].snapshots[10]
    first, second = (
        {name: kept.sum() for name, kept in level.mask.items()}
        for level in levels["random-erk"][1:]
    )
    # (784 + 12, 12 + 6, 6 + 10) in proportion, but of fc2 all of its 72 weights and of fc3 all 60.
    assert first == {"fc1.weight": 4_704 + 36 + 30 - 72 - 60, "fc2.weight": 72, "fc3.weight": 60}
    total = sum(kept.sum() for kept in levels["ticket"][2].mask.values())
    assert total == sum(second.values()) == 1_882 + 15 + 12
    assert [*second.values()] == [round(total * side / 830) for side in (796, 18, 16)]
    for ticket, arm in zip(levels["ticket"][1:], levels["random-erk"][1:], strict=True):
        for name, kept in arm.mask.items():
            np.testing.assert_array_equal(arm.start[name], np.where(kept, snapshot[name], 0))
        both = (arm.mask["fc1.weight"] & ticket.mask["fc1.weight"]).mean()
        chance = arm.mask["fc1.weight"].mean() * ticket.mask["fc1.weight"].mean()
        assert both == pytest.approx(chance, abs=0.03)


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
