"""How far jobs are: a bar for each that runs, what became of the others, which level is next."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial

import streamlit as st

from lottery_core.running.forecast import Expected, Plan, Queued, forecast, plan
from lottery_core.running.time_left import in_words, seconds_of_level
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, LevelProgress, Progress, Waiting
from ui.shared.runtime import has_level, machine_facts, runtime
from ui.shared.text import plain
from ui.shared.trouble import asking, show_problem
from ui.shared.visitor import visitor

_FORECAST = 2.0  # seconds for which what the queue will do is reckoned once for all


def show_jobs(rows: Iterable[tuple[Experiment, Job | None, str]]) -> None:
    """A bar for each experiment that is running, how many wait, and what became of the others.
    A row is the experiment, its job if any, and what to begin its line with."""
    rows = list(rows)
    show_problem()
    show_damaged([experiment for experiment, _, _ in rows])
    said = set()  # what went wrong with several is said once
    waiting = []
    for experiment, job, name in rows:
        if job is None:
            continue
        if job.state == "queued":
            waiting.append((job, name))
        elif job.state == "running":
            _show_running(experiment, job, name)
        elif not all(has_level(key) for key in experiment.keys):
            if (job.state, job.message) not in said:
                _show_end(experiment, job, name)
            said.add((job.state, job.message))
    if waiting:
        others = f"; {len(waiting) - 1} more wait" if len(waiting) > 1 else ""
        job, name = waiting[0]
        st.progress(0.0, f"{name or 'The run: '}waiting for a free worker, {place(job)}{others}")


def _show_running(experiment: Experiment, job: Job, name: str) -> None:
    store, facts = runtime().store, machine_facts()
    n = current_level(experiment)
    if n is None:
        return
    last = len(experiment.rounds)
    progress = store.read_progress(experiment.keys[n])
    later = [
        seconds_of_level(facts, experiment, k, job.device, job.loop)
        for k in range(n + 1, last + 1)
        if not store.has(experiment.keys[k])
    ]
    text = f"{name}{_where(n, last, progress)}"
    if not isinstance(progress, LevelProgress):
        st.progress(n / (last + 1), text)
        return
    first, left = progress.first_iteration, progress.seconds_left
    part = (progress.iteration - first) / max(1, progress.iterations - first)
    if left is not None:
        text += f", {in_words(left)} left"
        if later and None not in later:
            text += f"; the whole run {in_words(left + sum(later))}"
    st.progress(min(1.0, (n + part) / (last + 1)), text)


def level_in_words(experiment: Experiment) -> str:
    """Where a running experiment is: "level 1 of 6, iteration 200 of 600"."""
    n = current_level(experiment)
    last = len(experiment.rounds)
    if n is None:
        return f"level {last} of {last}"
    return _where(n, last, runtime().store.read_progress(experiment.keys[n]))


def _where(n: int, last: int, progress: Progress | None) -> str:
    if not isinstance(progress, LevelProgress):
        words = progress.words if isinstance(progress, Waiting) else "getting ready"
        return f"level {n} of {last}: {words}"
    return f"level {n} of {last}, iteration {progress.iteration:,} of {progress.iterations:,}"


def _show_end(experiment: Experiment, job: Job, name: str) -> None:
    done = sum(has_level(key) for key in experiment.keys)
    of = f"{'at most ' * bool(experiment.until)}{len(experiment.keys)}"
    kept = f"{done} of {of} levels are finished and kept. Resume goes on there."
    if job.state == "cancelled":
        because = f", because {plain(job.message)}" if job.message else ""
        st.info(f"{name or 'The run is '}stopped{because}. {kept}")
    elif job.state == "killed":
        st.error(f"{name or 'The run was '}interrupted: {plain(job.message)}. {kept}")
    elif job.state == "failed":
        st.error(f"{name}{plain(job.message)}")


def place(job: Job) -> str:
    """Where a waiting job is in the queue, and when it is its turn: "3 before it in the queue,
    begins in about 20 s"."""
    known = expected()
    mine = known.get(job.key)
    if mine is None:
        ahead = sum(other.submitted < job.submitted for other in runtime().queue.jobs())
        return f"{ahead} before it in the queue" if ahead else "next in the queue"
    if not mine.begins:
        return "while others have their turn" if job.started else "next in the queue"
    ahead = sum(0 < other.begins < mine.begins for other in known.values())
    words = f"{ahead} before it in the queue" if ahead else "next in the queue"
    return f"{words}, begins in about {in_words(mine.begins)}"


def expected() -> dict[str, Expected]:
    """What to expect of the jobs in the queue, by key."""
    shared = runtime()
    queued = shared.queue.queued()
    make = partial(forecast, shared.store, queued)
    return shared.tables.get(("forecast", *_at(queued)), make)


def _at(queued: Queued) -> tuple:
    """What tells a queue from itself a while later."""
    slot = int(time.monotonic() / _FORECAST)
    return slot, tuple((job.key, job.state, job.visitor) for job in queued.jobs)


def plan_of(experiments: Sequence[Experiment], device: str = "cpu", loop: str = "auto") -> Plan:
    """What running these would take for this visitor, with what the queue has to do before."""
    shared, keys = runtime(), {key for one in experiments for key in one.keys}
    if all(map(has_level, keys)):
        return Plan(len(keys), len(keys), 0.0)
    queued = shared.queue.queued()
    make = partial(plan, shared.store, experiments, queued, device, loop, visitor())
    if not {job.key for job in queued.jobs}.issuperset(one.key for one in experiments):
        return make()
    # All that is asked for is in the queue, and looks the same to all who watch it.
    what = ("plan", *(one.key for one in experiments), finished_keys(experiments))
    return shared.tables.get((*what, *_at(queued)), make)


def show_damaged(experiments: Sequence[Experiment]) -> None:
    """Which levels were found damaged, until they are computed again."""
    keys = {key: n for one in experiments for n, key in enumerate(one.keys)}
    levels = sorted({n for key, n in keys.items() if runtime().store.damaged(key)})
    if levels:
        many = len(levels) > 1
        st.warning(
            f"Level{'s' if many else ''} {_listed(levels)} {'were' if many else 'was'} found "
            f"damaged in the cache, so {'they do' if many else 'it does'} not count: the run, "
            f"started again, computes {'them' if many else 'it'} anew and keeps all others.",
            icon=":material/healing:",
        )


def _listed(numbers: Sequence[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def rest_in_words(todo: Plan, *, at_most: bool = False) -> str:
    """How many of the trainings are there already, and how long the rest takes (at most)."""
    if todo.cached == todo.trainings:
        return "; all are in the cache."
    words = ""
    if todo.cached:
        words += f"; {todo.cached} {'are' if todo.cached > 1 else 'is'} already in the cache"
    if todo.seconds is not None:
        words += f"; {'at most ' * at_most}about {in_words(todo.seconds)}"
    return f"{words}."


def current_level(experiment: Experiment) -> int | None:
    """The first level that is not there; None when all are."""
    for n, key in enumerate(experiment.keys):
        if not has_level(key):
            return n
    return None


def signature(experiments: Sequence[Experiment]) -> tuple:
    """What, when it changes, changes more of a page than its live parts."""
    jobs = [runtime().store.job(experiment.key) for experiment in experiments]
    return tuple(job and job.state for job in jobs), finished_keys(experiments)


def any_active(experiments: Iterable[Experiment]) -> bool:
    """Whether any of them is queued or running."""
    jobs = (runtime().store.job(experiment.key) for experiment in experiments)
    return any(job is not None and job.active for job in jobs)


@asking
def stop(experiments: Iterable[Experiment]) -> None:
    """Stop those that are queued or running; for a button."""
    for experiment in experiments:
        if any_active([experiment]):
            runtime().queue.cancel(experiment.key)


def show_stop(experiments: Sequence[Experiment]) -> None:
    """A button that stops those that are queued or running."""
    st.button("Stop", icon=":material/stop:", on_click=stop, args=(experiments,), key="stop")


def finished_keys(experiments: Sequence[Experiment]) -> int:
    """How many levels of all experiments are there; a change asks for a new look."""
    return sum(has_level(key) for e in experiments for key in e.keys)
