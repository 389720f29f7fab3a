"""In which order the parts of jobs may be done, and whose turn it is: a graph of trainings.

What several jobs want is one part. Whoever has a free worker takes the next part that is ready; so
a seed's controls train while its next round does.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from lottery_core.running.fair import Turns
from lottery_core.running.parts import Part, parts_of
from lottery_core.store import Job


@dataclass
class _Node:
    """A part; the jobs that want it, each with the part's place in the order of all; what it waits
    for; and what waits for it."""

    part: Part
    jobs: dict[str, tuple[int, int]] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)
    is_begun: bool = False


class Graph:
    """The parts of jobs that are not done yet. Jobs come in their order, the parts of a job in
    theirs, and visitors in turn."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._jobs: dict[str, tuple[Job, int]] = {}
        self._left: dict[str, set[str]] = {}
        self._ready: dict[str, list[tuple[tuple[int, int], str, str]]] = {}  # heaps, by visitor
        self._numbers = count()
        self._turns = Turns()
        self._working: Counter[str] = Counter()  # parts begun, by visitor
        self._begun_for: dict[str, str] = {}
        self._asked: Counter[str] = Counter()  # jobs, by visitor

    def add(self, job: Job, parts: Sequence[Part]) -> None:
        """Have all these parts done for a job; once more for one that is here adds to its own."""
        if job.key not in self._jobs:
            self._jobs[job.key] = job, next(self._numbers)
            self._asked[job.visitor] += 1
        number = self._jobs[job.key][1]
        left = self._left.setdefault(job.key, set())
        new = []
        for part in parts:
            if part.key not in self._nodes:
                self._nodes[part.key] = _Node(part)
                new.append(part)
            left.add(part.key)
            self._nodes[part.key].jobs.setdefault(job.key, (number, len(left)))
        for part in new:
            self._wait_for(part.key, part.needs)
        for part in parts:
            self._offer(part.key)

    def take(self) -> tuple[Part, Job] | None:
        """The part whose turn it is, begun, and the job it is begun for; None if none is ready."""
        first = {}
        for visitor in [*self._ready]:
            if (entry := self._first(visitor)) is not None:
                first[visitor] = entry
        if not first:
            return None
        who = self._turns.next({who: entry[0] for who, entry in first.items()}, self._working)
        _, key, job_key = heapq.heappop(self._ready[who])
        self.begin(key, job_key)
        return self._nodes[key].part, self._jobs[job_key][0]

    def begin(self, key: str, job_key: str) -> None:
        """Take that part, for that job."""
        job, _ = self._jobs[job_key]
        self._nodes[key].is_begun = True
        self._begun_for[key] = job.visitor
        self._working[job.visitor] += 1
        self._turns.take(job.visitor, self._asked)

    def done(self, key: str) -> list[str]:
        """A part has been done; the keys of the jobs that have no other left, which are gone."""
        self._end(key)
        node = self._nodes.pop(key)
        for after in node.after:
            self._nodes[after].waits.discard(key)
            self._offer(after)
        ended = []
        for job_key in node.jobs:
            self._left[job_key].discard(key)
            if not self._left[job_key]:
                ended.append(job_key)
                self._forget(job_key)
        return ended

    def again(self, key: str) -> None:
        """A part that was begun was not done: it is ready once more, if any job wants it."""
        self._end(key)
        if self._nodes[key].jobs:
            self._offer(key)
        else:
            self._remove(key)

    def lacks(self, key: str, missing: Iterable[str], is_there: Callable[[str], bool]) -> None:
        """A part that was begun found these levels gone, which it needs: they come first."""
        missing = set(missing)
        node = self._nodes[key]
        parts = parts_of(node.part.experiment, node.part.task, is_there, missing)
        for job_key in [*node.jobs]:
            self.add(self._jobs[job_key][0], parts)
        self._wait_for(key, missing)
        self.again(key)

    def drop(self, job_key: str) -> list[str]:
        """Forget a job; the keys of parts that were begun and that no other job wants."""
        unwanted = []
        for key in self._left.get(job_key, ()):
            node = self._nodes[key]
            del node.jobs[job_key]
            if not node.jobs:
                if node.is_begun:
                    unwanted.append(key)
                else:
                    self._remove(key)
        self._forget(job_key)
        return unwanted

    def jobs_of(self, key: str) -> list[str]:
        """The keys of the jobs that want a part."""
        return [*self._nodes[key].jobs] if key in self._nodes else []

    def parts_left(self, job_key: str) -> set[str]:
        """The keys of what is not done yet for a job."""
        return self._left.get(job_key, set())

    def _wait_for(self, key: str, needs: Iterable[str]) -> None:
        for need in needs:
            if need in self._nodes:
                self._nodes[key].waits.add(need)
                self._nodes[need].after.add(key)

    def _offer(self, key: str) -> None:
        node = self._nodes[key]
        if not node.waits and not node.is_begun:
            for job_key, place in node.jobs.items():
                visitor = self._jobs[job_key][0].visitor
                heapq.heappush(self._ready.setdefault(visitor, []), (place, key, job_key))

    def _first(self, visitor: str) -> tuple | None:
        """The first entry of a visitor that still holds; those before it are thrown away."""
        heap = self._ready[visitor]
        while heap:
            _, key, job_key = heap[0]
            node = self._nodes.get(key)
            if node and not node.is_begun and not node.waits and job_key in node.jobs:
                return heap[0]
            heapq.heappop(heap)
        del self._ready[visitor]
        return None

    def _end(self, key: str) -> None:
        self._nodes[key].is_begun = False
        visitor = self._begun_for.pop(key)
        self._working[visitor] -= 1

    def _remove(self, key: str) -> None:
        gone = self._nodes.pop(key)
        for need in gone.waits:
            self._nodes[need].after.discard(key)
        for after in gone.after:  # it was there after all when this was asked for
            self._nodes[after].waits.discard(key)
            self._offer(after)

    def _forget(self, job_key: str) -> None:
        self._left.pop(job_key, None)
        job, _ = self._jobs.pop(job_key, (None, 0))
        if job:
            self._asked[job.visitor] -= 1
            if not self._asked[job.visitor]:
                del self._asked[job.visitor]
