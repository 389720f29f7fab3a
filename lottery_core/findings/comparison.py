"""What is compared: lines, each one experiment over all its seeds, and what is made of them.

A *line* holds the experiments that are equal but for the seed. It is named by the key that its
experiment has with seed 0, so that a link to it means the same in every cache.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from math import isclose

import pandas as pd

from lottery_core.findings.replicates import (
    KINDS,
    Difference,
    Infos,
    curve,
    difference_in_words,
    differences,
    paired,
)
from lottery_core.spec.arms import ARMS, arm_of, title_of
from lottery_core.spec.checks import InvalidValue, check_integer, check_known, check_number
from lottery_core.spec.choice import read_choice, write_choice
from lottery_core.spec.experiment import (
    MAX_MULTIPLY_ADDS,
    MAX_REPLICATES,
    MAX_SEED,
    Experiment,
    Recipe,
)
from lottery_core.store import Job, Store

MAX_LINES = 8
CONTROLS = ("reinit", "random-mask", "fine-tune")  # those added at one press
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


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment with another seed."""
    return replace(experiment, recipe=replace(experiment.recipe, seed=seed))


@lru_cache(maxsize=4096)
def line_id(experiment: Experiment) -> str:
    """The name of the line that an experiment belongs to."""
    return with_seed(experiment, 0).key[:10]


def lines(jobs: Iterable[Job]) -> dict[str, Line]:
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


def kept(store: Store) -> dict[str, tuple[Experiment, Job | None]]:
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
        experiment = Experiment.known(info["experiment"])
        if experiment and experiment.key == key:
            others[key] = experiment
    inner = {key for one in others.values() for key in one.keys[:-1]}
    return found | {key: (one, None) for key, one in others.items() if key not in inner}


# What is looked at, as a link says it


@dataclass(frozen=True)
class View:
    """Names of the lines, and how they are shown. Without a `reference` it is the first line,
    without a `percent` (of weights) the page's own choice."""

    lines: tuple[str, ...] = ()
    reference: str = ""
    percent: float | None = None
    bands: str = "range"
    curve: str = "accuracy"
    axis: str = "whole"


VIEWS = {"bands": KINDS, "curve": ("accuracy", "loss"), "axis": ("whole", "near")}


def read_view(params: Mapping[str, str], known: Container[str]) -> tuple[View, list[str]]:
    """The view that a link asks for, and what is wrong with the link; a bad value spoils only
    itself. `known` has the names of the lines that can be shown."""
    found, problems = View(), []
    for name, text in params.items():
        try:
            if name == "lines":
                asked = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part))
                found = replace(found, lines=tuple(n for n in asked if n in known)[:MAX_LINES])
                _check_lines(asked, known)
            elif name == "reference":
                _check_lines((text,), known)
                found = replace(found, reference=text)
            elif name == "percent":
                found = replace(found, percent=_number(text))
            elif name in VIEWS:
                check_known(name, text, list(VIEWS[name]))
                found = replace(found, **{name: text})
            else:
                names = ", ".join(field.name for field in fields(View))
                raise InvalidValue(name, text, f"is unknown; known are {names}")
        except InvalidValue as error:
            problems.append(str(error))
    if found.reference and found.reference not in found.lines:
        found = replace(found, reference="")
    return found, problems


def write_view(view: View) -> dict[str, str]:
    """The parameters that `read_view` reads back; what is as always is left out."""
    params = {"lines": ",".join(view.lines)} if view.lines else {}
    if view.reference not in ("", *view.lines[:1]):
        params["reference"] = view.reference
    if view.percent is not None:
        params["percent"] = f"{view.percent:g}"
    usual = View()
    changed = {name: getattr(view, name) for name in VIEWS}
    return params | {n: value for n, value in changed.items() if value != getattr(usual, n)}


def _check_lines(asked: Sequence[str], known: Container[str]) -> None:
    missing = [name for name in asked if name not in known]
    if missing:
        raise InvalidValue("line", ", ".join(missing), "is not in this cache")
    if len(asked) > MAX_LINES:
        raise InvalidValue("lines", len(asked), f"are too many; the first {MAX_LINES} are shown")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidValue("percent", text, "must be a number") from None
    check_number("percent", value, 0, 100, above=True)
    return value


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


# What lines are called


def names(chosen: Sequence[Line]) -> dict[str, str]:
    """What to call each line, by its name: its arm, and of what else differs between them as
    much as is needed to tell them apart."""
    facts = {line.id: _facts(line.main) for line in chosen}
    needed: list[str] = []
    groups = [list(chosen)]
    for fact in _known(facts.values()):
        parts = []
        for group in groups:
            values = dict.fromkeys(facts[line.id].get(fact) for line in group)
            if len([value for value in values if value]) < 2:
                parts.append(group)
                continue
            needed.append(fact)
            parts += [
                [line for line in group if facts[line.id].get(fact) == value] for value in values
            ]
        groups = parts
    words = {
        line.id: ", ".join(
            [title_of(line.main)]
            + [facts[line.id][fact] for fact in dict.fromkeys(needed) if fact in facts[line.id]]
        )
        for line in chosen
    }
    known = list(words.values())
    return {
        name: text if known.count(text) == 1 else f"{text} ({name})" for name, text in words.items()
    }


def in_common(chosen: Sequence[Line]) -> str:
    """What all of them share, in words."""
    facts = [_facts(line.main) for line in chosen]
    told = ("network", "dataset", "rounds", "sparsity", "optimiser", "learning_rate", "batch_size",
            "iterations")  # fmt: skip
    values = [{one[name] for one in facts if name in one} for name in told]
    return ", ".join(next(iter(value)) for value in values if len(value) == 1)


def _known(facts: Iterable[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for one in facts for name in one))


_WORDS = {
    "optimiser": lambda value: {"sgd": "SGD", "adam": "Adam"}[value],
    "learning_rate": lambda value: f"learning rate {value:g}",
    "batch_size": lambda value: f"batch {value}",
    "iterations": lambda value: f"{value:,} iterations",
    "validation_size": lambda value: f"{value:,} images held out",
}


def _facts(experiment: Experiment) -> dict[str, str]:
    """What there is to say of an experiment besides its arm and seed, what matters most first.
    A fact that does not apply is left out."""
    recipe, steps = experiment.recipe, experiment.rounds
    found = {
        "network": recipe.net.title,
        "dataset": recipe.data_title,
    }
    pruned = [step for step in steps if step.sparsity]
    if steps:
        found["rounds"] = f"{len(steps)} round{'s' if len(steps) > 1 else ''}"
    if pruned:
        found["sparsity"] = f"to {_percent(pruned[-1].sparsity)} of the weights"
    for name in sorted((f.name for f in fields(Recipe)), key=lambda n: n not in _WORDS):
        if name not in ("network", "dataset", "content", "seed"):
            value = getattr(recipe, name)
            words = _WORDS.get(name, lambda value, name=name: f"{name.replace('_', ' ')} {value}")
            found[name] = words(value)
    if pruned:
        last = pruned[-1]
        if last.restart in ("rewind", "rate-rewind"):
            found["rewind"] = f"rewound to iteration {last.rewind_iteration:,}"
        found["scope"] = f"{last.scope} pruning"
        found["way"] = f"by way of {', '.join(_percent(step.sparsity) for step in pruned)}"
        found["output"] = f"output layer to {_percent(last.output_sparsity)}"
    if steps and steps[0].ticket:
        found["ticket"] = f"ticket {steps[0].ticket[:8]}"
    if experiment.control:
        found["beside"] = f"beside {title_of(experiment.trunk)}"
    return found


def _percent(sparsity: float) -> str:
    return f"{100 * (1 - sparsity):.3g}\u202f%"


# What can be added


def controls_of(line: Line) -> dict[str, tuple[Experiment, ...]]:
    """`CONTROLS` of a line's experiments, by arm, all seeds each; none where nothing is pruned."""
    base = tuple(experiment.trunk for experiment in line.experiments)
    if not base[0].rounds or not base[0].rounds[-1].sparsity:
        return {}
    arms = {name: tuple(map(ARMS[name].of, base)) for name in CONTROLS}
    return {name: arm for name, arm in arms.items() if arm[0].key != base[0].key}


def more_seeds(chosen: Sequence[Line], n: int) -> list[tuple[Line, list[Experiment]]]:
    """The experiments that give all lines the same seeds and `n` new ones. Raises
    `InvalidValue` where that is more than one request may ask for."""
    check_integer("seeds", n, 1, MAX_REPLICATES)
    known = {seed for line in chosen for seed in line.seeds}
    if max(known) + n > MAX_SEED:
        raise InvalidValue("seeds", n, f"go beyond the greatest seed, {MAX_SEED:,}")
    wanted = sorted(known | set(range(max(known) + 1, max(known) + 1 + n)))
    found = [
        (line, [with_seed(line.main, seed) for seed in wanted if seed not in line.seeds])
        for line in chosen
    ]
    check_work([experiment for _, experiments in found for experiment in experiments])
    return found


def check_work(experiments: Sequence[Experiment]) -> None:
    """Raise `InvalidValue` where they are more work than one request may ask for."""
    work = sum(experiment.multiply_adds for experiment in experiments)
    if work > MAX_MULTIPLY_ADDS:
        raise InvalidValue(
            "seeds",
            len(experiments),
            f"runs are {work / MAX_MULTIPLY_ADDS:.1f} times the work one request may ask for; "
            "choose fewer lines or fewer seeds",
        )


def params_for(line: Line, seeds: Sequence[int], controls: Sequence[str] = ()) -> dict[str, str]:
    """The link to the Explorer for a line's experiment with these seeds and, besides those it
    has, these controls; empty where it is not known which choice it came from."""
    try:
        preset, choice = read_choice(line.params)
    except InvalidValue:
        return {}
    if not line.params:
        return {}
    first, last = min(seeds), max(seeds)
    if last - first + 1 != len(set(seeds)) or len(set(seeds)) > MAX_REPLICATES:
        first = last  # not in a row: the Explorer shows one of them
    together = dict.fromkeys((*choice.controls, *controls))
    changed = replace(choice, seed=first, replicates=last - first + 1, controls=tuple(together))
    return write_choice(preset, changed)


# What is made of them


def percents_of(
    experiment: Experiment, beside: Sequence[Line], runs: Sequence[Runs]
) -> list[float]:
    """Where to draw the levels of an experiment that prunes nothing: at the percents that the
    first of the lines `beside` with that recipe and as many rounds keeps there."""
    for line, known in zip(beside, runs, strict=True):
        one = line.main
        same = replace(one.recipe, seed=0) == replace(experiment.recipe, seed=0)
        if same and len(one.rounds) == len(experiment.rounds) and one.rounds[-1].sparsity:
            measured = curve(known, "test_accuracy")["percent"].tolist()
            planned = [100.0, *(100 * (1 - step.sparsity) for step in one.rounds)]
            return measured + planned[len(measured) :]
    return [100.0] * (len(experiment.rounds) + 1)


def curves_table(found: Mapping[str, tuple[str, pd.DataFrame]], what: str) -> pd.DataFrame:
    """The drawn curves in one table: line, what it is called, what was measured, and a row a
    point. `found` maps a line's name to (words, frame)."""
    frames = [
        frame.assign(line=name, name=words, measured=what)
        for name, (words, frame) in found.items()
        if len(frame)
    ]
    if not frames:
        return pd.DataFrame(columns=["line", "name", "measured"])
    table = pd.concat(frames, ignore_index=True)
    first = ["line", "name", "measured"]
    return table[[*first, *(column for column in table if column not in first)]]


def differences_table(
    reference: Line, others: Sequence[Line], runs: Mapping[str, Runs]
) -> pd.DataFrame:
    """Each line minus the reference at every density that both have, paired by seed: mean, 95 %
    interval and pairs (`n`) of test accuracy (a fraction) and of the early stop (iterations).

    A dense network that both share is left out: it is one training. So are lines that prune
    nothing, which have no density in common with the others.
    """
    tables = []
    for line in others:
        a, b = runs[line.id], runs[reference.id]
        if "dense-longer" in (line.arm, reference.arm) and line.arm != reference.arm:
            continue
        accuracy = _at_equal_density(a, b, "test_accuracy")
        stops = _at_equal_density(a, b, "early_stop_iteration")
        table = accuracy.merge(
            stops.drop(columns="percent"), on="level", suffixes=("", "_early_stop")
        )
        if line_id(replace(line.main, rounds=(), control="")) == line_id(
            replace(reference.main, rounds=(), control="")
        ):
            table = table[table["level"] > 0]
        tables.append(table.assign(line=line.id, reference=reference.id))
    columns = [
        "line", "reference", "level", "percent", "mean", "low", "high", "n",
        "mean_early_stop", "low_early_stop", "high_early_stop", "n_early_stop",
    ]  # fmt: skip
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def same_density(percent: float, other: float) -> bool:
    """Whether two percents of weights are one density: rounds to whole weights apart."""
    return isclose(percent, other, rel_tol=0.005)


def _at_equal_density(a_runs: Runs, b_runs: Runs, y: str) -> pd.DataFrame:
    """`replicates.differences`; for networks of different sizes, at equal percents instead."""
    found = differences(a_runs, b_runs, y)
    a, b = (curve(runs, y) for runs in (a_runs, b_runs))
    if len(found) or not len(a) or not len(b):
        return found
    rows = []
    for level, percent in zip(a["level"], a["percent"], strict=True):
        other = b["level"][[same_density(percent, at) for at in b["percent"]]]
        if len(other):
            pair = (_values(a_runs, level, y), _values(b_runs, other.iloc[0], y))
            gap = paired(*pair)
            rows.append((level, percent, gap.mean, gap.low, gap.high, gap.n))
    return pd.DataFrame(rows, columns=found.columns)


def _values(runs: Runs, level: int, y: str) -> dict[int, float | None]:
    return {
        seed: info[y] for seed, infos in runs.items() for info in infos if info["level"] == level
    }


def row_in_words(row, what_a: str, what_b: str) -> str:
    """A row of `differences_table` in a sentence or two."""
    accuracy = Difference(row.mean, row.low, row.high, row.n)
    words = difference_in_words(accuracy, what_a, what_b, row.percent)
    if not row.n_early_stop:
        return words
    words, alone, _ = words.partition(" One seed.")
    steps = round(row.mean_early_stop)
    when = f"{abs(steps):,} iterations {'earlier' if steps < 0 else 'later'}"
    words += f" It stops {when if steps else 'at the same iteration'}"
    if row.n_early_stop > 1:
        low, high = (f"{bound:+z,.0f}" for bound in (row.low_early_stop, row.high_early_stop))
        words += f" (95\u202f% interval {low} to {high})"
    return f"{words}.{alone}"


def why_none(line: Line, reference: Line, percent: float) -> str:
    """Why two lines have no difference at a size."""
    if "dense-longer" in (line.arm, reference.arm):
        return "nothing is pruned there, so the two have no size in common"
    if same_density(percent, 100):
        return "it begins with the same dense network"
    return f"the two have no level with {percent:.4g}\u202f% of the weights in common yet"
