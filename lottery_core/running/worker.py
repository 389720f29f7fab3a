"""What a worker process does: warm up, then perform one part of a job after another; and how the
command line performs a whole job, in its own process."""

from __future__ import annotations

import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch

from lottery_core.data import DataUnavailable, own
from lottery_core.findings.ending import ended
from lottery_core.running import barriers, early, engine, instability, pace, upkeep
from lottery_core.running.looks import looks_of
from lottery_core.running.parts import Outcome, Part, Work, cancel_name
from lottery_core.running.starts import starts_of
from lottery_core.spec.barriers import trained_ends
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.presets import PRESETS
from lottery_core.store import Job, Level, PartsDone, Store, StoreUnavailable, Waiting, processor
from lottery_core.training import loops
from lottery_core.training.base import TrainingDiverged, check_measurable
from lottery_core.training.context import Context, Monitor
from lottery_core.training.kept import CannotCompile
from lottery_core.training.torch_loop import devices

# Problems whose message is for people as it is.
_TOLD = (InvalidValue, DataUnavailable, StoreUnavailable, TrainingDiverged, CannotCompile)
_READ = 0.2  # seconds; what takes less was not measured but read


class Cancelled(Exception):
    """Somebody asked for this job to stop."""


class Record:
    """A job's record while the job is performed; `job` is how it stands, also where the store
    can't keep it."""

    def __init__(self, store: Store, job: Job):
        self.job = job
        self._store, self._lock = store, None

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked for the job to stop; many times a second."""
        self._check_asked()
        self._lock.renew()

    def _check_asked(self) -> None:
        if self._store.cancel_requested(self.job.key):
            raise Cancelled

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Wait until nobody else performs the job; inside it runs, and at the end the record says
        what became of it. What goes wrong is raised on."""
        key = self.job.key
        owner = f"job-{key}"
        try:
            with self._store.held(owner, self._check_asked) as self._lock:
                began = self.job.started or time.time()
                self._note(state="running", owner=owner, started=began, process=os.getpid())
                try:
                    self._store.write_job(self.job)
                    self.check()
                    yield
                    self._note(state="done", message="", finished=time.time(), **self._came_to())
                except BaseException as error:
                    self._note(**_ended_by(error))
                    raise
                finally:
                    with suppress(StoreUnavailable):
                        self._store.write_job(self.job)
                        if self.job.key != key:
                            self._store.drop_job(key)
        except (Cancelled, StoreUnavailable) as error:
            if not self.job.finished:  # it never began here: another process has the record
                self._note(**_ended_by(error))
            raise

    def _came_to(self) -> dict[str, object]:
        """Of a job that was to stop early the experiment that it turned out to be."""
        experiment = Experiment.from_dict(self.job.experiment)
        if experiment.until is None:
            return {}
        shorter = ended(self._store, experiment)
        return {"key": shorter.key, "experiment": shorter.as_dict()}

    def _note(self, **news: object) -> None:
        self.job = replace(self.job, **news)


def _ended_by(error: BaseException) -> dict[str, object]:
    """What a record says of a job that ended so."""
    now = time.time()
    # Who read the output may go away (SystemExit), who takes the levels may take no more.
    if isinstance(error, Cancelled | KeyboardInterrupt | SystemExit | GeneratorExit):
        return {"state": "cancelled", "message": "", "finished": now}
    message = str(error) if isinstance(error, _TOLD) else f"{type(error).__name__}: {error}"
    return {"state": "failed", "message": message, "finished": now}


def perform(
    store: Store,
    job: Job,
    *,
    folder: Path | None = None,
    show: Callable[[Level], None] = lambda level: None,
) -> Job:
    """Run a job's experiment and keep its record in the store; returns the final record.

    Whatever goes wrong ends up in the record, and where that can't be written, in what is
    returned. `show` is called with every level.
    """
    record = Record(store, job)
    try:
        with record.kept():
            _perform(store, job, folder, show, record.check)
        with suppress(StoreUnavailable):  # the run itself has ended well
            upkeep.keep_to_limit(store)
    except (Cancelled, KeyboardInterrupt, SystemExit, *_TOLD):
        pass  # it is in the record
    except Exception:  # noqa: BLE001 - a fault of ours: the record has a sentence, the log the rest
        traceback.print_exc()
    return record.job


def _perform(
    store: Store,
    job: Job,
    folder: Path | None,
    show: Callable[[Level], None],
    check: Callable[[], None],
) -> None:
    own.register(store.datasets)
    experiment = Experiment.from_dict(job.experiment)
    context = Context(store, job.device, job.loop, folder, Monitor(check))
    for level in engine.run(experiment, context):
        show(level)
        check()


def perform_part(store: Store, work: Work) -> Outcome:
    """Do one part of a job; what comes of it is in the store. Whatever goes wrong is in what is
    returned."""
    name = cancel_name(work.part.key)

    def check() -> None:
        if store.cancel_requested(name):
            raise Cancelled

    try:
        own.register(store.datasets)
        context = Context(store, work.device, work.loop, work.folder, Monitor(check))
        if work.part.task != "run":
            if gone := tuple(key for key in work.part.needs if not store.has(key)):
                return Outcome("lacks", lacks=gone)
            _MEASURES[work.part.task](work.part, context)
            return Outcome("done")
        return _train(work.part, context)
    except (Cancelled, KeyboardInterrupt, SystemExit):
        return Outcome("cancelled")
    except Exception as error:  # noqa: BLE001 - a fault of ours: its record has a sentence
        if not isinstance(error, _TOLD):
            traceback.print_exc()  # and the log the rest
        return Outcome("failed", _ended_by(error)["message"])


def _train(part: Part, context: Context) -> Outcome:
    store = context.store
    if store.read(part.key) is not None:  # another process was faster
        return Outcome("done")
    levels = {key: store.read(key) for key in part.needs}
    if gone := tuple(key for key, level in levels.items() if level is None):
        return Outcome("lacks", lacks=gone)
    trunk, n = part.experiment.trunk.keys, part.level
    dense, previous = (levels[trunk[0]], levels[trunk[n - 1]]) if n else (None, None)
    engine.find_level(part.experiment, part.level, dense, previous, context)
    return Outcome("done")


def _measure_speed(part: Part, context: Context) -> None:
    check_measurable(part.experiment.recipe)
    store = context.store

    def others() -> int:
        return sum(other.state == "running" and other.key != part.key for other in store.jobs())

    beside = others()

    def watch(done: int) -> None:
        nonlocal beside
        beside = max(beside, others())

    with _monitored(context, part.key, len(part.experiment.keys), watch) as monitored:
        loops.prepare(store, monitored.monitor.check, monitored.monitor.say)
        # Compiled code, whose import settles where it is kept: only now, when that is known.
        from lottery_core.running import measurement

        measured = measurement.measure(part.experiment, monitored)
        store.write_measurement(part.key, replace(measured, beside=beside))


def _measure_instability(part: Part, context: Context) -> None:
    starts = starts_of(part.experiment)
    with _monitored(context, part.key, len(starts)) as monitored:
        measured = instability.measure(part.experiment, starts, monitored)
        context.store.write_measurement(part.key, measured)


def _measure_barriers(part: Part, context: Context) -> None:
    with _monitored(context, part.key, len(trained_ends(part.experiment)) + 1) as monitored:
        context.store.write_measurement(part.key, barriers.measure(part.experiment, monitored))


def _measure_early(part: Part, context: Context) -> None:
    with _monitored(context, part.key, len(looks_of(part.experiment))) as monitored:
        measured = early.measure(part.experiment, monitored)
        context.store.write_measurement(part.key, measured)


_MEASURES = {
    "measure": _measure_speed,
    "instability": _measure_instability,
    "barriers": _measure_barriers,
    "early": _measure_early,
}


@contextmanager
def _monitored(
    context: Context, key: str, of: int, watch: Callable[[int], None] = lambda done: None
) -> Iterator[Context]:
    """A context in which a measurement of so many parts tells how far it is; that is forgotten
    after it."""
    store = context.store
    stamps: list[float] = []

    def report(done: int) -> None:
        watch(done)
        stamps.append(time.perf_counter())
        # Without those that were measured before and only read now.
        taken = [end - start for start, end in pairwise(stamps) if end - start > _READ]
        each = sum(taken) / len(taken) if taken else None
        store.write_progress(key, PartsDone(done, of, each))

    def say(words: str) -> None:
        store.write_progress(key, Waiting(words))

    try:
        yield replace(context, monitor=Monitor(context.monitor.check, report, say))
    finally:
        store.clear_progress(key)


def warm(root: Path) -> None:
    """Get ready before the first job: load MNIST, measure this machine.

    A worker that can't, as with a full disk, still works: what is in the way of a job ends up in
    that job's record.
    """
    if hasattr(os, "nice"):
        os.nice(5)  # on a machine with few cores, pages come before training
    try:
        get_ready(Store(root))
    except Exception:  # noqa: BLE001 - see above
        traceback.print_exc()


def get_ready(store: Store) -> None:
    """Load what a first run needs, measure this machine unless it is known, and have the compiled
    loop made beside."""
    # Scaled as a newcomer's first run needs it: it would wait for it to be done again.
    usual = PRESETS["quick"].choice.recipe()
    here = {"processor": processor(), "torch": torch.__version__, "devices": devices()}
    facts = store.read_machine()
    is_known = all(facts.get(name) == value for name, value in here.items())
    if is_known and facts.get("convolutions"):  # else measured by a version that had none
        pace.rehearse(store, usual)
    else:
        measured = pace.measure(store, usual)
        store.revise_machine(lambda facts: here | measured)
    prepare_in_background(store)


def prepare_in_background(store: Store) -> None:
    """Load the compiled loop, compiled first if need be; until then torch trains."""

    def prepare() -> None:
        try:
            loops.prepare(store)
        except (CannotCompile, StoreUnavailable) as problem:  # torch trains on
            warnings.warn(str(problem), stacklevel=1)
        except Exception:  # noqa: BLE001 - a machine that can't compile still trains
            traceback.print_exc()

    threading.Thread(target=prepare, daemon=True).start()
