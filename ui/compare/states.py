"""Where lines stand in this cache."""

from __future__ import annotations

from lottery_core.findings.lines import Line
from lottery_core.spec.experiment import Experiment
from ui.shared import jobs
from ui.shared.runtime import has_level


def begun(line: Line) -> bool:
    """Whether it has a level that is its own."""
    return any(map(has_level, line.own_keys))


def is_finished(line: Line) -> bool:
    """Whether one of its experiments has all levels."""
    return any(map(is_complete, line.experiments))


def is_complete(experiment: Experiment) -> bool:
    """Whether an experiment has all levels."""
    return all(map(has_level, experiment.keys))


def is_running(line: Line) -> bool:
    """Whether any of it is queued or running."""
    return jobs.any_active(line.experiments)


def signature(lines: tuple[Line, ...]) -> tuple:
    """What, when it changes, changes more of the page than its live parts."""
    return jobs.signature([experiment for line in lines for experiment in line.experiments])
