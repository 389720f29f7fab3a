"""A cache is kept in order: runs that nobody wants go, with what only they use, and where the cache
has a limit, levels that nobody opened for longest."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lottery_core.findings.shelf import Found, Run, Shelf, needed_by
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.sizes import bytes_in_words
from lottery_core.store import NO_LABEL, TASKS, Store, StoreUnavailable, task_key

LIMIT = "LOTTERY_CACHE_LIMIT"
_LOCK = "upkeep"  # whoever removes something holds it: two at once would count the same twice
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Removal:
    """What goes with some runs: the keys of the `levels` that only they use, and how many bytes of
    the disk these and their records take."""

    runs: tuple[Run, ...]
    levels: tuple[str, ...]
    frees: int

    def in_words(self) -> str:
        """ "2 runs go, with 5 levels that only they use: 1.23 MB." """
        runs, levels = len(self.runs), len(self.levels)
        they = "they use" if runs > 1 else "it uses"
        return (
            f"{runs:,} run{'s go' if runs > 1 else ' goes'}, with {levels:,} "
            f"level{'' if levels == 1 else 's'} that only {they}: {bytes_in_words(self.frees)}."
        )


@dataclass(frozen=True)
class Freed:
    """What a collection removed, in bytes and levels, and how large the cache is after it; where
    that is more than its `limit`, the rest is not to be removed."""

    levels: int
    bytes: int
    size: int
    limit: int


def plan(store: Store, found: Found, keys: Collection[str]) -> Removal:
    """What would go with the runs of these keys. Raises `InvalidValue` for a key of no run, and
    for a run that is queued or running."""
    chosen = tuple(run for run in found.runs if run.key in keys)
    if missing := set(keys) - {run.key for run in chosen}:
        raise InvalidValue("key", min(missing), "is of no run in this cache")
    for run in chosen:
        _check_idle(store, run)
    kept = needed_by(run for run in found.runs if run.key not in keys)
    levels = tuple(sorted(key for key in needed_by(chosen) - kept if key in found.sizes))
    records, _ = store.record_sizes()
    labels = sum(map(store.label_size, _lines_gone(found, chosen)))
    frees = sum(found.sizes[key] for key in levels) + sum(records[run.key] for run in chosen)
    return Removal(chosen, levels, frees + labels)


def remove(shelf: Shelf, store: Store, keys: Collection[str]) -> Removal:
    """Remove runs with what only they use; says what went. Raises `InvalidValue` as `plan`, and
    `StoreUnavailable`; what is gone by then stays gone."""
    with store.held(_LOCK):
        found = shelf.look()
        planned = plan(store, found, keys)
        freed, gone = 0, []
        with _kept_from_running(store, planned.runs):
            # Records first: what remains of a removal that breaks off is found as levels that
            # nobody asked for, not as a run that lacks some.
            for run in planned.runs:
                freed += store.drop_records(run.key)
            for line in _lines_gone(found, planned.runs):
                freed += store.label_size(line)
                store.write_label(line, NO_LABEL)
            for key in planned.levels:
                if size := store.drop_level(key):
                    freed += size
                    gone.append(key)
        return Removal(planned.runs, tuple(gone), freed)


def size_of_cache(store: Store, found: Found) -> int:
    """Bytes that all of the cache takes on the disk, as `du` says."""
    return store.size_of_rest() + sum(found.sizes.values())


def limit_is_set() -> bool:
    """Whether the cache has a limit, be it one that can be read or not."""
    return bool(os.environ.get(LIMIT, "").strip())


def limit_of_cache() -> int | None:
    """The limit that `LOTTERY_CACHE_LIMIT` sets, in bytes; None without one. Raises
    `InvalidValue`."""
    return read_size(LIMIT, os.environ[LIMIT]) if limit_is_set() else None


def read_size(name: str, text: str) -> int:
    """A size as it is written, such as 500MB, 5GB or 2GiB, in bytes. Raises `InvalidValue`, which
    calls it `name`."""
    found = _SIZE.fullmatch(text)
    if not found or (found[3] and not found[2]) or not float(found[1]):
        rule = "must be a size above 0, as in 500MB or 5GB; leave it out for no limit"
        raise InvalidValue(name, text, rule)
    unit = found[2].lower()
    each = 1024 ** " kmgt".index(unit) if found[3] else _UNITS[unit]
    return int(float(found[1]) * each)


def collect(shelf: Shelf, store: Store, limit: int) -> Freed:
    """Remove levels, those that nobody opened for longest first, until the cache takes at most
    `limit` bytes; none of a run that has a name, or is queued or running, or goes on from one of
    these, and none that is not ours to remove. Raises `StoreUnavailable`."""
    with store.held(_LOCK):
        found = shelf.look()
        size = size_of_cache(store, found)
        levels = freed = 0
        safe = needed_by(run for run in found.runs if run.label.name or run.active)
        for key in _oldest_first(store, found) if size > limit else ():
            if size - freed <= limit:
                break
            dropped = 0
            if key not in safe:
                with suppress(StoreUnavailable):  # it is not ours to remove; another may be
                    dropped = store.drop_level(key)
            freed, levels = freed + dropped, levels + bool(dropped)
        return Freed(levels, freed, size - freed, limit)


def keep_to_limit(store: Store) -> None:
    """`collect` if the cache has a limit that can be read; which can't be is told by pages and
    commands, not after a training that has ended well."""
    try:
        limit = limit_of_cache()
    except InvalidValue:
        return
    if limit is not None:
        collect(Shelf(store), store, limit)


def _oldest_first(store: Store, found: Found) -> list[str]:
    """All levels by when they were opened; one counts as opened when one was that goes on from it,
    so that of a chain the last goes first."""
    opened = {key: store.opened(key) for key in found.sizes}
    depth = dict.fromkeys(opened, 0)
    for run in found.runs:
        chain, latest = run.facts.levels, 0.0
        # A control's level n goes on from the trunk's level n-1, any other's from its own.
        before = (chain[0], *run.facts.needs) if run.facts.needs else chain
        for n in range(len(chain) - 1, 0, -1):
            latest = max(latest, opened.get(chain[n], 0.0))
            for key, at in ((chain[n], n), (before[n - 1], n - 1)):
                if key in opened:
                    depth[key] = max(depth[key], at)
            if before[n - 1] in opened:
                opened[before[n - 1]] = max(opened[before[n - 1]], latest)
    return sorted(opened, key=lambda key: (opened[key], -depth[key], key))


def _check_idle(store: Store, run: Run, states: Sequence[str] = ("queued", "running")) -> None:
    # Asked again: it may have been started since the runs were looked at.
    for task in TASKS:
        job = store.job(task_key(task, run.key))
        if job and job.state in states:
            raise InvalidValue(
                "key", run.key[:8], f"is {job.state}; stop it, or wait until it has ended"
            )


@contextmanager
def _kept_from_running(store: Store, runs: Sequence[Run]) -> Iterator[None]:
    """Inside, nobody begins one of these runs; who wants to waits."""
    locks = []
    try:
        for run in runs:
            for task in TASKS:
                lock = store.take(f"job-{task_key(task, run.key)}", timeout=0)
                if lock is None:
                    rule = "is running; stop it, or wait until it has ended"
                    raise InvalidValue("key", run.key[:8], rule)
                locks.append(lock)
        # One that waits has been asked for since; whoever has the locks runs none.
        for run in runs:
            _check_idle(store, run, ("queued",))
        yield
    finally:
        for lock in locks:
            lock.release()


def _lines_gone(found: Found, chosen: Sequence[Run]) -> set[str]:
    """The lines of which no run is left without these."""
    gone = {run.key for run in chosen}
    left = {run.facts.line for run in found.runs if run.key not in gone}
    return {run.facts.line for run in chosen} - left
