"""What will happen, Start and Stop, how far it is, and what else goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from lottery_core.findings.ending import ended, ended_arms
from lottery_core.running.forecast import Plan
from lottery_core.running.time_left import done_part, in_words
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_SEED
from lottery_core.spec.links import write_choice
from lottery_core.spec.sizes import as_percent, schedule_in_words
from lottery_core.spec.terms import CONTROLS
from lottery_core.store import Job
from ui.explorer.link import offer
from ui.explorer.sidebar import Selection
from ui.shared.jobs import (
    current_level,
    finished_keys,
    level_in_words,
    place,
    plan_of,
    rest_in_words,
    show_jobs,
)
from ui.shared.runtime import has_level, runtime
from ui.shared.text import capital, many, plain
from ui.shared.trouble import asking, show_refused
from ui.shared.words import say

FEW = 4  # controls that are told of one by one where there is little room
_FIRST_POINT = 0.6  # seconds; a busy or cold worker takes longer, and is not waited for


@dataclass(frozen=True)
class State:
    """Where the chosen experiments stand: what became of each request, if any, and how many of
    their levels are `finished`, of how many."""

    jobs: tuple[Job | None, ...]
    finished: int
    of: int

    @property
    def complete(self) -> bool:
        """Whether there is something, and all of it is there."""
        return 0 < self.of == self.finished

    @property
    def active(self) -> bool:
        """Whether any of them is queued or running."""
        return any(job is not None and job.active for job in self.jobs)


def state_of(selection: Selection) -> State:
    """Look the chosen experiments up in the store."""
    every = selection.experiments
    jobs = tuple(runtime().store.job(experiment.key) for experiment in every)
    return State(jobs, finished_keys(every), sum(len(experiment.keys) for experiment in every))


def _plan(selection: Selection) -> Plan:
    """What is left to do, and how long that takes beside what others have asked for."""
    return plan_of(selection.experiments, selection.device, selection.loop)


def plan_in_words(selection: Selection) -> str:
    """What Start would do: "7 trainings of 4 epochs; 3 are already in the cache; about 45 s"."""
    todo = _plan(selection)
    choice = selection.choice
    amount = f"{choice.length:,.10g} {choice.unit}"
    if choice.length == 1:
        amount = amount.removesuffix("s")
    at_most = selection.may_stop_early
    words = f"{'at most ' * at_most}{many(todo.trainings, 'training')} of {amount}"
    words = capital(words)
    if any(CONTROLS.get(name, {}).get("as_long_as_search") for name in selection.arms):
        words += ", some longer"
    if choice.replicates > 1:
        words += f", {choice.replicates} seeds"
    controls = [ARMS[name].title for name in selection.arms if name in ARMS]
    if len(controls) > FEW:
        words += f", compared with {len(controls)} others"
    elif controls:
        words += f", compared with: {'; '.join(controls)}"
    return words + rest_in_words(todo, at_most=at_most)


@asking
def start(selection: Selection) -> None:
    """Ask the queue for everything that is chosen."""
    ask_for(selection)


def ask_for(selection: Selection, levels: int | None = None) -> None:
    """As `start`, of each run so many of the first levels, where that is said."""
    params = write_choice(selection.preset, selection.choice)
    folder = Path(selection.folder) if selection.folder else None
    runtime().queue.submit_all(
        selection.experiments,
        device=selection.device,
        loop=selection.loop,
        folder=folder,
        params=params,
        levels=levels,
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


def show_button(selection: Selection, state: State) -> None:
    """What fits: Start, Resume, Stop or New seed."""
    options = {"width": "stretch", "args": (selection,)}
    if selection.problem:
        st.button("Start", type="primary", disabled=True, width="stretch")
    elif state.active:
        st.button("Stop", icon=":material/stop:", on_click=stop, key="stop", **options)
    elif state.complete:
        if not selection.seat:  # in a class the seed is the seat's
            st.button(
                "New seed",
                icon=":material/casino:",
                on_click=start_with_new_seed,
                key="new_seed",
                help="Train the same once more from other initial weights.",
                **options,
            )
    else:
        begun = any(job is not None and job.state != "done" for job in state.jobs)
        st.button(
            "Resume" if begun else "Start",
            icon=":material/play_arrow:",
            type="primary",
            on_click=start,
            key="start",
            disabled=not can_start(selection, state),
            **options,
        )


def show_refusals(selection: Selection, state: State) -> None:
    """Why the button can't do or did not do what it says."""
    with st.container():
        if selection.problem:
            st.error(plain(selection.problem))
        elif not (state.active or state.complete) and (no_room := _no_room(selection)):
            st.error(plain(no_room))
    show_refused()


def can_start(selection: Selection, state: State) -> bool:
    """Whether there is something to start or to resume, and room for it."""
    done = state.active or state.complete
    return not (selection.problem or done or _no_room(selection))


@asking
def start_with_new_seed(selection: Selection) -> None:
    """Choose and start the same with the next seeds that are not finished."""
    choice = selection.choice
    for seed in range(choice.seed + choice.replicates, MAX_SEED, choice.replicates):
        new = replace(choice, seed=seed)
        if not all(map(has_level, ended(runtime().store, new.experiment()).keys)):
            break
    offer(selection.preset, new)
    start(replace(selection, choice=new, arms=ended_arms(runtime().store, new.arms())))


def _no_room(selection: Selection) -> str:
    """Why the queue would not take all that is chosen; empty if it would."""
    try:
        runtime().queue.check_room(selection.experiments)
    except InvalidValue as error:
        return str(error)
    return ""


def show_now(selection: Selection, state: State) -> None:
    """How far it is, in one bar with the runs inside it on demand, or what Start would do."""
    if selection.problem:
        return
    if not state.active:
        say(f"{_finished_words(selection) if state.complete else ''}**{plan_in_words(selection)}**")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.progress(done_part(runtime().store, selection.experiments), _bar_words(selection, state))
        runs = st.popover("Runs", key="runs_popover", on_change="rerun")
        if runs.open:
            with runs:
                _show_each(selection, state)


def show_ends(selection: Selection, state: State) -> None:
    """What became of requests that are neither running nor finished, and what is damaged."""
    if not state.active:
        _show_each(selection, state)


def _show_each(selection: Selection, state: State) -> None:
    show_jobs(
        (experiment, job, _name(selection, experiment))
        for experiment, job in zip(selection.experiments, state.jobs, strict=True)
    )


def _bar_words(selection: Selection, state: State) -> str:
    """ "3 of 19 trainings done, 25 s left; level 1 of 6, iteration 200 of 600"."""
    todo = _plan(selection)
    at_most = "at most " * selection.may_stop_early
    words = f"{todo.cached} of {at_most}{todo.trainings} trainings done"
    if todo.seconds is not None:
        words += f", {at_most}{in_words(todo.seconds)} left"
    for experiment, job in zip(selection.experiments, state.jobs, strict=True):
        if job is not None and job.state == "running":
            name = _name(selection, experiment)
            return f"{words}; {name[:1].lower()}{name[1:]}{level_in_words(experiment)}"
    job = next((job for job in state.jobs if job and job.state == "queued"), None)
    return f"{words}; waiting for a free worker{f', {place(job)}' if job else ''}"


def _finished_words(selection: Selection) -> str:
    """What a finished run is, for who comes upon it."""
    choice, recipe = selection.choice, selection.main.recipe
    least, most = (
        pick((one.rounds for one in selection.arms["main"]), key=len) for pick in (min, max)
    )
    fewer = f"{len(least)} to " if len(least) < len(most) else ""  # each seed stops for itself
    seeds = f"seeds {choice.seed} to {choice.seed + choice.replicates - 1}"
    return (
        f"A finished run: {recipe.net.sizes} on {recipe.data_title}, "
        f"{fewer}{schedule_in_words(most)}, "
        f"{seeds if choice.replicates > 1 else f'seed {choice.seed}'}. "
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


# What this visitor watched last, when the choices now say something else


def watch(selection: Selection, state: State) -> None:
    """Remember what is shown while it trains, so that there is a way back to it."""
    if state.active:
        st.session_state.watched = (selection.preset, selection.choice)


def watched(selection: Selection) -> tuple[Experiment, ...]:
    """The runs that were watched last and go on, though others are chosen now."""
    if "watched" not in st.session_state or selection.choice == st.session_state.watched[1]:
        return ()
    chosen = {experiment.key for experiment in selection.experiments}
    jobs = ((one, runtime().store.job(one.key)) for one in _watched_experiments())
    return tuple(one for one, job in jobs if job and job.active and one.key not in chosen)


def _watched_experiments() -> tuple[Experiment, ...]:
    asked = st.session_state.watched[1].experiments()
    return tuple(ended(runtime().store, one) for one in asked)


def signature(selection: Selection, state: State) -> tuple:
    """What, when it changes, changes more of the page than its live parts."""
    states = tuple(job and job.state for job in state.jobs)
    return states, state.finished, len(watched(selection))


def show_watched(selection: Selection) -> None:
    """That a run goes on while other choices are looked at, with a way back and Stop."""
    going = watched(selection)
    if not going:
        return
    preset, choice = st.session_state.watched
    every = _watched_experiments()
    recipe = every[0].recipe
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", border=True, key="watched"
    ):
        st.markdown(
            f"**Your run goes on**: {recipe.net.sizes} on {recipe.data_title}, "
            f"{many(len(every[0].rounds), 'round')}, seed {choice.seed}; "
            f"{as_percent(done_part(runtime().store, every), 0)} is done. What is chosen "
            "now is another."
        )
        if not (selection.seat and selection.seat.locked):
            st.button("Back to it", key="back", on_click=offer, args=(preset, choice))
        st.button("Stop it", icon=":material/stop:", key="stop_watched", on_click=_stop_watched)


@asking
def _stop_watched() -> None:
    for experiment in _watched_experiments():
        runtime().queue.cancel(experiment.key)
