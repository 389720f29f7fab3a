"""Submit, watch, cancel: a queue that gives its workers one training at a time.

What is asked for becomes a graph of levels (see graph.py), and whatever is ready and whose turn it
is goes to the next free worker. A worker that dies costs what it was at: that is given to another,
three times at most. What becomes of a job is written to the store, where every page, process and
browser reads it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lottery_core.findings.ending import ended
from lottery_core.running.crew import Crew, ending, keep_to_limit, perform, stop
from lottery_core.running.fair import check_room, runs_of_one
from lottery_core.running.forecast import Queued
from lottery_core.running.graph import Graph
from lottery_core.running.parts import Outcome, Work, asked_by, cancel_name
from lottery_core.running.upkeep import limit_is_set
from lottery_core.running.wanted import Busy, Stopping, Wanted
from lottery_core.spec.barriers import trained_ends
from lottery_core.spec.experiment import Experiment
from lottery_core.store import STOPPED, Job, Store, StoreUnavailable, task_key
from lottery_core.training.base import check_measurable

MAX_DEATHS = 3  # of workers at one part, before its jobs are given up
_LOOK = 0.25  # seconds between two looks at what others ask of its jobs


class Queue:
    """Jobs on a crew's workers, those of several visitors in turn (see `Graph`); `visitor` says
    who asks, and all that it does not tell apart are one."""

    def __init__(self, store: Store, crew: Crew, visitor: Callable[[], str] = str):
        self._store, self._crew, self._visitor = store, crew, visitor
        self._most = runs_of_one()
        self._owner = f"queue-{uuid.uuid4().hex}"
        self._alive = store.lasting(self._owner)
        self._guard = threading.RLock()
        self._graph = Graph()
        self._asked: dict[str, Wanted] = {}
        self._elsewhere: dict[str, Wanted] = {}  # another process has begun them
        self._stopping: list[Stopping] = []
        self._idle: list[Executor] = []
        self._busy: dict[str, Busy] = {}
        self._deaths: Counter[str] = Counter()
        self._closed = threading.Event()
        crew.open(store, self._join)
        threading.Thread(target=self._look, daemon=True).start()
        # Before the executors' own hook of this kind, which would wait for running jobs to end;
        # plain atexit comes after it.
        threading._register_atexit(self.close)

    @property
    def problem(self) -> str:
        """What keeps the queue from its work right now, in a sentence; empty if nothing does."""
        return " ".join(filter(None, (self._crew.problem, self._store.tell_again())))

    @property
    def machine(self) -> str:
        """The machine that trains, if that is another (see `Store.read_machine`)."""
        return self._crew.machine

    def queued(self) -> Queued:
        """What this queue is at: how soon each worker is ready, its jobs in order, and what is
        trained right now."""
        usual = self._store.read_machine(self.machine).get("warm_up", 0.0)
        with self._guard:
            jobs = tuple(self.jobs())
            wanted = ((key, self._graph.jobs_of(key)) for key in self._busy)
            begun = tuple((key, jobs[0]) for key, jobs in wanted if jobs)
        return Queued(self._crew.ready_in(usual) or (usual,), jobs, begun, self.machine)

    def submit(self, experiment: Experiment, folder: Path | None = None, **asked: Any) -> Job:
        """Ask for an experiment, with its data set's original files in `folder` if it is named;
        joins the job that is already queued or running for it, whatever levels that asks for.

        `asked` are the fields of `Job` that say how and for what: device, loop, params, levels,
        and a task of `TASKS`. Raises `InvalidValue` when the queue is full or there is nothing to
        measure, and `StoreUnavailable` when the request can't be written down; then nothing was
        asked for. Of an experiment with `until` the job is that request's until it is known where
        it ends, and then the shorter experiment's.
        """
        experiment = ended(self._store, experiment)
        task = asked.get("task", "run")
        if task == "measure":
            check_measurable(experiment.recipe)
        if task == "barriers":
            trained_ends(experiment)
        with self._guard:
            key = task_key(task, experiment.key)
            if known := self._known(key):
                return known
            self.check_room([experiment])
            job = Job(
                key=key,
                state="queued",
                owner=self._owner,
                submitted=time.time(),
                experiment=experiment.as_dict(),
                visitor=self._visitor(),
                **asked,
            )
            self._alive.renew()
            self._store.clear_cancel(key)
            self._store.write_job(job)
            self._enter(Wanted(job, folder), experiment)
            self._dispatch()
            return job

    def _shorten(self) -> bool:
        """Where it is known now at which level an experiment with `until` ends, its job goes on as
        one for so many rounds; whether any is done with that."""
        any_done = False
        for key, asked in [*self._asked.items()]:
            if not asked.job.experiment.get("until"):
                continue
            shorter = ended(self._store, Experiment.from_dict(asked.job.experiment))
            if shorter.until:
                continue
            del self._asked[key]
            beyond = self._graph.drop(key)
            asked.release()
            with suppress(StoreUnavailable):
                self._store.drop_job(key)
            if not self._known(shorter.key):
                job = replace(asked.job, key=shorter.key, experiment=shorter.as_dict())
                self._store.tell_job(job)
                self._take_up(Wanted(job, asked.folder), shorter)
                any_done |= shorter.key not in self._asked
            for part in beyond:
                if part in self._busy and not self._graph.jobs_of(part):
                    with suppress(StoreUnavailable):
                        self._store.request_cancel(cancel_name(part))
        return any_done

    def _take_up(self, asked: Wanted, experiment: Experiment) -> None:
        """Go on with what another job has begun."""
        if self._hold(asked):
            self._enter(asked, experiment)
        else:
            self._elsewhere[asked.job.key] = asked

    def _enter(self, asked: Wanted, experiment: Experiment) -> None:
        job = asked.job
        parts = asked_by(job, experiment, self._store.has)
        if not parts:  # all of it is there
            self._end(job, "done")
            asked.release()
            return
        for part in parts:
            self._deaths.pop(part.key, None)
        self._asked[job.key] = asked
        self._graph.add(job, parts)

    def _known(self, key: str) -> Job | None:
        """The job that is queued or running under that key, unless it has been told to stop."""
        known = self._store.job(key)
        if mine := self._asked.get(key) or self._elsewhere.get(key):
            if known is None:  # its record was deleted meanwhile
                self._store.write_job(mine.job)
            return mine.job
        if known and known.active and not self._store.cancel_requested(key):
            return known
        return None

    def submit_all(self, experiments: Sequence[Experiment], **options) -> list[Job]:
        """Ask for all of them, in this order, or where the queue has no room for all, for none."""
        with self._guard:
            self.check_room(experiments)
            return [self.submit(experiment, **options) for experiment in experiments]

    def check_room(self, experiments: Sequence[Experiment]) -> None:
        """Raise `InvalidValue` unless who asks may have all these runs, and there is room."""
        with self._guard:
            keys = {experiment.key for experiment in experiments}
            check_room(self.jobs(), keys, self._visitor(), self._most)

    def jobs(self) -> list[Job]:
        """Those that have a part on a worker, as "running", and then those that wait, in their
        order."""
        with self._guard:
            jobs = [one.job for one in (*self._asked.values(), *self._elsewhere.values())]
            return sorted(jobs, key=lambda job: job.state != "running")

    def cancel(self, key: str) -> None:
        """Stop a job, queued or running; its finished levels stay. Unknown keys do nothing."""
        with self._guard:
            is_mine = key in self._asked or key in self._elsewhere
            if not is_mine and self._store.job(key) is None:
                return
            self._store.request_cancel(key)
            if is_mine:
                self._leave(key, "cancelled")
                self._dispatch()

    def close(self) -> None:
        """Stop all workers at once; what they were at is taken up when it is asked for again."""
        with self._guard:
            if self._closed.is_set():
                return
            self._closed.set()
            self._crew.close()
            executors = [*self._idle, *(one.executor for one in self._busy.values())]
            asked = [*self._asked.values(), *self._elsewhere.values()]
        for executor in executors:
            stop(executor)
        for job in [*(one.job for one in asked), *(one.job for one in self._stopping)]:
            self._end(job, "cancelled", STOPPED)
        for one in asked:
            one.release()
        self._alive.remove()

    def _join(self, executor: Executor) -> None:
        """A worker has come."""
        with self._guard:
            if self._closed.is_set():
                stop(executor)
                return
            self._idle.append(executor)
            self._dispatch()
        if ready := getattr(executor, "ready", None):
            ready.add_done_callback(lambda _: self._tell())

    def _dispatch(self) -> None:
        """Give each idle worker what is next."""
        while self._idle and not self._closed.is_set():
            found = self._graph.take()
            if found is None:
                break
            part, job = found
            asked = self._asked[job.key]
            if not self._hold(asked):
                self._graph.again(part.key)
                self._graph.drop(job.key)
                self._elsewhere[job.key] = self._asked.pop(job.key)
                continue
            executor = self._idle.pop(0)
            with suppress(StoreUnavailable):
                self._store.clear_cancel(cancel_name(part.key))
            try:
                work = Work(part, job.device, job.loop, asked.folder)
                future = executor.submit(perform, self._store.root, work)
            except Exception:  # noqa: BLE001 - whatever is wrong with it, another takes its place
                self._graph.again(part.key)  # it died while idle
                self._crew.lost(executor)
                continue
            self._busy[part.key] = Busy(part, executor)
            future.add_done_callback(lambda ended, key=part.key: self._ended(key, ended))
        self._tell()

    def _hold(self, asked: Wanted) -> bool:
        """Whether this process is the one that performs the job."""
        if asked.lock is None:
            try:
                asked.lock = self._store.take(f"job-{asked.job.key}", timeout=0)
            except StoreUnavailable:
                return True  # a lock that can't be written: the part itself will say why
        return asked.lock is not None

    def _ended(self, key: str, future: Future) -> None:
        with self._guard:
            busy = self._busy.pop(key)
            if self._closed.is_set():
                return
            error = future.exception()
            any_finished = False
            try:
                any_finished = self._settle(key, error, None if error else future.result())
            finally:
                # Whatever became of the record, the worker goes on.
                if isinstance(error, BrokenExecutor):
                    self._crew.lost(busy.executor)
                else:
                    self._idle.append(busy.executor)
                    if any_finished and limit_is_set():
                        busy.executor.submit(keep_to_limit, self._store.root)
                self._dispatch()

    def _settle(self, key: str, error: BaseException | None, outcome: Outcome | None) -> bool:
        """Note in the graph what came of a part, and end the jobs that end with it; whether any
        is done."""
        any_finished = False
        if isinstance(error, BrokenExecutor):
            self._deaths[key] += 1
            if self._deaths[key] >= MAX_DEATHS:
                times = f"{MAX_DEATHS} times at the same training"
                self._give_up(key, "killed", f"{ending(error)}, {times}")
            self._graph.again(key)
        elif error is not None:
            self._give_up(key, "failed", f"{type(error).__name__}: {error}")
            self._graph.again(key)
        elif outcome.state == "done":
            any_finished = self._shorten()
            for job_key in self._graph.done(key):
                asked = self._asked.pop(job_key)
                self._end(asked.job, "done")
                asked.release()
                any_finished = True
        elif outcome.state == "lacks":
            gone = set(outcome.lacks)
            self._graph.lacks(key, gone, lambda one: one not in gone and self._store.has(one))
        else:
            if outcome.state == "failed":
                self._give_up(key, "failed", outcome.message)
            self._graph.again(key)
        for one in [*self._stopping]:
            one.parts.discard(key)
            if not one.parts:
                self._stopping.remove(one)
                if one.job.key not in self._asked:  # or it has been asked for again
                    self._end(one.job, one.state, one.message)
        return any_finished

    def _give_up(self, key: str, state: str, message: str) -> None:
        """End all jobs that want a part which can't be done."""
        for job_key in self._graph.jobs_of(key):
            self._leave(job_key, state, message)

    def _leave(self, job_key: str, state: str, message: str = "") -> None:
        """A job ends before it is done: at once, or when the workers that are only at its parts
        have stopped."""
        asked = self._asked.pop(job_key, None) or self._elsewhere.pop(job_key)
        at = [key for key in self._graph.drop(job_key) if key in self._busy]
        for key in at:
            with suppress(StoreUnavailable):
                self._store.request_cancel(cancel_name(key))
        asked.release()
        parts = {key for key in at if self._busy[key].is_ready}
        if parts:
            self._stopping.append(Stopping(asked.job, parts, state, message))
        else:
            self._end(asked.job, state, message)

    def _end(self, job: Job, state: str, message: str = "") -> None:
        self._store.tell_job(replace(job, state=state, message=message, finished=time.time()))

    def _tell(self) -> None:
        """Write down which jobs have begun, and which wait again."""
        with self._guard:
            if self._closed.is_set():
                return
            at = {}
            for key, busy in self._busy.items():
                if busy.is_ready:
                    process = getattr(busy.executor, "process", None)
                    at |= dict.fromkeys(self._graph.jobs_of(key), process)
            for key, asked in self._asked.items():
                job, state = asked.job, "running" if key in at else "queued"
                process = at.get(key, job.process)
                if (state, process) != (job.state, job.process):
                    began = job.started or (time.time() if key in at else None)
                    asked.job = replace(job, state=state, process=process, started=began)
                    self._store.tell_job(asked.job)

    def _look(self) -> None:
        """See, now and then, to what other processes ask of this queue's jobs."""
        while not self._closed.wait(_LOOK):
            with self._guard, suppress(StoreUnavailable):
                if not self._asked and not self._elsewhere:
                    continue
                self._alive.renew()
                for key in [*self._asked, *self._elsewhere]:
                    if self._store.cancel_requested(key):
                        self.cancel(key)
                for key, asked in [*self._elsewhere.items()]:
                    if self._hold(asked):
                        del self._elsewhere[key]
                        self._enter(asked, Experiment.from_dict(asked.job.experiment))
                        self._shorten()
                        self._dispatch()
