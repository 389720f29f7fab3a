"""Where runs that stop when accuracy falls have ended, and how that is said.

Each seed stops for itself: what it trains does not depend on which other seeds were asked for, so
that a seed added later, or run alone, has the same levels. Means over seeds speak of those that
reached a level, and a ticket is picked among the levels that most seeds reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

from lottery_core.findings.replicates import Infos, in_percent
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.store import LevelInfo, Store

Arms = Mapping[str, Sequence[Experiment]]


def ended(store: Store, experiment: Experiment) -> Experiment:
    """What an experiment has come to: one with `until` is, as soon as the level that fell is there
    or all are, one of so many rounds like any other; before, and without `until`, itself."""
    until = experiment.until
    if until is None:
        return experiment
    keys = experiment.judged.keys
    known = store.infos(keys)
    there = [known[key].validation_accuracy for key in takewhile(known.__contains__, keys)]
    fell = until.fell_at(there)
    if fell is None and len(there) < len(keys):
        return experiment
    return experiment.up_to(len(experiment.rounds) if fell is None else fell)


def ended_arms(store: Store, arms: Arms) -> dict[str, tuple[Experiment, ...]]:
    """The arms of a choice, each experiment as `ended`."""
    return {name: tuple(ended(store, one) for one in arm) for name, arm in arms.items()}


def in_words(until: Until, runs: Mapping[int, Infos]) -> str:
    """Where the seeds of a run ended, in a sentence; empty until one has. `runs` are the infos of
    the experiment itself, by seed."""
    ends = {seed: _end(until, infos) for seed, infos in sorted(runs.items())}
    ends = {seed: words for seed, words in ends.items() if words}
    if len(runs) == 1:
        return "".join(f"{words[:1].upper()}{words[1:]}." for words in ends.values())
    told = "; ".join(f"seed {seed} {words}" for seed, words in ends.items())
    return f"Each seed stops for itself: {told}." if told else ""


def _end(until: Until, infos: Sequence[LevelInfo]) -> str:
    accuracies = [info.validation_accuracy for info in infos]
    fell = until.fell_at(accuracies)
    if fell is None:
        if len(infos) <= len(until.rounds):
            return ""
        return (
            f"went through all {_rounds(len(until.rounds))}: validation accuracy never fell by "
            f"more than {100 * until.fall:.3g} points"
        )
    points = 100 * (accuracies[0] - accuracies[fell])
    return (
        f"stopped after {_rounds(fell)}: validation accuracy "
        f"{in_percent(100 * accuracies[fell], 2)} is {points:.2f} points below the dense "
        f"network's {in_percent(100 * accuracies[0], 2)}"
    )


def _rounds(count: int) -> str:
    return f"{count} round{'s' if count > 1 else ''}"
