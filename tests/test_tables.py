"""Levels become tidy tables, and a sentence that says no more than they do."""

import pandas as pd

from lottery_core.findings.tables import (
    history_table,
    layers_table,
    levels_table,
    result_in_words,
    smallest_within,
)
from lottery_core.running import engine
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.training.context import Context
from tests.infos import info_of

RECIPE = Recipe(network="8", iterations=12, evaluate_every=6)
KEPT = {0: 1000, 1: 500, 2: 250, 3: 125}


def info(level: int, test: float, validation: float | None, restart: str = "rewind", **more):
    """What a level says of itself, as far as the result in words reads it."""
    rounds = rounds_of([1 - KEPT[n] / 1000 for n in range(1, level + 1)], restart=restart)
    fields = {
        "level": level,
        "experiment": Experiment(RECIPE, rounds).as_dict(),
        "layers": {"fc1.weight": (1000, KEPT[level])},
        "test_accuracy": test,
        "validation_accuracy": validation,
    }
    return info_of(**fields | more)


def test_tables_have_the_promised_columns_and_rows(store, tiny):
    levels = list(engine.run(tiny, Context(store)))
    table = levels_table(levels)
    assert list(table) == [
        "level",
        "arm",
        "seed",
        "weights_total",
        "weights_remaining",
        "test_accuracy",
        "test_accuracy_before_retraining",
        "early_stop_iteration",
        "seconds",
        "loop",
    ]
    assert table["arm"].tolist() == ["dense", "winning ticket", "winning ticket"]
    assert table["weights_remaining"].tolist() == [6352, 3176, 1588]
    assert pd.isna(table["test_accuracy_before_retraining"][0])
    layers = layers_table(levels)
    assert list(layers) == ["level", "layer", "weights", "kept", "pruned"]
    assert (layers["kept"] + layers["pruned"] == layers["weights"]).all()
    assert layers.groupby("level")["kept"].sum().tolist() == [6352, 3176, 1588]
    history = history_table(levels)
    assert list(history) == [
        "level",
        "iteration",
        "train_loss",
        "validation_loss",
        "validation_accuracy",
        "test_accuracy",
    ]
    assert history["iteration"].tolist() == [0, 6, 12] * 3
    for level in levels:
        own = history[history["level"] == level.info.level]
        assert own["test_accuracy"].iloc[-1] == level.info.test_accuracy
        best = own.loc[own["validation_loss"].idxmin(), "iteration"]
        assert level.info.early_stop_iteration == best


def test_the_level_is_picked_on_validation_and_reported_on_test():
    infos = [info(0, 0.97, 0.96), info(1, 0.90, 0.957), info(2, 0.99, 0.90)]
    assert smallest_within(infos).level == 1
    words = result_in_words(infos)
    assert "500 of 1,000 weights" in words
    assert "reaches 90.0% on the test images" in words
    assert "picked on the test images" not in words


def test_without_validation_images_it_says_what_picked_the_level():
    infos = [info(0, 0.97, None), info(1, 0.968, None), info(2, 0.966, None), info(3, 0.9, None)]
    assert smallest_within(infos).level == 2
    assert smallest_within(infos).percent_remaining == 25
    assert "picked on the test images" in result_in_words(infos)


def test_half_a_point_is_the_limit():
    assert smallest_within([info(0, 0.97, None), info(1, 0.9651, None)])
    assert smallest_within([info(0, 0.97, None), info(1, 0.9649, None)]) is None


def test_no_ticket_is_said_to_be_none():
    assert "No pruned network" in result_in_words([info(0, 0.97, None), info(1, 0.5, None)])
    assert "learned next to nothing" in result_in_words([info(0, 0.1, None), info(1, 0.1, None)])


def test_what_came_of_not_rewinding_is_compared_at_the_same_size():
    infos = [info(0, 0.97, None), info(1, 0.968, None), info(2, 0.9, None)]
    control = [info(0, 0.97, None), info(1, 0.960, None, "keep"), info(2, 0.99, None, "keep")]
    words = result_in_words(infos, {"fine-tune": control})
    assert "without rewinding, 2 trainings in a row instead of one, reaches 96.0%" in words
    assert "(-0.8 points)" in words


def test_a_layer_that_lost_everything_is_named():
    layers = {"fc1.weight": (1000, 500), "fc2.weight": (10, 0)}
    infos = [info(0, 0.97, None), info(1, 0.2, None, layers=layers)]
    assert "fc2 has no weights left" in result_in_words(infos)
