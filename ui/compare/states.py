"""Where lines stand in this cache."""

from __future__ import annotations

from lottery_core.findings.lines import Line
from lottery_core.spec.experiment import Experiment
from ui.shared.jobs import finished_keys
from ui.shared.runtime import runtime


def begun(line: Line) -> bool:
    """Whether it has a level that is its own."""
    return any(map(runtime().store.has, line.own_keys))


def is_finished(line: Line) -> bool:
    """Whether one of its experiments has all levels."""
    return any(map(is_complete, line.experiments))


def is_complete(experiment: Experiment) -> bool:
    """Whether an experiment has all levels."""
    return all(map(runtime().store.has, experiment.keys))


def is_running(line: Line) -> bool:
    """Whether any of it is queued or running."""
    jobs = (runtime().store.job(experiment.key) for experiment in line.experiments)
    return any(job is not None and job.active for job in jobs)


def signature(lines: tuple[Line, ...]) -> tuple:
    """What, when it changes, changes more of the page than its live parts."""
    experiments = [experiment for line in lines for experiment in line.experiments]
    jobs = [runtime().store.job(experiment.key) for experiment in experiments]
    return tuple(job and job.state for job in jobs), finished_keys(experiments)
