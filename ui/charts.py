"""The curves of an experiment, drawn from what is in the store this moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from lottery_core import figures
from lottery_core.experiment import Experiment
from lottery_core.store import Level
from lottery_core.tables import percent_remaining, weights_kept, weights_total
from ui.frame import one_of
from ui.plot import plot
from ui.reading import finished
from ui.runtime import runtime
from ui.sidebar import Selection

_HISTORY = (
    "iteration",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
)


def show_charts(selection: Selection) -> None:
    """Accuracy against weights remaining; this level's loss and accuracy; sparsity over time."""
    main = selection.experiments[0]
    levels = finished(main)
    live = _live(main, len(levels))
    control = finished(selection.control) if selection.control else []

    words = {"whole": "Everything", "near": "Near the dense network"}
    axis = one_of("Accuracy axis", "accuracy_axis", words)
    left, right = st.columns(2)
    with left:
        plot(_accuracy(levels, control, live, selection, axis == "near"), "plot_accuracy")
    with right:
        plot(_sparsity(levels, live), "plot_sparsity")
    left, right = st.columns(2)
    loss, accuracy = _level_figures(main, levels, live)
    with left:
        plot(loss, "plot_loss")
    with right:
        plot(accuracy, "plot_level_accuracy")


def _live(experiment: Experiment, n: int) -> dict | None:
    """What is known of the level that is being trained, if one is."""
    if n >= len(experiment.keys):
        return None
    progress = runtime().store.read_progress(experiment.keys[n])
    return progress[0] if progress else None


def _accuracy(
    levels: Sequence[Level],
    control: Sequence[Level],
    live: dict | None,
    selection: Selection,
    near_dense: bool,
):
    restart = selection.choice.restart
    name = {
        "rewind": "rewound, retrained",
        "keep": "trained on, not rewound",
        "reinit": "new random weights",
    }[restart]
    infos = [level.info for level in levels]
    curves = [
        figures.Curve(
            name,
            [percent_remaining(info) for info in infos],
            [info["test_accuracy"] for info in infos],
            figures.BLUE,
        )
    ]
    if control[1:]:
        rest = [level.info for level in control]
        curves.append(
            figures.Curve(
                "trained on, not rewound",
                [percent_remaining(info) for info in rest],
                [info["test_accuracy"] for info in rest],
                figures.GREEN,
                "dash",
                "diamond",
            )
        )
    pruned = infos[1:]
    if live and live.get("test_accuracy_before_retraining") is not None:
        pruned = [*pruned, live]
    for label, field, colour, dash, symbol in (
        (
            "just pruned, not yet retrained",
            "test_accuracy_before_retraining",
            figures.ORANGE,
            "dot",
            "triangle-up",
        ),
        (
            "dense pruned in one go, never retrained",
            "test_accuracy_dense_pruned",
            figures.PINK,
            "dashdot",
            "x",
        ),
    ):
        if pruned:
            curves.append(
                figures.Curve(
                    label,
                    [percent_remaining(info) for info in pruned],
                    [info[field] for info in pruned],
                    colour,
                    dash,
                    symbol,
                )
            )
    dense = infos[0]["test_accuracy"] if infos else None
    return figures.accuracy_figure(curves, dense, near_dense=near_dense)


def _sparsity(levels: Sequence[Level], live: dict | None):
    infos = [level.info for level in levels]
    trained = [info["iterations_trained"] for info in infos]
    if live:
        infos = [*infos, live]
        trained.append(live["iteration"] - live["first_iteration"])
    names = infos[0]["layers"] if infos else {}
    return figures.sparsity_figure(
        {
            name: [1 - i["layers"][name]["kept"] / i["layers"][name]["weights"] for i in infos]
            for name in names
        },
        [1 - weights_kept(info) / weights_total(info) for info in infos],
        np.cumsum(trained).tolist(),
        height=440,
    )


def _level_figures(experiment: Experiment, levels: Sequence[Level], live: dict | None):
    dense = levels[0].history if levels else None
    total = experiment.recipe.iterations
    if live:
        history = pd.DataFrame(live["history"], columns=_HISTORY).astype(float)
        n, at, losses = live["level"], live["loss_iterations"], live["losses"]
    elif levels:
        last = levels[-1]
        n, history, (at, losses) = last.info["level"], last.history, last.losses
    else:
        n, history, at, losses = 0, pd.DataFrame(columns=_HISTORY, dtype=float), [], []
    if n == 0:
        dense = None
    options = {"level": n, "iterations_total": total}
    return (
        figures.loss_figure(at, losses, history, dense, **options),
        figures.level_accuracy_figure(history, dense, **options),
    )
