"""Where the runs of this visitor stand, in a line on every page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import streamlit as st

from lottery_core.store import Job, StoreUnavailable
from ui.shared.jobs import expected
from ui.shared.runtime import runtime
from ui.shared.text import many
from ui.shared.trouble import live
from ui.shared.visitor import visitor

_TICK = 2.0  # seconds between two looks


def show_queue_line() -> None:
    """How many runs train and wait, while one of this visitor's is among them; else nothing."""
    with suppress(StoreUnavailable):  # what the page asks for says so itself
        if any(job.visitor == visitor() for job in runtime().queue.jobs()):
            live(_TICK)(_line)()
        else:  # so that what follows stays in its place
            st.container(key="queue_line")


def _line() -> None:
    jobs = runtime().queue.jobs()
    with st.container(key="queue_line"):
        if any(job.visitor == visitor() for job in jobs):
            begins = {key: one.begins for key, one in expected().items()}
            st.caption(queue_in_words(jobs, visitor(), begins))


def queue_in_words(jobs: Sequence[Job], who: str, begins: Mapping[str, float]) -> str:
    """ "2 runs train, 3 wait; yours is next", of the jobs of a queue in its order, some of which
    `who` asked for; `begins` says by key when each is expected to begin."""
    running = [job for job in jobs if job.state == "running"]
    waiting = [job for job in jobs if job.state == "queued"]
    waiting.sort(key=lambda job: begins.get(job.key, 0.0))  # as turns go; else in their order
    parts = []
    for some, verb in ((running, "train"), (waiting, "wait")):
        if n := len(some):
            named = f"{n}" if parts else many(n, "run")
            parts.append(f"{named} {verb}{'s' if n == 1 else ''}")
    return f"{', '.join(parts)}; {_place(running, waiting, who)}"


def _place(running: list[Job], waiting: list[Job], who: str) -> str:
    if all(job.visitor == who for job in (*running, *waiting)):
        return "all yours"
    if own := sum(job.visitor == who for job in running):
        return f"{own} of them {'is' if own == 1 else 'are'} yours"
    before = [job.visitor for job in waiting].index(who)
    return f"{before} before yours" if before else "yours is next"
