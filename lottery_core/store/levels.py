"""Levels, each in one folder that appears whole and is verified when it is read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from lottery_core.method.masks import Arrays
from lottery_core.store.files import (
    Kept,
    StoreUnavailable,
    explained,
    place,
    sync_folder,
    write,
)
from lottery_core.store.info import LevelInfo
from lottery_core.store.tensors import load, save

_SUMS = "SHA256SUMS"
_NAMES = {
    "level.json", "weights.safetensors", "snapshots.safetensors", "history.parquet", _SUMS
}  # fmt: skip
OPENED = "weights.safetensors"  # the file whose time of access says when a level was read last
# Other refusals of the system say nothing about what a level holds.
_DAMAGE = (
    FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError,
    AttributeError,  # a value of another type where a mapping was kept
)  # fmt: skip


@dataclass(frozen=True)
class Level:
    """The result after n rounds.

    `info` says what was asked for, what came out, with which versions. `mask` (bool), `start` and
    `end` (float32) are arrays by weight name, `losses` the training loss of every iteration,
    `history` one row per evaluation, `snapshots` level 0's weights at the iterations of its grid
    (empty for other levels). Where the mask changed in training it is the last one, and `start` has
    the weights under the first; where it was learned, `start` has the untrained weights under it.
    """

    info: LevelInfo
    mask: Arrays
    start: Arrays
    end: Arrays
    losses: np.ndarray
    history: pd.DataFrame
    snapshots: Mapping[int, Arrays] = field(default_factory=dict)


class Levels(Kept):
    """One folder a level.

    A level is there, absent, damaged, or not ours to read. Damaged is treated as absent, with a
    warning; whoever needs the level computes it again. What is not ours to read is left as it
    is: all that ask for it raise `StoreUnavailable`.
    """

    def __init__(self, root: str | Path):
        super().__init__(root)
        self._there = str(self.root / "levels")
        self._found_damaged: dict[str, object] = {}

    def has(self, key: str) -> bool:
        """Whether a level is there, without reading it; not one that is known to be `damaged`."""
        return self._is_there(key) and not self.damaged(key)

    def damaged(self, key: str) -> bool:
        """Whether this process found a level damaged that nobody has replaced since."""
        found = self._found_damaged.get(key)
        if found is None:
            return False
        if found == self._identity(key):
            return True
        self._found_damaged.pop(key, None)
        return False

    def keys(self) -> list[str]:
        """The keys of all levels that are there and ours to read, in order."""
        return sorted(key for key, readable in self._look() if readable)

    def unreadable(self) -> list[str]:
        """The keys of all levels that are there and not ours to read, in order."""
        return sorted(key for key, readable in self._look() if not readable)

    def computed(self, key: str) -> float:
        """When a level was put there, in seconds since 1970; 0 if it is not there, or closed."""
        try:
            return self._folder(key).stat().st_mtime
        except OSError:
            return 0.0

    def info(self, key: str) -> LevelInfo | None:
        """What `Level.info` says, verified, without reading the rest; None as for `read`, and if
        the rest is known to be `damaged`."""
        folder, identity = self._folder(key), self._identity(key)
        with explained(self.root, f"level {key}"):
            if not folder.is_dir() or self.damaged(key):
                return None
            try:
                content = (folder / "level.json").read_bytes()
                if _sum("level.json", content) not in (folder / _SUMS).read_bytes():
                    raise ValueError("a checksum does not match")
                info = _info(key, content)
            except _DAMAGE as error:
                return self._warn(key, identity, error)
            return info

    def infos(self, keys: Iterable[str]) -> dict[str, LevelInfo]:
        """`info` of each of `keys` that is there, whole, and ours to read, in their order."""
        found = {}
        for key in keys:
            with suppress(StoreUnavailable):
                if info := self.info(key):
                    found[key] = info
        return found

    def read(self, key: str) -> Level | None:
        """A level, verified; None if it is absent, or with a warning if it is damaged."""
        identity = self._identity(key)
        with explained(self.root, f"level {key}"):
            try:
                files = self._files(key)
                level = None if files is None else _level(key, files)
            except _DAMAGE as error:
                return self._warn(key, identity, error)
        if level is not None:
            self._found_damaged.pop(key, None)
            _touch(self._folder(key) / OPENED)
        return level

    def write(self, key: str, level: Level) -> None:
        """Put a level in place, whole, instead of whatever may be there. Raises
        `StoreUnavailable`."""
        self._place(key, _files(key, level))

    def take_out(self, key: str) -> dict[str, bytes] | None:
        """A level's files by name, verified, as `put_in` of another store takes them; None as for
        `read`."""
        return None if self.read(key) is None else self._files(key)

    def put_in(self, key: str, files: Mapping[str, bytes]) -> None:
        """Put a level from another store in place, instead of whatever may be there. Raises
        ValueError where its files are not those of that level, whole, and `StoreUnavailable`."""
        try:
            if not re.fullmatch("[0-9a-f]{40}", key) or not _NAMES.issuperset(files):
                raise ValueError("it has other names than a level has")
            plain = {name: content for name, content in files.items() if name != _SUMS}
            if files[_SUMS] != _sums(plain):
                raise ValueError("a checksum does not match")
            _level(key, plain)
        except _DAMAGE as error:
            raise ValueError(f"level {key} arrived damaged ({error})") from error
        self._place(key, files)

    def _place(self, key: str, files: Mapping[str, bytes]) -> None:
        def make(folder: Path) -> None:
            folder.mkdir()
            for name, content in files.items():
                write(folder / name, content, synced=True)

        with explained(self.root):
            place(self._folder(key), make)
            sync_folder(self._folder(key).parent)

    def _files(self, key: str) -> dict[str, bytes] | None:
        """What a level's folder holds, its sums checked; None if it is absent."""
        folder = self._folder(key)
        if not folder.is_dir():
            return None
        # What begins with a dot is the system's: .DS_Store, .nfs0123.
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}
        if files[_SUMS] != _sums({name: files[name] for name in files if name != _SUMS}):
            raise ValueError("a checksum does not match")
        return files

    def _folder(self, key: str) -> Path:
        return self.root / "levels" / key

    def _is_there(self, key: str) -> bool:
        # A page asks for some hundred levels: without paths as objects it takes a third as long.
        try:
            os.close(os.open(f"{self._there}/{key}/{_SUMS}", os.O_RDONLY))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            with explained(self.root, f"level {key}"):
                raise
        return True

    def _look(self) -> Iterator[tuple[str, bool]]:
        for key in self._names("levels"):
            if not key.startswith("."):
                try:
                    if self.has(key):
                        yield key, True
                except StoreUnavailable:
                    yield key, False

    def _identity(self, key: str) -> object:
        """What changes when a level is replaced, or a file of it written to; None if absent."""
        try:
            with os.scandir(self._folder(key)) as entries:
                facts = ((entry.name, entry.stat()) for entry in entries)
                return sorted(
                    (name, fact.st_ino, fact.st_size, fact.st_mtime_ns) for name, fact in facts
                )
        except OSError:
            return None

    def _warn(self, key: str, identity: object, problem: Exception) -> None:
        if identity is None or identity != self._identity(key):
            return  # it was replaced while it was read
        self._found_damaged[key] = identity
        warnings.warn(
            f"level {key} is damaged ({problem}); it counts as absent and is computed again "
            "when it is asked for",
            stacklevel=3,
        )


def _touch(path: Path) -> None:
    """Say that a file was read now, also where the file system does not keep that by itself; where
    it is not ours to say, it may."""
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _files(key: str, level: Level) -> dict[str, bytes]:
    arrays = {
        f"{part}/{name}": values
        for part in ("mask", "start", "end")
        for name, values in getattr(level, part).items()
    }
    files = {
        "level.json": json.dumps(replace(level.info, key=key).as_dict(), indent=1).encode(),
        "weights.safetensors": save({**arrays, "losses": level.losses}),
        "history.parquet": _parquet(level.history),
    }
    if level.snapshots:
        files["snapshots.safetensors"] = save(
            {
                f"{step}/{name}": values
                for step, weights in level.snapshots.items()
                for name, values in weights.items()
            }
        )
    files[_SUMS] = _sums(files)
    return files


def _level(key: str, files: dict[str, bytes]) -> Level:
    info = _info(key, files["level.json"])
    arrays = load(files["weights.safetensors"])
    parts: dict[str, Arrays] = {"mask": {}, "start": {}, "end": {}}
    for name, values in arrays.items():
        part, _, weight = name.partition("/")
        if weight:
            parts[part][weight] = values
    # safetensors orders by size and name; the network's order is that of the recipe.
    mask = {name: parts["mask"][name] for name in info.weights}
    snapshots: dict[int, Arrays] = {}
    for name, values in load(files.get("snapshots.safetensors", save({}))).items():
        step, _, weight = name.partition("/")
        snapshots.setdefault(int(step), {})[weight] = values
    return Level(
        info=info,
        mask=mask,
        start=parts["start"],
        end=parts["end"],
        losses=arrays["losses"],
        history=_frame(files["history.parquet"]),
        snapshots=snapshots,
    )


def _info(key: str, content: bytes) -> LevelInfo:
    info = LevelInfo.from_dict(dict(json.loads(content)))
    if info.key != key:
        raise ValueError("it is another level's folder")
    return info


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _frame(content: bytes) -> pd.DataFrame:
    # Not pandas.read_parquet: it starts threads, and a process that ends soon after, as the
    # command line does when all levels are there, is aborted by them once in some dozen times.
    table = ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    return table.to_pandas(use_threads=False)


def _sum(name: str, content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def _sums(files: dict[str, bytes]) -> bytes:
    return b"".join(_sum(name, files[name]) for name in sorted(files))
