"""Levels on disk, each under the key that names its content, and the news of running jobs.

The store is the only place where workers and pages meet. A level is one folder that appears
whole: it is written under a temporary name, synced and renamed, and carries the SHA-256 of
each of its files. What cannot be read or does not match is treated as absent, with a
warning; whoever needs it computes it again. Nothing here is pickled.

    levels/<key>/      level.json  weights.safetensors  snapshots.safetensors  history.parquet
                       SHA256SUMS (the form `sha256sum -c` reads)
    tickets/           <digest>.safetensors: masks and weights from outside, by their `digest`
    measurements/      <key>.json: what was measured on an experiment's levels (see `task_key`)
    progress/<key>     what a level that is being trained looks like right now
    jobs/<key>.json    what became of an experiment: queued, running, done, ...
    locks/             one lock a level, a job and a queue; the system frees a dead owner's
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout
from pyarrow.parquet import ParquetFile

from lottery_core.pruning import Arrays
from lottery_core.tensors import load, metadata, save

# Where results are kept unless somebody says otherwise.
CACHE = Path(os.environ.get("LOTTERY_CACHE", Path(__file__).resolve().parent.parent / "cache"))
_SUMS = "SHA256SUMS"
_NEW = ".new-"  # what a write begins with before it is renamed into place
_ABANDONED = 3600  # seconds after which such a file's writer is taken for dead


@dataclass(frozen=True)
class Level:
    """The result after n rounds.

    `info` holds plain values: what was asked for, what came out, with which versions. `mask`
    (bool), `start` and `end` (float32) are arrays by weight name, `losses` the training loss
    of every iteration, `history` one row per evaluation, `snapshots` level 0's weights at
    the iterations of its grid (empty for other levels).
    """

    info: dict
    mask: Arrays
    start: Arrays
    end: Arrays
    losses: np.ndarray
    history: pd.DataFrame
    snapshots: Mapping[int, Arrays] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What became of one request. With `task` "run" it asks for an experiment, whose key it
    has; with "measure" for the speed of that experiment's levels, with "instability" for what
    another data order does to them (see `task_key`).

    `state` is queued, running, done, cancelled, failed or killed. `owner` names the lock
    that whoever answers for this state holds: a queued or running job whose owner's lock is
    free has been killed. Times are seconds since 1970. `params` is the choice it came from, as
    in a link to it.
    """

    key: str
    state: str
    owner: str
    submitted: float
    experiment: dict
    device: str = "cpu"
    loop: str = "auto"
    started: float | None = None
    finished: float | None = None
    message: str = ""
    process: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    task: str = "run"

    @property
    def active(self) -> bool:
        """Queued or running."""
        return self.state in ("queued", "running")


def task_key(task: str, experiment_key: str) -> str:
    """The key of a job with that task on an experiment, and of what it measures; that of task
    "run" is the experiment's own."""
    return experiment_key if task == "run" else f"{task}-{experiment_key}"


def digest(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and values: the same for the same arrays in any file.

    Little-endian and in the order of the names, so that it can be repeated with NumPy alone.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        total.update(f"{name} {values.dtype.name} {values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()


def measurement_key(experiment_key: str) -> str:
    """The key of a job that measures an experiment's levels, and of what it measured."""
    return task_key("measure", experiment_key)


class Store:
    """All that is kept under one folder; any number of processes may use it at once."""

    def __init__(self, root: str | Path):
        self.root = Path(root).resolve()
        for name in ("levels", "tickets", "progress", "jobs", "measurements", "locks"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what killed writers left half-written."""
        for path in self.root.glob(f"*/{_NEW}*"):
            try:
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            except FileNotFoundError:  # its writer lives after all, or another sweeper was faster
                continue

    @property
    def datasets(self) -> Path:
        """Where data sets lie."""
        return (self.root / "datasets").resolve()

    # Levels

    def has(self, key: str) -> bool:
        """Whether a level is there, without reading it."""
        return (self.root / "levels" / key / _SUMS).is_file()

    def keys(self) -> list[str]:
        """The keys of all levels that are there, in order."""
        return sorted(path.parent.name for path in self.root.glob(f"levels/[!.]*/{_SUMS}"))

    def info(self, key: str) -> dict | None:
        """What `Level.info` says, without reading or verifying the rest; None if unreadable."""
        try:
            info = json.loads((self.root / "levels" / key / "level.json").read_bytes())
            return dict(info) if info["key"] == key else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, key: str, level: Level) -> None:
        """Put a level in place, whole, instead of whatever may be there."""
        arrays = {
            f"{part}/{name}": values
            for part in ("mask", "start", "end")
            for name, values in getattr(level, part).items()
        }
        files = {
            "level.json": json.dumps({**level.info, "key": key}, indent=1).encode(),
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
        target = self.root / "levels" / key
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=_NEW))
        try:
            for name, content in files.items():
                _write_synced(temporary / name, content)
            if target.exists():  # damaged; a folder can't be renamed onto another
                target.rename(f"{temporary}.old")
                shutil.rmtree(f"{temporary}.old", ignore_errors=True)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_folder(target.parent)

    def read(self, key: str) -> Level | None:
        """A level, verified; None if it is absent, or with a warning if it is damaged."""
        folder = self.root / "levels" / key
        if not folder.is_dir():
            return None
        try:
            files = {
                path.name: path.read_bytes() for path in folder.iterdir() if path.name != _SUMS
            }
            if (folder / _SUMS).read_bytes() != _sums(files):
                raise ValueError("a checksum does not match")
            return _level(key, files)
        except FileNotFoundError as error:
            if not folder.is_dir():  # replaced while being read
                return None
            problem: Exception = error
        except (OSError, ValueError, KeyError) as error:
            problem = error
        warnings.warn(
            f"level {key} is damaged ({problem}); it counts as absent and is computed again "
            "when it is asked for",
            stacklevel=2,
        )
        return None

    # Tickets from outside

    def write_ticket(self, digest: str, mask: Arrays, restart: Arrays | None) -> None:
        """Keep a mask (bool), and weights to restart from, under the `digest` of both."""
        content = save(_ticket(mask, restart), metadata={"weights": json.dumps([*mask])})
        _replace(self._ticket_path(digest), content)

    def read_ticket(self, digest: str) -> tuple[Arrays, Arrays | None] | None:
        """Mask and restart weights, verified; None if absent, or with a warning if damaged."""
        if not re.fullmatch("[0-9a-f]{64}", digest):  # one from a link may be the way to elsewhere
            return None
        try:
            content = self._ticket_path(digest).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _read_ticket(digest, content)
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"ticket {digest} is damaged ({error}); it counts as absent until it is uploaded "
                "again",
                stacklevel=2,
            )
            return None

    def _ticket_path(self, digest: str) -> Path:
        return self.root / "tickets" / f"{digest}.safetensors"

    # Locks

    def lock(self, name: str) -> FileLock:
        """The lock of that name; the system frees it when its owner dies."""
        return FileLock(self.root / "locks" / f"{name}.lock")

    @contextmanager
    def held(self, name: str, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold a lock; `check` is called while waiting for it and may raise to give up."""
        lock = self.lock(name)
        while True:
            try:
                lock.acquire(timeout=0.2)
                break
            except Timeout:
                check()
        try:
            yield
        finally:
            lock.release()

    def is_held(self, name: str) -> bool:
        """Whether some process holds the lock now."""
        lock = self.lock(name)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        return False

    # Progress of the level being trained

    def write_progress(self, key: str, numbers: dict, arrays: Arrays) -> None:
        """Replace a level's progress: plain values, and a compact picture of its weights."""
        content = save(arrays, metadata={"progress": json.dumps(numbers)})
        _replace(self.root / "progress" / key, content)

    def read_progress(self, key: str) -> tuple[dict, Arrays] | None:
        """What `write_progress` wrote last; None if there is none."""
        try:
            content = (self.root / "progress" / key).read_bytes()
            return json.loads(metadata(content)["progress"]), load(content)
        except (OSError, ValueError, KeyError):
            return None

    def clear_progress(self, key: str) -> None:
        """Forget a level's progress."""
        (self.root / "progress" / key).unlink(missing_ok=True)

    # Jobs

    def write_job(self, job: Job) -> None:
        """Replace what is said of a job."""
        _replace(self.root / "jobs" / f"{job.key}.json", json.dumps(asdict(job)).encode())

    def job(self, key: str) -> Job | None:
        """What became of an experiment; "killed" if its owner died without a word."""
        path = self.root / "jobs" / f"{key}.json"
        try:
            job = Job(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        if job.active and not self.is_held(job.owner):
            # The owner may have finished between the two looks.
            again = Job(**json.loads(path.read_bytes()))
            if again != job:
                return self.job(key)
            message = "its process ended without a word"
            return replace(job, state="killed", message=job.message or message)
        return job

    def jobs(self) -> list[Job]:
        """All known jobs, newest request first."""
        found = [self.job(path.stem) for path in (self.root / "jobs").glob("*.json")]
        return sorted((job for job in found if job), key=lambda job: -job.submitted)

    def request_cancel(self, key: str) -> None:
        """Ask whoever runs the job to stop."""
        (self.root / "jobs" / f"{key}.cancel").touch()

    def cancel_requested(self, key: str) -> bool:
        """Whether `request_cancel` was called since the last `clear_cancel`."""
        return (self.root / "jobs" / f"{key}.cancel").exists()

    def clear_cancel(self, key: str) -> None:
        """Take a request to cancel back."""
        (self.root / "jobs" / f"{key}.cancel").unlink(missing_ok=True)

    # What was measured on the levels of an experiment

    def write_measurement(self, key: str, measured: dict) -> None:
        """Replace what was measured under that key, plain values."""
        content = json.dumps(measured, indent=1).encode()
        _replace(self.root / "measurements" / f"{key}.json", content)

    def read_measurement(self, key: str) -> dict | None:
        """What `write_measurement` wrote last; None if there is nothing readable."""
        try:
            return dict(json.loads((self.root / "measurements" / f"{key}.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    # What this machine can do

    def write_machine(self, facts: dict) -> None:
        """Replace what is known of this machine (see speed.py)."""
        _replace(self.root / "machine.json", json.dumps(facts, indent=1).encode())

    def read_machine(self) -> dict:
        """What `write_machine` wrote last; empty if there is nothing readable."""
        try:
            return dict(json.loads((self.root / "machine.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return {}


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _level(key: str, files: dict[str, bytes]) -> Level:
    info = json.loads(files["level.json"])
    if info["key"] != key:
        raise ValueError("it is another level's folder")
    arrays = load(files["weights.safetensors"])
    parts: dict[str, Arrays] = {"mask": {}, "start": {}, "end": {}}
    for name, values in arrays.items():
        part, _, weight = name.partition("/")
        if weight:
            parts[part][weight] = values
    # safetensors orders by size and name; the network's order is that of the recipe.
    order = info["weights"]
    mask = {name: parts["mask"][name] for name in order}
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


def _ticket(mask: Arrays, restart: Arrays | None) -> Arrays:
    parts = {"mask": mask, "restart": restart or {}}
    return {f"{part}/{name}": values for part in parts for name, values in parts[part].items()}


def _read_ticket(key: str, content: bytes) -> tuple[Arrays, Arrays | None]:
    arrays = load(content)
    if digest(arrays) != key:
        raise ValueError("its digest does not match")
    order = json.loads(metadata(content)["weights"])
    mask = {name: arrays[f"mask/{name}"] for name in order}
    restart = {
        name.removeprefix("restart/"): values
        for name, values in arrays.items()
        if name.startswith("restart/")
    }
    if len(mask) + len(restart) != len(arrays):
        raise ValueError("its header names other weights")
    return mask, restart or None


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _frame(content: bytes) -> pd.DataFrame:
    # Not pandas.read_parquet: it starts threads, and a process that ends soon after, as the
    # command line does when all levels are there, is aborted by them once in some dozen times.
    table = ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    return table.to_pandas(use_threads=False)


def _sums(files: dict[str, bytes]) -> bytes:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines).encode()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(path: Path, content: bytes) -> None:
    """Readers see the old content or the new, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_NEW)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
