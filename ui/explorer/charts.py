"""The curves of an experiment, drawn from what is in the store this moment."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lottery_core.findings.outcome import chance_of, sparsity
from lottery_core.report import figures
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level, LevelProgress
from ui.explorer.heatmaps import choose_level, choose_weights, show_heatmaps
from ui.explorer.sidebar import Selection
from ui.shared.chart_options import choose_axis, choose_bands, say_one_seed
from ui.shared.frame import one_of
from ui.shared.plot import Packed, drawn, plot
from ui.shared.reading import HISTORY, finished, history_so_far, summary, training_now

_QUANTITIES = {"loss": "Loss", "accuracy": "Accuracy"}


def show_screen(selection: Selection, active: bool) -> None:
    """What there is to watch, on one screen: accuracy against weights remaining, the training of
    the chosen level, sparsity, and the weights of every layer. The style sheet has their places."""
    with st.container(key="screen"):
        accuracy, level, over_time, which, weights = (
            st.container(key=f"screen_{name}", **options)
            for name, options in (
                ("accuracy", {}),
                ("level", {}),
                ("sparsity", {}),
                ("which", {"horizontal": True, "vertical_alignment": "center"}),
                ("weights", {}),
            )
        )
    with which:
        n = choose_level(selection.main, active)
        quantity = one_of("Training curve", "quantity", _QUANTITIES, label_visibility="collapsed")
        with st.popover("View", icon=":material/tune:"):
            axis = choose_axis("accuracy_axis")
            kind = _band_of(selection.choice.replicates)
            shown = choose_weights(n)
    levels = finished(selection.main)
    live = training_now(selection.main, len(levels))
    with accuracy:
        plot(_accuracy(selection, axis, kind, live), "plot_accuracy", styled=True)
    with level:
        plot(_training(selection.main, n, quantity), "plot_level", styled=True)
    with over_time:
        plot(_sparsity(selection.main, levels, live), "plot_sparsity", styled=True)
    with weights:
        show_heatmaps(selection.main, shown)


def _accuracy(selection: Selection, axis: str, kind: str, live: LevelProgress | None) -> Packed:
    """Every arm's accuracies, as far as its seeds are."""
    outcome = selection.outcome()
    shown = tuple(
        (name, one.keys[: len(outcome.runs[name].get(one.recipe.seed, ()))])
        for name, arm in outcome.arms.items()
        for one in arm
    )
    pruned = live and (live.test_accuracy_before_retraining, live.test_accuracy_dense_pruned)
    what = ("accuracy", selection.main.key, shown, axis, kind, pruned)

    def make() -> figures.Figure:
        figure = outcome.accuracy(near_dense=axis == "near", kind=kind, live=live)
        return figures.legend_inside(figure)

    return drawn(what, make)


def _sparsity(experiment: Experiment, levels: list[Level], live: LevelProgress | None) -> Packed:
    what = ("sparsity", experiment.key, len(levels), live and live.moment)
    return drawn(what, lambda: sparsity(experiment, [one.info for one in levels], live))


def _band_of(seeds: int) -> str:
    """What bands show: asked only where there are several seeds."""
    if seeds == 1:
        say_one_seed()
        return "range"
    return choose_bands(f"Bands over {seeds} seeds", "bands")


def _training(experiment: Experiment, n: int, quantity: str) -> Packed:
    """The loss or accuracy of a level while it trained, or as far as it is."""
    dense = summary(experiment.keys[0]) if n else None
    level = summary(experiment.keys[n])
    live = None if level else training_now(experiment, n)
    state = live.moment if live else level is not None
    what = ("training", experiment.keys[n], dense is not None, state, quantity)
    return drawn(what, lambda: _training_figure(experiment, n, quantity, (dense, level, live)))


def _training_figure(
    experiment: Experiment,
    n: int,
    quantity: str,
    known: tuple[Level | None, Level | None, LevelProgress | None],
) -> figures.Figure:
    dense, level, live = known
    if live:
        history = history_so_far(live)
        at, losses = live.loss_iterations, live.losses
    elif level:
        history, (at, losses) = level.history, level.losses
    else:
        history, at, losses = pd.DataFrame(columns=HISTORY, dtype=float), [], []
    options = {
        "level": n,
        "iterations_total": experiment.recipe.iterations,
        "chance": chance_of(experiment),
    }
    before = dense.history if dense else None
    if quantity == "accuracy":
        return figures.level_accuracy_figure(history, before, **options)
    return figures.loss_figure(at, losses, history, before, **options)
