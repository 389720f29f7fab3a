"""What jobs are made of: a training each, or a measurement.

Level n goes on from its `Experiment.parents`, a measurement from all levels of its experiment, and
that of barriers also from the arms at their other ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lottery_core.spec.barriers import trained_ends
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, task_key


@dataclass(frozen=True)
class Part:
    """What one worker does at a time: level `level` of an experiment or, with another `task` than
    "run", what that does after the levels. `key` is what comes of it, `needs` are the keys of the
    levels it goes on from."""

    key: str
    experiment: Experiment
    level: int = 0
    task: str = "run"
    needs: tuple[str, ...] = ()


def parts_of(
    experiment: Experiment, task: str, is_there: Callable[[str], bool], only: Iterable[str] = ()
) -> list[Part]:
    """What is missing for that task on an experiment, each after what it goes on from: its own
    levels (or `only` these, of whatever it goes on from), and what they need of others."""
    found: dict[str, Part] = {}

    def add(one: Experiment, n: int) -> None:
        key = one.keys[n]
        if key in found or is_there(key):
            return
        before = one.parents(n)
        if n and one.until:  # nothing is trained beside a level of which it is not known yet
            before |= {one.judged.keys[n - 1]: (one.judged, n - 1)}
        for parent in before.values():
            add(*parent)
        found[key] = Part(key, one, n, needs=tuple(before))

    needed = _needed(experiment, task)
    for key, (one, n) in needed.items():
        if not only or key in only:
            add(one, n)
        for need, parent in one.parents(n).items():
            if need in only:
                add(*parent)
    if task != "run" and not only:
        last = task_key(task, experiment.key)
        found[last] = Part(last, experiment, task=task, needs=tuple(needed))
    return [*found.values()]


def _needed(experiment: Experiment, task: str) -> dict[str, tuple[Experiment, int]]:
    """The levels that a task is about, by key: whose they are and which."""
    found = [(experiment, n) for n in range(len(experiment.keys))]
    if task == "barriers":
        found.append((experiment.donor, 0))
        found += [(arm, len(arm.rounds)) for arm in trained_ends(experiment).values()]
    return {one.keys[n]: (one, n) for one, n in found}


def asked_by(job: Job, experiment: Experiment, is_there: Callable[[str], bool]) -> list[Part]:
    """What is missing of what a job asks for, on its experiment."""
    only = () if job.levels is None else experiment.keys[: job.levels]
    return parts_of(experiment, job.task, is_there, only)


@dataclass(frozen=True)
class Work:
    """A part as a worker is given it: where and how to train, and the folder of the data set's
    original files, if it was named."""

    part: Part
    device: str = "cpu"
    loop: str = "auto"
    folder: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a part: `state` is done, failed, cancelled or lacks; of "failed" the `message`
    says why, and with "lacks" these levels, from which it goes on, were gone."""

    state: str
    message: str = ""
    lacks: tuple[str, ...] = ()


def cancel_name(key: str) -> str:
    """Under which name a worker looks whether it shall stop a part."""
    return f"part-{key}"
