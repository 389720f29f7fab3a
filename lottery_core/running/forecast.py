"""When each job of a queue begins and ends, as far as that can be told: the queue, played ahead."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count

from lottery_core.running.graph import Graph
from lottery_core.running.looks import watching
from lottery_core.running.parts import Part, asked_by
from lottery_core.running.starts import copying, judging
from lottery_core.running.time_left import left_of, seconds_of_level, seconds_per_iteration
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, PartsDone, Store

MEASURING = 3.0  # seconds, about, of measuring the speed of a level whose steps are short ...
_STEPS = 30  # ... and as many of torch's dense steps more, where they are long


@dataclass(frozen=True)
class Queued:
    """What a queue is at: for each worker the seconds until it is ready (0 for one that is); the
    jobs that run, as "running", and then those that wait, in order; the parts that are on workers,
    each by its key and that of the job it was begun for; and the machine that trains, if another
    does (see `Store.read_machine`)."""

    ready: tuple[float, ...]
    jobs: tuple[Job, ...] = ()
    begun: tuple[tuple[str, str], ...] = ()
    machine: str = ""


@dataclass(frozen=True)
class Expected:
    """Seconds from now until a job's first turn, 0 where it has begun, and until its end."""

    begins: float
    ends: float


@dataclass(frozen=True)
class Plan:
    """What Start would do: `trainings` in all, `cached` of them there already, `seconds` until
    the rest is done, with what the queue has to do before (None while this machine is unknown)."""

    trainings: int
    cached: int
    seconds: float | None


def plan(
    store: Store,
    experiments: Sequence[Experiment],
    queued: Queued,
    device: str = "cpu",
    loop: str = "auto",
    visitor: str = "",
) -> Plan:
    """What running `experiments` would take for a visitor: those that the queue has already in
    their places, all others after all its jobs."""
    keys = {key for experiment in experiments for key in experiment.keys}
    keys |= {  # what is lent by dense networks of other seeds
        key
        for one in experiments
        if not store.has(one.keys[-1])
        for key, (other, _) in one.parents(len(one.rounds)).items()
        if other.recipe.seed != one.recipe.seed
    }
    missing = {key for key in keys if not store.has(key)}
    asked = {job.key for job in queued.jobs}
    new = [
        Job(one.key, "queued", "", math.inf, one.as_dict(), device, loop, visitor=visitor)
        for one in experiments
        if one.key not in asked and not missing.isdisjoint(one.keys)
    ]
    seconds: float | None = 0.0
    if missing:
        known = forecast(store, replace(queued, jobs=(*queued.jobs, *new)))
        mine = {one.key for one in experiments} & (asked | {job.key for job in new})
        ends = [known[key].ends if key in known else math.inf for key in mine]
        seconds = max(ends, default=0.0)
    seconds = seconds if math.isfinite(seconds) else None
    return Plan(len(keys), len(keys) - len(missing), seconds)


def forecast(store: Store, queued: Queued) -> dict[str, Expected]:
    """What to expect of each job of a queue, by key; without those whose time can't be told."""
    facts, there = store.read_machine(queued.machine), lru_cache(maxsize=None)(store.has)
    asked: list[tuple[Job, list[Part]]] = []
    seconds: dict[str, float] = {}
    for job in queued.jobs:
        if experiment := _experiment(job):
            parts = asked_by(job, experiment, there)
            asked.append((job, parts))
            for part in parts:
                if part.key not in seconds:
                    seconds[part.key] = _seconds_left(store, facts, part, job)
    found = played(asked, seconds, queued.ready or (0.0,), queued.begun)
    return {key: one for key, one in found.items() if math.isfinite(one.ends)}


def _seconds_left(store: Store, facts: dict, part: Part, job: Job) -> float:
    if part.task != "run":
        return _measuring(store, facts, part)
    usual = seconds_of_level(facts, part.experiment, part.level, job.device, job.loop)
    seconds = left_of(store, part.key, usual)
    return math.inf if seconds is None else seconds


def measuring(facts: dict, experiment: Experiment) -> float:
    """Seconds, about, of measuring the speed of all its levels."""
    step = seconds_per_iteration(facts, experiment.recipe, loop="torch") or 0.0
    return (MEASURING + _STEPS * step) * len(experiment.keys)


# Seconds that what comes after the levels takes by itself; None where that is not known yet.
_SECONDS: dict[str, Callable[[Store, dict, Experiment], float | None]] = {
    "measure": lambda _, facts, experiment: measuring(facts, experiment),
    "instability": lambda store, _, experiment: copying(store, experiment),
    "early": lambda store, _, experiment: watching(store, experiment),
    "barriers": lambda _, facts, experiment: judging(facts, experiment),
}


def _measuring(store: Store, facts: dict, part: Part) -> float:
    """Seconds that what comes after the levels takes."""
    progress = store.read_progress(part.key)
    if isinstance(progress, PartsDone) and progress.seconds_each:
        return progress.seconds_each * (progress.of - progress.done)
    seconds = _SECONDS[part.task](store, facts, part.experiment)
    return math.inf if seconds is None else seconds


def _experiment(job: Job) -> Experiment | None:
    return _known(json.dumps(job.experiment, sort_keys=True))


@lru_cache(maxsize=4096)
def _known(text: str) -> Experiment | None:
    # Its keys are reckoned once.
    return Experiment.known(json.loads(text))


def played(
    asked: Sequence[tuple[Job, Sequence[Part]]],
    seconds: Mapping[str, float],
    ready: Sequence[float],
    begun: Sequence[tuple[str, str]] = (),
) -> dict[str, Expected]:
    """What a queue does with these jobs and their missing parts, where each part takes its
    `seconds`, workers are ready at these times, and some parts are `begun`."""
    graph, order, now = Graph(), count(), 0.0
    free, busy = sorted(ready), []  # when workers are, and (end of a part, order, its key)
    begins: dict[str, float] = {job.key: 0.0 for job, _ in asked if job.started}
    ends: dict[str, float] = {}
    for job, parts in asked:
        graph.add(job, parts)
        if not parts:
            ends[job.key] = begins[job.key] = 0.0

    def work_at(key: str, job_key: str) -> None:
        begin = max(now, heapq.heappop(free))
        begins.setdefault(job_key, begin)
        heapq.heappush(busy, (begin + seconds[key], next(order), key))

    for key, job_key in begun:
        if free and key in graph.parts_left(job_key):
            graph.begin(key, job_key)
            work_at(key, job_key)
    while True:
        while free and (not busy or free[0] <= busy[0][0]) and (found := graph.take()):
            part, job = found
            work_at(part.key, job.key)
        if not busy:
            break
        now, _, key = heapq.heappop(busy)
        heapq.heappush(free, now)
        for job_key in graph.done(key):
            begins.setdefault(job_key, now)
            ends[job_key] = now
    return {key: Expected(begins[key], ends[key]) for key in ends}
