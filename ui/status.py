"""What will happen, Start and Stop, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from lottery_core.running.time_left import Plan, in_words, plan, seconds_of_level
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import write_choice
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job
from ui.runtime import runtime
from ui.sidebar import Selection
from ui.text import plain
from ui.trouble import asking, show_problem, show_refused

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


def rest_in_words(todo: Plan) -> str:
    """How many of the trainings are there already, and how long the rest takes."""
    if todo.cached == todo.trainings:
        return "; all are in the cache."
    words = ""
    if todo.cached:
        words += f"; {todo.cached} {'are' if todo.cached > 1 else 'is'} already in the cache"
    if todo.seconds is not None:
        words += f"; about {in_words(todo.seconds)}"
    return f"{words}."


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


def show_jobs(rows: Iterable[tuple[Experiment, Job | None, str]]) -> None:
    """A bar for each experiment that is running, how many wait, and what became of the others.
    A row is the experiment, its job if any, and what to begin its line with."""
    rows = list(rows)
    show_problem()
    show_damaged([experiment for experiment, _, _ in rows])
    said = set()  # what went wrong with several is said once
    waiting = []
    for experiment, job, name in rows:
        if job is None:
            continue
        if job.state == "queued":
            waiting.append((job, name))
        elif job.state == "running":
            _show_running(experiment, job, name)
        elif not all(runtime().store.has(key) for key in experiment.keys):
            if (job.state, job.message) not in said:
                _show_end(experiment, job, name)
            said.add((job.state, job.message))
    if waiting:
        others = f"; {len(waiting) - 1} more wait" if len(waiting) > 1 else ""
        job, name = waiting[0]
        st.progress(0.0, f"{name or 'The run: '}waiting for a free worker, {_place(job)}{others}")


def show_damaged(experiments: Sequence[Experiment]) -> None:
    """Which levels were found damaged, until they are computed again."""
    keys = {key: n for one in experiments for n, key in enumerate(one.keys)}
    levels = sorted({n for key, n in keys.items() if runtime().store.damaged(key)})
    if levels:
        many = len(levels) > 1
        st.warning(
            f"Level{'s' if many else ''} {_listed(levels)} {'were' if many else 'was'} found "
            f"damaged in the cache, so {'they do' if many else 'it does'} not count: the run, "
            f"started again, computes {'them' if many else 'it'} anew and keeps all others.",
            icon=":material/healing:",
        )


def _listed(numbers: Sequence[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def _name(selection: Selection, experiment: Experiment) -> str:
    """Which of those chosen it is: "random reinit, seed 3: "; empty for the only one."""
    name = arm_of(experiment)
    parts = []
    if experiment not in selection.arms["main"]:
        parts.append(ARMS[name].title)
    if selection.choice.replicates > 1:
        parts.append(f"seed {experiment.recipe.seed}")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}: " if text else ""


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
        because = f", because {plain(job.message)}" if job.message else ""
        st.info(f"{name or 'The run is '}stopped{because}. {kept}")
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
        seconds_of_level(facts, experiment, k, job.device, job.loop)
        for k in range(n + 1, last + 1)
        if not store.has(experiment.keys[k])
    ]
    numbers = progress[0] if progress else {"waiting": "getting ready"}
    if "waiting" in numbers:
        st.progress(n / (last + 1), f"{name}level {n} of {last}: {numbers['waiting']}")
        return
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
