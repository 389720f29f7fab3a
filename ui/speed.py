"""The Speed page's parts: what was measured, and what is not claimed."""

from __future__ import annotations

import time
from dataclasses import replace

import streamlit as st

from lottery_core.findings import speed as catch
from lottery_core.findings.verdict import level_to_show
from lottery_core.report import time_figures
from lottery_core.running.forecast import measuring
from lottery_core.running.time_left import in_words
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import command, read_choice, write_choice
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import LevelSpeed, Speed
from lottery_core.training.base import is_plain, why_not_compiled
from ui.shared.link import Link
from ui.shared.plot import plot
from ui.shared.reading import asked_together
from ui.shared.runtime import has_level, machine_facts
from ui.shared.tasks import choose_part, is_active, measured_of
from ui.shared.text import many, missing_in_words, plain
from ui.shared.words import say

LINK = Link("speed")


def why_not(experiment: Experiment) -> str:
    """Why there is nothing to measure, in a sentence; empty where there is."""
    why = why_not_compiled(experiment.recipe)
    return f"There is nothing to measure here: the compiled loop {why}." if why else ""


def plan_in_words(experiment: Experiment) -> str:
    """What Measure would do."""
    levels = len(experiment.keys)
    if missing := sum(not has_level(key) for key in experiment.keys):
        return f"Trains {missing_in_words(missing)}, then times all {levels}."
    answers = "up to four" if experiment.rounds[-1].takes_units else "two"
    train = "four" if is_plain(experiment.recipe) else "two"
    ways = f"{train} ways to train and {answers} to answer"
    seconds = measuring(machine_facts(), experiment)
    return f"Times {many(levels, 'level')}, {ways}; about {in_words(seconds)}."


def show_measured(experiment: Experiment, params: dict[str, str]) -> None:
    """Sentences, curves and tables of the last measurement, if there is one; `params` are the
    run's choice."""
    measured = measured_of("measure", experiment)
    if measured is None:
        active = is_active("measure", experiment)
        begin = (
            "Your numbers are on their way."
            if active
            else "Nothing is measured yet. Press Measure."
        )
        st.info(
            f"{begin} Every number on this page comes from this machine, none from elsewhere.",
            icon=":material/timer:",
        )
        return
    rows = measured.levels
    ticket = rows[min(level_to_show(asked_together(experiment)), len(rows) - 1)]
    st.success("  \n".join(catch.in_words(measured, ticket)), icon=":material/bolt:")
    if words := catch.last_mask_in_words(experiment):
        st.info(words, icon=":material/info:")
    _show_label(measured)
    left, right = st.columns(2)
    with left:
        plot(time_figures.epoch_figure(catch.epochs(measured)), "plot_epochs")
    with right:
        plot(time_figures.cumulative_figure(catch.cumulative(measured)), "plot_cumulative")

    st.header("The trained ticket at work")
    names = [f"level {row.level}: {size_in_words(p)} of the weights" for row, p in
             zip(rows, catch.percents(measured), strict=True)]  # fmt: skip
    n = choose_part("Level", names, rows.index(ticket), experiment, LINK)
    *some, most = (f"{images:,}" for images in rows[n].forward)
    st.caption(f"How long answering takes, for {', '.join(some)} and {most} images at once:")
    st.table(catch.answers_table(measured, rows[n]), border="horizontal", hide_index=True)
    _show_smaller(rows[n], experiment, params)
    st.caption("What it takes to keep and to run:")
    st.table(catch.size_table(measured, rows[n]), border="horizontal", hide_index=True)
    if rows[n].layers:
        st.caption(
            "What each layer's part of a training step takes in the compiled loop, in the faster "
            "of its forms: where pruning pays."
        )
        st.table(catch.layers_table(rows[n]), border="horizontal", hide_index=True)


def _show_smaller(row: LevelSpeed, experiment: Experiment, params: dict[str, str]) -> None:
    """The smaller network of a level of which whole units are gone, and what it is held against."""
    table = catch.smaller_table(row)
    if table is None:
        return
    say(catch.smaller_in_words(row))
    st.caption("Median times, and how many times as fast as the dense network with its zeros:")
    st.table(table, border="horizontal", hide_index=True)
    if row.unstructured or not experiment.round(row.level).takes_units:
        return
    preset, choice = read_choice(params)
    alike = replace(choice, criterion="magnitude")
    st.info(
        "No finished run of this recipe by magnitude is as accurate as this level, so no "
        "unstructured ticket stands beside it. Train one and measure again:"
    )
    st.code(command(preset, alike), language="bash", wrap_lines=True)
    st.page_link(
        "app.py",
        label="The same by magnitude, in the Explorer",
        icon=":material/explore:",
        query_params=write_choice(preset, alike),
    )


def _show_label(measured: Speed) -> None:
    machine = measured.machine
    versions = f"torch {machine.torch}, numba {machine.numba}, numpy {machine.numpy}"
    ago = in_words(max(1.0, time.time() - measured.measured))
    st.caption(
        f"{plain(machine.processor)}, {machine.threads} thread, Python {machine.python}, "
        f"{versions}; measured {ago} ago. Medians of five turns; bars span all five."
    )
    again = "Measure again when nothing else runs."
    if measured.beside:
        many = f"{measured.beside} other runs" if measured.beside > 1 else "Another run"
        st.warning(f"{many} trained at the same time and may have slowed this down. {again}")
    elif catch.was_disturbed(measured):
        st.warning(f"The same steps took longer at some turns: the machine was busy. {again}")


def show_limits() -> None:
    """What is not claimed."""
    st.caption(
        "What this does not claim. Networks here run on one core of a CPU. GPUs multiply whole "
        "tiles at once: there, single missing weights save little or nothing, and nothing on this "
        "page says otherwise."
    )
