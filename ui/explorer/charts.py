"""The curves of an experiment, drawn from what is in the store this moment."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from lottery_core.findings.outcome import chance_of, sizes_of, sparsity
from lottery_core.report import figures
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level, LevelProgress
from ui.explorer.heatmaps import choose_level, choose_weights, show_weights
from ui.explorer.link import LINK
from ui.explorer.sidebar import Selection
from ui.shared.chart_options import AXES, BANDS, choose_axis, choose_bands, say_one_seed
from ui.shared.frame import one_of
from ui.shared.plot import Packed, drawn, legend, plot
from ui.shared.reading import HISTORY, history_so_far, summary, training_now

_LARGE = Path(__file__).parent / "large.css"
_ARMS = "arms"  # the charts of the legend above them
_QUANTITIES = {"loss": "Loss", "accuracy": "Accuracy"}


def show_screen(selection: Selection, active: bool) -> None:
    """What there is to watch, on one screen: accuracy against weights remaining, the training of
    the chosen level, sparsity, the network, and the weights of every layer. The style sheet has
    their places."""
    if st.session_state.get("large"):
        st.html(_LARGE)
    with st.container(key="screen"):
        names, accuracy, level, over_time, which, network, weights = (
            st.container(key=f"screen_{name}", **options)
            for name, options in (
                ("legend", {}),
                ("accuracy", {}),
                ("level", {}),
                ("sparsity", {}),
                ("which", {"horizontal": True, "vertical_alignment": "center"}),
                ("network", {}),
                ("weights", {}),
            )
        )
    with which:
        most = selection.place.levels - 1 if selection.place else len(selection.main.rounds)
        n = choose_level(selection.main, active, selection.level_to_show(), most)
        quantity = LINK.option("curve", _QUANTITIES, _choose_quantity)
        with st.popover("View", icon=":material/tune:"):
            axis = LINK.option("axis", AXES, choose_axis)
            kind = _band_of(selection.choice.replicates)
            shown = choose_weights(n)
    levels = selection.levels()
    live = training_now(selection.main, len(levels))
    if live is None:  # it may have been finished between the two looks
        levels = selection.levels()
    with names:
        seeds = selection.choice.replicates
        note = f"means of {seeds} seeds" if seeds > 1 else ""
        legend(selection.outcome().legend, "legend_accuracy", _ARMS, note)
    with accuracy:
        plot(_accuracy(selection, n, axis, kind, live), "plot_accuracy", _ARMS, styled=True)
    with level:
        plot(_training(selection.main, n, quantity), "plot_level", styled=True)
    with over_time:
        plot(_sparsity(selection.main, levels, live), "plot_sparsity", styled=True)
    show_weights(selection.main, shown, network, weights)


def _accuracy(
    selection: Selection, n: int, axis: str, kind: str, live: LevelProgress | None
) -> Packed:
    """Every arm's accuracies, as far as its seeds are; level `n` is marked."""
    outcome = selection.outcome()
    shown = tuple(
        (name, one.keys[: len(outcome.runs[name].get(one.recipe.seed, ()))])
        for name, arm in outcome.arms.items()
        for one in arm
    )
    pruned = live and (live.test_accuracy_before_retraining, live.test_accuracy_dense_pruned)
    what = ("accuracy", selection.main.key, n, shown, axis, kind, pruned)

    def make() -> figures.Figure:
        figure = outcome.accuracy(near_dense=axis == "near", kind=kind, live=live)
        percents = [info.percent_remaining for info in outcome.first]
        percents += sizes_of(selection.main)[len(percents) :]
        return figures.opening_levels(figures.without_legend(figure), percents, n)

    return drawn(what, make)


def _sparsity(experiment: Experiment, levels: list[Level], live: LevelProgress | None) -> Packed:
    what = ("sparsity", experiment.key, len(levels), live and live.moment)
    return drawn(what, lambda: sparsity(experiment, [one.info for one in levels], live))


def _band_of(seeds: int) -> str:
    """What bands show: asked only where there are several seeds."""
    if seeds == 1:
        say_one_seed()
        return "range"
    label = f"Bands over {seeds} seeds"
    return LINK.option("bands", BANDS, lambda key, kind: choose_bands(label, key, kind))


def _choose_quantity(key: str, quantity: str) -> str:
    return one_of("Training curve", key, _QUANTITIES, quantity, label_visibility="collapsed")


def _training(experiment: Experiment, n: int, quantity: str) -> Packed:
    """The loss or accuracy of a level while it trained, or as far as it is."""
    dense = summary(experiment.keys[0]) if n else None
    # In this order: the first goes when the second is there, so that one of them is found.
    live, level = training_now(experiment, n), summary(experiment.keys[n])
    live = None if level else live
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
        "iterations_total": experiment.iterations(n),
        "chance": chance_of(experiment),
    }
    before = dense.history if dense else None
    if quantity == "accuracy":
        figure = figures.level_accuracy_figure(history, before, **options)
    else:
        figure = figures.loss_figure(at, losses, history, before, **options)
    # Which level it is, the slider says once for all.
    return figure.update_layout(
        title_text=f"{_QUANTITIES[quantity]} in training",
        meta={**figure.layout.meta, "saved": figure.layout.title.text, "level": n},
    )
