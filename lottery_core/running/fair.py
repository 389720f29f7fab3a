"""Whose turn it is on a worker, where several visitors wait, and how many runs each may have."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue, is_whole
from lottery_core.spec.limits import MAX_REPLICATES
from lottery_core.store import Job

# As many runs as one choice may ask for: all its seeds, with every control beside each.
MAX_OF_ONE = MAX_REPLICATES * (1 + len(ARMS))
MAX_QUEUED = 10 * MAX_OF_ONE


class Turns:
    """Round robin: next is the visitor with the fewest trainings on workers, of several such the
    one whose last turn is longest ago, of these the one who asked first."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._turn = 0

    def next(self, waiting: Mapping[str, object], working: Mapping[str, int]) -> str:
        """Whose turn it is, of visitors who wait (at least one), by the place of what waits first
        for each; `working` is how many workers each has."""
        return min(
            waiting,
            key=lambda who: (working.get(who, 0), self._last.get(who, 0), waiting[who]),
        )

    def take(self, who: str, others: Collection[str]) -> None:
        """Note that it is this visitor's turn now. Who is not among the `others`, which wait or
        run, is forgotten."""
        self._turn += 1
        if len(self._last) > len(others):
            self._last = {one: turn for one, turn in self._last.items() if one in others}
        self._last[who] = self._turn


def runs_of_one() -> int:
    """How many runs a visitor may have waiting and running: `LOTTERY_RUNS_A_VISITOR`, or what the
    largest choice asks for. Raises `InvalidValue` for a number that is none."""
    asked = os.environ.get("LOTTERY_RUNS_A_VISITOR", "").strip()
    if not asked:
        return MAX_OF_ONE
    if not is_whole(asked) or not 1 <= int(asked) <= MAX_QUEUED:
        raise InvalidValue(
            "LOTTERY_RUNS_A_VISITOR",
            asked,
            f"must be a whole number from 1 to {MAX_QUEUED}; unset it for {MAX_OF_ONE}",
        )
    return int(asked)


def check_room(jobs: Sequence[Job], keys: Collection[str], who: str, most: int) -> None:
    """Raise `InvalidValue` unless a visitor who may have so many runs may ask for these, and a
    queue that holds `jobs` has room for them."""
    new = len(set(keys) - {job.key for job in jobs})
    mine = sum(job.visitor == who for job in jobs)
    remedy = "wait for runs to end, stop some, or ask for fewer seeds or controls"
    if new and mine + new > most:
        rule = f"has no room for {new} more runs (one visitor may have {most}); {remedy}"
        raise InvalidValue("queue", mine, rule)
    if new and len(jobs) + new > MAX_QUEUED:
        rule = f"has no room for {new} more runs (it holds {MAX_QUEUED}); {remedy}"
        raise InvalidValue("queue", len(jobs), rule)
