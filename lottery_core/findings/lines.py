"""Lines: what is compared, each one experiment over all its seeds.

A *line* holds the experiments that are equal but for the seed. It is named by the key that its
experiment has with seed 0, so that a link to it means the same in every cache. Seeds of a run that
stops when accuracy falls end at different rounds: they are equal in what was asked for, and that
names their line, before they have ended as after.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from lottery_core.findings.ending import ended_arms
from lottery_core.findings.replicates import Infos
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.links import read_choice
from lottery_core.store import Job, Store

MAX_LINES = 8
SHORTEST = 6  # characters of a key
Runs = Mapping[int, Infos]


@dataclass(frozen=True)
class Line:
    """One experiment over its seeds, in their order. `params` is the choice it came from, as in
    a link; `device` and `loop` are those of the newest request. `asked` is the experiment with its
    `until`, where it was asked for with one; of whichever seed."""

    id: str
    experiments: tuple[Experiment, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    loop: str = "auto"
    asked: Experiment | None = None

    @property
    def main(self) -> Experiment:
        """The experiment with the first of the seeds; of those that stop for themselves, with the
        first of those that went furthest, which has all sizes of the line."""
        return max(self.experiments, key=lambda one: len(one.rounds))

    @property
    def until(self) -> Until | None:
        """When its seeds stop, if before all rounds."""
        return self.asked.until if self.asked else None

    def with_another(self, seed: int) -> Experiment:
        """What to ask for to have one more seed of it."""
        return with_seed(self.asked or self.main, seed)

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


def asked_as(experiment: Experiment, params: Mapping[str, str]) -> Experiment | None:
    """The experiment with the `until` that it was asked for with, by the choice that its request
    came from, whether it has ended or not; None where it was not to stop early."""
    if experiment.until:
        return experiment
    if params.get("schedule") != "until":  # which no preset is, so that it is said
        return None
    plain = with_seed(experiment, 0)
    for asked in _asked_early(tuple(params.items())):
        if asked.up_to(len(plain.rounds)) == plain:
            return with_seed(asked, experiment.recipe.seed)
    return None


@lru_cache(maxsize=256)
def _asked_early(params: tuple[tuple[str, str], ...]) -> tuple[Experiment, ...]:
    """All that a choice asks for, with seed 0."""
    with suppress(InvalidValue):
        return tuple(with_seed(arm[0], 0) for arm in read_choice(dict(params))[1].arms().values())
    return ()


def of_arm(arm: Sequence[Experiment], params: Mapping[str, str] | None = None) -> Line:
    """The line that these experiments, equal but for the seed, are of."""
    asked = asked_as(arm[0], params or {})
    return Line(line_id(asked or arm[0]), tuple(arm), params or {}, asked=asked)


def lines_of(jobs: Iterable[Job]) -> dict[str, Line]:
    """All lines that `jobs` (newest first) speak of, controls' own experiments included, by
    name and newest first."""
    found: dict[str, Line] = {}
    for job in jobs:
        experiment = Experiment.known(job.experiment)
        if experiment is None:
            continue
        for one in dict.fromkeys((experiment, experiment.trunk)):
            asked = asked_as(one, job.params)
            name = line_id(asked or one)
            line = found.get(name) or Line(name, (), job.params, job.device, job.loop, asked)
            together = {e.recipe.seed: e for e in (one, *line.experiments)}
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
    trunk = (main.asked or main.main).trunk
    controls = (ARMS[name].of(trunk) for name in ARMS) if trunk.rounds else ()
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


def find(store: Store, prefix: str) -> str:
    """The key of the level that begins so. Raises `InvalidValue` unless there is exactly one."""
    if len(prefix) < SHORTEST:
        raise InvalidValue("key", prefix, f"is too short; give at least {SHORTEST} characters")
    found = list(filter(lambda key: key.startswith(prefix), store.keys()))
    if not found:
        raise InvalidValue(
            "key",
            prefix,
            f"is of no level in {store.root}; `python -m lottery_core list` shows what is there",
        )
    if len(found) > 1:
        raise InvalidValue("key", prefix, f"begins {len(found)} keys; give more characters")
    return found[0]
