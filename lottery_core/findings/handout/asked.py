"""What is handed out: what was asked for together, what came of it, and what files are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile

from lottery_core.findings.ending import ended, ended_arms
from lottery_core.findings.lines import Line, known_experiments, of_arm
from lottery_core.findings.outcome import Outcome
from lottery_core.findings.replicates import Infos
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.links import command, python, read_choice
from lottery_core.spec.own import short
from lottery_core.store import Job, Store


@dataclass(frozen=True)
class Asked:
    """`arms` are those of `Choice.arms`, as they have `ended`, if they stop by `until`; the command
    and the Python that repeat them are empty where there are none."""

    arms: Mapping[str, tuple[Experiment, ...]]
    command: str = ""
    python: str = ""
    until: Until | None = None

    @classmethod
    def of(cls, arms: Mapping[str, tuple[Experiment, ...]], preset: str, choice: Choice) -> Asked:
        """These arms of a choice, with what repeats it."""
        return cls(arms, command(preset, choice), python(preset, choice), choice.until())

    @property
    def main(self) -> Experiment:
        """The experiment itself with its first seed."""
        return self.arms["main"][0]

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds that were asked for."""
        return tuple(one.recipe.seed for one in self.arms["main"])

    def outcome(self, store: Store) -> Outcome:
        """What came of it so far."""
        runs = {name: runs_of(store, arm) for name, arm in self.arms.items()}
        return Outcome(self.arms, runs, self.until)


def infos_of(store: Store, experiment: Experiment) -> list:
    """The infos of its levels, up to the first that is not there."""
    known = store.infos(experiment.keys)
    return [known[key] for key in takewhile(known.__contains__, experiment.keys)]


def runs_of(store: Store, arm: Sequence[Experiment]) -> dict[int, Infos]:
    """Seed -> infos, for the seeds of an arm that have any."""
    found = {one.recipe.seed: infos_of(store, one) for one in arm}
    return {seed: infos for seed, infos in found.items() if infos}


def asked_for(store: Store, key: str) -> Asked:
    """The newest request that a level is part of, or where no request is known the experiment that
    it belongs to. Raises `InvalidValue` for a level of another version."""
    found = [pair for pair in known_experiments(store).values() if key in pair[0].keys]
    if not found:
        raise InvalidValue("key", key, "is of a level that another version kept; run it again")
    experiment, job = found[0]
    alone = {"main": (experiment,)} | _beside(store, experiment)
    return requested(store, experiment, job) or Asked(alone)


def _beside(store: Store, experiment: Experiment) -> dict[str, tuple[Experiment, ...]]:
    """The arms of an experiment that are there, by name."""
    if arm_of(experiment) != "ticket":
        return {}
    arms = {name: arm.of(experiment) for name, arm in ARMS.items()}
    return {name: (one,) for name, one in arms.items() if store.has(one.key)}


def requested(store: Store, experiment: Experiment, job: Job | None) -> Asked | None:
    """The request that an experiment is part of, if that is known."""
    with suppress(InvalidValue):
        if job and job.params:
            preset, choice = read_choice(job.params)
            arms = ended_arms(store, choice.arms())
            if any(experiment in arm for arm in arms.values()):
                return Asked.of(arms, preset, choice)
    return None


def line_of(store: Store, key: str, seeds: Sequence[int] = ()) -> Line:
    """The experiment that a level belongs to, with these seeds, or where none is named those that
    were asked for together. Raises `InvalidValue` where none of these seeds was run."""
    asked = asked_for(store, key)
    arm = next((a for a in asked.arms.values() if key in _keys(a)), asked.arms["main"])
    job = store.job(asked.main.key)
    line = of_arm(arm, job.params if job else {})
    if not seeds:
        return line
    found = (ended(store, line.with_another(seed)) for seed in seeds)
    there = tuple(one for one in found if store.has(one.keys[0]))
    if not there:
        raise InvalidValue("seeds", ",".join(map(str, seeds)), f"were not run of {key[:8]}")
    return replace(line, experiments=there)


def _keys(arm: Sequence[Experiment]) -> set[str]:
    return {key for one in arm for key in one.keys[len(one.rounds) and 1 :]}


def stem_of(experiment: Experiment) -> str:
    """How the names of its files begin: network, data set, criterion, and part of its key."""
    recipe, rounds = experiment.recipe, experiment.rounds
    criterion = short(rounds[-1].criterion) if rounds else "dense"
    parts = slug(recipe.net.sizes)[:40], slug(recipe.dataset), slug(criterion), experiment.key[:8]
    return "-".join(parts)


def slug(words: str) -> str:
    """Words as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
