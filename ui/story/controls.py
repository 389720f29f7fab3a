"""Begin with what it takes, how far it is, and Stop."""

from __future__ import annotations

import streamlit as st

from lottery_core.running.forecast import MEASURING
from lottery_core.running.time_left import in_words
from lottery_core.store import LevelProgress, PartsDone, Waiting
from ui.shared.jobs import current_level, plan_of, show_damaged
from ui.shared.reading import training_now
from ui.shared.runtime import runtime
from ui.shared.text import many, plain
from ui.shared.trouble import asking, show_problem, show_refused
from ui.story.run import (
    NEEDS,
    StoryRun,
    active,
    begin_word,
    is_running,
    is_there,
    job_of,
    measures_next,
    seconds_left,
)


def show_controls(run: StoryRun, step: int) -> None:
    """Begin with what it takes, or the bar with Stop."""
    _measure_if_due(run)
    missing = [need for need in NEEDS[step] if not is_there(run, need)]
    words, button = st.columns([4, 1], vertical_alignment="center")
    if active(run):
        with words:
            _show_progress(run)
        button.button(
            "Stop", icon=":material/stop:", on_click=_stop, args=(run,), width="stretch",
            key="story_stop",
        )  # fmt: skip
    elif missing:
        words.markdown(f"**{_plan(run, missing)}**")
        button.button(
            begin_word(run), icon=":material/play_arrow:", type="primary",
            on_click=_begin, args=(run, missing), width="stretch", key="story_begin",
        )  # fmt: skip
    else:
        words.markdown("**All of this is computed; it is read from the cache.**")
    show_problem()
    show_damaged([run.main, run.reinit])
    show_refused()
    with st.container():
        if not active(run):
            _show_ends(run, missing)


def _plan(run: StoryRun, missing: list[str]) -> str:
    experiments = [getattr(run, need) for need in ("main", "reinit") if need in missing]
    todo = plan_of(experiments)
    left, seconds = todo.trainings - todo.cached, todo.seconds
    if "measure" in missing and seconds is not None:
        seconds += MEASURING * len(run.main.keys)
    does = [f"trains {many(left, 'small network')}"] if left else []
    does += ["measures how fast they are"] if "measure" in missing else []
    words = f"Your machine {' and '.join(does)}"
    return f"{words}: about {in_words(seconds)}." if seconds else f"{words}."


@asking
def _begin(run: StoryRun, missing: list[str]) -> None:
    wanted = [getattr(run, need) for need in ("main", "reinit") if need in missing]
    runtime().queue.submit_all(wanted, params=run.params)
    if "measure" in missing:
        st.session_state.story_measures = run.main.key
        _measure_if_due(run)


def _measure_if_due(run: StoryRun) -> None:
    if not measures_next(run):
        return
    before = [job_of(run, need) for need in ("main", "reinit")]
    if any(job is not None and job.active for job in before):
        return
    st.session_state.story_measures = None
    if any(job is not None and job.state != "done" for job in before):
        return
    _measure(run)


@asking
def _measure(run: StoryRun) -> None:
    runtime().queue.submit(run.main, params=run.params, task="measure")


@asking
def _stop(run: StoryRun) -> None:
    st.session_state.story_measures = None
    for need in NEEDS[0]:
        job = job_of(run, need)
        if job is not None and job.active:
            runtime().queue.cancel(job.key)


def _show_ends(run: StoryRun, missing: list[str]) -> None:
    said = set()
    for job in (job_of(run, need) for need in missing):
        if job is None or job.state == "done" or (job.state, job.message) in said:
            continue
        said.add((job.state, job.message))
        if job.state == "cancelled":
            because = f", because {plain(job.message)}" if job.message else ""
            st.info(f"Stopped{because}. What is finished is kept; Go on takes it up there.")
        else:
            st.error(f"It was not finished: {plain(job.message)}")


def _show_progress(run: StoryRun) -> None:
    store = runtime().store
    wanted = [need for need in NEEDS[0] if is_running(run, need)]
    keys = list(dict.fromkeys([*run.main.keys, *run.reinit.keys]))
    done = sum(map(store.has, keys))
    if wanted == ["measure"]:
        st.progress(*_measuring(run))
    elif is_running(run, "main") or is_running(run, "reinit"):
        st.progress((done + _part(run)) / (len(keys) + 1), _training(run))
    else:
        st.progress(1.0, "Getting ready")


def _measuring(run: StoryRun) -> tuple[float, str]:
    progress, of = runtime().store.read_progress(run.measuring), len(run.main.keys)
    if isinstance(progress, Waiting):
        return 0.0, f"Step 6: {progress.words}"
    if not isinstance(progress, PartsDone):
        return 0.0, "Step 6: waiting to measure"
    done = progress.done
    left = in_words(max(1.0, MEASURING * (of - done)))
    return done / of, f"Step 6: measuring network {done + 1} of {of}, about {left} left"


def _part(run: StoryRun) -> float:
    """How much of the level that trains is done."""
    for experiment in (run.main, run.reinit):
        n = current_level(experiment)
        if n is not None and (live := training_now(experiment, n)):
            return live.iteration / live.iterations
    return 0.0


def _training(run: StoryRun) -> str:
    n, last = current_level(run.main), len(run.main.rounds)
    if n is None:
        n = current_level(run.reinit)
        return f"Step 5: training with new random weights, {n or last} of {last}"
    what = "Step 1: training the whole network" if n == 0 else f"Step 4: round {n} of {last}"
    if n == 1:
        what = "Step 3: training the rewound network"
    progress = runtime().store.read_progress(run.main.keys[n])
    if isinstance(progress, Waiting):
        return f"{what}: {progress.words}"
    if not isinstance(progress, LevelProgress):
        return f"{what}, getting ready{'' if n else ' (the first time takes some seconds)'}"
    words = f"{what}, iteration {progress.iteration:,} of {progress.iterations:,}"
    left = seconds_left(run, last)
    return f"{words}; all rounds in about {in_words(left)}" if left else words
