"""The curves of an experiment, drawn from what is in the store this moment."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from lottery_core.findings.outcome import sparsity
from lottery_core.report import figures
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level, LevelProgress
from ui.explorer.sidebar import Selection
from ui.shared.chart_options import choose_axis, choose_bands, say_one_seed
from ui.shared.plot import plot
from ui.shared.reading import HISTORY, finished, history_so_far, training_now


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
        accuracy = selection.outcome().accuracy(near_dense=axis == "near", kind=kind, live=live)
        plot(accuracy, "plot_accuracy")
    with right:
        plot(sparsity([level.info for level in levels], live), "plot_sparsity")
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


def _level_figures(experiment: Experiment, levels: Sequence[Level], live: LevelProgress | None):
    dense = levels[0].history if levels else None
    total = experiment.recipe.iterations
    if live:
        history = history_so_far(live)
        n, at, losses = live.level, live.loss_iterations, live.losses
    elif levels:
        last = levels[-1]
        n, history, (at, losses) = last.info.level, last.history, last.losses
    else:
        n, history, at, losses = 0, pd.DataFrame(columns=HISTORY, dtype=float), [], []
    if n == 0:
        dense = None
    options = {"level": n, "iterations_total": total}
    return (
        figures.loss_figure(at, losses, history, dense, **options),
        figures.level_accuracy_figure(history, dense, **options),
    )
