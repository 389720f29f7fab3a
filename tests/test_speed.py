"""How long it will take is said from what this machine has done before."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lottery_core.running.crew import Crew
from lottery_core.running.forecast import MEASURING, Plan, Queued, measuring, plan
from lottery_core.running.queue import Queue
from lottery_core.running.time_left import (
    in_words,
    learn,
    learn_warm_up,
    seconds_of_level,
    seconds_per_iteration,
)
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Job, PartsDone, Store, task_key
from lottery_core.training.base import LOOPS
from tests.infos import info_of

RECIPE = Recipe(iterations=1_000, evaluate_every=100)
ONE, TWO = Queued((0.0,)), Queued((0.0, 0.0))
MEASURED = {"step": [[1_000_000, 0.001], [11_000_000, 0.002]], "evaluation": 1e-11}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def done(seconds, recipe=RECIPE, iterations=1_000, kept=1_000, loop="torch"):
    return info_of(
        experiment=Experiment(recipe).as_dict(),
        layers={"fc1.weight": (1_000, kept)},
        loop=loop,
        seconds=seconds,
        iterations_trained=iterations,
    )


def test_an_unknown_machine_promises_nothing():
    assert seconds_per_iteration({}, RECIPE) is None
    assert seconds_of_level({}, Experiment(RECIPE), 0) is None


def test_what_was_learned_is_said_again_for_the_same_kind_of_training(store):
    learn(store, done(5.0))
    facts = store.read_machine()
    experiment = Experiment(RECIPE, rounds_of([0.5, 0.9], rewind_iteration=200))
    assert seconds_of_level(facts, experiment, 0) == pytest.approx(5)
    assert seconds_of_level(facts, experiment, 1) == pytest.approx(4)
    longer = Experiment(replace(RECIPE, iterations=3_000, seed=7))
    assert seconds_of_level(facts, longer, 0) == pytest.approx(15)


def test_a_sparse_level_takes_what_levels_of_its_density_took(store):
    learn(store, done(5.0))
    learn(store, done(1.0, kept=100))
    experiment = Experiment(RECIPE, rounds_of([0.55, 0.9, 0.99]))
    times = [seconds_of_level(store.read_machine(), experiment, n) for n in range(4)]
    assert times == pytest.approx([5, 2.5556, 1, 1], abs=1e-3)  # 0.45 lies between 0.1 and 1
    dense = Experiment(replace(RECIPE, seed=1))
    assert seconds_of_level(store.read_machine(), dense, 0) == pytest.approx(5)


def test_newer_runs_count_more(store):
    for seconds in (5.0, 9.0, 9.0, 9.0, 9.0):
        learn(store, done(seconds))
    assert 8.5 < seconds_of_level(store.read_machine(), Experiment(RECIPE), 0) < 9


@pytest.mark.parametrize(
    "change",
    [{"network": "300 100"}, {"batch_size": 64}, {"evaluate_every": 50}, {"dataset": "kmnist"}],
)
def test_another_kind_of_training_is_not_confused_with_it(store, change):
    learn(store, done(5.0))
    assert seconds_per_iteration(store.read_machine(), replace(RECIPE, **change)) is None
    assert seconds_per_iteration(store.read_machine(), RECIPE, "cuda") is None


def test_what_one_loop_took_is_not_said_of_the_other(store):
    learn(store, done(5.0, loop="torch"))
    learn(store, done(1.0, loop="compiled"))
    facts, experiment = store.read_machine(), Experiment(RECIPE)
    said = {loop: seconds_of_level(facts, experiment, 0, loop=loop) for loop in LOOPS}
    assert said == pytest.approx({"torch": 5, "compiled": 1, "auto": 1})
    learn(store, done(9.0, replace(RECIPE, batch_size=64), loop="torch"))
    facts, other = store.read_machine() | MEASURED, Experiment(replace(RECIPE, batch_size=64))
    assert seconds_of_level(facts, other, 0, loop="compiled") is None
    assert plan(store, [experiment], ONE, loop="torch").seconds == pytest.approx(5)


def test_a_kind_never_trained_takes_what_others_took_over_what_was_reckoned(store):
    store.revise_machine(lambda facts: MEASURED)
    other = replace(RECIPE, network="300 100", batch_size=64)
    before = seconds_per_iteration(store.read_machine(), other)
    usual = seconds_per_iteration(store.read_machine(), RECIPE)
    # The machine was busy when its steps were measured: all take a third of what was reckoned.
    learn(store, done(1_000 * usual / 3, loop="compiled"))
    facts = store.read_machine()
    assert seconds_per_iteration(facts, other) == pytest.approx(before / 3)
    assert seconds_per_iteration(facts, other, loop="compiled") == pytest.approx(before / 3)
    assert seconds_per_iteration(facts, other, loop="torch") == pytest.approx(before)
    assert seconds_per_iteration(facts, other, "cuda") == pytest.approx(before)


def test_very_short_runs_teach_nothing(store):
    learn(store, done(5.0, iterations=99))
    assert store.read_machine() == {}


def test_learning_keeps_what_else_is_known_of_the_machine(store):
    store.revise_machine(lambda facts: MEASURED)
    learn(store, done(5.0))
    assert store.read_machine()["step"] == MEASURED["step"]


def test_before_any_run_two_measured_points_are_extended():
    # 109,184 weights at batch 32: 0.0009 fixed, and 1e-10 seconds per weight and image.
    step = 0.0009 + 1e-10 * 109_184 * 32
    evaluation = 1e-11 * 109_184 * 15_000 / 100
    assert seconds_per_iteration(MEASURED, RECIPE) == pytest.approx(step + evaluation)
    wider, rarer = replace(RECIPE, network="300 100"), replace(RECIPE, evaluate_every=1_000)
    assert seconds_per_iteration(MEASURED, wider) > seconds_per_iteration(MEASURED, RECIPE)
    assert seconds_per_iteration(MEASURED, rarer) < seconds_per_iteration(MEASURED, RECIPE)


def test_a_measurement_upside_down_still_gives_a_time():
    odd = MEASURED | {"step": [[1_000_000, 0.002], [11_000_000, 0.001]]}
    assert seconds_per_iteration(odd, RECIPE) >= 0.002


def test_a_plan_counts_shared_levels_once_and_experiments_side_by_side(store):
    learn(store, done(5.0))
    rounds = rounds_of([0.5, 0.9]), rounds_of([0.5, 0.9], restart="keep")
    both = [Experiment(RECIPE, one) for one in rounds]
    assert plan(store, both[:1], ONE) == Plan(3, 0, pytest.approx(15))
    assert plan(store, both, TWO) == Plan(5, 0, pytest.approx(15))
    assert plan(store, both, ONE) == Plan(5, 0, pytest.approx(25))


def test_a_plan_leaves_out_what_is_there_already(store, monkeypatch):
    learn(store, done(5.0))
    experiment = Experiment(RECIPE, rounds_of([0.5, 0.9]))
    monkeypatch.setattr(store, "has", lambda key: key in experiment.keys[:2])
    assert plan(store, [experiment], ONE) == Plan(3, 2, pytest.approx(5))
    monkeypatch.setattr(store, "has", lambda key: True)
    assert plan(store, [experiment], ONE) == Plan(3, 3, 0)


def test_a_plan_on_an_unknown_machine_names_no_time(store):
    assert plan(store, [Experiment(RECIPE)], ONE) == Plan(1, 0, None)


def job(experiment, task="run"):
    return Job(task_key(task, experiment.key), "queued", "q", 0.0, experiment.as_dict(), task=task)


def test_what_waits_in_the_queue_comes_first(store):
    learn(store, done(5.0))
    before = [Experiment(replace(RECIPE, seed=seed), rounds_of([0.5])) for seed in (1, 2, 3)]
    ours, jobs = Experiment(RECIPE, rounds_of([0.5])), tuple(map(job, before))
    for ready, seconds in (((0.0,), 40), ((0.0, 0.0), 20), ((0.0, 0.0, 4.0), 20)):
        assert plan(store, [ours], Queued(ready, jobs)).seconds == pytest.approx(seconds), ready
    # In its place, once it is there: what was asked for after it changes nothing.
    asked = Queued((0.0,), (jobs[0], job(ours), *jobs[1:]))
    assert plan(store, [ours], asked).seconds == pytest.approx(20)
    # A job that shares a level spares us its training.
    shared = Queued((0.0,), (job(Experiment(RECIPE)),))
    assert plan(store, [ours], shared).seconds == pytest.approx(10)
    # Nobody knows how long what comes first takes: nothing is promised.
    unknown = Experiment(replace(RECIPE, dataset="kmnist", network="300 100"))
    assert plan(store, [ours], Queued((0.0,), (job(unknown),))).seconds is None


def test_a_measurement_in_the_queue_takes_its_time_too(store):
    learn(store, done(5.0))
    first = Experiment(replace(RECIPE, seed=1), rounds_of([0.5]))
    queued = Queued((0.0,), (job(first, "measure"),))
    takes = measuring(store.read_machine(), first)
    # Two levels, whose steps are so short that they hardly count.
    assert 2 * MEASURING < takes < 2 * MEASURING + 1
    assert plan(store, [Experiment(RECIPE)], queued).seconds == pytest.approx(15 + takes)
    store.write_progress(task_key("measure", first.key), PartsDone(1, 2, 10.0))
    assert plan(store, [Experiment(RECIPE)], queued).seconds == pytest.approx(15 + 10)


def test_measuring_networks_of_long_steps_is_said_to_take_longer(store):
    learn(store, done(500.0))  # half a second a step
    assert measuring(store.read_machine(), Experiment(RECIPE)) > 5 * MEASURING


def test_what_is_all_there_takes_no_time_however_long_the_queue_is(store, monkeypatch):
    learn(store, done(5.0))
    queued = Queued((30.0,), (job(Experiment(replace(RECIPE, seed=1))),))
    monkeypatch.setattr(store, "has", lambda key: True)
    assert plan(store, [Experiment(RECIPE)], queued) == Plan(1, 1, 0)


def test_a_cold_worker_is_waited_for(store):
    learn(store, done(5.0))
    assert plan(store, [Experiment(RECIPE)], Queued((12.0,))).seconds == pytest.approx(17)
    assert plan(store, [Experiment(RECIPE)], Queued((12.0, 1.0))).seconds == pytest.approx(6)


def test_a_queue_says_how_soon_its_workers_are_ready_and_what_they_have_to_do(store):
    begun = threading.Event()

    def start(root):
        executor = ThreadPoolExecutor(1)
        executor.ready = executor.submit(begun.wait)  # it never gets to a job
        return executor

    queue = Queue(store, Crew(2, start))
    try:
        assert queue.queued() == Queued((0.0, 0.0))  # nobody knows yet how long that takes
        learn_warm_up(store, 100.0)
        learn_warm_up(store, 50.0)
        soon = queue.queued().ready
        assert len(soon) == 2
        assert all(0 < seconds <= 75 for seconds in soon)
        asked = [queue.submit(Experiment(replace(RECIPE, seed=seed))) for seed in (3, 1, 2)]
        assert [one.key for one in queue.queued().jobs] == [one.key for one in asked]
    finally:
        begun.set()
        queue.close()


def test_a_pruned_level_is_judged_twice_before_it_trains(store):
    facts = MEASURED | {"evaluation": 1e-9}
    experiment = Experiment(RECIPE, rounds_of([0.5]))
    twice = 2 * 1e-9 * RECIPE.weights_total * 10_000
    dense, pruned = (seconds_of_level(facts, experiment, n) for n in (0, 1))
    assert pruned - dense == pytest.approx(twice)
    # What is learned is without them, so that rewinding shortens the training alone.
    store.revise_machine(lambda _: facts)
    info = done(5.0 + twice)
    learn(store, replace(info, level=1, experiment=experiment.as_dict()))
    late = Experiment(RECIPE, rounds_of([0.5], rewind_iteration=500))
    assert seconds_of_level(store.read_machine(), late, 1) == pytest.approx(2.5 + twice)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 s"), (7.6, "8 s"), (43, "45 s"), (94, "95 s"), (96, "2 min"), (185, "3 min"),
        (3_560, "59 min"), (3_599, "1 h"), (4_800, "1 h 20 min"), (7_200, "2 h"),
    ],
)  # fmt: skip
def test_a_duration_is_as_exact_as_an_estimate_deserves(seconds, words):
    assert in_words(seconds).replace("\u202f", " ") == words


def test_a_convolution_costs_its_multiply_adds_and_the_numbers_on_its_way():
    def row(network):
        net = Recipe(network=network).net
        macs, numbers = net.multiply_adds(), net.activations
        return [macs, numbers, 2e-9 * macs + 3e-8 * numbers, 1e-9 * macs + 1e-8 * numbers]

    facts = {"convolutions": [row("32 32 pool mean"), row("64 64 pool mean")]}
    recipe = Recipe(network="lenet-5", validation_size=1_000, batch_size=50, evaluate_every=200)
    _, _, step, answer = row("lenet-5")
    expected = 50 * step + 11_000 * answer / 200
    assert seconds_per_iteration(facts, recipe) == pytest.approx(expected)
    assert seconds_per_iteration({}, recipe) is None
