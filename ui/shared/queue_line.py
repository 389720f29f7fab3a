"""What this visitor asked the queue for, and where that stands, in a line on every page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job
from ui.shared.runtime import runtime
from ui.shared.text import many
from ui.shared.trouble import live

_TICK = 2.0  # seconds between two looks


def ask_for(experiments: Sequence[Experiment], **options) -> None:
    """Ask the queue for all of them or for none, as `Queue.submit_all`, for this visitor."""
    jobs = runtime().queue.submit_all(experiments, **options)
    _mine().update(job.key for job in jobs)


def _mine() -> set[str]:
    return st.session_state.setdefault("asked_for", set())


def show_queue_line() -> None:
    """How many runs train and wait, while one of this visitor's is among them; else nothing."""

    @live(_TICK if _mine() else None)
    def line() -> None:
        jobs = runtime().store.jobs() if _mine() else []
        active = [job for job in jobs if job.active]
        _mine().intersection_update(job.key for job in active)
        with st.container(key="queue_line"):
            if words := queue_in_words(active, _mine()):
                st.caption(words)

    line()


def queue_in_words(active: Sequence[Job], mine: set[str]) -> str:
    """ "2 runs train, 3 wait; yours is next", of the jobs that are queued or running; empty where
    none of them is one of `mine`, the keys of a visitor's."""
    running = [job.key for job in active if job.state == "running"]
    queued = sorted((job for job in active if job.state == "queued"), key=lambda j: j.submitted)
    waiting = [job.key for job in queued]
    if not mine.intersection([*running, *waiting]):
        return ""
    parts = [f"{many(len(running), 'run')} {'trains' if len(running) == 1 else 'train'}"]
    if waiting:
        parts.append(f"{len(waiting)} {'waits' if len(waiting) == 1 else 'wait'}")
    return f"{', '.join(parts)}; {_place(running, waiting, mine)}"


def _place(running: list[str], waiting: list[str], mine: set[str]) -> str:
    if own := len(mine.intersection(running)):
        if own == len(running) and not mine.symmetric_difference([*running, *waiting]):
            return "all yours"
        return f"{own} of them {'is' if own == 1 else 'are'} yours"
    before = next(n for n, key in enumerate(waiting) if key in mine)
    return f"{before} before yours" if before else "yours is next"
