"""What became of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lottery_core.store.files import Remembered, StoreUnavailable, explained
from lottery_core.store.locks import Locks

_READ = 20_000  # records that are remembered as they were read last


@dataclass(frozen=True)
class Job:
    """What became of one request. With `task` "run" it asks for an experiment, whose key it
    has, or for the first so many of its `levels`; with "measure" for the speed of that
    experiment's levels, with "instability" for what another data order does to them, with
    "barriers" for what lies between its last level and other trainings of that mask, with "early"
    for when their masks could be told (see `task_key`).

    `state` is queued, running, done, cancelled, failed or killed. `owner` names the lock
    that whoever answers for this state holds: a queued or running job whose owner's lock is
    free has been killed. Times are seconds since 1970. `params` is the choice it came from, as
    in a link to it, `visitor` who asked for it, as far as the queue can tell.
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
    visitor: str = ""
    levels: int | None = None

    @property
    def active(self) -> bool:
        """Queued or running."""
        return self.state in ("queued", "running")


PATH = "path-"
TASKS = ("run", "measure", "instability", "barriers", "early")


def task_key(task: str, experiment_key: str) -> str:
    """The key of a job with that task on an experiment, and of what it measures; that of task
    "run" is the experiment's own."""
    return experiment_key if task == "run" else f"{task}-{experiment_key}"


def path_key(level_key: str, iteration: int) -> str:
    """The key of what two copies of a level from an iteration gave; it goes with the level, which
    several experiments may have."""
    return f"{PATH}{level_key}-{iteration}"


def measurement_key(experiment_key: str) -> str:
    """The key of a job that measures an experiment's levels, and of what it measured."""
    return task_key("measure", experiment_key)


STOPPED = "the server stopped"


class Jobs(Locks):
    """One record a job. All that write raise `StoreUnavailable`."""

    def __init__(self, root: str | Path):
        super().__init__(root)
        self._untold: dict[str, Job] = {}
        self._jobs: Remembered[Job | None] = Remembered(_READ)

    def write_job(self, job: Job) -> None:
        """Replace what is said of a job."""
        self._put(self._job_path(job.key), json.dumps(asdict(job)).encode())
        self._untold.pop(job.key, None)

    def tell_job(self, job: Job) -> None:
        """As `write_job`; what can't be written is remembered by this process until
        `tell_again` can write it, and `job` knows it meanwhile."""
        try:
            self.write_job(job)
        except StoreUnavailable:
            self._untold[job.key] = job

    def tell_again(self) -> str:
        """Write what could not be written; why it still can't be, or an empty text."""
        for job in list(self._untold.values()):
            try:
                self.write_job(job)
            except StoreUnavailable as error:
                return f"What became of a run can't be written: {error}."
        return ""

    def job(self, key: str) -> Job | None:
        """What became of an experiment. Where its owner died without a word: "killed"; or
        "cancelled", if that was a queue, or what it waited for: the server stopped. Raises
        `StoreUnavailable` where the record is not ours to read."""
        job = self._recorded(key)
        if job and job.active and not self.is_held(job.owner):
            # The owner may have finished between the two looks.
            if self._recorded(key) != job:
                return self.job(key)
            if job.state == "queued" or job.owner.startswith("queue-"):
                return replace(job, state="cancelled", message=STOPPED)
            message = "its process ended without a word"
            return replace(job, state="killed", message=job.message or message)
        return job

    def jobs(self) -> list[Job]:
        """All known jobs that are ours to read, newest request first."""
        return sorted(self._readable(), key=lambda job: -job.submitted)

    def drop_job(self, key: str) -> None:
        """Forget a job: another record says what became of it."""
        self._untold.pop(key, None)
        self._forget(self._job_path(key))
        self.clear_cancel(key)

    def request_cancel(self, key: str) -> None:
        """Ask whoever runs the job to stop."""
        self._put(self._job_path(key, ".cancel"), b"")

    def cancel_requested(self, key: str) -> bool:
        """Whether `request_cancel` was called since the last `clear_cancel`."""
        with explained(self.root, f"job {key}"):
            return self._job_path(key, ".cancel").exists()

    def clear_cancel(self, key: str) -> None:
        """Take a request to cancel back."""
        self._forget(self._job_path(key, ".cancel"))

    def _readable(self) -> Iterator[Job]:
        for name in self._names("jobs"):
            with suppress(StoreUnavailable):
                if name.endswith(".json") and (job := self.job(name.removesuffix(".json"))):
                    yield job

    def _recorded(self, key: str) -> Job | None:
        if key in self._untold:
            return self._untold[key]
        path = self._job_path(key)

        def read() -> Job | None:
            content = self._get(path, f"job {key}")
            try:
                return None if content is None else Job(**json.loads(content))
            except (ValueError, TypeError):
                return None

        return self._jobs.get(path, read)

    def _job_path(self, key: str, suffix: str = ".json") -> Path:
        return self.root / "jobs" / f"{key}{suffix}"
