"""The procedure: train, prune, restart, train again; and nothing is trained twice."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lottery_core.data import load_data
from lottery_core.findings.verdict import level_to_show
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply
from lottery_core.running import engine
from lottery_core.running.engine import early_stop
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import iterative, rounds_of
from lottery_core.store import LayerCounts, LevelProgress
from lottery_core.training.base import Evaluation, TrainingDiverged
from lottery_core.training.context import Context, Monitor
from lottery_core.training.models import initial_weights
from lottery_core.training.torch_loop import accuracy
from tests.images import judged_on_few
from tests.rounds import prune


def run(experiment, store, **options):
    """The loops agree to rounding; tests that ask for the same bits stay with one."""
    return engine.run(experiment, Context(store, loop="torch", **options))


def accuracy_on_test(recipe, weights, data):
    return accuracy(recipe, weights, data.test_images, data.test_labels)


ROOT = Path(__file__).resolve().parents[1]
RECIPE = Recipe(network="8", iterations=12, evaluate_every=6, batch_size=16)


@pytest.fixture(autouse=True)
def few(request):
    """Levels are judged on few images, but not those of the notebook, whose numbers are met."""
    with nullcontext() if "notebook" in request.fixturenames else judged_on_few():
        yield


@pytest.fixture
def trainings(monkeypatch):
    """Grows by one with every training."""
    calls, train = [], engine.train

    def counted(*args, **options):
        calls.append(1)
        return train(*args, **options)

    monkeypatch.setattr(engine, "train", counted)
    return calls


def same_level(one, other):
    """Whether two levels hold the same bits; how long they took may differ."""
    plain = [json.dumps(replace(level.info, seconds=0, key="").as_dict()) for level in (one, other)]
    return (
        plain[0] == plain[1]
        and one.history.equals(other.history)
        and np.array_equal(one.losses, other.losses)
        and all(
            same_weights(getattr(one, part), getattr(other, part))
            for part in ("mask", "start", "end")
        )
        and one.snapshots.keys() == other.snapshots.keys()
        and all(same_weights(one.snapshots[k], other.snapshots[k]) for k in one.snapshots)
    )


def same_weights(one, other):
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and np.array_equal(one[k], other[k]) for k in one
    )


def damage(store, key):
    path = store.root / "levels" / key / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# What survivors restart from


@pytest.mark.parametrize("iteration", [0, 10])
def test_rewound_survivors_and_biases_equal_the_saved_ones_bit_for_bit(store, iteration):
    rounds = rounds_of([0.5, 0.8], rewind_iteration=iteration)
    dense, *pruned = run(Experiment(RECIPE, rounds), store)
    saved = dense.snapshots[iteration]
    assert iteration == 0 or not np.array_equal(saved["fc1.weight"], dense.start["fc1.weight"])
    for level in pruned:
        for name, value in level.start.items():
            if name in level.mask:
                kept = level.mask[name]
                assert value[kept].tobytes() == saved[name][kept].tobytes()
                assert not value[~kept].any()
            else:
                assert value.tobytes() == saved[name].tobytes()
        assert level.info.iterations_trained == 12 - iteration
        assert level.history["iteration"].iloc[0] == iteration


@pytest.mark.parametrize("loop", ["torch", "compiled"])
def test_pruned_weights_are_zero_to_the_last_bit(store, loop):
    experiment = Experiment(RECIPE, rounds_of([0.5, 0.8]))
    for level in engine.run(experiment, Context(store, loop=loop)):
        for part in (level.start, level.end):
            for name, kept in level.mask.items():
                assert not part[name][~kept].view(np.uint32).any()


def test_level_0_starts_from_the_seeded_initialisation_and_keeps_it(store):
    (dense,) = run(Experiment(RECIPE), store)
    assert same_weights(dense.start, initial_weights(RECIPE))
    assert same_weights(dense.snapshots[0], dense.start)
    assert not np.array_equal(dense.start["fc1.weight"], dense.end["fc1.weight"])


def test_without_rewinding_survivors_keep_what_they_learned(store):
    levels = list(run(Experiment(RECIPE, rounds_of([0.5, 0.8], restart="keep")), store))
    for before, after in pairwise(levels):
        assert same_weights(after.start, apply(before.end, after.mask))


def test_a_random_reinit_is_new_at_every_level_and_repeats(store, make_store, tmp_path):
    experiment = Experiment(RECIPE, rounds_of([0.5, 0.8], restart="reinit"))
    dense, one, two = run(experiment, store)
    kept = one.mask["fc1.weight"] & two.mask["fc1.weight"]
    starts = [level.start["fc1.weight"][kept] for level in (dense, one, two)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not (starts[i] == starts[j]).any()
    again = run(experiment, make_store(tmp_path / "again"))
    assert all(same_level(a, b) for a, b in zip((dense, one, two), again, strict=True))


def test_each_mask_comes_from_the_weights_the_level_before_ended_with(store):
    experiment = Experiment(RECIPE, rounds_of([0.5, 0.8]))
    levels = list(run(experiment, store))
    for n, step in enumerate(experiment.rounds):
        evidence = Evidence(levels[0].start, levels[n].end, levels[n].mask)
        expected = prune(evidence, step)
        assert same_weights(levels[n + 1].mask, expected)
        assert not any((levels[n + 1].mask[k] & ~levels[n].mask[k]).any() for k in expected)


def test_accuracy_before_retraining_is_that_of_the_pruned_trained_weights(store):
    experiment = Experiment(RECIPE, rounds_of([0.5, 0.8]))
    dense, one, two = run(experiment, store)
    data = engine.load_data(RECIPE, store.datasets)
    assert dense.info.test_accuracy_before_retraining is None
    assert two.info.test_accuracy_before_retraining == accuracy_on_test(
        RECIPE, apply(one.end, two.mask), data
    )
    evidence = Evidence(dense.start, dense.end, dense.mask)
    in_one_go = prune(evidence, experiment.rounds[1])
    assert two.info.test_accuracy_dense_pruned == accuracy_on_test(
        RECIPE, apply(dense.end, in_one_go), data
    )


def test_a_level_says_what_was_asked_for_and_what_is_left(store, tiny):
    *_, last = run(tiny, store)
    assert Experiment.from_dict(last.info.experiment) == tiny
    assert last.info.layers == {
        "fc1.weight": LayerCounts(weights=6272, kept=1568),
        "fc2.weight": LayerCounts(weights=80, kept=20),
    }
    assert last.info.test_accuracy == last.history["test_accuracy"].iloc[-1]
    assert last.info.versions.keys() == {"key", "python", "torch", "numpy"}


# Selection


def row(iteration, validation_loss, test_accuracy):
    return Evaluation(iteration, 1.0, validation_loss, 0.5, 1.0, test_accuracy)


def test_the_early_stop_is_the_smallest_validation_loss_whatever_the_test_set_says():
    history = [row(0, 2.0, 0.99), row(10, 0.5, 0.1), row(20, 0.7, 0.98)]
    assert early_stop(history) == history[1]


@pytest.mark.parametrize("criterion", ["magnitude", "snip", "gradient-weight"])
def test_other_test_images_change_nothing_but_what_is_reported_of_them(
    make_store, tmp_path, monkeypatch, criterion
):
    recipe = replace(RECIPE, iterations=60, evaluate_every=10)
    experiment = Experiment(recipe, rounds_of([0.5, 0.8], criterion=criterion))
    true = list(run(experiment, make_store(tmp_path / "true")))
    load = engine.load_data

    def scrambled(*args, **options):
        data = load(*args, **options)
        rng = np.random.default_rng(0)
        return replace(data, test_labels=rng.permutation(data.test_labels))

    monkeypatch.setattr(engine, "load_data", scrambled)
    other = list(run(experiment, make_store(tmp_path / "other")))
    for one, two in zip(true, other, strict=True):
        assert one.info.test_accuracy != two.info.test_accuracy
        assert one.info.early_stop_iteration == two.info.early_stop_iteration
        assert all(same_weights(getattr(one, part), getattr(two, part)) for part in ("mask", "end"))
    found = [level_to_show({0: [level.info for level in levels]}) for levels in (true, other)]
    assert found[0] == found[1]


def test_of_equal_validation_losses_the_earliest_is_the_early_stop():
    history = [row(0, 2.0, 0.1), row(10, 0.5, 0.2), row(20, 0.5, 0.9)]
    assert early_stop(history).iteration == 10


def test_without_validation_images_nothing_is_selected(store):
    assert early_stop([row(0, np.nan, 0.1), row(10, np.nan, 0.9)]) is None
    (level,) = run(Experiment(replace(RECIPE, validation_size=0)), store)
    assert level.info.early_stop_iteration is None
    assert level.info.test_accuracy_at_early_stop is None
    assert level.info.validation_accuracy is None


# Nothing is trained twice


def test_the_dense_network_is_trained_once_for_two_schedules(store, trainings):
    list(run(Experiment(RECIPE, rounds_of([0.5])), store))
    list(run(Experiment(RECIPE, rounds_of([0.9])), store))
    assert len(trainings) == 3


def test_more_rounds_train_only_those_that_are_new(store, trainings):
    short = list(run(Experiment(RECIPE, rounds_of(iterative(0.4, 2))), store))
    long = list(run(Experiment(RECIPE, rounds_of(iterative(0.4, 4))), store))
    assert len(trainings) == 5
    assert all(same_level(a, b) for a, b in zip(short, long, strict=False))


def test_a_control_of_one_round_costs_one_training(store, trainings):
    list(run(Experiment(RECIPE, rounds_of([0.5])), store))
    assert len(trainings) == 2
    list(run(Experiment(RECIPE, rounds_of([0.5], restart="keep")), store))
    assert len(trainings) == 3


def test_rewinding_elsewhere_reuses_the_dense_network(store, trainings):
    list(run(Experiment(RECIPE, rounds_of([0.5])), store))
    list(run(Experiment(RECIPE, rounds_of([0.5], rewind_iteration=10)), store))
    assert len(trainings) == 3


def test_a_finished_experiment_is_read_and_not_trained(store, trainings, tiny):
    computed = list(run(tiny, store))
    read = list(run(tiny, store))
    assert len(trainings) == 3
    assert all(same_level(a, b) for a, b in zip(computed, read, strict=True))


def test_the_same_experiment_in_two_stores_gives_the_same_bits(make_store, tmp_path, tiny):
    one, two = (list(run(tiny, make_store(tmp_path / name))) for name in "ab")
    assert all(same_level(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_damaged_level_is_trained_again_alone_to_the_same_bits(store, trainings, tiny, n):
    before = list(run(tiny, store))
    damage(store, tiny.keys[n])
    with pytest.warns(UserWarning, match=f"level {tiny.keys[n]} is damaged"):
        after = list(run(tiny, store))
    assert len(trainings) == 4
    assert all(same_level(a, b) for a, b in zip(before, after, strict=True))
    assert same_level(store.read(tiny.keys[n]), before[n])


# Stopping


class Stop(Exception):
    """Somebody asked for it."""


def test_a_stopped_run_keeps_its_finished_levels_and_goes_on_after_them(store, trainings, tiny):
    levels = run(tiny, store)
    next(levels)
    levels.close()
    assert store.has(tiny.keys[0])
    assert not store.has(tiny.keys[1])
    list(run(tiny, store))
    assert len(trainings) == 3


def test_check_stops_in_the_middle_of_a_level_and_leaves_nothing_of_it(store):
    experiment = Experiment(replace(RECIPE, iterations=200_000, evaluate_every=1_000))

    def check():
        progress = store.read_progress(experiment.key)
        if isinstance(progress, LevelProgress) and progress.iteration:
            raise Stop

    with pytest.raises(Stop):
        list(run(experiment, store, monitor=Monitor(check)))
    assert not list(store.root.glob("levels/*"))
    assert store.read_progress(experiment.key) is None
    assert not store.is_held(f"level-{experiment.key}")


def test_a_level_can_be_looked_at_until_it_is_in_the_store(store, monkeypatch):
    seen, write = [], store.write

    def watched(key, level):
        seen.append(store.read_progress(key).iteration)
        write(key, level)

    monkeypatch.setattr(type(store), "write", lambda self, key, level: watched(key, level))
    assert len(list(run(Experiment(RECIPE), store))) == len(seen) == 1
    assert store.read_progress(Experiment(RECIPE).key) is None


def test_check_stops_waiting_for_a_level_that_another_trains(store, tiny):
    def check():
        raise Stop

    with store.held(f"level-{tiny.keys[0]}"), pytest.raises(Stop):
        list(run(tiny, store, monitor=Monitor(check)))


def test_a_diverged_level_is_not_kept(store):
    recipe = Recipe(learning_rate=10, weight_decay=1, iterations=500, evaluate_every=250)
    with pytest.raises(TrainingDiverged):
        list(run(Experiment(recipe), store))
    assert not list(store.root.glob("levels/*"))
    assert store.read_progress(Experiment(recipe).key) is None


# Many processes

ONE_OF_MANY = """
import json, os, sys, time
from pathlib import Path
from lottery_core.running import engine
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Store
from lottery_core.training.context import Context, Monitor

root, experiment = Path(sys.argv[1]), Experiment.from_dict(json.loads(sys.argv[2]))
store, stand_still = Store(root), sys.argv[3:]
train = engine.train

def noted(*args, **options):
    with open(root / "trainings", "a") as file:
        file.write("one\\n")
    return train(*args, **options)

engine.train = noted
(root / f"ready-{os.getpid()}").touch()
while not (root / "go").exists():
    time.sleep(0.005)

def check():
    if any(store.read_progress(key) for key in stand_still):
        (root / "stands").touch()
        time.sleep(600)

context = Context(store, monitor=Monitor(check))
print([float(level.losses[-1]) for level in engine.run(experiment, context)])
"""


def start_process(store, experiment, *stand_still):
    """A process that runs an experiment, and stands still in the middle of these levels."""
    experiment = json.dumps(experiment.as_dict())
    return subprocess.Popen(
        [sys.executable, "-c", ONE_OF_MANY, store.root, experiment, *stand_still],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.01)


def test_three_processes_that_ask_at_once_train_each_level_once(store, tiny):
    processes = [start_process(store, tiny) for _ in range(3)]
    try:
        wait_until(lambda: len(list(store.root.glob("ready-*"))) == 3)
        (store.root / "go").touch()
        printed = {process.communicate(timeout=120)[0] for process in processes}
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * 3
    assert len(printed) == 1
    assert (store.root / "trainings").read_text().splitlines() == ["one"] * 3
    assert sorted(path.name for path in (store.root / "levels").iterdir()) == sorted(tiny.keys)


def test_a_process_killed_in_the_middle_of_a_level_leaves_no_half_level_and_no_lock(store):
    experiment = Experiment(RECIPE, rounds_of([0.5]))
    (store.root / "go").touch()
    process = start_process(store, experiment, experiment.keys[1])
    try:
        wait_until((store.root / "stands").exists)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert os.listdir(store.root / "levels") == [experiment.keys[0]]
    assert store.read(experiment.keys[1]) is None
    assert not store.is_held(f"level-{experiment.keys[1]}")
    levels = list(run(experiment, store))
    assert [level.info.level for level in levels] == [0, 1]
    assert store.read_progress(experiment.keys[1]) is None


# The notebook


@pytest.fixture(scope="module")
def notebook(make_store, tmp_path_factory):
    """For each of three seeds: the levels that the notebook trains, and their data.

    It prunes the network of 78.4 % straight to 95.33 %, which the preset reaches in three
    rounds of 40 %: hence the list, with which its loss there (1.028) is met.
    """
    store = make_store(tmp_path_factory.mktemp("notebook"))
    found = []
    for seed in range(3):
        choice = replace(
            PRESETS["notebook"].choice,
            schedule="list",
            sparsities=(0.4, 1 - 0.6**2, 1 - 0.6**3, 1 - 0.6**6),
            evaluate_every=7_500,
            seed=seed,
        )
        levels = list(engine.run(choice.experiment(), Context(store, loop="compiled")))
        found.append((levels, load_data(choice.recipe(), store.datasets)))
    return found


# What the notebook prints is one run, on one processor. Here 24 seeds (0 to 23) gave, as mean and
# standard deviation of single runs: dense 96.6 and 0.4 percent on the test images, 40 % pruned
# 96.4 and 0.5, 60 % 95.8 and 0.8, 80 % 82.3 and 5.8, 95 % 32.7 and 8.7. Rounding otherwise is
# another draw, so the mean of three is held to four standard errors of that.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("sparsity", "least", "most"),
    [(0, 95.7, 97.5), (0.4, 95.3, 97.6), (0.6, 93.9, 97.6), (0.8, 69, 96), (0.95, 13, 53)],
)  # the notebook: 96, 96, 96, 85, 21
def test_the_notebooks_accuracies_without_retraining_are_met(notebook, sparsity, least, most):
    found = []
    for (dense, *_), data in notebook:
        recipe = Experiment.from_dict(dense.info.experiment).recipe
        evidence = Evidence(dense.start, dense.end, dense.mask)
        mask = prune(evidence, rounds_of([sparsity])[0]) if sparsity else {}
        found.append(100 * accuracy_on_test(recipe, apply(dense.end, mask), data))
    assert least <= np.mean(found) <= most


# Likewise 96.7, 96.4, 96.0 and 95.4, with deviations of 0.4.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "least", "most"),
    [(1, 95.7, 97.7), (2, 95.4, 97.3), (3, 95.1, 97), (4, 94.4, 96.4)],
)  # the notebook: 97, 96, 96, 95
def test_the_notebooks_accuracies_with_rewinding_are_met(notebook, level, least, most):
    found = np.mean([100 * levels[level].info.test_accuracy for levels, _ in notebook])
    assert least <= found <= most


# The losses it prints: the same 24 seeds gave 0.466, 0.168, 0.120 and 0.098 for the dense network,
# with deviations of 1 to 4 %, and 0.941, 0.221, 0.169 and 0.147 at 95.33 %, with 6 to 8 %: there
# the notebook's run is one of the upper end. Four standard errors and that distance are allowed.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "printed", "slack"),
    [(0, (0.460, 0.162, 0.121, 0.096), 0.1), (4, (1.028, 0.227, 0.177, 0.155), 0.25)],
)
def test_the_notebooks_losses_are_met(notebook, level, printed, slack):
    losses = np.mean([levels[level].losses for levels, _ in notebook], axis=0)
    found = np.array([losses[epoch * 1875 :][:1000].mean() for epoch in range(4)])
    assert (np.abs(found / printed - 1) <= slack).all(), found
