"""When each job of a queue begins and ends, as far as that can be told: the queue, played ahead."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from lottery_core.running.fair import TURN, Turns
from lottery_core.running.time_left import left_of, seconds_of_level
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, Store


@dataclass(frozen=True)
class Expected:
    """Seconds from now until a job's first turn, 0 where it has begun, and until its end."""

    begins: float
    ends: float


Levels = deque[tuple[str, float]]  # keys of levels that are missing, and the seconds they take


def forecast(
    store: Store, jobs: Sequence[tuple[Job, Experiment]], workers: int
) -> dict[str, Expected]:
    """What to expect of each job, by key, on so many workers; `jobs` are those that run and those
    that wait, in their order. Empty while the time of one of them can't be told."""
    facts = store.read_machine()
    left: dict[str, Levels] = {}
    for job, experiment in jobs:
        times = [
            (key, left_of(store, key, seconds_of_level(facts, experiment, n, job.device, job.loop)))
            for n, key in enumerate(experiment.keys)
            if not store.has(key)
        ]
        if any(seconds is None for _, seconds in times):
            return {}
        left[job.key] = deque(times)
    return _played([job for job, _ in jobs], left, max(1, workers))


def _played(jobs: list[Job], left: dict[str, Levels], workers: int) -> dict[str, Expected]:
    turns, order, done = Turns(), count(), set()
    busy: list[tuple[float, int, Job]] = []
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    waiting = [job for job in jobs if job.state != "running"]

    def start(job: Job, now: float) -> None:
        begins.setdefault(job.key, 0.0 if job.started else now)
        others = any(other.visitor != job.visitor for other in waiting)
        spent = 0.0
        while left[job.key] and not (others and spent >= TURN):
            key, seconds = left[job.key].popleft()
            spent += 0 if key in done else seconds  # what several have is trained once
            done.add(key)
        turns.take(job, [*waiting, *(other for *_, other in busy)])
        heapq.heappush(busy, (now + spent, next(order), job))

    for job in jobs:
        if job.state == "running":
            start(job, 0.0)
    now = 0.0
    while busy or waiting:
        while waiting and len(busy) < workers:
            start(waiting.pop(turns.next(waiting, (job for *_, job in busy))), now)
        now, _, job = heapq.heappop(busy)
        if left[job.key]:
            waiting.insert(0, job)
        else:
            ends[job.key] = now
    return {key: Expected(begins[key], ends[key]) for key in ends}
