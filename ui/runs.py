"""The Runs page's cards: jobs by request, and what is said of them."""

from __future__ import annotations

from collections import Counter

from lottery_core.findings.lines import with_seed
from lottery_core.spec.arms import title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import schedule_in_words
from lottery_core.store import Job
from ui.shared.runtime import runtime

_PAGES = {"measure": "pages/speed.py", "instability": "pages/stability.py"}
_MEASURES = {"run": "", "measure": "Speed of: ", "instability": "Stability of: "}


def requests() -> list[list[Job]]:
    """The known jobs, newest request first; those asked for by one choice (its seeds and their
    controls) together, in the order in which they were asked for."""
    found: dict[object, list[Job]] = {}
    for job in runtime().store.jobs():
        if Experiment.known(job.experiment) is None:
            continue
        found.setdefault(_asked_with(job), []).insert(0, job)
    return list(found.values())


def _asked_with(job: Job) -> object:
    # What is the same for all jobs of one choice, or of one trial of a brought ticket.
    if job.task != "run":
        return job.key
    trunk = Experiment.from_dict(job.experiment).trunk
    if trunk.rounds and trunk.rounds[0].ticket:
        return with_seed(trunk, 0)
    return tuple(sorted(job.params.items())) or job.key


def title(jobs: list[Job]) -> str:
    """What was asked for, as Markdown."""
    experiments = [Experiment.from_dict(job.experiment) for job in jobs]
    recipe, rounds = experiments[0].recipe, experiments[0].rounds
    words = f"{_MEASURES[jobs[0].task]}**{recipe.net.sizes}** on {recipe.data_title}, "
    words += f"{recipe.iterations:,} iterations, "
    if rounds:
        words += f"{schedule_in_words(rounds)}, "
    words += ", ".join(dict.fromkeys(map(title_of, experiments)))
    seeds = sorted({experiment.recipe.seed for experiment in experiments})
    return f"{words}, " + (f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds")


def state_in_words(jobs: list[Job]) -> str:
    """How far a request is: "2 done, 1 running, 15 of 19 levels"."""
    states = Counter(job.state for job in jobs)
    many = [f"{count} {state}" for state, count in states.items()]
    keys = {key for job in jobs for key in Experiment.from_dict(job.experiment).keys}
    done = sum(map(runtime().store.has, keys))
    state = ", ".join(many) if len(states) > 1 else jobs[0].state
    return f"{state}, {done} of {len(keys)} levels"


def link_of(job: Job) -> tuple[str, dict[str, str]]:
    """The page that shows what a job is about, and its parameters; none if there is no such."""
    experiment = Experiment.from_dict(job.experiment)
    if job.task in _PAGES:
        return _PAGES[job.task], {"key": experiment.key}
    if experiment.rounds and (ticket := experiment.rounds[0].ticket):
        return "pages/ticket.py", {"view": "bring", "ticket": ticket}
    return "app.py", job.params
