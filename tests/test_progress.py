"""What is seen of a level while it trains: small, true, and gone when it ends."""

import json

import numpy as np
import pytest

from lottery_core.running import progress
from lottery_core.running.progress import Watch, thin
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import LayerCounts, Store
from lottery_core.store.pictures import unpack
from lottery_core.training.base import Evaluation, Moment

MASK = {"fc1.weight": np.array([[True, False], [True, True]])}
WEIGHTS = {"fc1.weight": np.array([[1.0, 0.0], [-2.0, 0.5]], np.float32)}


class Stop(Exception):
    """Somebody asked for it."""


def moment(iteration, first=0, history=()):
    losses = np.linspace(2, 1, iteration - first, dtype=np.float32)
    return Moment(iteration, losses, list(history), MASK, lambda: WEIGHTS)


def row(iteration):
    return Evaluation(iteration, float("nan"), float("nan"), float("nan"), 2.0, 0.5)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def watch(store, monkeypatch):
    monkeypatch.setattr(progress, "_EVERY", 0)
    experiment = Experiment(Recipe(iterations=1_000, evaluate_every=100), rounds_of([0.5, 0.75]))
    with Watch(store, "key", 2, experiment, lambda: None) as watch:
        watch.begin(MASK, 100, {"test_accuracy_before_retraining": 0.25})
        yield watch


def test_a_look_shows_where_training_stands(store, watch):
    watch(moment(400, first=100, history=[row(100), row(200)]))
    seen = store.read_progress("key")
    assert (seen.level, seen.iteration, seen.iterations) == (2, 400, 1_000)
    assert seen.first_iteration == 100
    assert seen.layers == {"fc1.weight": LayerCounts(4, 3)}
    assert seen.percent_remaining == 75
    assert seen.test_accuracy_before_retraining == 0.25
    assert [entry["iteration"] for entry in seen.history] == [100, 200]
    assert seen.history[0]["validation_loss"] is None
    assert seen.loss_iterations == list(range(101, 401))
    assert seen.seconds_left == pytest.approx(seen.seconds * 2)
    drawn = unpack(seen.pictures["fc1.weight"], seen.scales["fc1.weight"]["unit"])
    assert np.isnan(drawn[0, 1])
    assert drawn[~np.isnan(drawn)] == pytest.approx([1, -2, 0.5], abs=2 / 127 / 2 + 1e-6)


def test_before_the_first_step_no_end_is_promised(store, watch):
    watch(moment(100, first=100))
    seen = store.read_progress("key")
    assert seen.seconds_left is None
    assert seen.losses == []


def test_progress_is_gone_when_the_level_ends_however_it_ends(store):
    experiment = Experiment(Recipe())
    for end in (None, Stop):
        try:
            with Watch(store, "key", 0, experiment, lambda: None) as watch:
                watch.begin(MASK, 0, {})
                watch(moment(1))
                assert store.read_progress("key")
                if end:
                    raise end
        except Stop:
            pass
        assert store.read_progress("key") is None


def test_every_look_asks_whether_to_stop_though_few_are_written(store):
    asked = []

    def check():
        asked.append(1)
        if len(asked) == 3:
            raise Stop

    with Watch(store, "key", 0, Experiment(Recipe()), check) as watch:
        watch.begin(MASK, 0, {})
        watch(moment(1))
        watch(moment(2))
        assert store.read_progress("key").iteration == 1
        with pytest.raises(Stop):
            watch(moment(3))


def test_a_diverging_network_does_not_break_the_report(store, watch):
    weights = {"fc1.weight": np.array([[np.inf, 0], [np.nan, -np.inf]], np.float32)}
    watch(Moment(200, np.array([np.inf], np.float32), [row(100)], MASK, lambda: weights))
    seen = store.read_progress("key")
    assert seen.iteration == 200
    assert seen.scales["fc1.weight"]["unit"] == 1.0


@pytest.mark.parametrize("count", [0, 1, 299, 300, 301, 1_000, 7_500, 200_000])
def test_a_loss_curve_is_thinned_to_300_points_that_cover_all_of_it(count):
    losses = np.random.default_rng(0).random(count).astype(np.float32)
    at, means = thin(losses, 50)
    assert len(at) == len(means) <= 300
    if count:
        assert at[-1] == 50 + count
        stretches = np.diff(np.concatenate([[50], at]))
        assert (means * stretches).sum() == pytest.approx(losses.astype(float).sum())
    json.dumps([at.tolist(), means.tolist()], allow_nan=False)


def test_a_short_loss_curve_is_shown_whole():
    at, means = thin(np.array([3, 2, 1], np.float32), 10)
    assert at.tolist() == [11, 12, 13]
    assert means.tolist() == [3, 2, 1]
