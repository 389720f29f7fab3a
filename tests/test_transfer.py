"""A ticket that was brought along is trained as it is, beside its controls."""

import io
from dataclasses import replace

import numpy as np
import pytest

from lottery_core.method.masks import apply, dense_mask
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS, arm_of, at, title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round
from lottery_core.store import Job
from lottery_core.tickets import files, transfer
from lottery_core.tickets.incoming import Upload, read_upload
from lottery_core.training.context import Context
from lottery_core.training.models import initial_weights

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="8", iterations=40, evaluate_every=20, batch_size=16)
HASH = "ab" * 32


@pytest.fixture
def trained(store):
    """(experiment, levels) of a real run, rewound to iteration 10."""
    rounds = (Round(0.5, 0.5, rewind_iteration=10), Round(0.8, 0.8, rewind_iteration=10))
    experiment = Experiment(RECIPE, rounds)
    list(engine.run(experiment, Context(store, loop="torch")))
    return experiment, [store.read(key) for key in experiment.keys]


@pytest.fixture
def ticket(trained):
    """The last level, taken away and brought back."""
    return read_upload("ticket.safetensors", files.ticket_safetensors(trained[1][-1]))


@pytest.fixture
def mask(trained):
    """Its mask alone."""
    return read_upload("mask.npz", files.mask_npz(trained[1][-1]))


def run(store, upload: Upload, experiment: Experiment):
    store.write_ticket(upload.content_digest, upload.mask, upload.restart)
    return list(engine.run(experiment, Context(store, loop="torch")))


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_our_own_ticket_trains_to_the_same_bits_as_the_level_it_is(store, trained, ticket):
    assert transfer.recipe_of(ticket) == RECIPE
    experiment = transfer.experiment(ticket, RECIPE)
    assert experiment.rounds[0].rewind_iteration == 10
    dense, again = run(store, ticket, experiment)
    _, levels = trained
    assert same(dense.end, levels[0].end)
    for part in ("mask", "start", "end"):
        assert same(getattr(again, part), getattr(levels[-1], part))
    assert again.info.test_accuracy == levels[-1].info.test_accuracy


def test_a_mask_alone_starts_from_the_recipes_own_initial_weights(store, mask):
    recipe = replace(RECIPE, seed=7)
    experiment = transfer.experiment(mask, recipe)
    _, level = run(store, mask, experiment)
    assert same(level.mask, mask.mask)
    assert same(level.start, apply(initial_weights(recipe), mask.mask))


def test_another_seed_changes_the_data_order_and_leaves_the_tickets_weights(store, ticket):
    recipe = replace(RECIPE, seed=7)
    _, level = run(store, ticket, transfer.experiment(ticket, recipe))
    assert same(level.start, ticket.restart)
    _, other = run(store, ticket, transfer.experiment(ticket, replace(RECIPE, seed=8)))
    assert same(other.start, ticket.restart)
    assert not same(other.end, level.end)


def test_own_weights_can_be_left_aside(store, ticket):
    recipe = replace(RECIPE, seed=7)
    experiment = transfer.experiment(ticket, recipe, own_weights=False)
    assert experiment.rounds[0].restart == "rewind"
    _, level = run(store, ticket, experiment)
    assert same(level.start, apply(initial_weights(recipe), ticket.mask))


def test_a_random_mask_beside_it_keeps_as_many_elsewhere_from_the_dense_networks_weights(
    store, ticket
):
    arms = transfer.arms(ticket, replace(RECIPE, seed=3), controls=("random-mask", "reinit"))
    (dense, main), (_, mask), (_, reinit) = (run(store, ticket, arm[0]) for arm in arms.values())
    for name, kept in ticket.mask.items():
        assert mask.mask[name].sum() == kept.sum()
    assert not same(mask.mask, ticket.mask)
    assert same(mask.start, apply(dense.snapshots[10], mask.mask))
    assert same(reinit.mask, ticket.mask)
    assert not same(reinit.start, main.start)


def test_a_control_alone_is_the_level_of_its_arm(ticket):
    experiment = transfer.experiment(ticket, RECIPE)
    for name in transfer.CONTROLS:
        assert at(name, experiment, 1).keys == ARMS[name].of(experiment).keys


def test_seeds_and_dense_networks_are_shared_by_all_arms(ticket):
    arms = transfer.arms(ticket, RECIPE, replicates=3)
    assert {name: len(arm) for name, arm in arms.items()} == {"main": 3, "random-mask": 3}
    for main, control in zip(arms["main"], arms["random-mask"], strict=True):
        assert main.keys[0] == control.keys[0]
        assert main.keys[1] != control.keys[1]
    assert [one.recipe.seed for one in arms["main"]] == [0, 1, 2]


def test_it_goes_by_its_own_name(ticket, mask):
    experiment = transfer.experiment(ticket, RECIPE)
    assert arm_of(experiment) == "ticket"
    assert title_of(experiment) == "brought ticket"
    assert title_of(transfer.experiment(mask, RECIPE)) == "brought ticket, mask alone"


def test_the_result_is_told_against_dense_and_each_control(store, ticket):
    arms = transfer.arms(ticket, RECIPE, replicates=2)
    found = {
        name: {one.recipe.seed: [level.info for level in run(store, ticket, one)] for one in arm}
        for name, arm in arms.items()
    }
    words = transfer.in_words(found)
    assert "Over 2 seeds" in words
    assert "random mask" in words


def test_other_data_and_optimiser_make_another_experiment(ticket):
    keys = {
        transfer.experiment(ticket, recipe).key
        for recipe in (
            RECIPE,
            replace(RECIPE, dataset="kmnist"),
            replace(RECIPE, optimiser="adam", momentum=0.0, learning_rate=1e-3),
            replace(RECIPE, seed=1),
        )
    }
    assert len(keys) == 4


def test_a_foreign_mask_is_trained_by_the_quick_recipe_with_its_layers():
    kept = {name: np.eye(*shape, dtype=bool) for name, shape in
            Recipe(network="12 11").shapes.items()}  # fmt: skip
    upload = read_upload("m.npz", _npz(kept))
    recipe = transfer.recipe_of(upload)
    assert recipe.network == "12 11"
    assert recipe.validation_size == 5_000


def _npz(arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


# What can't be trained says so


@pytest.mark.parametrize(("keep", "words"), [(True, "every weight"), (False, "no weight")])
def test_a_mask_with_nothing_to_compare_is_refused(keep, words):
    mask = {name: np.full_like(kept, keep) for name, kept in dense_mask(RECIPE.shapes).items()}
    upload = read_upload("m.npz", _npz(mask))
    with pytest.raises(InvalidValue, match=f"keeps {words}"):
        transfer.experiment(upload, RECIPE)


def test_another_network_is_refused_with_the_tickets_layers(ticket):
    with pytest.raises(InvalidValue, match=r"network='9' is not the ticket's; choose 8"):
        transfer.experiment(ticket, replace(RECIPE, network="9"))


def test_a_ticket_that_left_the_cache_is_asked_for_again(store, ticket):
    with pytest.raises(InvalidValue, match="is not in this cache; bring its file again"):
        list(engine.run(transfer.experiment(ticket, RECIPE), Context(store)))


def test_the_core_checks_what_a_forged_request_claims(store, mask):
    store.write_ticket(mask.content_digest, mask.mask, None)
    good = transfer.experiment(mask, RECIPE).rounds[0]
    other = replace(RECIPE, network="9")
    with pytest.raises(InvalidValue, match=r"network='9' is not the ticket's; choose 8"):
        list(engine.run(Experiment(other, (good,)), Context(store)))
    with pytest.raises(InvalidValue, match="the ticket is a mask alone; use rewind"):
        list(engine.run(Experiment(RECIPE, (replace(good, restart="ticket"),)), Context(store)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ticket": "x"}, "64 hex digits"),
        ({"ticket": "../" + "a" * 61}, "64 hex digits"),
        ({"ticket": 7}, "64 hex digits"),
        ({"restart": "ticket"}, "needs a ticket"),
        ({"ticket": HASH, "restart": "ticket", "reshuffled": True}, "choose restart=rewind"),
    ],
)
def test_a_round_with_a_bad_ticket_is_refused(fields, words):
    with pytest.raises(InvalidValue, match=words):
        Round(0.5, 0.5, **fields)


def test_only_the_first_round_takes_a_ticket():
    with pytest.raises(InvalidValue, match="only the first round may have one"):
        Experiment(RECIPE, (Round(0.5, 0.5), Round(0.8, 0.8, ticket=HASH)))
    further = Experiment(RECIPE, (Round(0.5, 0.5, ticket=HASH), Round(0.8, 0.8)))
    assert Experiment.from_dict(further.as_dict()) == further


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"replicates": 0}, "replicates=0"),
        ({"replicates": 21}, "replicates=21"),
        ({"controls": ("fine-tune",)}, "controls='fine-tune' is unknown"),
    ],
)
def test_limits_are_the_cores(ticket, options, words):
    with pytest.raises(InvalidValue, match=words):
        transfer.arms(ticket, RECIPE, **options)


def test_another_optimiser_or_length_takes_what_hangs_on_it_along():
    base = replace(RECIPE, warmup=30, decay_at=(20, 35))
    adam = transfer.adapted(base, optimiser="adam")
    assert (adam.momentum, adam.learning_rate) == (0.0, 0.001)
    back = transfer.adapted(adam, optimiser="sgd", learning_rate=0.2)
    assert (back.momentum, back.learning_rate) == (0.9, 0.2)
    short = transfer.adapted(base, iterations=20)
    assert (short.evaluate_every, short.warmup, short.decay_at) == (10, 20, ())
    assert transfer.adapted(base) == base


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "cifar"},
        {"optimiser": "lion"},
        {"learning_rate": float("nan")},
        {"iterations": 0},
        {"iterations": 10**9},
        {"seed": -1},
    ],
    ids=str,
)
def test_what_can_not_be_changed_so_is_refused(changes):
    with pytest.raises(InvalidValue, match=f"^{next(iter(changes))}="):
        transfer.adapted(RECIPE, **changes)


def test_trials_are_told_apart_by_recipe_and_gather_arms_and_seeds(store, ticket):
    two = [transfer.arms(ticket, r, replicates=2) for r in (RECIPE, replace(RECIPE, seed=5))]
    other = transfer.arms(ticket, transfer.adapted(RECIPE, optimiser="adam"), controls=("reinit",))
    asked = [one for arms in (*two, other) for arm in arms.values() for one in arm]
    for when, one in enumerate(asked):
        store.write_job(Job(one.key, "done", "", submitted=when, experiment=one.as_dict()))
    newest, oldest = transfer.trials(ticket.content_digest, store.jobs())
    assert {name: len(arm) for name, arm in newest.arms.items()} == {"main": 1, "reinit": 1}
    assert [one.recipe.seed for one in oldest.arms["main"]] == [0, 1, 5, 6]
    assert [one.recipe.seed for one in oldest.arms["random-mask"]] == [0, 1, 5, 6]
    assert transfer.trials("0" * 64, store.jobs()) == []
    assert transfer.trials('"', store.jobs()) == []
