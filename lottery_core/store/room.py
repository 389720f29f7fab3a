"""How much room things take on the disk, and how they are removed.

Sizes are what `du` says: the blocks of files and folders, links not followed.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

from lottery_core.store.files import StoreUnavailable, explained, remove
from lottery_core.store.jobs import PATH, TASKS, Jobs, task_key
from lottery_core.store.levels import OPENED, Levels
from lottery_core.store.notes import Notes

_INDEX = "shelf.json"
_SETTLED = 2 * 10**9  # nanoseconds; file systems count time in steps of up to two seconds


def on_disk(path: Path | str) -> int:
    """Bytes that a file, or a folder with all that is in it, takes on the disk; 0 if absent."""
    try:
        fact = os.lstat(path)
    except OSError:
        return 0
    return _blocks(fact) + (_inside(path, set()) if stat.S_ISDIR(fact.st_mode) else 0)


def _blocks(fact: os.stat_result) -> int:
    # Where a system counts no blocks, the length is the nearest there is.
    return 512 * fact.st_blocks if hasattr(fact, "st_blocks") else fact.st_size


def _inside(folder: Path | str, linked: set[tuple[int, int]]) -> int:
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                fact = entry.stat(follow_symlinks=False)
                if fact.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                    if (fact.st_dev, fact.st_ino) in linked:  # a file of two names counts once
                        continue
                    linked.add((fact.st_dev, fact.st_ino))
                total += _blocks(fact)
                if entry.is_dir(follow_symlinks=False):
                    total += _inside(entry.path, linked)
    return total


class Room(Levels, Jobs, Notes):
    """What lies where, how large it is, and how it goes away."""

    def stamp(self) -> tuple[int, ...] | None:
        """What changes whenever a level, a record or a label comes, goes or is replaced; None
        while the last such change is so young that another might have the same time."""
        # What is in a folder is renamed into it, which the folder's own time tells.
        times = []
        for folder in ("levels", "jobs", "labels"):
            try:
                times.append((self.root / folder).stat().st_mtime_ns)
            except OSError:
                times.append(0)
        settled = time.time_ns() - max(times) > _SETTLED
        return tuple(times) if settled else None

    def marks(self) -> dict[str, int]:
        """All levels that are there, each with what changes when it is replaced. Nothing of them
        is read. Raises `StoreUnavailable`."""
        with explained(self.root, "the folder levels"):
            try:
                with os.scandir(self.root / "levels") as entries:
                    there = [entry for entry in entries if entry.name[0] != "."]
                    return dict(filter(None, map(_mark, there)))
            except (FileNotFoundError, NotADirectoryError):
                return {}

    def level_size(self, key: str) -> int:
        """Bytes that a level takes on the disk; 0 if it is absent."""
        return on_disk(f"{self.root}/levels/{key}")

    def opened(self, key: str) -> float:
        """When a level was read last with its arrays, or else put there, in seconds since 1970; 0
        if it is absent."""
        try:
            return (self.root / "levels" / key / OPENED).stat().st_atime
        except OSError:
            return self.computed(key)

    def drop_level(self, key: str) -> int:
        """Remove a level with the paths measured from it, unless somebody is just at it; how many
        bytes that freed. Raises `StoreUnavailable`."""
        lock = self.take(f"level-{key}", timeout=0)
        if lock is None:
            return 0
        try:
            folder, size = self.root / "levels" / key, self.level_size(key)
            # Under a name that no reader looks at first, so that none finds half a level.
            gone = folder.parent / f".new-{uuid.uuid4().hex}"
            with explained(self.root), suppress(FileNotFoundError, NotADirectoryError):
                # A folder can be renamed by who may not empty it.
                if folder.exists() and not os.access(folder, os.W_OK):
                    raise PermissionError(errno.EACCES, "Permission denied", str(folder))
                folder.rename(gone)
                remove(gone)
                for path in self._paths_of(key):
                    size += on_disk(path)
                    self._forget(path)
                return size
        finally:
            lock.release()
        return 0

    def _paths_of(self, key: str) -> list[Path]:
        measured = self.root / "measurements"
        return [measured / name for name in _names(measured) if name.startswith(f"{PATH}{key}-")]

    def record_sizes(self) -> tuple[Counter[str], Counter[str]]:
        """Bytes that requests and measurements take on the disk, by their experiment's key; and
        those that paths take, by the key of the level they were measured from."""
        records: Counter[str] = Counter()
        paths: Counter[str] = Counter()
        for folder in ("jobs", "measurements"):
            with suppress(OSError), os.scandir(self.root / folder) as entries:
                for entry in entries:
                    with suppress(OSError):
                        name, size = (
                            entry.name.partition(".")[0],
                            _blocks(entry.stat(follow_symlinks=False)),
                        )
                        if name.startswith(PATH):
                            paths[name.split("-")[1]] += size
                        else:
                            records[name.rpartition("-")[2]] += size
        return records, paths

    def drop_records(self, key: str) -> int:
        """Remove what was asked for and measured of an experiment; how many bytes that freed.
        Raises `StoreUnavailable`."""
        freed = 0
        for name in (task_key(task, key) for task in TASKS):
            paths = [self.root / "jobs" / f"{name}{end}" for end in (".json", ".cancel")]
            for path in (*paths, self.root / "measurements" / f"{name}.json"):
                freed += on_disk(path)
                self._forget(path)
            self._untold.pop(name, None)
            self.clear_progress(name)
        return freed

    def label_size(self, line: str) -> int:
        """Bytes that what a line is called takes on the disk."""
        return on_disk(self.root / "labels" / f"{line}.json")

    def size_of_rest(self) -> int:
        """Bytes on the disk of all but what is in the levels' folders and the paths measured from
        levels: with both of each level, what `du` says of the whole cache."""
        total = 0
        with suppress(OSError):
            total = _blocks(self.root.lstat())
        for name in _names(self.root):
            path = self.root / name
            if name == "levels":
                with suppress(OSError):
                    total += _blocks(path.lstat())
                half_written = (path / one for one in _names(path) if one[0] == ".")
                total += sum(map(on_disk, half_written))
            else:
                total += on_disk(path)
        return total - self.record_sizes()[1].total()

    # What was worked out of all records, so that the next who looks need not

    def read_index(self) -> dict:
        """What `write_index` kept; empty where there is nothing readable."""
        with suppress(StoreUnavailable, ValueError, TypeError):
            return dict(json.loads(self._get(self.root / _INDEX, "the index of runs") or b"{}"))
        return {}

    def write_index(self, index: dict) -> None:
        """Keep it, as far as something can be written there."""
        with suppress(StoreUnavailable):
            self._put(self.root / _INDEX, json.dumps(index, separators=(",", ":")).encode())


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone, of many thousands
    except OSError:
        return []


def _mark(entry: os.DirEntry) -> tuple[str, int] | None:
    try:
        fact = entry.stat(follow_symlinks=False)
    except OSError:  # removed since
        return None
    return entry.name, fact.st_mtime_ns
