"""The Stability page's second part: what lies between a ticket and other networks of its mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from lottery_core.findings import barriers, luck
from lottery_core.findings.lines import with_seed
from lottery_core.report import barrier_figures
from lottery_core.report.compared_figures import STABLE
from lottery_core.running.starts import judging
from lottery_core.running.time_left import done_part, in_words
from lottery_core.spec.arms import has_ticket
from lottery_core.spec.barriers import trained_ends
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Barriers, Job, PartsDone, task_key
from ui.shared.jobs import plan_of
from ui.shared.link import Link
from ui.shared.plot import plot
from ui.shared.runtime import machine_facts, runtime
from ui.shared.tasks import (
    choose_part,
    choose_seeds,
    line_and_levels,
    measured_of,
    show_parts,
    show_running,
)
from ui.shared.text import capital, many, plain
from ui.shared.trouble import asking, show_refused
from ui.shared.words import say, say_verdict

TASK = "barriers"


@dataclass(frozen=True)
class Asked:
    """The ticket at a level, over all seeds that are looked at, and how it is trained."""

    tickets: tuple[Experiment, ...]
    options: Mapping[str, object]

    @property
    def missing(self) -> list[Experiment]:
        """The tickets whose barriers are not measured yet."""
        return [one for one in self.tickets if measured_of(TASK, one) is None]

    @property
    def jobs(self) -> list[Job]:
        """What is known of the requests for them."""
        jobs = (runtime().store.job(task_key(TASK, one.key)) for one in self.tickets)
        return [job for job in jobs if job]

    @property
    def active(self) -> list[Job]:
        """Those that are queued or running."""
        return [job for job in self.jobs if job.active]

    @property
    def signature(self) -> tuple:
        """What, when it changes, changes more of the page than how far the measurement is."""
        return tuple(job.state for job in self.jobs), len(self.missing)


def choose(experiment: Experiment, params: Mapping[str, str], link: Link) -> Asked | None:
    """Which level of the run, and over how many seeds; None, in words, where it has no tickets."""
    st.header("Why a mask needs its weights")
    say(
        "Give a ticket's mask other weights, and it trains to something worse. Walk in a straight "
        "line from the trained ticket to what came of its mask: where the error rises, the two lie "
        "in different valleys (Frankle et al. 2020; Adnan et al. 2025, "
        "[arXiv 2505.05143](https://arxiv.org/abs/2505.05143)). The ticket retrained lies in that "
        "of the network it was pruned from, which it learns again (Evci et al. 2022, "
        "[arXiv 2010.03533](https://arxiv.org/abs/2010.03533))."
    )
    if not has_ticket(experiment):
        st.info("Choose a run that rewinds its tickets: this one has none.", icon=":material/info:")
        return None
    line, names, usual = line_and_levels(experiment)
    left, right = st.columns([3, 1])
    with left:
        n = 1 + choose_part("Ticket", names, usual, experiment, link, "ticket")
    with right:
        count = choose_seeds(experiment, len(line.seeds), link)
    tickets = tuple(
        luck.altered(with_seed(experiment, seed), n)["ticket"]
        for seed in luck.seeds_of(line.seeds, count)
    )
    options = {"device": line.device, "loop": line.loop, "params": line.params or params}
    return Asked(tickets, options)


def show_controls(asked: Asked) -> None:
    """Measure what is missing, or Stop, and how far it is."""
    if asked.active:
        keys = [job.key for job in asked.active]
        show_running(keys, partial(_show_progress, asked), "_barriers")
        return
    for message in {job.message for job in asked.jobs if job.state != "done" and job.message}:
        st.error(f"The measurement was not finished: {plain(message)}")
    if missing := asked.missing:
        words, button = st.columns([3, 1], vertical_alignment="center")
        words.markdown(f"**{_plan_in_words(missing)}**")
        button.button(
            "Measure what lies between",
            type="primary",
            on_click=_start,
            args=(missing, asked.options),
            width="stretch",
            key="measure_barriers",
        )
    show_refused()


def _needed(tickets: Sequence[Experiment]) -> list[Experiment]:
    """All that is trained for these tickets' barriers."""
    arms = [arm for ticket in tickets for arm in trained_ends(ticket).values()]
    return [*tickets, *arms]


def _plan_in_words(missing: Sequence[Experiment]) -> str:
    todo = plan_of(_needed(missing))
    each = [judging(machine_facts(), one) for one in missing]
    new = todo.trainings - todo.cached
    words = f"{capital(many(new, 'training'))}, then the" if new else "The"
    over = f" of {len(missing)} seeds" if len(missing) > 1 else ""
    words = f"{words} lines{over}"
    if todo.seconds is None or None in each:
        return f"{words}."
    return f"{words}: about {in_words(todo.seconds + sum(each))}."


def _show_progress(asked: Asked) -> None:
    store = runtime().store
    active = [
        one for one in asked.tickets if task_key(TASK, one.key) in {j.key for j in asked.active}
    ]
    needed = _needed(active)
    todo = plan_of(needed)
    if todo.cached < todo.trainings:
        left = f", about {in_words(todo.seconds)} left" if todo.seconds else ""
        text = f"{todo.cached} of {many(todo.trainings, 'network')} trained{left}"
        st.progress(done_part(store, needed), text)
        return
    for one in active:
        done = store.read_progress(task_key(TASK, one.key))
        if isinstance(done, PartsDone):
            seed = f", seed {one.recipe.seed}" if len(active) > 1 else ""
            show_parts(done, "Line", seed)
            return
    st.progress(0.0, "Waiting for a free worker")


@asking
def _start(missing: Sequence[Experiment], options: Mapping[str, object]) -> None:
    for experiment in missing:
        runtime().queue.submit(experiment, task=TASK, **options)


def show_found(asked: Asked) -> None:
    """The sentence, the curves and the table, of the seeds that are measured."""
    found: list[Barriers] = [one for one in (measured_of(TASK, t) for t in asked.tickets) if one]
    if not found:
        words = "are being measured" if asked.active else "are not measured yet"
        st.info(f"The lines from this ticket {words}.", icon=":material/route:")
        return
    say_verdict(barriers.in_words(found), of=TASK)
    for column, (what, images) in zip(
        st.columns(2), (("test", "test"), ("train", "training")), strict=True
    ):
        with column:
            curves = barriers.curves(found, what)
            plot(barrier_figures.lines_figure(curves, images), f"plot_barriers_{what}")
    st.table(barriers.table(barriers.barriers(found)), border="horizontal", hide_index=True)
    seeds = " Bands and brackets: from the least seed to the greatest." if len(found) > 1 else ""
    st.caption(
        f"A rise is the error at the worst point above the mean of both ends; below {STABLE} "
        "points the two count as one valley. Where one end is worse, half of the difference is in "
        "it; what was not retrained is judged by the rise above the worse end. Both ends of a line "
        "have one mask; for the matched one the ticket's units are put in that network's order, "
        "which changes nothing it computes. Batch norm's running statistics are mixed like "
        "weights. Training error is of 10,000 images trained on; test images select "
        f"nothing here.{seeds}"
    )
