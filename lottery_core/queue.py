"""Submit, watch, cancel: a first-come-first-served queue over known executors.

Each executor runs one job at a time, so that the place in the queue is exact and a worker
that dies takes no other job down. What becomes of a job is written to the store, where
every page, process and browser reads it.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import replace
from pathlib import Path

from loky.process_executor import ProcessPoolExecutor

from lottery_core.experiment import Experiment, InvalidValue
from lottery_core.store import Job, Store, task_key

MAX_QUEUED = 100


# torch is imported in the workers alone: these two run there.
def _warm(root: Path) -> None:
    from lottery_core import worker

    worker.warm(root)


def _perform(root: Path, job: Job, folder: Path | None) -> Job:
    from lottery_core import worker

    return worker.perform(Store(root), job, folder=folder)


def local_worker(root: Path) -> Executor:
    """One process of this machine, warmed up as soon as it starts (loky: its children do not
    run the main script again, as multiprocessing's spawned ones would)."""
    executor = ProcessPoolExecutor(
        max_workers=1,
        timeout=None,
        initializer=_warm,
        initargs=(root,),
        env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    executor.submit(int)
    return executor


class Queue:
    """Jobs in order of arrival on `workers` executors.

    `start(root)` makes an executor with one worker; it is called again when one breaks. For
    a cluster, hand it one that asks Dask: `client.get_executor(workers=[address])`, with the
    store on storage that all share.
    """

    def __init__(
        self, store: Store, workers: int, start: Callable[[Path], Executor] = local_worker
    ):
        self._store, self._start = store, start
        self._owner = f"queue-{uuid.uuid4().hex}"
        self._alive = store.lock(self._owner)
        self._alive.acquire()
        self._guard = threading.RLock()
        self._waiting: deque[tuple[Job, Path | None]] = deque()
        self._idle: list[Executor] = [start(store.root) for _ in range(workers)]
        self._busy: dict[str, Executor] = {}
        self._closed = False
        # Before the executors' own hook of this kind, which would wait for running jobs to end;
        # plain atexit comes after it.
        threading._register_atexit(self.close)

    def submit(
        self,
        experiment: Experiment,
        *,
        device: str = "cpu",
        loop: str = "auto",
        folder: Path | None = None,
        params: dict[str, str] | None = None,
        task: str = "run",
    ) -> Job:
        """Ask for an experiment, and with `task` "measure" or "instability" for that of its
        levels too; joins the job that is already queued or running for it.

        Raises `InvalidValue` when the queue is full.
        """
        with self._guard:
            key = task_key(task, experiment.key)
            known = self._store.job(key)
            if known and known.active and not self._store.cancel_requested(known.key):
                return known
            for job, _ in self._waiting:
                if job.key == key:
                    return job
            if len(self._waiting) >= MAX_QUEUED:
                raise InvalidValue(
                    "queue", len(self._waiting), "is full; wait for a run to end, or stop one"
                )
            job = Job(
                key=key,
                task=task,
                state="queued",
                owner=self._owner,
                submitted=time.time(),
                experiment=experiment.as_dict(),
                device=device,
                loop=loop,
                params=params or {},
            )
            if job.key not in self._busy:
                self._store.clear_cancel(job.key)
            self._store.write_job(job)
            self._waiting.append((job, folder))
            self._dispatch()
            return job

    def submit_all(self, experiments: Sequence[Experiment], **options) -> list[Job]:
        """Ask for all of them, in this order, or where the queue has no room for all, for none."""
        with self._guard:
            if len(self._waiting) + len(experiments) > MAX_QUEUED + len(self._idle):
                raise InvalidValue(
                    "queue",
                    len(self._waiting),
                    f"has no room for {len(experiments)} more runs (it holds {MAX_QUEUED}); wait "
                    "for runs to end, or ask for fewer seeds or controls",
                )
            return [self.submit(experiment, **options) for experiment in experiments]

    def cancel(self, key: str) -> None:
        """Stop a job, queued or running; its finished levels stay. Unknown keys do nothing."""
        if self._store.job(key) is None:
            return
        self._store.request_cancel(key)
        with self._guard:
            self._waiting = deque(entry for entry in self._waiting if entry[0].key != key)
            job = self._store.job(key)
            if job and job.state == "queued" and job.owner == self._owner:
                self._end(job, "cancelled")

    def close(self) -> None:
        """Stop all workers at once; what they were at is taken up when it is asked for again."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            executors = [*self._idle, *self._busy.values()]
            waiting = {job.key: job for job, _ in self._waiting}
        for executor in executors:
            _stop(executor)
        running = {key: self._store.job(key) for key in self._busy}
        for job in (running | waiting).values():
            if job and job.state != "done":
                self._end(job, "cancelled", "the server stopped")
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)

    def _end(self, job: Job, state: str, message: str = "") -> None:
        self._store.write_job(replace(job, state=state, message=message, finished=time.time()))

    def _dispatch(self) -> None:
        while self._idle and not self._closed:
            # A job that was cancelled and asked for again waits until it has stopped.
            ready = [entry for entry in self._waiting if entry[0].key not in self._busy]
            if not ready:
                return
            job, folder = ready[0]
            self._waiting.remove(ready[0])
            executor = self._idle.pop(0)
            self._busy[job.key] = executor
            self._store.clear_cancel(job.key)
            try:
                future = executor.submit(_perform, self._store.root, job, folder)
            except BrokenExecutor:
                # It died while idle: the job goes to a new worker, ahead of all others.
                self._waiting.appendleft((job, folder))
                del self._busy[job.key]
                self._replace(executor)
                return
            future.add_done_callback(lambda ended, job=job: self._ended(job, ended))

    def _ended(self, job: Job, future: Future) -> None:
        with self._guard:
            executor = self._busy.pop(job.key)
            if self._closed:
                return
            error = future.exception()
            broken = isinstance(error, BrokenExecutor)
            if error is not None:
                written = self._store.job(job.key) or job
                if broken:
                    self._end(written, "killed", f"the worker process {_ending(error)}")
                else:
                    self._end(written, "failed", f"{type(error).__name__}: {error}")
            for again, _ in self._waiting:
                if again.key == job.key:  # its record has just been written over
                    self._store.write_job(again)
            if broken:
                self._replace(executor)
            else:
                self._idle.append(executor)
                self._dispatch()

    def _replace(self, executor: Executor) -> None:
        # Not on this thread, which belongs to the broken executor.
        def restart() -> None:
            _stop(executor)
            fresh = self._start(self._store.root)
            with self._guard:
                if self._closed:
                    _stop(fresh)
                    return
                self._idle.append(fresh)
                self._dispatch()

        threading.Thread(target=restart, daemon=True).start()


def _stop(executor: Executor) -> None:
    if isinstance(executor, ProcessPoolExecutor):
        executor.shutdown(wait=True, kill_workers=True)
    else:
        executor.shutdown(wait=False, cancel_futures=True)


def _ending(error: BaseException) -> str:
    """How a worker ended, in words; loky puts the signal's name into its error."""
    for name in ("SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT"):
        if name in str(error):
            return f"was ended by {name} ({signal.strsignal(getattr(signal, name))})"
    return "ended unexpectedly"
