"""What will happen, Start and Stop, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from lottery_core.choice import write_choice
from lottery_core.experiment import Experiment, InvalidValue
from lottery_core.speed import in_words, plan, seconds_of_level
from lottery_core.store import Job
from ui.runtime import runtime
from ui.sidebar import Selection
from ui.text import plain

_FIRST_POINT = 0.6  # seconds; a busy or cold worker takes longer, and is not waited for


@dataclass(frozen=True)
class State:
    """Where the chosen experiments stand; `jobs` are what became of each request, if any."""

    jobs: tuple[Job | None, ...]
    complete: bool

    @property
    def active(self) -> bool:
        """Whether any of them is queued or running."""
        return any(job is not None and job.active for job in self.jobs)


def state_of(selection: Selection) -> State:
    """Look the chosen experiments up in the store."""
    store = runtime().store
    return State(
        tuple(store.job(experiment.key) for experiment in selection.experiments),
        bool(selection.experiments)
        and all(store.has(key) for experiment in selection.experiments for key in experiment.keys),
    )


def plan_in_words(selection: Selection) -> str:
    """What Start would do: "7 trainings of 4 epochs; 3 are already in the cache; about 45 s"."""
    todo = plan(runtime().store, selection.experiments, runtime().workers, selection.device)
    choice = selection.choice
    amount = f"{choice.length:g} {choice.unit}"
    if choice.length == 1:
        amount = amount.removesuffix("s")
    words = f"{todo.trainings} trainings of {amount}"
    if len(selection.experiments) > 1:
        words += ", with and without rewinding"
    if todo.cached == todo.trainings:
        return f"{words}; all are in the cache."
    if todo.cached:
        words += f"; {todo.cached} {'are' if todo.cached > 1 else 'is'} already in the cache"
    if todo.seconds is not None:
        words += f"; about {in_words(todo.seconds)}"
    return f"{words}."


def start(selection: Selection) -> None:
    """Ask the queue for everything that is chosen."""
    params = write_choice(selection.preset, selection.choice)
    folder = Path(selection.folder) if selection.folder else None
    try:
        for experiment in selection.experiments:
            runtime().queue.submit(
                experiment, device=selection.device, folder=folder, params=params
            )
    except InvalidValue as error:
        st.session_state.refused = str(error)
        return
    _wait_for_first_point(selection.experiments[0])


def _wait_for_first_point(experiment: Experiment) -> None:
    """A warm worker has evaluated the untrained network in no time: draw that at once."""
    end = time.monotonic() + _FIRST_POINT
    while time.monotonic() < end and (n := current_level(experiment)) is not None:
        if runtime().store.read_progress(experiment.keys[n]):
            return
        time.sleep(0.02)


def stop(selection: Selection) -> None:
    """Cancel whatever of the choice is queued or running."""
    for experiment in selection.experiments:
        runtime().queue.cancel(experiment.key)


def show_controls(selection: Selection, state: State) -> None:
    """The plan in words, and the one button that fits."""
    words, button = st.columns([4, 1], vertical_alignment="center")
    if selection.problem:
        words.error(plain(selection.problem))
        button.button("Start", type="primary", disabled=True, width="stretch")
        return
    words.markdown(f"**{plan_in_words(selection)}**")
    if state.active:
        button.button(
            "Stop",
            icon=":material/stop:",
            on_click=stop,
            args=(selection,),
            width="stretch",
            key="stop",
        )
    elif not state.complete:
        begun = any(job is not None for job in state.jobs)
        button.button(
            "Resume" if begun else "Start",
            icon=":material/play_arrow:",
            type="primary",
            on_click=start,
            args=(selection,),
            width="stretch",
            key="start",
        )
    with st.container():
        if refused := st.session_state.pop("refused", None):
            st.error(plain(refused))


def show_progress(selection: Selection, state: State) -> None:
    """A bar for each experiment that is under way, and what became of the others."""
    said = set()  # what went wrong with both is said once
    for experiment, job in zip(selection.experiments, state.jobs, strict=True):
        name = "Without rewinding: " if experiment is not selection.experiments[0] else ""
        if job is None:
            continue
        if job.state == "queued":
            st.progress(0.0, f"{name}waiting for a free worker, {_place(job)}")
        elif job.state == "running":
            _show_running(experiment, job, name)
        elif not all(runtime().store.has(key) for key in experiment.keys):
            if (job.state, job.message) not in said:
                _show_end(experiment, job, name)
            said.add((job.state, job.message))


def _place(job: Job) -> str:
    ahead = sum(
        other.state == "queued" and other.submitted < job.submitted
        for other in runtime().store.jobs()
    )
    return f"{ahead} before it in the queue" if ahead else "next in the queue"


def _show_end(experiment: Experiment, job: Job, name: str) -> None:
    done = sum(runtime().store.has(key) for key in experiment.keys)
    kept = f"{done} of {len(experiment.keys)} levels are finished and kept. Resume goes on there."
    if job.state == "cancelled":
        st.info(f"{name or 'The run is '}stopped. {kept}")
    elif job.state == "killed":
        st.error(f"{name or 'The run was '}interrupted: {plain(job.message)}. {kept}")
    elif job.state == "failed":
        st.error(f"{name}{plain(job.message)}")


def _show_running(experiment: Experiment, job: Job, name: str) -> None:
    store, facts = runtime().store, runtime().store.read_machine()
    n = current_level(experiment)
    if n is None:
        return
    last = len(experiment.rounds)
    progress = store.read_progress(experiment.keys[n])
    later = [
        seconds_of_level(facts, experiment, k, job.device)
        for k in range(n + 1, last + 1)
        if not store.has(experiment.keys[k])
    ]
    if progress is None:
        st.progress(n / (last + 1), f"{name}level {n} of {last}: getting ready")
        return
    numbers, _ = progress
    first = numbers["first_iteration"]
    left = numbers["seconds_left"]
    now, end = numbers["iteration"], numbers["iterations"]
    part = (now - first) / max(1, end - first)
    text = f"{name}level {n} of {last}, iteration {now:,} of {end:,}"
    if left is not None:
        text += f", {in_words(left)} left"
        if later and None not in later:
            text += f"; the whole run {in_words(left + sum(later))}"
    st.progress(min(1.0, (n + part) / (last + 1)), text)


def current_level(experiment: Experiment) -> int | None:
    """The first level that is not there; None when all are."""
    for n, key in enumerate(experiment.keys):
        if not runtime().store.has(key):
            return n
    return None


def finished_keys(experiments: Sequence[Experiment]) -> int:
    """How many levels of all experiments are there; a change asks for a new look."""
    return sum(runtime().store.has(key) for e in experiments for key in e.keys)
