"""What will happen, Start and Stop, and how far it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from lottery_core.running.time_left import plan
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import write_choice
from lottery_core.store import Job
from ui.explorer.sidebar import Selection
from ui.shared.jobs import current_level, rest_in_words, show_jobs
from ui.shared.runtime import runtime
from ui.shared.text import capital, plain
from ui.shared.trouble import asking, show_refused

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
    todo = plan(
        runtime().store,
        selection.experiments,
        runtime().workers,
        selection.device,
        selection.loop,
    )
    choice = selection.choice
    amount = f"{choice.length:g} {choice.unit}"
    if choice.length == 1:
        amount = amount.removesuffix("s")
    words = f"{todo.trainings} trainings of {amount}"
    if choice.replicates > 1:
        words += f", {choice.replicates} seeds"
    if controls := [ARMS[name].title for name in selection.arms if name in ARMS]:
        words += f", compared with: {'; '.join(controls)}"
    return words + rest_in_words(todo)


@asking
def start(selection: Selection) -> None:
    """Ask the queue for everything that is chosen."""
    params = write_choice(selection.preset, selection.choice)
    folder = Path(selection.folder) if selection.folder else None
    runtime().queue.submit_all(
        selection.experiments,
        device=selection.device,
        loop=selection.loop,
        folder=folder,
        params=params,
    )
    _wait_for_first_point(selection.main)


def _wait_for_first_point(experiment: Experiment) -> None:
    """A warm worker has evaluated the untrained network in no time: draw that at once."""
    end = time.monotonic() + _FIRST_POINT
    while time.monotonic() < end and (n := current_level(experiment)) is not None:
        if runtime().store.read_progress(experiment.keys[n]):
            return
        time.sleep(0.02)


@asking
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
    no_room = "" if state.active or state.complete else _no_room(selection)
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
        begun = any(job is not None and job.state != "done" for job in state.jobs)
        button.button(
            "Resume" if begun else "Start",
            icon=":material/play_arrow:",
            type="primary",
            on_click=start,
            args=(selection,),
            width="stretch",
            key="start",
            disabled=bool(no_room),
        )
    with st.container():
        if no_room:
            st.error(plain(no_room))
    show_refused()


def _no_room(selection: Selection) -> str:
    """Why the queue would not take all that is chosen; empty if it would."""
    try:
        runtime().queue.check_room(selection.experiments)
    except InvalidValue as error:
        return str(error)
    return ""


def show_progress(selection: Selection, state: State) -> None:
    """How far the chosen experiments are."""
    show_jobs(
        (experiment, job, _name(selection, experiment))
        for experiment, job in zip(selection.experiments, state.jobs, strict=True)
    )


def _name(selection: Selection, experiment: Experiment) -> str:
    """Which of those chosen it is: "random reinit, seed 3: "; empty for the only one."""
    name = arm_of(experiment)
    parts = []
    if experiment not in selection.arms["main"]:
        parts.append(ARMS[name].title)
    if selection.choice.replicates > 1:
        parts.append(f"seed {experiment.recipe.seed}")
    text = ", ".join(parts)
    return f"{capital(text)}: " if text else ""
