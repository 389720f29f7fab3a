"""Levels become tidy tables, that say no more than they do."""

import pandas as pd

from lottery_core.findings.tables import (
    history_table,
    layers_table,
    levels_table,
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
        "explored",
        "settled",
        "seconds",
        "loop",
    ]
    assert table["arm"].tolist() == ["dense", "rewound ticket", "rewound ticket"]
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
