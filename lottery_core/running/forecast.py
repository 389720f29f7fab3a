"""When each job of a queue begins and ends, as far as that can be told: the queue, played ahead."""

from __future__ import annotations

import heapq
import json
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from lottery_core.running.fair import TURN, Turns
from lottery_core.running.starts import copying
from lottery_core.running.time_left import left_of, seconds_of_level, seconds_per_iteration
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, PartsDone, Store

MEASURING = 3.0  # seconds, about, of measuring the speed of a level whose steps are short ...
_STEPS = 30  # ... and as many of torch's dense steps more, where they are long


@dataclass(frozen=True)
class Queued:
    """What a queue is at: for each worker the seconds until it is ready for a job (0 for one that
    runs), and the jobs that run, as "running", and then those that wait, in order."""

    ready: tuple[float, ...]
    jobs: tuple[Job, ...] = ()


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
    missing = {key for key in keys if not store.has(key)}
    asked = {job.key for job in queued.jobs}
    new = [
        Job(one.key, "queued", "", math.inf, one.as_dict(), device, loop, visitor=visitor)
        for one in experiments
        if one.key not in asked and not missing.isdisjoint(one.keys)
    ]
    seconds: float | None = 0.0
    if missing:
        known = forecast(store, Queued(queued.ready, (*queued.jobs, *new)))
        mine = {one.key for one in experiments} & (asked | {job.key for job in new})
        ends = [known[key].ends if key in known else math.inf for key in mine]
        seconds = max(ends, default=0.0)
    seconds = seconds if math.isfinite(seconds) else None
    return Plan(len(keys), len(keys) - len(missing), seconds)


def forecast(store: Store, queued: Queued) -> dict[str, Expected]:
    """What to expect of each job of a queue, by key; without those whose time can't be told."""
    jobs = [job for job in queued.jobs if _experiment(job)]
    facts = store.read_machine()
    left = {job.key: _levels_left(store, facts, job) for job in jobs}
    found = _played(jobs, left, queued.ready or (0.0,))
    return {key: one for key, one in found.items() if math.isfinite(one.ends)}


Levels = deque[tuple[str, float]]  # keys of what is missing, and the seconds that each takes


def _levels_left(store: Store, facts: dict, job: Job) -> Levels:
    experiment = _experiment(job)
    left: Levels = deque()
    for n, key in enumerate(experiment.keys):
        if not store.has(key):
            usual = seconds_of_level(facts, experiment, n, job.device, job.loop)
            seconds = left_of(store, key, usual)
            left.append((key, math.inf if seconds is None else seconds))
    if job.task != "run":
        left.append((job.key, _measuring(store, job, experiment)))
    return left


def measuring(facts: dict, experiment: Experiment) -> float:
    """Seconds, about, of measuring the speed of all its levels."""
    step = seconds_per_iteration(facts, experiment.recipe, loop="torch") or 0.0
    return (MEASURING + _STEPS * step) * len(experiment.keys)


def _measuring(store: Store, job: Job, experiment: Experiment) -> float:
    """Seconds that what comes after the levels takes."""
    progress = store.read_progress(job.key)
    if isinstance(progress, PartsDone) and progress.seconds_each:
        return progress.seconds_each * (progress.of - progress.done)
    if job.task == "instability":
        seconds = copying(store, experiment)
        return math.inf if seconds is None else seconds
    return measuring(store.read_machine(), experiment)


def _experiment(job: Job) -> Experiment | None:
    return _known(json.dumps(job.experiment, sort_keys=True))


@lru_cache(maxsize=4096)
def _known(text: str) -> Experiment | None:
    # Its keys are reckoned once.
    return Experiment.known(json.loads(text))


def _played(
    jobs: Sequence[Job], left: dict[str, Levels], ready: Sequence[float]
) -> dict[str, Expected]:
    turns, order = Turns(), count()
    free, busy = sorted(ready), []  # when workers are, and (end of its turn, order, job)
    waiting = [job for job in jobs if job.state != "running"]
    trained: dict[str, float] = {}  # what several share is trained once, the others wait for it
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}

    def start(job: Job) -> None:
        begin = now = heapq.heappop(free)
        begins.setdefault(job.key, 0.0 if job.started or job.state == "running" else now)
        others = any(other.visitor != job.visitor for other in waiting)
        while left[job.key] and not (others and now - begin >= TURN):
            key, seconds = left[job.key].popleft()
            now = trained[key] = max(now, trained[key]) if key in trained else now + seconds
        turns.take(job, [*waiting, *(other for *_, other in busy)])
        heapq.heappush(busy, (now, next(order), job))

    for job in jobs:
        if job.state == "running" and free:
            start(job)
    while busy or waiting:
        while waiting and free and (not busy or free[0] <= busy[0][0]):
            start(waiting.pop(turns.next(waiting, [job for *_, job in busy])))
        now, _, job = heapq.heappop(busy)
        heapq.heappush(free, now)
        if left[job.key]:
            waiting.insert(0, job)
        else:
            ends[job.key] = now
    return {key: Expected(begins[key], ends[key]) for key in ends}
