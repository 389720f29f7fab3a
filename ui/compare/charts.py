"""The charts: against weights remaining, and of one size while it trains."""

from __future__ import annotations

import streamlit as st

from lottery_core.findings import replicates
from lottery_core.report import compared_figures
from ui.compare.chosen import Compared
from ui.compare.curves import curve, level_curves, training_frames
from ui.shared.plot import plot
from ui.shared.text import plain

GROUP = "compare"  # the charts that share a legend


def show_overview(compared: Compared) -> None:
    """Test accuracy and early stop against weights remaining."""
    left, right = st.columns(2)
    curves = [curve for curve in level_curves(compared, "test_accuracy") if len(curve.x)]
    known = compared.runs[compared.reference.id].values()
    dense = replicates.band([levels[0].test_accuracy for levels in known], "range")
    with left:
        figure = compared_figures.compared_accuracy_figure(
            curves,
            dense.mean if dense.n else None,
            near_dense=compared.view.axis == "near",
            sizes=compared.axes.sizes,
            chance=compared.axes.chance,
        )
        plot(figure, "plot_compared_accuracy", GROUP)
    stops = [curve for curve in level_curves(compared, "early_stop_iteration") if len(curve.x)]
    with right:
        if stops:
            axes = compared.axes
            figure = compared_figures.early_stop_figure(stops, axes.sizes, axes.iterations)
            plot(figure, "plot_early_stop", GROUP)
        without = [line for line in compared.lines if not line.main.recipe.validation_size]
        if len(without) == len(compared.lines):
            st.info("No early stop: these recipes hold out no images to find it with.")
        elif without:
            named = "; ".join(compared.words[line.id] for line in without)
            st.caption(f"No early stop without images held out: {plain(named)}.")


def show_training(compared: Compared) -> None:
    """How the networks of the chosen size learned, or learn this moment."""
    what, percent = compared.view.curve, compared.percent
    frames = training_frames(compared, what, percent)
    curves = [
        curve(compared, line, "iteration", frames[line.id])
        for line in compared.lines
        if len(frames[line.id])
    ]
    if not curves:
        reason = "hold out no images for validation" if what == "loss" else "have none of that size"
        st.info(f"No curve to draw: these runs {reason}.")
        return
    figure = compared_figures.training_figure(
        curves, what, percent, total=compared.axes.iterations, chance=compared.axes.chance
    )
    plot(figure, "plot_training", GROUP)
