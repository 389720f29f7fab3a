"""Many experiments through a queue that holds few: handed over as there is room for them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lottery_core.findings.ending import ended
from lottery_core.running.crew import Crew
from lottery_core.running.queue import Queue
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, Store

_AHEAD = 4  # experiments waiting for each worker: enough for none to be without work
_EVERY = 0.5  # seconds between two looks


@dataclass(frozen=True)
class Asked:
    """An experiment, and the choice it belongs to, as in a link."""

    experiment: Experiment
    params: Mapping[str, str]


@dataclass(frozen=True)
class Standing:
    """How far all of it is: levels of `of` (at most, while runs may stop early), each counted
    once, and the jobs that did not end well, by the key of their experiment; `problem` says what
    keeps it from going on, if anything does."""

    done: int
    of: int
    failed: Mapping[str, Job]
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.done == self.of


def run_all(
    store: Store,
    crew: Crew,
    asked: Sequence[Asked],
    *,
    device: str = "cpu",
    loop: str = "auto",
    folder: Path | None = None,
) -> Iterator[Standing]:
    """Have a crew train what is missing of all these, in their order; yields now and then how far
    it is, at least once. What several share is trained once. An experiment that fails, or that
    somebody stops, does not keep the others. It ends before all is done only where the crew is
    lost. Whoever stops iterating stops the workers; what is finished is in the store.
    """
    wanted = {one.experiment.key: ended(store, one.experiment) for one in asked}
    params = {one.experiment.key: dict(one.params) for one in asked}
    keys = {key for one in wanted.values() for key in one.keys}
    missing = {key for key in keys if not store.has(key)}
    left = [name for name, one in wanted.items() if not missing.isdisjoint(one.keys)]
    failed: dict[str, Job] = {}
    if not left:
        yield Standing(len(keys), len(keys), failed)
        return
    queue = Queue(store, crew)
    given: set[str] = set()
    try:
        while left or given:
            yield Standing(len(keys) - len(missing), len(keys), failed, queue.problem)
            if crew.is_lost:
                return
            while left and len(given) < _AHEAD * len(queue.queued().ready):
                name = left.pop(0)
                given.add(name)
                options = {"device": device, "loop": loop, "folder": folder}
                queue.submit(wanted[name], params=params[name], **options)
            time.sleep(_EVERY)
            for name in [name for name in given if wanted[name].until]:
                wanted[name] = ended(store, wanted[name])
                if not wanted[name].until:  # what is beyond its end is wanted no more
                    keys = {key for one in wanted.values() for key in one.keys}
            missing = {key for key in missing & keys if not store.has(key)}
            for name in [*given]:
                job = store.job(wanted[name].key)
                if missing.isdisjoint(wanted[name].keys):
                    given.remove(name)
                elif job is not None and job.finished is not None and job.state != "done":
                    failed[wanted[name].key] = job
                    given.remove(name)
        yield Standing(len(keys) - len(missing), len(keys), failed)
    finally:
        queue.close()
