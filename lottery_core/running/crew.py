"""Who does the work of a queue: processes of this machine, each an executor with one worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from pathlib import Path

from loky.process_executor import ProcessPoolExecutor

from lottery_core.running import upkeep
from lottery_core.running.parts import Outcome, Work
from lottery_core.running.time_left import learn_warm_up
from lottery_core.store import Store
from lottery_core.training.process import follow

TRY_AGAIN = 5.0  # seconds until a worker that could not be started is tried again


# These run in workers alone: torch is imported there.
def _warm(root: Path, parent: int, started: float) -> None:
    follow(parent)  # before anything that takes time
    from lottery_core.running import worker

    worker.warm(root)
    learn_warm_up(Store(root), time.time() - started)


def perform(root: Path, work: Work) -> Outcome:
    """What a worker is given to do: one part of a job."""
    from lottery_core.running import worker

    return worker.perform_part(Store(root), work)


def keep_to_limit(root: Path) -> None:
    """What a worker is given to do after a job, where the cache has a limit."""
    upkeep.keep_to_limit(Store(root))


class WorkerGone(BrokenExecutor):
    """A worker, or the way to it, is gone; the message says which."""


class LocalWorker(ProcessPoolExecutor):
    """One process of this machine, warmed up as soon as it starts (loky: its children do not
    run the main script again, as multiprocessing's spawned ones would)."""

    def __init__(self, root: Path):
        super().__init__(
            max_workers=1,
            timeout=None,
            initializer=_warm,
            initargs=(root, os.getpid(), time.time()),
            env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        self.ready: Future = self.submit(int)

    @property
    def process(self) -> int | None:
        """The process's number, once it has been started."""
        return next(iter(self._processes or ()), None)


class Crew:
    """So many workers, made by `start(root)`; one that breaks is replaced, and one that can't be
    started is tried again every few seconds."""

    machine = ""  # this one: the name under which a store has what is known of it
    is_lost = False  # they are here

    def __init__(self, count: int, start: Callable[[Path], Executor] = LocalWorker):
        self._count, self._start = count, start
        self._began: dict[Executor, float] = {}  # by time.monotonic()
        self._closed = threading.Event()
        self.problem = ""
        """What keeps it from its work right now, in a sentence; empty if nothing does."""

    def open(self, store: Store, join: Callable[[Executor], None]) -> None:
        """Start the workers; each is handed to `join` when it can be given work."""
        self._root, self._join = store.root, join
        for _ in range(self._count):
            if not self._hire():
                self._replace()

    def lost(self, executor: Executor) -> None:
        """One of the workers is broken."""
        self._replace(executor)

    def ready_in(self, usual: float) -> tuple[float, ...]:
        """For each worker the seconds until it can begin; `usual` is what a start takes."""
        now = time.monotonic()
        return tuple(max(0.0, usual - (now - since)) for since in [*self._began.values()])

    def close(self) -> None:
        """Start no more; those that were handed out are stopped by who has them."""
        self._closed.set()

    def _hire(self) -> bool:
        began = time.monotonic()
        try:
            fresh = self._start(self._root)
        except Exception as error:  # noqa: BLE001 - whatever is in the way, the remedy is one
            self.problem = (
                f"A worker process can't be started ({type(error).__name__}: {error}); it is "
                f"tried again every {TRY_AGAIN:g} seconds. Runs wait until then."
            )
            return False
        self.problem = ""
        if self._closed.is_set():
            stop(fresh)
        else:
            self._began[fresh] = began
            self._join(fresh)
        return True

    def _replace(self, executor: Executor | None = None) -> None:
        self._began.pop(executor, None)

        # Not on this thread, which may belong to the broken executor.
        def restart() -> None:
            if executor is not None:
                with suppress(Exception):  # it is broken, and may say so again
                    stop(executor)
            while not self._closed.is_set() and not self._hire():
                self._closed.wait(TRY_AGAIN)

        threading.Thread(target=restart, daemon=True).start()


def stop(executor: Executor) -> None:
    """End a worker at once; what it was at is lost."""
    if isinstance(executor, ProcessPoolExecutor):
        executor.shutdown(wait=True, kill_workers=True)
    else:
        executor.shutdown(wait=False, cancel_futures=True)


def ending(error: BrokenExecutor) -> str:
    """How a worker ended, in words; loky puts the signal's name into its error."""
    if isinstance(error, WorkerGone):
        return str(error)
    for name in ("SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT"):
        if name in str(error):
            words = signal.strsignal(getattr(signal, name))
            return f"the worker process was ended by {name} ({words})"
    return "the worker process ended unexpectedly"
