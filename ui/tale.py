"""What the Story page runs, where that stands, Begin and Stop; and the slider's points."""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass, field

import numpy as np
import streamlit as st
from threadpoolctl import threadpool_limits

from lottery_core.findings import walk as story
from lottery_core.findings.answers import answers, reader, unseen_images
from lottery_core.running.time_left import in_words, plan, seconds_of_level
from lottery_core.spec.choice import write_choice
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, Store, measurement_key
from ui.runtime import runtime
from ui.status import current_level, show_damaged
from ui.text import plain
from ui.trouble import asking, show_problem, show_refused

# What has to be run for each step; 0 stands for all of them.
NEEDS = {
    0: ("main", "reinit", "measure"),
    **dict.fromkeys((1, 2, 3, 4), ("main",)),
    5: ("main", "reinit"),
    6: ("main", "measure"),
}
FEW = 12  # digits to look at
_MEASURING = 3.0  # seconds a level, about


@dataclass(frozen=True)
class Tale:
    """The story's experiment and its control; `params` are its choice as in a link."""

    main: Experiment
    reinit: Experiment
    params: dict[str, str]

    @property
    def measuring(self) -> str:
        """The key of the measurement of its levels' speed."""
        return measurement_key(self.main.key)


def read() -> Tale:
    """What the URL asks for."""
    preset, choice, problems = story.read_story(st.query_params)
    for problem in problems:
        st.warning(f"In the link: {plain(problem)}. The story's own value is used instead.")
    arms = choice.arms()
    return Tale(arms["main"][0], arms["reinit"][0], write_choice(preset, choice))


# Where it stands


def measured_of(tale: Tale) -> dict | None:
    """What was measured of its levels' speed, if anything."""
    return runtime().store.read_measurement(tale.measuring)


def _is_there(tale: Tale, need: str) -> bool:
    if need == "measure":
        return measured_of(tale) is not None
    experiment = getattr(tale, need)
    return all(map(runtime().store.has, experiment.keys))


def _job(tale: Tale, need: str) -> Job | None:
    key = tale.measuring if need == "measure" else getattr(tale, need).key
    return runtime().store.job(key)


def _is_running(tale: Tale, need: str) -> bool:
    job = _job(tale, need)
    return job is not None and job.active


def is_asked(tale: Tale, need: str) -> bool:
    """Whether it is being computed, or will be."""
    return _is_running(tale, need) or (need == "measure" and _measures_next(tale))


def _measures_next(tale: Tale) -> bool:
    """Whether Begin has asked for a measurement that waits for the trainings to end: beside them
    it would measure their company."""
    return st.session_state.get("story_measures") == tale.main.key


def active(tale: Tale) -> bool:
    """Whether anything is being computed for this page."""
    return any(is_asked(tale, need) for need in NEEDS[0])


def signature(tale: Tale) -> tuple:
    """What, when it changes, changes more of the page than its live parts."""
    jobs = [_job(tale, need) for need in NEEDS[0]]
    store, keys = runtime().store, {*tale.main.keys, *tale.reinit.keys}
    fallen = store.has(tale.main.keys[0]) and fall_of(tale).done
    return (
        tuple(job and job.state for job in jobs),
        sum(map(store.has, keys)),
        measured_of(tale) is not None,
        fallen,
        _measures_next(tale),
    )


# Begin, how far it is, Stop


def show_controls(tale: Tale, step: int) -> None:
    """Begin with what it takes, or the bar with Stop."""
    _measure_if_due(tale)
    missing = [need for need in NEEDS[step] if not _is_there(tale, need)]
    words, button = st.columns([4, 1], vertical_alignment="center")
    if active(tale):
        with words:
            _show_progress(tale)
        button.button(
            "Stop", icon=":material/stop:", on_click=_stop, args=(tale,), width="stretch",
            key="story_stop",
        )  # fmt: skip
    elif missing:
        begun = any(map(runtime().store.has, tale.main.keys))
        words.markdown(f"**{_plan(tale, missing)}**")
        button.button(
            "Go on" if begun else "Begin", icon=":material/play_arrow:", type="primary",
            on_click=_begin, args=(tale, missing), width="stretch", key="story_begin",
        )  # fmt: skip
    else:
        words.markdown("**All of this is computed; it is read from the cache.**")
    show_problem()
    show_damaged([tale.main, tale.reinit])
    show_refused()
    with st.container():
        if not active(tale):
            _show_ends(tale, missing)


def _plan(tale: Tale, missing: list[str]) -> str:
    experiments = [getattr(tale, need) for need in ("main", "reinit") if need in missing]
    todo = plan(runtime().store, experiments, runtime().workers)
    left, seconds = todo.trainings - todo.cached, todo.seconds
    if "measure" in missing and seconds is not None:
        seconds += _MEASURING * len(tale.main.keys)
    does = [f"trains {left} small networks"] if left else []
    does += ["measures how fast they are"] if "measure" in missing else []
    words = f"Your machine {' and '.join(does)}"
    return f"{words}: about {in_words(seconds)}." if seconds else f"{words}: about a minute."


@asking
def _begin(tale: Tale, missing: list[str]) -> None:
    wanted = [getattr(tale, need) for need in ("main", "reinit") if need in missing]
    runtime().queue.submit_all(wanted, params=tale.params)
    if "measure" in missing:
        st.session_state.story_measures = tale.main.key
        _measure_if_due(tale)


def _measure_if_due(tale: Tale) -> None:
    if not _measures_next(tale):
        return
    before = [_job(tale, need) for need in ("main", "reinit")]
    if any(job is not None and job.active for job in before):
        return
    st.session_state.story_measures = None
    if any(job is not None and job.state != "done" for job in before):
        return
    _measure(tale)


@asking
def _measure(tale: Tale) -> None:
    runtime().queue.submit(tale.main, params=tale.params, task="measure")


@asking
def _stop(tale: Tale) -> None:
    st.session_state.story_measures = None
    for need in NEEDS[0]:
        job = _job(tale, need)
        if job is not None and job.active:
            runtime().queue.cancel(job.key)


def _show_ends(tale: Tale, missing: list[str]) -> None:
    said = set()
    for job in (_job(tale, need) for need in missing):
        if job is None or job.state == "done" or (job.state, job.message) in said:
            continue
        said.add((job.state, job.message))
        if job.state == "cancelled":
            because = f", because {plain(job.message)}" if job.message else ""
            st.info(f"Stopped{because}. What is finished is kept; Go on takes it up there.")
        else:
            st.error(f"It was not finished: {plain(job.message)}")


def _show_progress(tale: Tale) -> None:
    store = runtime().store
    wanted = [need for need in NEEDS[0] if _is_running(tale, need)]
    keys = list(dict.fromkeys([*tale.main.keys, *tale.reinit.keys]))
    done = sum(map(store.has, keys))
    if wanted == ["measure"]:
        st.progress(*_measuring(tale))
    elif _is_running(tale, "main") or _is_running(tale, "reinit"):
        st.progress((done + _part(tale)) / (len(keys) + 1), _training(tale))
    else:
        st.progress(1.0, "Getting ready")


def _measuring(tale: Tale) -> tuple[float, str]:
    progress, of = runtime().store.read_progress(tale.measuring), len(tale.main.keys)
    if progress is None:
        return 0.0, "Step 6: waiting to measure"
    if "waiting" in progress[0]:
        return 0.0, f"Step 6: {progress[0]['waiting']}"
    done = progress[0]["done"]
    left = in_words(max(1.0, _MEASURING * (of - done)))
    return done / of, f"Step 6: measuring network {done + 1} of {of}, about {left} left"


def _part(tale: Tale) -> float:
    """How much of the level that trains is done."""
    for experiment in (tale.main, tale.reinit):
        n = current_level(experiment)
        progress = None if n is None else runtime().store.read_progress(experiment.keys[n])
        if progress and "iteration" in progress[0]:
            return progress[0]["iteration"] / progress[0]["iterations"]
    return 0.0


def _training(tale: Tale) -> str:
    n, last = current_level(tale.main), len(tale.main.rounds)
    if n is None:
        n = current_level(tale.reinit)
        return f"Step 5: training with new random weights, {n or last} of {last}"
    what = "Step 1: training the whole network" if n == 0 else f"Step 4: round {n} of {last}"
    if n == 1:
        what = "Step 3: training the rewound network"
    progress = runtime().store.read_progress(tale.main.keys[n])
    if progress is None:
        return f"{what}, getting ready{'' if n else ' (the first time takes some seconds)'}"
    if "waiting" in progress[0]:
        return f"{what}: {progress[0]['waiting']}"
    words = f"{what}, iteration {progress[0]['iteration']:,} of {progress[0]['iterations']:,}"
    left = seconds_left(tale, last)
    return f"{words}; all rounds in about {in_words(left)}" if left else words


def seconds_left(tale: Tale, n: int) -> float | None:
    """Until level n is trained; None while nobody knows."""
    store, total = runtime().store, 0.0
    facts = store.read_machine()
    for k in range(n + 1):
        if store.has(tale.main.keys[k]):
            continue
        progress = store.read_progress(tale.main.keys[k])
        seconds = progress[0].get("seconds_left") if progress else None
        if seconds is None:
            seconds = seconds_of_level(facts, tale.main, k)
        if seconds is None:
            return None
        total += seconds
    return total


def is_live(tale: Tale, step: int) -> bool:
    """Whether a step has to be drawn again and again."""
    there = map(runtime().store.has, tale.main.keys)
    if step == 2:  # nobody needs to press anything for it
        return runtime().store.has(tale.main.keys[0]) and not fall_of(tale).done
    if not active(tale):
        return False
    n = current_level(tale.main)
    return {
        1: n == 0,
        3: n is not None and n > 0,
        4: False,
        5: all(there) or n == len(tale.main.rounds),
        6: False,
    }[step]


# Pruned without training again, computed in this process


@dataclass
class Fall:
    """What a thread has found so far of the dense network as it is pruned."""

    points: list[story.Point] = field(default_factory=list)
    answers: np.ndarray | None = None
    misread: int = 0
    wrong: np.ndarray | None = None
    wrong_labels: np.ndarray | None = None
    wrong_answers: np.ndarray | None = None
    problem: str = ""
    done: bool = False


def fall_of(tale: Tale) -> Fall:
    """What is known of the dense network, which has to be there, as it is pruned."""
    experiment = tale.main
    return _computed(experiment.keys[0], story.sparsities_of(experiment), experiment)


@st.cache_resource(show_spinner=False, max_entries=8)
def _computed(key: str, sparsities: list[float], _experiment: Experiment) -> Fall:
    fall, store = Fall(), runtime().store
    threading.Thread(target=_compute, args=(fall, store, key, _experiment), daemon=True).start()
    return fall


def _compute(fall: Fall, store: Store, key: str, experiment: Experiment) -> None:
    try:
        level = store.read(key)
        if level is None:
            raise RuntimeError("the trained network could not be read; press Go on")
        trained = level.end
        del level
        images, labels = unseen_images("mnist", store.datasets)
        read = reader(experiment.recipe, store.datasets)(images)
        # The cores are busy with trainings: two threads would wait for each other.
        with threadpool_limits(1, "blas"):
            named = answers(experiment.recipe, trained, read)
            wrong = np.flatnonzero(named != labels)
            few = wrong[:FEW]
            fall.misread, fall.wrong = len(wrong), images[few]
            fall.wrong_labels, fall.wrong_answers = labels[few], named[few]
            fall.answers = named[:FEW]
            fall.points.extend(story.falling(experiment, trained, read, labels))
    except Exception as error:  # noqa: BLE001 - a thread's fault must reach the page too
        traceback.print_exc()
        fall.problem = str(error)
    fall.done = True
