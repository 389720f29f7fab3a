"""Whose turn it is on a worker, where several visitors wait, and how many runs each may have."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence

from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.limits import MAX_REPLICATES
from lottery_core.store import Job

# As many runs as one choice may ask for: all its seeds, with every control beside each.
MAX_OF_ONE = MAX_REPLICATES * (1 + len(ARMS))
MAX_QUEUED = 10 * MAX_OF_ONE
TURN = 2.0  # seconds on a worker before a job gives way: going on takes a tenth of one


class Turns:
    """Round robin: the next job is one of the visitor with the fewest on workers, of several such
    the one whose last turn is longest ago; a visitor's own jobs come in their order."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._turn = 0

    def next(self, ready: Sequence[Job], busy: Iterable[Job]) -> int:
        """The place in `ready`, which is not empty, of the job whose turn it is."""
        working = Counter(job.visitor for job in busy)
        return min(
            range(len(ready)),
            key=lambda n: (working[ready[n].visitor], self._last.get(ready[n].visitor, 0), n),
        )

    def take(self, job: Job, others: Iterable[Job]) -> None:
        """Note that it is this job's turn now. Visitors with no job among the `others`, which wait
        or run, are forgotten."""
        self._turn += 1
        here = {job.visitor, *(other.visitor for other in others)}
        self._last = {who: turn for who, turn in self._last.items() if who in here}
        self._last[job.visitor] = self._turn


def runs_of_one() -> int:
    """How many runs a visitor may have waiting and running: `LOTTERY_RUNS_A_VISITOR`, or what the
    largest choice asks for. Raises `InvalidValue` for a number that is none."""
    asked = os.environ.get("LOTTERY_RUNS_A_VISITOR", "").strip()
    if not asked:
        return MAX_OF_ONE
    if not asked.isdecimal() or not 1 <= int(asked) <= MAX_QUEUED:
        raise InvalidValue(
            "LOTTERY_RUNS_A_VISITOR",
            asked,
            f"must be a whole number from 1 to {MAX_QUEUED}; unset it for {MAX_OF_ONE}",
        )
    return int(asked)
