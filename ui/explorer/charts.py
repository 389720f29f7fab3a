"""The curves of an experiment, drawn from what is in the store this moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from lottery_core.findings import replicates
from lottery_core.findings.tables import weights_kept, weights_total
from lottery_core.report import figures
from lottery_core.spec.arms import ARMS, title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level
from ui.explorer.sidebar import Selection
from ui.shared.chart_options import choose_axis, choose_bands, say_one_seed
from ui.shared.plot import plot
from ui.shared.reading import HISTORY, finished, infos, training_now


def show_charts(selection: Selection) -> None:
    """Accuracy against weights remaining; this level's loss and accuracy; sparsity over time."""
    main = selection.main
    levels = finished(main)
    live = training_now(main, len(levels))

    left, right = st.columns(2)
    with left:
        axis = choose_axis("accuracy_axis")
    with right:
        kind = _band_of(selection.choice.replicates)
    left, right = st.columns(2)
    with left:
        plot(_accuracy(selection, live, axis == "near", kind), "plot_accuracy")
    with right:
        plot(_sparsity(levels, live), "plot_sparsity")
    left, right = st.columns(2)
    loss, accuracy = _level_figures(main, levels, live)
    with left:
        plot(loss, "plot_loss")
    with right:
        plot(accuracy, "plot_level_accuracy")


def _band_of(seeds: int) -> str:
    """What bands show: asked only where there are several seeds."""
    if seeds == 1:
        say_one_seed()
        return "range"
    return choose_bands(f"Bands over {seeds} seeds", "bands")


def _accuracy(selection: Selection, live: dict | None, near_dense: bool, kind: str):
    main = infos(selection.arms["main"])
    curves = [_arm_curve(selection, name, "test_accuracy", kind) for name in selection.arms]
    curves = [curve for curve in curves if len(curve.x)]
    for name, field, title in (
        ("not retrained", "test_accuracy_before_retraining", "just pruned, not yet retrained"),
        (
            "dense pruned",
            "test_accuracy_dense_pruned",
            "dense pruned in one go, never retrained",
        ),
    ):
        pruned = {seed: levels[1:] for seed, levels in main.items() if levels[1:]}
        first = selection.choice.seed
        if live and live.get(field) is not None:
            pruned[first] = [*pruned.get(first, ()), live]
        if pruned:
            curves.append(_curve(title, figures.STYLES[name], pruned, field, kind))
    first = main.get(selection.choice.seed)
    dense = replicates.band([levels[0]["test_accuracy"] for levels in main.values()], "range")
    return figures.accuracy_figure(curves, dense.mean if first else None, near_dense=near_dense)


def _arm_curve(selection: Selection, name: str, field: str, kind: str) -> figures.Curve:
    """A field of an arm's levels against the weights that the experiment itself keeps there."""
    arm = selection.arms[name]
    found = infos(arm)
    title = ARMS[name].title if name != "main" else title_of(arm[0])
    if name == "dense-longer":  # it keeps all; drawn beside the levels it trains as long as
        sizes = [step.sparsity for step in selection.main.rounds]
        frame = replicates.curve(found, field, kind)
        frame["percent"] = [100.0, *(100 * (1 - s) for s in sizes)][: len(frame)]
        return _from_frame(title, figures.STYLES[name], frame)
    return _curve(title, figures.STYLES[name], found, field, kind)


def _curve(
    title: str, style: figures.Style, found: dict[int, list[dict]], field: str, kind: str
) -> figures.Curve:
    return _from_frame(title, style, replicates.curve(found, field, kind))


def _from_frame(title: str, style: figures.Style, frame: pd.DataFrame) -> figures.Curve:
    n = int(frame["n"].max()) if len(frame) else 0
    if n > 1:
        title = f"{title}, {n} seeds"
    columns = (frame[name].tolist() for name in ("percent", "mean"))
    return figures.Curve(title, *columns, style, frame["low"], frame["high"], n)


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
        history = pd.DataFrame(live["history"], columns=HISTORY).astype(float)
        n, at, losses = live["level"], live["loss_iterations"], live["losses"]
    elif levels:
        last = levels[-1]
        n, history, (at, losses) = last.info["level"], last.history, last.losses
    else:
        n, history, at, losses = 0, pd.DataFrame(columns=HISTORY, dtype=float), [], []
    if n == 0:
        dense = None
    options = {"level": n, "iterations_total": total}
    return (
        figures.loss_figure(at, losses, history, dense, **options),
        figures.level_accuracy_figure(history, dense, **options),
    )
