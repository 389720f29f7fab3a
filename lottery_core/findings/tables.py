"""Levels -> tidy data frames, and the result in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from lottery_core.spec.arms import title_of
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level, LevelInfo

WITHIN = 0.005  # of the dense network's accuracy: half a point


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
    `loop` what trained it."""
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
                "seconds": info.seconds,
                "loop": info.loop,
            }
            for info in (level.info for level in levels)
        ]
    ).astype({"early_stop_iteration": "Int64", "test_accuracy_before_retraining": float})


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


def judged_by(info: LevelInfo) -> str:
    """The accuracy that may select a level: validation, or test where nothing was held out."""
    return "test_accuracy" if info.validation_accuracy is None else "validation_accuracy"


def smallest_within(infos: Sequence[LevelInfo]) -> LevelInfo | None:
    """The smallest pruned level whose accuracy is within half a point of level 0's."""
    by = judged_by(infos[0])
    good = [info for info in infos[1:] if getattr(info, by) >= getattr(infos[0], by) - WITHIN]
    return min(good, key=lambda info: info.weights_kept, default=None)


def result_in_words(
    infos: Sequence[LevelInfo], controls: Mapping[str, Sequence[LevelInfo]] | None = None
) -> str:
    """What came of an experiment, in a few sentences; `controls` are its arms by name.

    All start with level 0. The choice of the level rests on validation accuracy where there
    is any; what is reported is test accuracy.
    """
    dense, found = infos[0], smallest_within(infos)
    if not has_learned(dense, dense.test_accuracy):
        return (
            f"The dense network itself learned next to nothing ({dense.test_accuracy:.1%} on "
            f"the test images; guessing gives {100 * chance(dense):.3g} %), so there is no ticket "
            "to find here. Try a smaller learning rate or a longer training. One seed."
        )
    steps = Experiment.from_dict(infos[-1].experiment).rounds
    name = "ticket" if steps[-1].restart == "rewind" else "network"
    if found is None:
        words = (
            f"No pruned network of this run came within half a point of the dense network's "
            f"{dense.test_accuracy:.1%} on the test images."
        )
    else:
        words = (
            f"The smallest {name} within half a point of the dense network keeps "
            f"{found.weights_kept:,} of {found.weights_total:,} weights "
            f"({found.percent_remaining:.1f}\u202f%) and reaches {found.test_accuracy:.1%} on "
            f"the test images; the dense network reaches {dense.test_accuracy:.1%}."
        )
        if judged_by(dense) == "test_accuracy":
            words += " It was picked on the test images, as this recipe holds out no others."
    compared = found or infos[-1]
    for arm, levels in (controls or {}).items():
        if len(levels) > compared.level:
            words += f" {_beside(arm, levels[compared.level], compared)}"
    return f"{words}{empty_in_words(infos)} One seed."


def empty_in_words(infos: Sequence[LevelInfo]) -> str:
    """Which layers the last level has lost altogether; empty where none is."""
    empty = [
        layer.removesuffix(".weight")
        for layer, counts in infos[-1].layers.items()
        if counts.kept == 0
    ]
    return f" At the last level {', '.join(empty)} has no weights left." if empty else ""


def _beside(arm: str, info: LevelInfo, compared: LevelInfo) -> str:
    """What an arm reaches where the experiment reaches `compared`."""
    trainings = f"{compared.level + 1} trainings in a row instead of one"
    what = {
        "fine-tune": f"The same without rewinding, {trainings},",
        "rate-rewind": f"With the learning rate alone rewound, {trainings}, it",
        "reinit": "The same mask with new random weights",
        "random-mask": "A random mask of that size",
        "reshuffled-reinit": "A random mask of that size with new random weights",
        "dense-longer": f"The dense network, trained on for {trainings},",
    }[arm]
    gap = round(100 * (info.test_accuracy - compared.test_accuracy), 1)
    return (
        f"{what} reaches {info.test_accuracy:.1%} "
        f"({f'{gap:+.1f} points' if gap else 'no difference'})."
    )
