"""Lines: what is compared, each one experiment over all its seeds.

A *line* holds the experiments that are equal but for the seed. It is named by the key that its
experiment has with seed 0, so that a link to it means the same in every cache.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from lottery_core.findings.ending import ended_arms
from lottery_core.findings.replicates import Infos
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice
from lottery_core.store import Job, Store

MAX_LINES = 8
Runs = Mapping[int, Infos]


@dataclass(frozen=True)
class Line:
    """One experiment over its seeds, in their order. `params` is the choice it came from, as in
    a link; `device` and `loop` are those of the newest request."""

    id: str
    experiments: tuple[Experiment, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    loop: str = "auto"

    @property
    def main(self) -> Experiment:
        """The experiment with the first of the seeds."""
        return self.experiments[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds asked for, whether finished or not."""
        return tuple(experiment.recipe.seed for experiment in self.experiments)

    @property
    def arm(self) -> str:
        """How it treats its survivors, see `arms.arm_of`."""
        return arm_of(self.main)

    @property
    def own_keys(self) -> tuple[str, ...]:
        """Keys of its levels but for the dense network's, which arms share."""
        return tuple(key for one in self.experiments for key in one.keys[1:] or one.keys)


def seeds_asked(line: Line) -> tuple[int, ...]:
    """Those of its seeds that its newest request asked for; all where that does not say."""
    with suppress(InvalidValue):
        if line.params:
            _, choice = read_choice(line.params)
            asked = range(choice.seed, choice.seed + choice.replicates)
            return tuple(seed for seed in line.seeds if seed in asked) or line.seeds
    return line.seeds


def with_seeds(line: Line, seeds: Container[int]) -> Line:
    """The line with those of its seeds alone; with all of them where it has none of these."""
    found = tuple(one for one in line.experiments if one.recipe.seed in seeds)
    return replace(line, experiments=found or line.experiments)


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment with another seed."""
    return replace(experiment, recipe=replace(experiment.recipe, seed=seed))


@lru_cache(maxsize=4096)
def line_id(experiment: Experiment) -> str:
    """The name of the line that an experiment belongs to."""
    return with_seed(experiment, 0).key[:10]


def lines_of(jobs: Iterable[Job]) -> dict[str, Line]:
    """All lines that `jobs` (newest first) speak of, controls' own experiments included, by
    name and newest first."""
    found: dict[str, Line] = {}
    for job in jobs:
        experiment = Experiment.known(job.experiment)
        if experiment is None:
            continue
        for one in dict.fromkeys((experiment, experiment.trunk)):
            name = line_id(one)
            line = found.get(name) or Line(name, (), job.params, job.device, job.loop)
            together = {e.recipe.seed: e for e in (*line.experiments, one)}
            experiments = tuple(together[seed] for seed in sorted(together))
            found[name] = replace(line, experiments=experiments, params=line.params or job.params)
    return found


def asked_with(store: Store, experiment: Experiment, job: Job | None) -> tuple[Experiment, ...]:
    """The seeds that a request asked for together, the experiment among them: one verdict is on
    all of them. The experiment alone where `job`, its request, does not say."""
    with suppress(InvalidValue):
        if job and job.params:
            for arm in ended_arms(store, read_choice(job.params)[1].arms()).values():
                if experiment in arm:
                    return arm
    return (experiment,)


def usual_lines(known: Mapping[str, Line], finished: Container[str]) -> tuple[str, ...]:
    """What to show where a link names no line: the newest finished experiment, and the controls
    of it that there are. `known` is newest first."""
    there = [line for name, line in known.items() if name in finished]
    main = next((line for line in there if line.arm == "ticket"), there[0] if there else None)
    if main is None:
        return ()
    controls = (ARMS[name].of(main.main.trunk) for name in ARMS) if main.main.rounds else ()
    beside = [line_id(experiment) for experiment in controls]
    return tuple(dict.fromkeys((main.id, *(n for n in beside if n in finished))))[:MAX_LINES]


def known_experiments(store: Store) -> dict[str, tuple[Experiment, Job | None]]:
    """All experiments with a finished level, by key: those that were asked for, newest request
    first, and what a control stands beside; then chains of levels that no request speaks of."""
    asked: dict[str, tuple[Experiment, Job | None]] = {}
    for job in store.jobs():
        if experiment := Experiment.known(job.experiment):
            asked.setdefault(experiment.key, (experiment, job))
    trunks = {one.trunk.key: (one.trunk, None) for one, _ in asked.values()}
    both = asked | {key: trunk for key, trunk in trunks.items() if key not in asked}
    there = set(store.keys())
    found = {key: pair for key, pair in both.items() if pair[0].keys[0] in there}
    spoken_of = {key for one, _ in found.values() for key in one.keys}
    others = {}
    for key, info in store.infos(sorted(there - spoken_of)).items():
        experiment = Experiment.known(info.experiment)
        if experiment and experiment.key == key:
            others[key] = experiment
    inner = {key for one in others.values() for key in one.keys[:-1]}
    return found | {key: (one, None) for key, one in others.items() if key not in inner}
