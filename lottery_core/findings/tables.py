"""Levels -> tidy data frames, and what a level alone says of itself."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lottery_core.spec.arms import title_of
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level, LevelInfo


def chance(info: LevelInfo) -> float:
    """The accuracy of guessing: one in as many classes as the level's data set has."""
    return 1 / DATASETS[info.experiment["recipe"]["dataset"]].classes


def has_learned(info: LevelInfo, accuracy: float) -> bool:
    """Whether an accuracy on a level's test images is more than little better than guessing: with
    ten classes 20 %."""
    guessed = chance(info)
    return accuracy >= guessed + min(guessed, (1 - guessed) / 9)


def levels_table(levels: Sequence[Level]) -> pd.DataFrame:
    """One row per level. Accuracies are fractions of the test images, `seconds` wall time,
    `explored` that of the weights that were in a mask at any time, `settled` the iteration at
    which an early bird was cut, `loop` what trained it."""
    return pd.DataFrame(
        [
            {
                "level": info.level,
                "arm": title_of(Experiment.from_dict(info.experiment)),
                "seed": info.seed,
                "weights_total": info.weights_total,
                "weights_remaining": info.weights_kept,
                "test_accuracy": info.test_accuracy,
                "test_accuracy_before_retraining": info.test_accuracy_before_retraining,
                "early_stop_iteration": info.early_stop_iteration,
                "explored": info.explored,
                "settled": info.settled,
                "seconds": info.seconds,
                "loop": info.loop,
            }
            for info in (level.info for level in levels)
        ]
    ).astype(
        {
            "early_stop_iteration": "Int64",
            "test_accuracy_before_retraining": float,
            "explored": float,
            "settled": "Int64",
        }
    )


def layers_table(levels: Sequence[Level]) -> pd.DataFrame:
    """One row per level and layer: weights, kept, pruned."""
    return pd.DataFrame(
        [
            {
                "level": level.info.level,
                "layer": name.removesuffix(".weight"),
                "weights": layer.weights,
                "kept": layer.kept,
                "pruned": layer.weights - layer.kept,
            }
            for level in levels
            for name, layer in level.info.layers.items()
        ]
    )


def history_table(levels: Sequence[Level]) -> pd.DataFrame:
    """One row per level and evaluation; losses are mean cross-entropies in nats."""
    columns = ["iteration", "train_loss", "validation_loss", "validation_accuracy", "test_accuracy"]
    return pd.concat(
        [
            level.history[columns].assign(level=level.info.level)[["level", *columns]]
            for level in levels
        ],
        ignore_index=True,
    )


def empty_in_words(infos: Sequence[LevelInfo]) -> str:
    """Which layers the last level has lost altogether; empty where none is."""
    empty = [
        layer.removesuffix(".weight")
        for layer, counts in infos[-1].layers.items()
        if counts.kept == 0
    ]
    return f" At the last level {', '.join(empty)} has no weights left." if empty else ""
