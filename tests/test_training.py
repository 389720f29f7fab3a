"""A level's training does what a few lines of float64 do, and touches no pruned weight.

What holds for any loop is asked of both, and of the compiled one also with no layer sparse.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from lottery_core.data import load_data
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.method.seeds import seed_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.training import base, sparse_loop, torch_loop
from lottery_core.training.base import Training, TrainingDiverged, batch_order
from lottery_core.training.models import initial_weights
from lottery_core.training.torch_loop import accuracy as accuracy_of
from tests import reference
from tests.images import unreadable
from tests.rounds import prune

SMALL = Recipe(network="24 12", iterations=60, evaluate_every=30)
SMALLEST = replace(SMALL, network="12 8", batch_size=8)
LINEAR = replace(SMALL, network="none", batch_size=4096)  # no ReLU, however many images
OPTIMISERS = {
    "SGD with momentum": {},
    "plain SGD": {"momentum": 0},
    "SGD with weight decay": {"weight_decay": 0.1},
    "Adam": {"optimiser": "adam", "momentum": 0, "learning_rate": 0.001},
    "Adam with weight decay": {
        "optimiser": "adam", "momentum": 0, "learning_rate": 0.001, "weight_decay": 0.1
    },
}  # fmt: skip
each_optimiser = pytest.mark.parametrize("changes", OPTIMISERS.values(), ids=OPTIMISERS)
SCHEDULES = {
    "constant": {},
    "warm-up": {"warmup": 20},
    "decay": {"decay_at": (20, 45), "decay_factor": 0.3},
    "warm-up and decay": {"warmup": 20, "decay_at": (30, 45)},
    "decay within the warm-up": {"warmup": 40, "decay_at": (10, 25), "decay_factor": 0.5},
}
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def train_dense_form(training, data, report):
    forms = dict.fromkeys(training.mask, False)
    return sparse_loop.train(training, data, report, forms=lambda mask: forms)


LOOPS = {
    "torch": torch_loop.train,
    "compiled": sparse_loop.train,
    "compiled, dense form": train_dense_form,
}


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def train(request):
    """Each training loop."""
    return request.param


def nobody(moment):
    """Nobody looks."""


def pruned_start(recipe, sparsity=0.8):
    """(masked initial weights, mask) of a network pruned by its initial magnitudes."""
    weights, (step,) = initial_weights(recipe), rounds_of([sparsity])
    mask = prune(Evidence(weights, weights, dense_mask(recipe.shapes)), step)
    return apply(weights, mask), mask


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.fixture
def every_step(monkeypatch):
    """The loop reports after every step instead of every 50 ms."""
    monkeypatch.setattr(base, "_CHUNK", 0)


# Pruned weights and survivors


@each_optimiser
def test_pruned_weights_are_exactly_zero_after_every_step(train, changes, mnist):
    recipe = replace(SMALL, **changes)
    start, mask = pruned_start(recipe)
    trained = train(Training(recipe, start, mask, snapshots=tuple(range(60))), mnist, nobody)
    for weights in (*trained.snapshots.values(), trained.weights):
        for name, kept in mask.items():
            assert not weights[name][~kept].any(), name
    assert len(trained.snapshots) == 60
    assert not same(trained.snapshots[59], trained.weights)


@each_optimiser
def test_survivors_are_trained_whatever_their_sign_and_size(train, changes, mnist):
    recipe = replace(SMALL, **changes)
    start, mask = pruned_start(recipe, 0.3)
    values, kept = start["fc1.weight"], mask["fc1.weight"]
    values[:, ::3][kept[:, ::3]] = 0.0
    values[:, 1::3][kept[:, 1::3]] *= 1e-9
    end = train(Training(recipe, start, mask), mnist, nobody).weights["fc1.weight"]
    moved = end != values
    alive = moved.any(axis=1)  # a unit whose ReLU never opens learns nothing
    assert alive.mean() > 0.8
    for group in (values < 0, values > 0, values == 0):
        assert moved[alive][(group & kept)[alive]].mean() > 0.99


# Agreement with float64


@pytest.fixture(scope="module")
def settled(mnist):
    """Makes (recipe, start, mask, reference at its end, its losses) of a settled training."""
    return functools.cache(lambda *given: reference.settled(pruned_start, lambda _: mnist, *given))


def assert_followed(trained, at_end, losses):
    """Every weight to 1e-5 of the largest of its array, a tenth of which is usual."""
    assert trained.losses == pytest.approx(losses, abs=2e-6)
    for name, value in at_end.weights.items():
        assert trained.weights[name] == pytest.approx(value, abs=1e-5 * np.abs(value).max()), name


@each_optimiser
def test_a_hundred_steps_on_end_lead_where_they_do_in_float64(train, changes, mnist, settled):
    recipe = replace(SMALLEST, iterations=100, evaluate_every=100, **changes)
    recipe, start, mask, *expected = settled(recipe)
    assert_followed(train(Training(recipe, start, mask), mnist, nobody), *expected)


def test_the_last_short_batch_of_an_epoch_is_used_and_the_next_epoch_has_its_own_order(
    train, mnist, settled
):
    # 55,000 = 13 * 4,096 + 1,752: step 14 is short, step 15 begins the second epoch.
    recipe, start, mask, *expected = settled(replace(LINEAR, iterations=16))
    assert recipe.iterations_per_epoch == 14
    assert_followed(train(Training(recipe, start, mask), mnist, nobody), *expected)


@each_schedule
@pytest.mark.parametrize(
    "changes",
    [{"weight_decay": 0.01}, OPTIMISERS["Adam"], OPTIMISERS["Adam"] | {"weight_decay": 0.01}],
    ids=["SGD with momentum and weight decay", "Adam", "Adam with weight decay"],
)
def test_each_step_is_taken_at_the_rate_of_its_iteration(train, changes, schedule, mnist, settled):
    recipe, start, mask, *expected = settled(replace(SMALLEST, **changes, **schedule))
    trained = train(Training(recipe, start, mask), mnist, nobody)
    assert_followed(trained, *expected)
    # However many steps are taken at once.
    one_by_one = train(Training(recipe, start, mask, snapshots=tuple(range(60))), mnist, nobody)
    assert same(one_by_one.weights, trained.weights)


def test_a_training_that_starts_later_takes_the_rates_from_there_on(train, mnist, settled):
    # 14 iterations an epoch: it starts within the second, and within the warm-up.
    recipe = replace(LINEAR, iterations=32, warmup=20, decay_at=(5, 24, 29), decay_factor=0.3)
    recipe, start, mask, *expected = settled(recipe, 16)
    trained = train(Training(recipe, start, mask, first_iteration=16), mnist, nobody)
    assert_followed(trained, *expected)


def test_an_epoch_shows_every_training_image_once():
    recipe = Recipe()
    first, second = batch_order(recipe, 0), batch_order(recipe, 1)
    assert np.array_equal(np.sort(first), np.arange(55_000))
    assert np.array_equal(np.sort(second), np.arange(55_000))
    assert not np.array_equal(first, second)


# Saved weights


def test_what_was_handed_in_is_not_changed_by_training(train, mnist):
    start, mask = pruned_start(SMALL)
    saved, saved_mask = ({k: v.copy() for k, v in arrays.items()} for arrays in (start, mask))
    trained = train(Training(SMALL, start, mask), mnist, nobody)
    assert same(start, saved)
    assert same(mask, saved_mask)
    assert not np.array_equal(trained.weights["fc1.weight"], saved["fc1.weight"])


def test_snapshots_and_reported_weights_do_not_follow_the_live_ones(train, mnist, every_step):
    start, mask = initial_weights(SMALL), dense_mask(SMALL.shapes)
    looks = {}
    trained = train(
        Training(SMALL, start, mask, snapshots=(0, 10, 20, 50)),
        mnist,
        lambda moment: looks.setdefault(moment.iteration, moment.weights()),
    )
    assert list(trained.snapshots) == [0, 10, 20, 50]
    assert same(trained.snapshots[0], start)
    for iteration, weights in trained.snapshots.items():
        assert same(weights, looks[iteration])
    assert not same(trained.snapshots[50], trained.weights)


@pytest.mark.parametrize(
    "schedule", [{}, {"warmup": 12, "decay_at": (13, 15)}], ids=["constant", "schedule"]
)
def test_rewinding_continues_with_the_batches_and_rates_level_0_had_from_there_on(
    train, schedule, mnist
):
    # Without momentum nothing but the weights is carried over: the rest is the same, bit for bit.
    recipe = replace(SMALL, momentum=0, batch_size=4096, iterations=17, **schedule)
    start, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    whole = train(Training(recipe, start, mask, snapshots=(10,)), mnist, nobody)
    rest = train(Training(recipe, whole.snapshots[10], mask, first_iteration=10), mnist, nobody)
    assert np.array_equal(rest.losses, whole.losses[10:])
    assert same(rest.weights, whole.weights)
    assert [row.iteration for row in rest.history] == [10, 17]


def test_a_rewound_network_starts_with_the_loss_level_0_had_there(train, mnist):
    start, mask = initial_weights(SMALL), dense_mask(SMALL.shapes)
    whole = train(Training(SMALL, start, mask, snapshots=(20,)), mnist, nobody)
    rest = train(Training(SMALL, whole.snapshots[20], mask, first_iteration=20), mnist, nobody)
    assert rest.losses[0] == whole.losses[20]
    assert len(rest.losses) == 40


# Seeds


@each_optimiser
def test_the_same_training_twice_gives_the_same_bits(train, changes, mnist):
    recipe = replace(SMALL, **changes)
    start, mask = pruned_start(recipe)
    threads = torch.get_num_threads()
    one = train(Training(recipe, start, mask), mnist, nobody)
    try:
        torch.set_num_threads(3)  # how many cores there are has no say
        torch.manual_seed(99)
        other = train(Training(recipe, start, mask), mnist, nobody)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert same(one.weights, other.weights)
    assert np.array_equal(one.losses, other.losses)
    assert str(one.history) == str(other.history)


def test_order_split_and_first_weights_each_have_a_stream_of_their_own(datasets):
    base = Recipe(network="8", batch_size=64)
    other = Recipe(network="16 8", init="glorot", learning_rate=0.5, batch_size=32)
    assert np.array_equal(batch_order(base, 3), batch_order(other, 3))
    one, two = (load_data(recipe, datasets) for recipe in (base, other))
    assert np.array_equal(one.validation_index, two.validation_index)
    reseeded = replace(base, seed=1)
    assert not np.array_equal(batch_order(base, 3), batch_order(reseeded, 3))
    three = load_data(reseeded, datasets)
    assert not np.array_equal(one.validation_index, three.validation_index)


def test_no_two_purposes_share_a_seed():
    purposes = [("init",), ("validation",), *(("order", n) for n in range(50))]
    purposes += [(kind, n) for kind in ("prune", "reinit") for n in range(41)]
    seeds = {seed_of(seed, *purpose) for seed in range(20) for purpose in purposes}
    assert len(seeds) == 20 * len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)


# What is seen of validation and test images


def test_neither_held_out_nor_test_images_have_any_part_in_training(train, mnist):
    blind = replace(
        mnist,
        images=unreadable(mnist.images, mnist.validation_index),
        test_images=unreadable(mnist.test_images),
    )
    start, mask = pruned_start(SMALL)
    with_them = train(Training(SMALL, start, mask), mnist, nobody)
    without = train(Training(SMALL, start, mask), blind, nobody)
    assert same(with_them.weights, without.weights)
    assert np.array_equal(with_them.losses, without.losses)
    assert np.isnan(without.history[-1].test_loss)


def test_history_has_a_row_at_the_start_at_every_interval_and_at_the_end(train, mnist):
    recipe = replace(SMALL, iterations=50, evaluate_every=20)
    trained = train(Training(recipe, *pruned_start(recipe)), mnist, nobody)
    assert [row.iteration for row in trained.history] == [0, 20, 40, 50]
    assert np.isnan(trained.history[0].train_loss)
    means = [trained.losses[a:b].mean() for a, b in ((0, 20), (20, 40), (40, 50))]
    assert [row.train_loss for row in trained.history[1:]] == pytest.approx(means)


def test_evaluations_are_what_float64_computes_from_the_final_weights(train, mnist):
    trained = train(Training(SMALL, *pruned_start(SMALL)), mnist, nobody)

    last, held_out = trained.history[-1], mnist.validation_index
    for loss, accuracy, images, labels in (
        (
            last.validation_loss,
            last.validation_accuracy,
            mnist.images[held_out],
            mnist.labels[held_out],
        ),
        (last.test_loss, last.test_accuracy, mnist.test_images[:], mnist.test_labels),
    ):
        true_loss, true_accuracy, level = reference.judged(trained.weights, images, labels)
        assert loss == pytest.approx(true_loss, abs=1e-6)
        assert abs(accuracy - true_accuracy) <= level < 0.001
    found = accuracy_of(SMALL, trained.weights, mnist.test_images, mnist.test_labels)
    assert abs(found - true_accuracy) <= level


def test_without_a_validation_split_its_columns_are_nan(train, datasets):
    recipe = replace(SMALL, validation_size=0, iterations=5, evaluate_every=5)
    trained = train(Training(recipe, *pruned_start(recipe)), load_data(recipe, datasets), nobody)
    assert all(np.isnan(row.validation_loss) for row in trained.history)
    assert all(np.isnan(row.validation_accuracy) for row in trained.history)
    assert 0 < trained.history[-1].test_accuracy < 1


# Ends


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_a_diverging_training_names_the_learning_rate(train, mnist, momentum):
    # Weight decay makes it certain: without it every ReLU may die first, at a finite loss.
    recipe = replace(
        Recipe(), learning_rate=10, momentum=momentum, weight_decay=1, iterations=2_000
    )
    start, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    with pytest.raises(TrainingDiverged, match=r"iteration \d.*choose a learning rate below 10$"):
        train(Training(recipe, start, mask), mnist, nobody)


def test_a_report_that_raises_stops_the_training(train, mnist, every_step):
    class Stop(Exception):
        pass

    def stop(moment):
        if moment.iteration == 7:
            raise Stop

    with pytest.raises(Stop):
        train(Training(SMALL, *pruned_start(SMALL)), mnist, stop)


def test_an_unknown_device_is_refused_with_those_that_are_here(mnist):
    with pytest.raises(InvalidValue, match=r"device='tpu' is not here; choose one of cpu"):
        torch_loop.train(Training(SMALL, *pruned_start(SMALL)), mnist, nobody, device="tpu")
