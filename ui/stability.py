"""The Stability page's parts: what was measured, and the line between two copies."""

from __future__ import annotations

import streamlit as st

from lottery_core import figures, paths
from lottery_core.experiment import Experiment
from lottery_core.store import task_key
from ui.plot import plot
from ui.runtime import runtime
from ui.tasks import is_active, measured_of

TASK = "instability"


def plan_in_words(experiment: Experiment) -> str:
    """What Measure would do."""
    missing = sum(not runtime().store.has(key) for key in experiment.keys)
    before = f"Trains the {missing} levels that are not in the cache, then t" if missing else "T"
    dense = sum(
        2 * k <= experiment.recipe.iterations for k in experiment.recipe.snapshot_iterations
    )
    return (
        f"{before}rains two copies of the dense network from each of {dense} iterations, and two "
        f"of each of {len(experiment.rounds)} pruned levels."
    )


def show_measured(experiment: Experiment) -> None:
    """Sentence, curves, and one line between two copies, if there is a measurement."""
    measured = measured_of(TASK, experiment)
    if measured is None:
        asked = "" if is_active(TASK, experiment) else "Press Measure. "
        st.info(
            f"Nothing is measured yet. {asked}Where the error stays flat between two copies, "
            "both have found the same valley, and the order of the data did not matter.",
            icon=":material/landscape:",
        )
        return
    st.success(paths.in_words(measured), icon=":material/landscape:")
    left, right = st.columns(2)
    with left:
        curves = paths.against_iteration(measured)
        plot(figures.instability_figure(curves, against="iteration"), "plot_by_iteration")
    with right:
        curves = paths.against_remaining(measured)
        plot(figures.instability_figure(curves, against="remaining"), "plot_by_remaining")
    found = measured["paths"]
    n = st.selectbox(
        "The line between two copies of",
        range(len(found)),
        key=f"path_of_{task_key(TASK, experiment.key)}",
        format_func=lambda n: paths.name(found[n], measured["total"]),
    )
    one = found[n]
    plot(
        figures.path_figure(
            one["alphas"],
            one["train_error"],
            one["test_error"],
            title=f"Error between two copies: {paths.name(one, measured['total'])}",
        ),
        "plot_path",
    )
