"""The Stability page's parts: what was measured, and the line between two copies."""

from __future__ import annotations

import streamlit as st

from lottery_core.findings import stability as paths
from lottery_core.report import compared_figures
from lottery_core.running.starts import copying, starts_of
from lottery_core.running.time_left import in_words
from lottery_core.spec.experiment import Experiment
from ui.shared.link import Link
from ui.shared.plot import plot
from ui.shared.runtime import has_level, runtime
from ui.shared.tasks import choose_part, is_active, measured_of
from ui.shared.text import missing_in_words
from ui.shared.words import say_verdict, show_words

TASK = "instability"
LINK = Link("stability")


def plan_in_words(experiment: Experiment) -> str:
    """What Measure would do, or that it would find the same."""
    if measured_of(TASK, experiment):
        return "Measured. The same copies would end at the same weights again."
    missing = sum(not has_level(key) for key in experiment.keys)
    before = f"Trains {missing_in_words(missing)}, then t" if missing else "T"
    starts = starts_of(experiment)
    dense = sum(start.level == 0 for start in starts)
    pruned = len(starts) - dense
    of_dense = f"each of {dense} iterations" if dense > 1 else "its first iteration"
    of_pruned = f"each of {pruned} pruned levels" if pruned > 1 else "the pruned level"
    words = f"{before}rains two copies of the dense network from {of_dense}"
    if pruned:
        words += f", and two of {of_pruned}"
    elif experiment.rounds:
        words += ", and none of its levels, whose masks come about while they train"
    seconds = None if missing else copying(runtime().store, experiment)
    return f"{words}: about {in_words(seconds)}." if seconds else f"{words}."


def show_measured(experiment: Experiment) -> None:
    """Sentence, curves, and one line between two copies, if there is a measurement."""
    measured = measured_of(TASK, experiment)
    if measured is None:
        active = is_active(TASK, experiment)
        begin = "It is being measured." if active else "Nothing is measured yet. Press Measure."
        st.info(
            f"{begin} Where the error stays flat between two copies, "
            "both have found the same valley, and the order of the data did not matter.",
            icon=":material/landscape:",
        )
        return
    say_verdict(paths.in_words(measured))
    show_words("iteration")  # in the charts
    left, right = st.columns(2)
    with left:
        curves = paths.against_iteration(measured)
        plot(compared_figures.instability_figure(curves, against="iteration"), "plot_by_iteration")
    with right:
        curves = paths.against_remaining(measured)
        plot(compared_figures.instability_figure(curves, against="remaining"), "plot_by_remaining")
    found = measured.paths
    names = [paths.name(one, measured.total) for one in found]
    n = choose_part("The line between two copies of", names, 0, experiment, LINK)
    one = found[n]
    plot(
        compared_figures.path_figure(
            one.alphas,
            one.train_error,
            one.test_error,
            title=f"Error between two copies: {paths.name(one, measured.total)}",
        ),
        "plot_path",
    )
