"""A measurement times what it says, on the levels it is given, and can be stopped."""

import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lottery_core.findings import speed as catch
from lottery_core.findings.unstructured import unstructured_beside
from lottery_core.running import engine, measurement
from lottery_core.running.parts import Outcome
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.links import read_choice
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Job, measurement_key
from lottery_core.training.base import check_measurable
from lottery_core.training.context import Context
from tests.parts import do

pytestmark = pytest.mark.usefixtures("judged_on_few")

SMALL = {
    "preset": "quick",
    "replicates": "1",
    "learning_rate": "0.1",
    "network": "24",
    "length": "30",
    "unit": "iterations",
    "rounds": "2",
}


@pytest.fixture
def experiment():
    return read_choice(SMALL)[1].experiment()


def job_for(experiment):
    return Job(
        key=measurement_key(experiment.key),
        state="queued",
        owner="",
        submitted=0.0,
        experiment=experiment.as_dict(),
        task="measure",
    )


def test_a_job_to_measure_trains_what_is_missing_and_times_every_level(
    store, experiment, monkeypatch
):
    monkeypatch.setattr(measurement, "_SECONDS", 0.002)  # a turn
    job = job_for(experiment)
    assert do(store, job) == Outcome("done")
    assert all(map(store.has, experiment.keys))
    found = store.read_measurement(job.key)
    assert store.read_progress(job.key) is None
    assert found.total == 784 * 24 + 240
    assert found.iterations_per_epoch == experiment.recipe.iterations_per_epoch
    assert [row.level for row in found.levels] == [0, 1, 2]
    for row, key in zip(found.levels, experiment.keys, strict=True):
        level = store.read(key)
        assert row.kept == sum(int(mask.sum()) for mask in level.mask.values())
        assert row.iterations == 30
        assert row.seconds == level.info.seconds
        assert set(row.forward) == {1, 32, 1024}
        answers = row.forward[32]
        for timed in [*vars(row.step).values(), answers.dense, answers.ticket]:
            assert 0 < timed.least <= timed.median <= timed.most


def test_a_level_that_is_gone_is_an_error_in_words(store, experiment):
    with pytest.raises(RuntimeError, match="run the experiment again"):
        measurement.measure(experiment, Context(store))


def test_a_measurement_stops_between_turns_and_leaves_nothing_half_done(store, experiment):
    list(engine.run(experiment, Context(store)))
    job = job_for(experiment)
    store.write_job(job)
    turns = 0
    requested = store.cancel_requested

    def cancel_requested(key):
        nonlocal turns
        turns += 1
        if turns == 40:
            store.request_cancel(key)
        return requested(key)

    store.cancel_requested = cancel_requested
    assert do(store, job).state == "cancelled"
    assert store.read_measurement(job.key) is None
    assert store.read_progress(job.key) is None


def test_a_step_multiplies_each_kept_weight_thrice_an_image_but_the_first_layers_twice():
    recipe = Recipe(network="5", batch_size=10)
    mask = {"fc1.weight": np.ones((5, 784), bool), "fc2.weight": np.eye(10, 5, dtype=bool)}
    assert measurement.multiply_adds(recipe, mask) == 10 * (2 * 5 * 784 + 3 * 5)


def test_a_step_multiplies_each_kept_weight_of_a_convolution_at_every_pixel_of_its_result():
    recipe = Recipe(network="2@5 pool 3@5v pool", batch_size=10)
    mask = {name: np.zeros(shape, bool) for name, shape in recipe.shapes.items()}
    mask["conv1.weight"][0, 0, 0, :3] = True
    mask["conv2.weight"][1, 1, 2, 2] = True
    mask["fc1.weight"][0, :7] = True
    assert recipe.net.positions == {
        "conv1.weight": 28 * 28,
        "conv2.weight": 10 * 10,
        "fc1.weight": 1,
    }
    step = 2 * 3 * 28 * 28 + 3 * 10 * 10 + 3 * 7
    assert measurement.multiply_adds(recipe, mask) == 10 * step


def test_convolutions_are_measured_two_ways_and_by_layer(store, monkeypatch):
    monkeypatch.setattr(measurement, "_SECONDS", 0.002)
    choice = read_choice(SMALL | {"network": "lenet-5 x0.5", "rounds": "1", "length": "4"})[1]
    experiment = choice.experiment()
    job = job_for(experiment)
    assert do(store, job) == Outcome("done")
    found = store.read_measurement(job.key)
    net = experiment.recipe.net
    for row, key in zip(found.levels, experiment.keys, strict=True):
        kept = {name: int(part.sum()) for name, part in store.read(key).mask.items()}
        assert row.multiply_adds_answer == net.multiply_adds(kept)
        assert (row.step.csr, row.step.products) == (None, None)
        assert 0 < row.step.ours.least <= row.step.ours.most
        assert [*row.layers] == [*net.shapes]
        assert all(times.dense > 0 and times.kept > 0 for times in row.layers.values())
        assert set(row.forward) == {1, 32, 256}
    assert [curve.name for curve in catch.epochs(found)] == [
        catch.WAYS[way][0] for way in ("masked", "ours")
    ]
    table = catch.size_table(found, found.levels[1]).set_index("cost")
    assert table.loc["Multiply-adds of an answer"].iloc[0] == f"{net.multiply_adds():,}"
    assert list(catch.layers_table(found.levels[1])["layer"]) == [
        name.removesuffix(".weight") for name in net.shapes
    ]


def test_a_module_of_ones_own_has_no_speed_to_measure():
    recipe = SimpleNamespace(net=SimpleNamespace(is_own=True, title="mine"))
    with pytest.raises(InvalidValue, match="can't be measured: the compiled loop knows no"):
        check_measurable(recipe)


def test_sizes_are_those_of_bytes_from_which_the_network_can_be_had_again():
    draw = np.random.default_rng(0)
    mask = {"fc1.weight": draw.random((10, 784)) < 0.05}
    weights = {
        "fc1.weight": np.where(mask["fc1.weight"], draw.normal(size=(10, 784)), 0).astype("f4"),
        "fc1.bias": np.ones(10, np.float32),
    }
    size = measurement.sizes(weights, mask)
    kept = int(mask["fc1.weight"].sum())
    assert size.dense == 4 * (7840 + 10)
    assert size.ticket == 4 * (kept + 10) + 7840 // 8
    assert size.dense_compressed == len(
        zlib.compress(weights["fc1.weight"].tobytes() + weights["fc1.bias"].tobytes())
    )
    assert size.ticket_compressed <= size.ticket + 64


def test_a_network_without_whole_units_is_timed_beside_a_ticket_as_accurate(store, monkeypatch):
    monkeypatch.setattr(measurement, "_SECONDS", 0.002)
    asked = SMALL | {"length": "4", "rounds": "1"}
    by_units = read_choice(asked | {"criterion": "unit-norm"})[1].experiment()
    job = job_for(by_units)
    assert do(store, job) == Outcome("done")
    dense, pruned = store.read_measurement(job.key).levels
    assert (dense.smaller, dense.unstructured, dense.forward[1].smaller) == ("", None, None)
    assert catch.smaller_table(dense) is None
    assert (pruned.smaller, pruned.smaller_weights) == ("12", pruned.kept)
    assert pruned.unstructured is None
    assert len(catch.smaller_table(pruned)) == 3

    # As accurate as it may be: a ticket by magnitude stands in its place.
    monkeypatch.setattr(measurement, "unstructured_beside", as_if_accurate)
    *_, ticket = engine.run(read_choice(asked)[1].experiment(), Context(store))
    assert do(store, job) == Outcome("done")
    pruned = store.read_measurement(job.key).levels[1]
    assert pruned.unstructured.kept == ticket.info.weights_kept
    assert pruned.forward[32].unstructured.median > 0
    assert list(catch.smaller_table(pruned)["form"])[-1] == "unstructured ticket, compiled loop"
    assert pruned.unstructured.key[:8] in catch.smaller_in_words(pruned)


def as_if_accurate(experiment, level, others):
    """Whatever came of so short a training."""
    return unstructured_beside(experiment, replace(level, validation_accuracy=0.0), others)
