"""The shelf: all runs of a cache with what came of them, what they are called, and their size.

A *run* is one experiment with one seed, whoever asked for it; a *row* is one run, or all runs that
are equal but for the seed, folded into one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import takewhile

from lottery_core.findings import ending
from lottery_core.findings.lines import asked_as, line_id
from lottery_core.findings.shelf_facts import Facts, Result, chain_of, result_of
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.keys import VERSION
from lottery_core.store import NO_LABEL, TASKS, Job, Label, Store

_FORM = [1, VERSION]  # of the index; another form is not read
_EVERY = 30.0  # seconds between two writings of the index, which may have some MB


@dataclass(frozen=True)
class Run:
    """One experiment. `jobs` are its requests by task, `levels` the keys of those of its levels
    that are there, `size` the bytes that these and its records take on the disk (levels that it
    shares with others included), `when` it was asked for or else computed; `until` when it was to
    stop, if before all rounds."""

    facts: Facts
    jobs: Mapping[str, Job]
    levels: tuple[str, ...]
    size: int
    when: float
    label: Label = NO_LABEL
    until: Until | None = None

    @property
    def key(self) -> str:
        """The experiment's key."""
        return self.facts.key

    @property
    def active(self) -> bool:
        """Whether it, or a measurement of it, is queued or running."""
        return any(job.active for job in self.jobs.values())

    @property
    def state(self) -> str:
        """running, queued, done, cancelled, failed or killed, as a job has it; "kept" where nobody
        asked for it."""
        states = [job.state for job in self.jobs.values()]
        for state in ("running", "queued"):
            if state in states:
                return state
        return states[0] if states else "kept"

    @property
    def has_ended(self) -> bool:
        """Whether it is known how many levels it has."""
        return not any(job.experiment.get("until") for job in self.jobs.values())

    @property
    def states(self) -> tuple[str, ...]:
        """As those of a row."""
        return (self.state,)

    @property
    def measured(self) -> tuple[str, ...]:
        """The tasks besides training that were asked for."""
        return tuple(task for task in self.jobs if task != "run")

    @property
    def params(self) -> Mapping[str, str]:
        """The choice it came from, as in a link to it."""
        return next((job.params for job in self.jobs.values() if job.params), {})


@dataclass(frozen=True)
class Row:
    """One run, or several that are equal but for the seed. `result` is over all of its seeds;
    None until it was worked out."""

    runs: tuple[Run, ...]
    size: int
    result: Result | None = None

    @property
    def first(self) -> Run:
        """The one with the first seed."""
        return self.runs[0]

    @property
    def facts(self) -> Facts:
        """What its runs have in common, and the first one's seed."""
        return self.first.facts

    @property
    def label(self) -> Label:
        """What its runs are called."""
        return self.first.label

    @property
    def schedule(self) -> str:
        """That of its runs in words; of runs that each stop for themselves, where they have."""
        until = self.first.until
        if until is None:
            return self.facts.schedule
        ends = (len(run.facts.levels) - 1 for run in self.runs if run.has_ended)
        return ending.schedule_in_words(until, ends)

    @property
    def when(self) -> float:
        """When the newest was asked for."""
        return max(run.when for run in self.runs)

    @property
    def states(self) -> dict[str, int]:
        """How many of its runs are in which state."""
        found: dict[str, int] = {}
        for run in self.runs:
            found[run.state] = found.get(run.state, 0) + 1
        return found


@dataclass(frozen=True)
class Found:
    """All runs, newest first, when somebody looked; `sizes` are the bytes that each level takes
    with the paths measured from it, `marks` what changes when one is replaced; `unread` says how
    many runs and sizes are still to be read."""

    runs: tuple[Run, ...]
    sizes: Mapping[str, int]
    marks: Mapping[str, int]
    unread: int = 0


@dataclass
class _Known:
    """What was worked out, by what it is of, and whether the index lacks some of it."""

    facts: dict[str, Facts | None] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    is_new: bool = False


class Shelf:
    """All runs of a store. What was read once is not read again unless it changed, by this process
    or, as an index in the cache keeps it, by the next. Any number of threads may ask."""

    def __init__(self, store: Store):
        self._store = store
        self._guard = threading.Lock()
        self._known: _Known | None = None
        self._keep_after: dict[str, float] = {}
        self._seen: tuple | None = None
        self._stamp: tuple[int, ...] | None = None
        self._found = Found((), {}, {})
        self._rows: dict[bool, tuple[Row, ...]] = {}

    def look(self, budget: float | None = None) -> Found:
        """All runs as they are now. With a budget of so many seconds besides the list of requests,
        what takes longer is left for the next look, newest first. Raises `StoreUnavailable`."""
        store, stamp = self._store, self._store.stamp()
        if stamp is not None and stamp == self._stamp:
            return self._found
        seen = store.jobs(), store.marks(), store.labels()
        end = None if budget is None else time.monotonic() + budget
        with self._guard:
            if seen != self._seen or self._found.unread:
                found = self._read(*seen, end)
                self._keep("look")
                self._seen, self._found, self._rows = seen, found, {}
            # Of what is active the end may be written down nowhere; the rest goes on next time.
            restless = self._found.unread or any(job.active for job in seen[0])
            self._stamp = None if restless else stamp
            return self._found

    def rows(self, found: Found, folded: bool, budget: float | None = None) -> list[Row]:
        """Its runs as rows, newest first, with their results; within a budget of so many seconds
        those of the newest."""
        end = None if budget is None else time.monotonic() + budget
        with self._guard:
            known = self._rows.get(folded) if found is self._found else None
            if known is None:
                known = tuple(_rows_of(found, folded))
            if any(row.result is None for row in known):
                known = tuple(self._judged(row, found.marks, end) for row in known)
            if found is self._found:
                self._rows[folded] = known
            self._keep("rows")
            return list(known)

    def _read(
        self,
        jobs: Sequence[Job],
        marks: Mapping[str, int],
        labels: Mapping[str, Label],
        end: float | None,
    ) -> Found:
        known, store = self._index(), self._store
        asked: dict[str, dict[str, Job]] = {}
        for job in jobs:
            asked.setdefault(job.key.rpartition("-")[2], {})[job.task] = job
        facts, unread = [], 0
        for key, tasks in asked.items():
            if key not in known.facts and _is_over(end):
                unread += 1
                continue
            experiment = next(iter(tasks.values())).experiment
            if one := self._facts(key, lambda plain=experiment: plain):
                facts.append(one)
        spoken_of = {key for one in facts for key in (*one.levels, *one.needs)}
        others = {}
        for key in marks.keys() - spoken_of if not unread else ():
            if key not in known.facts and _is_over(end):
                unread += 1
            elif one := self._facts(key, lambda key=key: self._experiment(key)):
                others[key] = one
        inner = {key for one in others.values() for key in one.levels[:-1]}
        facts += [one for key, one in others.items() if key not in inner]
        sizes = {}
        for key, mark in marks.items():
            size = self._size(key, mark, end)
            sizes[key], unread = size or 0, unread + (size is None)
        self._forget(known.sizes, marks.keys())
        self._forget(known.facts, marks.keys() | asked.keys())
        records, paths = store.record_sizes()
        sizes = {key: size + paths[key] for key, size in sizes.items()}
        runs = [
            _run(one, asked.get(one.key, {}), sizes, records[one.key], labels, store)
            for one in facts
        ]
        return Found(tuple(sorted(runs, key=lambda run: -run.when)), sizes, marks, unread)

    def _experiment(self, key: str) -> dict | None:
        info = self._store.infos([key]).get(key)
        return info and info.experiment

    def _facts(self, key: str, experiment: Callable[[], dict | None]) -> Facts | None:
        known = self._index()
        if key not in known.facts:
            known.facts[key] = Facts.known(key, experiment())
            known.is_new = True
        return known.facts[key]

    def _size(self, key: str, mark: int, end: float | None) -> int | None:
        known = self._index()
        then, size = known.sizes.get(key, (None, 0))
        if then != mark:
            if _is_over(end):
                return None
            size = self._store.level_size(key)
            known.sizes[key] = mark, size
            known.is_new = True
        return size

    @staticmethod
    def _forget(known: dict, there: Set[str]) -> None:
        for key in known.keys() - there:
            del known[key]

    def _judged(self, row: Row, marks: Mapping[str, int], end: float | None) -> Row:
        if row.result is not None:
            return row
        known = self._index()
        name = _name(row, marks)
        if name not in known.results:
            if _is_over(end):
                return row
            keys = {run.facts.seed: run.levels for run in row.runs}
            for old in list(known.results)[: len(known.results) - 3 * len(known.facts)]:
                del known.results[old]
            known.results[name] = result_of(
                {seed: list(self._store.infos(levels).values()) for seed, levels in keys.items()}
            )
            known.is_new = True
        return replace(row, result=known.results[name])

    def _index(self) -> _Known:
        if self._known is None:
            self._known = _from_plain(self._store.read_index())
        return self._known

    def _keep(self, what: str) -> None:
        """Have the next process know it too; who looks once writes what each step worked out."""
        known, now = self._index(), time.monotonic()
        if known.is_new and now >= self._keep_after.get(what, now):
            known.is_new = False
            self._keep_after[what] = now + _EVERY
            self._store.write_index(_as_plain(known))


def needed_by(runs: Iterable[Run]) -> set[str]:
    """The keys of all levels that runs have or go on from."""
    return {key for run in runs for key in (*run.facts.levels, *run.facts.needs)}


def _is_over(end: float | None) -> bool:
    return end is not None and time.monotonic() > end


def _run(
    facts: Facts,
    jobs: Mapping[str, Job],
    sizes: Mapping[str, int],
    records: int,
    labels: Mapping[str, Label],
    store: Store,
) -> Run:
    there = tuple(takewhile(sizes.__contains__, facts.levels))
    size = records + sum(sizes.get(key, 0) for key in (*facts.levels, *facts.needs))
    in_order = {task: jobs[task] for task in TASKS if task in jobs}
    when = max((job.submitted for job in jobs.values()), default=0.0)
    when = when or max(map(store.computed, there), default=0.0)
    asked = next(filter(None, map(_asked, in_order.values())), None)
    if asked:
        facts = replace(facts, line=line_id(asked))
    label, until = labels.get(facts.line, NO_LABEL), asked and asked.until
    return Run(facts, in_order, there, size, when, label, until)


def _asked(job: Job) -> Experiment | None:
    """What a request asked for, where that was to stop early."""
    if not (job.experiment.get("until") or job.params.get("schedule") == "until"):
        return None  # as nearly all: there may be thousands
    experiment = Experiment.known(job.experiment)
    return experiment and asked_as(experiment, job.params)


def _rows_of(found: Found, folded: bool) -> list[Row]:
    groups: dict[str, list[Run]] = {}
    for run in found.runs:
        groups.setdefault(run.facts.line if folded else run.key, []).append(run)
    rows = []
    for runs in groups.values():
        runs.sort(key=lambda run: run.facts.seed)
        shared = sum(found.sizes.get(key, 0) for key in needed_by(runs))
        apart = (found.sizes.get(k, 0) for r in runs for k in (*r.facts.levels, *r.facts.needs))
        records = sum(run.size for run in runs) - sum(apart)
        rows.append(Row(tuple(runs), shared + records))
    return rows


def _name(row: Row, marks: Mapping[str, int]) -> str:
    """What tells the levels that a row is judged by from all others."""
    return chain_of(f"{key} {marks[key]}" for run in row.runs for key in run.levels)


def _as_plain(known: _Known) -> dict:
    return {
        "form": _FORM,
        "facts": {key: one and one.as_list() for key, one in known.facts.items()},
        "sizes": known.sizes,
        "results": {name: one.as_list() for name, one in known.results.items()},
    }


def _from_plain(plain: Mapping) -> _Known:
    try:
        if plain["form"] != _FORM:
            return _Known()
        return _Known(
            {key: one and Facts.from_list(one) for key, one in plain["facts"].items()},
            {key: (int(mark), int(size)) for key, (mark, size) in plain["sizes"].items()},
            {name: Result(*one) for name, one in plain["results"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return _Known()
