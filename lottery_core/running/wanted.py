"""What a queue holds of its jobs: those that are wanted, those that stop, and what is trained."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from lottery_core.running.parts import Part
from lottery_core.store import Job


@dataclass
class Wanted:
    """A job, the folder of its data if it has one, and the lock that says that it is performed
    here, held from its first part on."""

    job: Job
    folder: Path | None
    lock: FileLock | None = None

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None


@dataclass
class Stopping:
    """A job that was told to stop or can't go on, the parts it still waits for, and how it ends."""

    job: Job
    parts: set[str]
    state: str
    message: str = ""


@dataclass(frozen=True)
class Busy:
    """A part, and the executor that performs it."""

    part: Part
    executor: Executor

    @property
    def is_ready(self) -> bool:
        """Whether the worker has started."""
        ready = getattr(self.executor, "ready", None)
        return ready is None or ready.done()
