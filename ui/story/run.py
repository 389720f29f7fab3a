"""What the Story page trains and measures, and where that stands."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from lottery_core.findings import walk
from lottery_core.running.time_left import seconds_of_level
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import write_choice
from lottery_core.store import Job, Speed, measurement_key
from ui.shared.link import Link
from ui.shared.reading import training_now
from ui.shared.runtime import has_level, machine_facts, runtime
from ui.shared.text import plain

LINK = Link("story")
# What has to be run for each step; 0 stands for all of them.
NEEDS = {
    0: ("main", "reinit", "measure"),
    **dict.fromkeys((1, 2, 3, 4), ("main",)),
    5: ("main", "reinit"),
    6: ("main", "measure"),
}


@dataclass(frozen=True)
class StoryRun:
    """The story's experiment and its control; `params` are its choice as in a link."""

    main: Experiment
    reinit: Experiment
    params: dict[str, str]

    @property
    def measuring(self) -> str:
        """The key of the measurement of its levels' speed."""
        return measurement_key(self.main.key)


def read() -> StoryRun:
    """What the URL asks for, or on the way back what it asked for last."""
    if LINK.follow():
        LINK.write(LINK.asked)
    preset, choice, problems = walk.read_story(LINK.params)
    for problem in problems:
        st.warning(f"In the link: {plain(problem)}. The story's own value is used instead.")
    arms = choice.arms()
    return StoryRun(arms["main"][0], arms["reinit"][0], write_choice(preset, choice))


def measured_of(run: StoryRun) -> Speed | None:
    """What was measured of its levels' speed, if anything."""
    return runtime().store.read_measurement(run.measuring)


def is_there(run: StoryRun, need: str) -> bool:
    """Whether what a step needs is computed."""
    if need == "measure":
        return measured_of(run) is not None
    experiment = getattr(run, need)
    return all(map(has_level, experiment.keys))


def job_of(run: StoryRun, need: str) -> Job | None:
    """The newest request for it."""
    key = run.measuring if need == "measure" else getattr(run, need).key
    return runtime().store.job(key)


def is_running(run: StoryRun, need: str) -> bool:
    """Whether it is queued or being computed."""
    job = job_of(run, need)
    return job is not None and job.active


def is_asked(run: StoryRun, need: str) -> bool:
    """Whether it is being computed, or will be."""
    return is_running(run, need) or (need == "measure" and measures_next(run))


def measures_next(run: StoryRun) -> bool:
    """Whether Begin has asked for a measurement that waits for the trainings to end: beside them
    it would measure their company."""
    return st.session_state.get("story_measures") == run.main.key


def begin_word(run: StoryRun) -> str:
    """What the button says that has the rest computed."""
    return "Go on" if any(map(has_level, run.main.keys)) else "Begin"


def active(run: StoryRun) -> bool:
    """Whether anything is being computed for this page."""
    return any(is_asked(run, need) for need in NEEDS[0])


def seconds_left(run: StoryRun, n: int) -> float | None:
    """Until level n is trained; None while nobody knows."""
    store, total = runtime().store, 0.0
    facts = machine_facts()
    for k in range(n + 1):
        if store.has(run.main.keys[k]):
            continue
        live = training_now(run.main, k)
        seconds = live.seconds_left if live else None
        if seconds is None:
            seconds = seconds_of_level(facts, run.main, k)
        if seconds is None:
            return None
        total += seconds
    return total
