"""Submit, watch, cancel: a queue over known executors that serves visitors in turn.

Each executor runs one job at a time, so that a worker that dies takes no other job down. While
others wait a job gives way between two of its trainings, and waits for its next turn. What becomes
of a job is written to the store, where every page, process and browser reads it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from loky.process_executor import ProcessPoolExecutor

from lottery_core.running.fair import MAX_QUEUED, Turns, runs_of_one
from lottery_core.running.forecast import Queued
from lottery_core.running.time_left import learn_warm_up
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.store import STOPPED, Job, Store, StoreUnavailable, task_key
from lottery_core.training.base import check_measurable
from lottery_core.training.process import follow

_TRY_AGAIN = 5.0  # seconds until a worker that could not be started is tried again


# These run in workers alone: torch is imported there, and only once the parent is watched.
_performed: tuple[Store, Job] | None = None


def _warm(root: Path, parent: int, started: float) -> None:
    follow(parent, _tell_of_the_stop)
    from lottery_core.running import worker

    worker.warm(root)
    learn_warm_up(Store(root), time.time() - started)


def _perform(root: Path, job: Job, folder: Path | None) -> Job:
    global _performed
    from lottery_core.running import worker

    _performed = Store(root), job
    try:
        return worker.perform(*_performed, folder=folder)
    finally:
        _performed = None


def _tell_of_the_stop() -> None:
    """A server that was killed can't say so: its worker does, before it ends too."""
    if _performed is not None:
        store, job = _performed
        written = store.job(job.key) or job
        if written.active:
            ended = {"state": "cancelled", "message": STOPPED, "finished": time.time()}
            store.write_job(replace(written, **ended))


def local_worker(root: Path) -> Executor:
    """One process of this machine, warmed up as soon as it starts (loky: its children do not
    run the main script again, as multiprocessing's spawned ones would)."""
    executor = ProcessPoolExecutor(
        max_workers=1,
        timeout=None,
        initializer=_warm,
        initargs=(root, os.getpid(), time.time()),
        env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    executor.submit(int)
    return executor


@dataclass(frozen=True)
class _Busy:
    """A job, the folder of its data if it has one, and the executor that performs it."""

    job: Job
    folder: Path | None
    executor: Executor


class Queue:
    """Jobs on `workers` executors, those of several visitors in turn (see `Turns`); `visitor` says
    who asks, and all that it does not tell apart are one.

    `start(root)` makes an executor with one worker; it is called again when one breaks, and
    again every few seconds while it fails. For a cluster, hand it one that asks Dask:
    `client.get_executor(workers=[address])`, with the store on storage that all share.
    """

    def __init__(
        self,
        store: Store,
        workers: int,
        start: Callable[[Path], Executor] = local_worker,
        visitor: Callable[[], str] = str,
    ):
        self._store, self._start, self._visitor = store, start, visitor
        self._turns, self._most = Turns(), runs_of_one()
        self._owner = f"queue-{uuid.uuid4().hex}"
        self._alive = store.lasting(self._owner)
        self._guard = threading.RLock()
        self._waiting: deque[tuple[Job, Path | None]] = deque()
        self._idle: list[Executor] = []
        self._hired: dict[Executor, float] = {}  # when, by time.monotonic()
        self._busy: dict[str, _Busy] = {}
        self._closed = threading.Event()
        self._no_worker = ""
        for _ in range(workers):
            if not self._hire():
                self._replace()
        # Before the executors' own hook of this kind, which would wait for running jobs to end;
        # plain atexit comes after it.
        threading._register_atexit(self.close)

    @property
    def problem(self) -> str:
        """What keeps the queue from its work right now, in a sentence; empty if nothing does."""
        return " ".join(filter(None, (self._no_worker, self._store.tell_again())))

    def queued(self) -> Queued:
        """What this queue is at: how soon each worker is ready, and its jobs in order."""
        usual = self._store.read_machine().get("warm_up", 0.0)
        with self._guard:
            jobs, hired = tuple(self.jobs()), [*self._hired.values()]
        now = time.monotonic()
        ready = tuple(max(0.0, usual - (now - since)) for since in hired)
        return Queued(ready or (usual,), jobs)

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

        Raises `InvalidValue` when the queue is full or there is nothing to "measure", and
        `StoreUnavailable` when the request can't be written down; then nothing was asked for.
        """
        if task == "measure":
            check_measurable(experiment.recipe)
        with self._guard:
            key = task_key(task, experiment.key)
            if known := self._known(key):
                return known
            self.check_room([experiment])
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
                visitor=self._visitor(),
            )
            self._alive.renew()
            if job.key not in self._busy:
                self._store.clear_cancel(job.key)
            self._store.write_job(job)
            self._waiting.append((job, folder))
            self._dispatch()
            return job

    def _known(self, key: str) -> Job | None:
        """The job that is queued or running under that key, unless it has been told to stop."""
        known = self._store.job(key)
        if known and known.active and not self._store.cancel_requested(key):
            return known
        for job, _ in self._waiting:
            if job.key == key:
                return job
        busy = self._busy.get(key)
        if known is None and busy and not self._store.cancel_requested(key):
            # It runs, and its record was deleted meanwhile.
            job = replace(busy.job, state="running", owner=f"job-{key}", started=time.time())
            self._store.write_job(job)
            return job
        return None

    def submit_all(self, experiments: Sequence[Experiment], **options) -> list[Job]:
        """Ask for all of them, in this order, or where the queue has no room for all, for none."""
        with self._guard:
            self.check_room(experiments)
            return [self.submit(experiment, **options) for experiment in experiments]

    def check_room(self, experiments: Sequence[Experiment]) -> None:
        """Raise `InvalidValue` unless who asks may have all these runs, and there is room."""
        with self._guard:
            known = [job for job, _ in self._waiting] + [one.job for one in self._busy.values()]
            taken, who = {job.key for job in known}, self._visitor()
            new = sum(experiment.key not in taken for experiment in experiments)
            mine = sum(job.visitor == who for job in known)
            remedy = "wait for runs to end, stop some, or ask for fewer seeds or controls"
            if new and mine + new > self._most:
                raise InvalidValue(
                    "queue",
                    mine,
                    f"has no room for {new} more runs (one visitor may have {self._most}); "
                    f"{remedy}",
                )
            if new and len(known) + new > MAX_QUEUED:
                raise InvalidValue(
                    "queue",
                    len(known),
                    f"has no room for {new} more runs (it holds {MAX_QUEUED}); {remedy}",
                )

    def jobs(self) -> list[Job]:
        """Those on its workers, as "running", and those that wait, in their order."""
        with self._guard:
            busy = [replace(one.job, state="running") for one in self._busy.values()]
            return busy + [job for job, _ in self._waiting]

    def cancel(self, key: str) -> None:
        """Stop a job, queued or running; its finished levels stay. Unknown keys do nothing."""
        with self._guard:
            asked = {job.key for job, _ in self._waiting} | self._busy.keys()
            if key not in asked and self._store.job(key) is None:
                return
            self._store.request_cancel(key)
            self._waiting = deque(entry for entry in self._waiting if entry[0].key != key)
            job = self._store.job(key)
            if job and job.state == "queued" and job.owner == self._owner:
                self._end(job, "cancelled")

    def close(self) -> None:
        """Stop all workers at once; what they were at is taken up when it is asked for again."""
        with self._guard:
            if self._closed.is_set():
                return
            self._closed.set()
            busy = {key: one.job for key, one in self._busy.items()}
            executors = [*self._idle, *(one.executor for one in self._busy.values())]
            waiting = {job.key: job for job, _ in self._waiting}
        for executor in executors:
            _stop(executor)
        for key, job in (busy | waiting).items():
            written = self._store.job(key) or job
            if written.finished is None:
                self._end(written, "cancelled", STOPPED)
        self._alive.remove()

    def _end(self, job: Job, state: str, message: str = "") -> None:
        self._store.tell_job(replace(job, state=state, message=message, finished=time.time()))

    def _dispatch(self) -> None:
        while self._idle and not self._closed.is_set():
            # A job that was cancelled and asked for again waits until it has stopped.
            ready = [entry for entry in self._waiting if entry[0].key not in self._busy]
            if not ready:
                return
            busy = [one.job for one in self._busy.values()]
            job, folder = entry = ready[self._turns.next([job for job, _ in ready], busy)]
            self._waiting.remove(entry)
            executor = self._idle.pop(0)
            with suppress(StoreUnavailable):
                self._store.clear_cancel(job.key)
            try:
                future = executor.submit(_perform, self._store.root, job, folder)
            except Exception:  # noqa: BLE001 - whatever is wrong with it, another takes its place
                # It died while idle: the job goes to a new worker, ahead of all others.
                self._waiting.appendleft(entry)
                self._replace(executor)
                continue
            self._turns.take(job, [*busy, *(other for other, _ in self._waiting)])
            self._busy[job.key] = _Busy(job, folder, executor)
            future.add_done_callback(lambda ended, job=job: self._ended(job, ended))
        self._ask_to_give_way()

    def _ask_to_give_way(self) -> None:
        """Have what runs pause after a training where somebody else waits."""
        waiting = {job.visitor for job, _ in self._waiting}
        for key, one in self._busy.items():
            if waiting - {one.job.visitor}:
                with suppress(StoreUnavailable):
                    self._store.request_pause(key)

    def _ended(self, job: Job, future: Future) -> None:
        with self._guard:
            one = self._busy.pop(job.key)
            if self._closed.is_set():
                return
            error = future.exception()
            try:
                with suppress(StoreUnavailable):
                    self._store.clear_pause(job.key)
                ended = None if error else future.result()
                if ended is None or ended.state != "queued":
                    self._record(job, error, ended)
                elif self._store.cancel_requested(job.key):
                    self._record(job, None, replace(ended, state="cancelled", finished=time.time()))
                else:  # it gave way, and waits ahead of its visitor's other jobs
                    self._waiting.appendleft((ended, one.folder))
                    self._record(job, None, ended)
            finally:
                # Whatever became of the record, the worker goes on.
                if isinstance(error, BrokenExecutor):
                    self._replace(one.executor)
                else:
                    self._idle.append(one.executor)
                    self._dispatch()

    def _record(self, job: Job, error: BaseException | None, ended: Job | None) -> None:
        written = None
        with suppress(StoreUnavailable):
            written = self._store.job(job.key)
        if isinstance(error, BrokenExecutor):
            self._end(written or job, "killed", f"the worker process {_ending(error)}")
        elif error is not None:
            self._end(written or job, "failed", f"{type(error).__name__}: {error}")
        elif ended is not None and written != ended:
            self._store.tell_job(ended)  # the worker could not, or somebody deleted it
        for again, _ in self._waiting:
            if again.key == job.key:  # its record has just been written over
                self._store.tell_job(again)

    def _hire(self) -> bool:
        """Start a worker and hand it a job; False, with `problem` saying so, if none starts."""
        began = time.monotonic()
        try:
            fresh = self._start(self._store.root)
        except Exception as error:  # noqa: BLE001 - whatever is in the way, the remedy is one
            self._no_worker = (
                f"A worker process can't be started ({type(error).__name__}: {error}); it is "
                f"tried again every {_TRY_AGAIN:g} seconds. Runs wait until then."
            )
            return False
        with self._guard:
            self._no_worker = ""
            if self._closed.is_set():
                _stop(fresh)
            else:
                self._idle.append(fresh)
                self._hired[fresh] = began
                self._dispatch()
        return True

    def _replace(self, executor: Executor | None = None) -> None:
        self._hired.pop(executor, None)

        # Not on this thread, which may belong to the broken executor.
        def restart() -> None:
            if executor is not None:
                with suppress(Exception):  # it is broken, and may say so again
                    _stop(executor)
            while not self._closed.is_set() and not self._hire():
                self._closed.wait(_TRY_AGAIN)

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
