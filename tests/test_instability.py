"""Two copies of a network part by the order of their data alone, and the line between them is
judged as float64 judges it."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from lottery_core.method.masks import dense_mask
from lottery_core.method.seeds import seed_of
from lottery_core.report import compared_figures, figures
from lottery_core.running import engine, instability
from lottery_core.running.crew import Crew
from lottery_core.running.instability import (
    ALPHAS,
    ORDERS,
    between,
    measure,
    path_of,
)
from lottery_core.running.parts import Outcome, cancel_name
from lottery_core.running.queue import Queue
from lottery_core.running.starts import Start, starts_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Job, PartsDone, measurement_key, task_key
from lottery_core.training import sparse_loop, torch_loop
from lottery_core.training.base import Training, batch_order
from lottery_core.training.context import Context
from lottery_core.training.models import initial_weights
from tests.parts import do
from tests.reference import judged

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="16", iterations=200, evaluate_every=100, momentum=0.0, learning_rate=0.03)
LOOPS = {"torch": torch_loop.train, "compiled": sparse_loop.train}


@pytest.fixture
def experiment():
    """A dense network and two rounds, rewound to iteration 20."""
    return Experiment(RECIPE, rounds_of([0.5, 0.8], rewind_iteration=20))


@pytest.fixture(scope="module")
def few(mnist):
    """MNIST with 500 images to be trained on, for tests that judge many networks."""
    return replace(mnist, train_index=mnist.train_index[:500])


def nobody(moment):
    """Nobody looks."""


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def job_for(experiment):
    return Job(
        key=task_key("instability", experiment.key),
        state="queued",
        owner="",
        submitted=0.0,
        experiment=experiment.as_dict(),
        task="instability",
    )


def assert_error(found, weights, images, labels):
    """That of float64, but for images whose two likeliest classes are level."""
    _, accuracy, level = judged(weights, images, labels)
    assert abs(found - (1 - accuracy)) <= level + 1e-12
    assert level < 0.005


# Orders


def test_order_0_is_the_one_that_levels_were_always_trained_in():
    for epoch in (0, 3):
        source = np.random.default_rng(seed_of(RECIPE.seed, "order", epoch))
        expected = source.permutation(RECIPE.train_size)
        assert np.array_equal(batch_order(RECIPE, epoch), expected)
        assert np.array_equal(batch_order(RECIPE, epoch, 0), expected)


def test_another_order_has_the_same_images_and_is_another_in_every_epoch():
    orders = [batch_order(RECIPE, epoch, order) for order in (0, 1, 2) for epoch in (0, 1)]
    for n, order in enumerate(orders):
        assert np.array_equal(np.sort(order), np.arange(RECIPE.train_size))
        assert not any(np.array_equal(order, earlier) for earlier in orders[:n])
    assert np.array_equal(batch_order(RECIPE, 1, 2), orders[-1])


@pytest.mark.parametrize("train", LOOPS.values(), ids=LOOPS)
def test_another_order_changes_the_batches_and_nothing_before_them(train, mnist):
    start, mask = initial_weights(RECIPE), dense_mask(RECIPE.shapes)
    begins, ends = [], []
    unseen = mnist.validation_index
    held_out, *_ = judged(start, mnist.images[unseen], mnist.labels[unseen])
    for order in (0, 1, 1):
        trained = train(Training(RECIPE, start, mask, snapshots=(0,), order=order), mnist, nobody)
        begins.append(trained.snapshots[0])
        ends.append(trained.weights)
        first = mnist.train_index[batch_order(RECIPE, 0, order)[: RECIPE.batch_size]]
        loss, *_ = judged(start, mnist.images[first], mnist.labels[first])
        assert trained.losses[0] == pytest.approx(loss, rel=1e-5)
        # Judged on the same held-out images, from the same weights.
        assert trained.history[0].validation_loss == pytest.approx(held_out, rel=1e-5)
    assert same(begins[0], begins[1])
    assert same(begins[0], start)
    assert not same(ends[0], ends[1])
    assert same(ends[1], ends[2])


def test_an_order_is_no_part_of_a_request():
    assert not {"order", "orders"} & set(RECIPE.__dataclass_fields__)


# The line


def test_error_along_the_line_is_that_of_the_networks_on_it(few):
    draw = np.random.default_rng(0)
    recipe = Recipe(network="12 8")
    mask = {name: draw.random(shape) < 0.5 for name, shape in recipe.shapes.items()}
    # Larger than initial weights, whose answers to all images are alike.
    one, other = (
        {
            name: draw.normal(0, 0.3, values.shape).astype(np.float32) * mask.get(name, 1)
            for name, values in initial_weights(recipe).items()
        }
        for _ in range(2)
    )
    found = path_of(recipe, one, other, few)
    assert found.alphas == ALPHAS
    assert (ALPHAS[0], ALPHAS[-1], len(ALPHAS)) == (0, 1, 21)
    train = few.images[few.train_index], few.labels[few.train_index]
    test = few.test_images[:], few.test_labels
    for n, alpha in enumerate(ALPHAS):
        mixed = {name: (1 - alpha) * one[name] + alpha * other[name] for name in one}
        assert_error(found.train_error[n], mixed, *train)
        assert_error(found.test_error[n], mixed, *test)
        on_line = between(one, other, alpha)
        for name, kept in mask.items():
            assert not on_line[name][~kept].any()
            assert on_line[name].dtype == np.float32
    for name in ("train", "test"):
        errors = np.array(getattr(found, f"{name}_error"))
        assert len(set(errors)) > 5
        assert getattr(found, f"instability_{name}") == pytest.approx(
            errors.max() - errors[[0, -1]].mean()
        )


def test_the_ends_of_the_line_are_the_copies_themselves():
    one, other = initial_weights(RECIPE), initial_weights(replace(RECIPE, seed=1))
    assert same(between(one, other, 0.0), one)
    assert same(between(one, other, 1.0), other)


def test_two_copies_in_the_same_order_are_one_and_their_line_is_flat(mnist):
    start, mask = initial_weights(RECIPE), dense_mask(RECIPE.shapes)
    one, other = (
        torch_loop.train(Training(RECIPE, start, mask, order=1), mnist, nobody).weights
        for _ in range(2)
    )
    assert same(one, other)
    assert all(same(between(one, other, alpha), one) for alpha in ALPHAS)
    found = path_of(RECIPE, one, other, mnist)
    for name in ("train", "test"):
        assert len(set(getattr(found, f"{name}_error"))) == 1
        assert getattr(found, f"instability_{name}") == 0


def test_training_error_is_that_of_ten_thousand_images_trained_on(mnist):
    weights = initial_weights(RECIPE)
    found = path_of(RECIPE, weights, weights, mnist)
    seen = mnist.train_index[:10_000]
    assert_error(found.train_error[0], weights, mnist.images[seen], mnist.labels[seen])
    assert not np.isin(seen, mnist.validation_index).any()


@pytest.mark.parametrize(
    ("errors", "rise"),
    [([0.1, 0.4, 0.2], 0.25), ([0.1, 0.05, 0.1], 0.0), ([0.1, 0.1, 0.3], 0.1)],
    ids=["a hill", "a valley", "a slope"],
)
def test_instability_is_the_worst_error_above_the_mean_of_the_ends(errors, rise):
    assert instability.instability(errors) == pytest.approx(rise)
    assert instability.instability(errors) == pytest.approx(
        np.max(errors) - np.mean([errors[0], errors[-1]])
    )


# Measuring


def test_every_level_is_measured_and_the_dense_network_up_to_half_of_its_training(experiment):
    dense = [Start(0, k) for k in (0, 2, 4, 10, 20, 40, 50, 100)]
    assert starts_of(experiment) == [*dense, Start(1, 20), Start(2, 20)]


def test_a_job_trains_what_is_missing_and_measures_every_start(store, experiment):
    seen = []
    write = store.write_progress

    def noted(key, progress):
        if key.startswith("instability"):
            seen.append(progress)
        write(key, progress)

    store.write_progress = noted
    job = job_for(experiment)
    assert do(store, job) == Outcome("done")
    assert all(map(store.has, experiment.keys))
    starts = starts_of(experiment)
    counted = [progress for progress in seen if isinstance(progress, PartsDone)]
    assert [(progress.done, progress.of) for progress in counted] == [
        (n, len(starts)) for n in range(len(starts))
    ]
    assert counted[0].seconds_each is None
    assert store.read_progress(job.key) is None

    found = store.read_measurement(job.key)
    assert (found.total, found.seed) == (784 * 16 + 160, 0)
    assert [(path.level, path.first_iteration) for path in found.paths] == [
        (start.level, start.iteration) for start in starts
    ]
    for path in found.paths:
        level = store.read(experiment.keys[path.level])
        assert path.kept == sum(int(mask.sum()) for mask in level.mask.values())
        assert path.orders == ORDERS
        assert path.seconds > 0
        for name in ("train", "test"):
            errors = getattr(path, f"{name}_error")
            assert len(errors) == len(path.alphas) == 21
            assert 0 < errors[0] < 0.3  # both copies have learned
            assert 0 < errors[-1] < 0.3
            assert getattr(path, f"instability_{name}") == pytest.approx(
                max(errors) - (errors[0] + errors[-1]) / 2
            )
    assert len({path.test_error for path in found.paths}) == len(starts)


def test_the_copies_are_trained_as_their_level_was(store, experiment, monkeypatch):
    rounds = (*experiment.rounds, replace(experiment.rounds[1], restart="keep", rewind_iteration=0))
    rounds = (*rounds[:2], replace(rounds[2], sparsity=0.9, output_sparsity=0.9))
    recipe = replace(RECIPE, iterations=60, decay_at=(30,), warmup=5)
    experiment = Experiment(recipe, rounds)
    levels = list(engine.run(experiment, Context(store, loop="torch")))
    data = instability.load_data(recipe, store.datasets)
    monkeypatch.setattr(instability, "ORDERS", (0, 0))  # that of the levels themselves
    starts = [Start(0, 0), Start(1, 20), Start(2, 20), Start(3, 0)]
    found = measure(experiment, starts, Context(store, loop="torch"))
    for level, path in zip(levels, found.paths, strict=True):
        assert path.test_error == (1 - level.info.test_accuracy,) * 21
        assert path.instability_test == 0
        seen = data.train_index[:10_000]
        assert_error(path.train_error[0], level.end, data.images[seen], data.labels[seen])


def test_experiments_that_share_a_level_share_its_paths(store, experiment, monkeypatch):
    list(engine.run(experiment, Context(store, loop="torch")))
    shorter = replace(experiment, rounds=experiment.rounds[:1])
    starts = [Start(0, 100), Start(1, 20)]
    first = measure(experiment, starts, Context(store, loop="torch"))
    monkeypatch.setattr(instability, "train", None)  # nothing is trained again
    assert measure(shorter, starts, Context(store, loop="torch")) == first


def test_a_job_that_was_done_before_does_nothing_again(store, tiny, monkeypatch):
    first = job_for(tiny)
    assert do(store, first) == Outcome("done")
    found = store.read_measurement(first.key)
    monkeypatch.setattr(instability, "train", None)
    assert do(store, job_for(tiny)).state == "done"
    assert store.read_measurement(first.key) == found


def test_a_measurement_that_is_cancelled_leaves_whole_paths_alone(store, experiment):
    list(engine.run(experiment, Context(store, loop="torch")))
    job = job_for(experiment)
    store.write_job(job)
    write, paths = store.write_measurement, []

    def noted(key, measured):
        paths.append(key)
        write(key, measured)
        if len(paths) == 2:
            asked.append(None)

    asked = []

    def cancel_requested(key):
        # Some looks after the second path is there: in the middle of the third.
        if asked:
            asked.append(None)
            if len(asked) == 10:
                store.request_cancel(key)
        return requested(key)

    requested, store.cancel_requested = store.cancel_requested, cancel_requested
    store.write_measurement = noted
    assert do(store, job).state == "cancelled"
    assert store.read_measurement(job.key) is None
    assert store.read_progress(job.key) is None
    assert len(paths) == 2
    assert len(store.read_measurement(paths[0]).test_error) == 21
    assert sorted(path.stem for path in (store.root / "measurements").iterdir()) == sorted(paths)

    # Taken up where it was left.
    store.clear_cancel(cancel_name(job.key))
    asked.clear()
    assert do(store, job).state == "done"
    assert len(paths) == len(set(paths)) == len(starts_of(experiment)) + 1


def test_a_level_that_is_gone_is_an_error_in_words(store, experiment):
    with pytest.raises(RuntimeError, match="level 0 is not in the store; run the experiment again"):
        measure(experiment, [Start(0, 0)], Context(store))


def test_an_iteration_without_a_snapshot_is_refused_with_those_that_have_one(store, tiny):
    list(engine.run(tiny, Context(store, loop="torch")))
    with pytest.raises(InvalidValue, match="iteration=3 is not where level 0 can start; choose"):
        measure(tiny, [Start(0, 3)], Context(store, loop="torch"))
    with pytest.raises(InvalidValue, match="level 1 can start; choose one of 0"):
        measure(tiny, [Start(1, 6)], Context(store, loop="torch"))


def test_the_queue_takes_it_as_a_job_beside_the_experiment(store, tiny):
    queue = Queue(store, Crew(1, lambda root: ThreadPoolExecutor(1)))
    try:
        jobs = [queue.submit(tiny, task=task) for task in ("run", "instability")]
        assert [job.key for job in jobs] == [tiny.key, task_key("instability", tiny.key)]
        assert queue.submit(tiny, task="instability").key == jobs[1].key
        until = time.monotonic() + 60
        while store.job(jobs[1].key).active and time.monotonic() < until:
            time.sleep(0.05)
        assert store.job(jobs[1].key).state == "done"
        assert len(store.read_measurement(jobs[1].key).paths) == len(starts_of(tiny))
    finally:
        queue.close()


def test_each_task_on_an_experiment_has_a_key_of_its_own():
    assert task_key("run", "abc") == "abc"
    assert task_key("measure", "abc") == measurement_key("abc") == "measure-abc"
    assert task_key("instability", "abc") == "instability-abc"


# Figures


def test_a_path_is_drawn_in_percent_with_its_worst_point_in_words():
    figure = compared_figures.path_figure([0, 0.5, 1], [0.01, 0.2, 0.02], [0.03, 0.25, 0.04])
    traces = {trace.name: trace for trace in figure.data}
    np.testing.assert_allclose(traces["training"].y, [1, 20, 2])
    np.testing.assert_allclose(traces["test"].y, [3, 25, 4])
    alt = figure.layout.meta["alt"]
    assert "test error is 3.00% and 4.00% at the ends and at most 25.00%" in alt
    assert traces["training"].marker.symbol != traces["test"].marker.symbol


def test_instability_against_the_iteration_shows_0_left_of_all_others():
    curve = figures.Curve("dense", [0, 10, 100], [0.05, 0.02, 0.001], figures.STYLES["main"])
    figure = compared_figures.instability_figure([curve])
    (trace,) = figure.data
    assert 0 < trace.x[0] < trace.x[1] == 10
    assert list(trace.customdata) == [0, 10, 100]
    np.testing.assert_allclose(trace.y, [5, 2, 0.1])
    axis = figure.layout.xaxis
    assert axis.type == "log"
    assert dict(zip(axis.ticktext, axis.tickvals, strict=True)) == {
        "0": trace.x[0], "10": 10, "100": 100
    }  # fmt: skip
    assert 10 ** axis.range[0] < trace.x[0]
    assert "dense: 5.00 points from iteration 0 on, 0.10 from" in figure.layout.meta["alt"]


def test_instability_against_weights_falls_left_to_right():
    curve = figures.Curve(
        "test", [100, 21.1], [0.01, 0.03], figures.STYLES["main"], [0.0, 0.02], [0.02, 0.04], 3
    )
    figure = compared_figures.instability_figure([curve], against="remaining")
    left, right = figure.layout.xaxis.range
    assert 10**left > 100 > 21.1 > 10**right
    band, trace = figure.data
    assert max(band.y) == pytest.approx(4)
    np.testing.assert_allclose(trace.x, [100, 21.1])
    assert "3.00 with 21.1 % of weights" in figure.layout.meta["alt"]


def test_nothing_measured_yet_is_an_empty_figure_with_a_title():
    for figure in (
        compared_figures.path_figure([], [], []),
        compared_figures.instability_figure([]),
        compared_figures.instability_figure([], against="remaining"),
    ):
        assert figure.layout.title.text
        assert figure.layout.meta["alt"]
