"""Where runs that stop when accuracy falls have ended, and how that is said.

Each seed stops for itself: what it trains does not depend on which other seeds were asked for, so
that a seed added later, or run alone, has the same levels. Means over seeds speak of those that
reached a level, and a ticket is picked among the levels that most seeds reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from lottery_core.findings.replicates import Infos, by_level, in_percent
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import LevelInfo, Store

Arms = Mapping[str, Sequence[Experiment]]
_NAMED = 3  # seeds of which each is told of by itself


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
    """Where the seeds of a run ended, and on how many the means at each size rest, in a sentence
    each; empty until one has. `runs` are the infos of the experiment itself, by seed."""
    ends = {seed: _end(until, infos) for seed, infos in sorted(runs.items())}
    ends = {seed: words for seed, words in ends.items() if words}
    if not ends:
        return ""
    if len(runs) == 1:
        return "".join(f"{words[:1].upper()}{words[1:]}." for words in ends.values())
    if len(runs) <= _NAMED:
        told = "; ".join(f"seed {seed} {words}" for seed, words in ends.items())
        return f"Each seed stops for itself: {told}. {_rests_on(runs)}".rstrip()
    rounds = Counter(len(runs[seed]) - 1 for seed in ends)
    told = ", ".join(f"{seeds} after {_rounds(n)}" for n, seeds in sorted(rounds.items()))
    words = (
        f"Each seed stops for itself, where validation accuracy is first more than "
        f"{fall_in_words(until)} below the dense network's: {told}"
    )
    return f"{words}. {_rests_on(runs)}".rstrip()


def arm_in_words(asked: Experiment | None, runs: Mapping[int, Infos]) -> str:
    """As `in_words`, of any arm by what was asked for; of one whose own accuracy does not decide
    when to stop, as a control's, the seeds behind its means; empty where nothing stops early."""
    if asked is None:
        return ""
    if asked == replace(asked.judged, until=asked.until):
        return in_words(asked.until, runs)
    return _rests_on(runs)


def schedule_in_words(until: Until, ends: Iterable[int]) -> str:
    """When runs that are equal but for the seed stop, and after how many rounds those have that
    have ended: "until accuracy falls by 0.5 points: 3 rounds (2 seeds), 4 rounds (1 seed)"."""
    words = f"until accuracy falls by {fall_in_words(until)}"
    rounds = Counter(ends)
    if rounds.total() == 1:
        return f"{words}: {_rounds(*rounds)}"
    told = ", ".join(
        f"{_rounds(n)} ({seeds} seed{'s' if seeds > 1 else ''})"
        for n, seeds in sorted(rounds.items())
    )
    return f"{words}: {told}" if told else words


def fall_in_words(until: Until) -> str:
    """By how much accuracy may fall: "0.5 points", "1 point"."""
    points = f"{100 * until.fall:.3g}"
    return f"{points} point{'' if points == '1' else 's'}"


def _rests_on(runs: Mapping[int, Infos]) -> str:
    """On how many seeds the means rest, where that is not the same at all sizes."""
    smallest: dict[int, LevelInfo] = {}  # by number of seeds, the last level that has so many
    for infos in by_level(runs).values():
        smallest[len(infos)] = next(iter(infos.values()))
    if len(smallest) < 2:
        return ""
    told = [
        f"{seeds} down to {size_in_words(info.percent_remaining)}"
        for seeds, info in smallest.items()
    ]
    return f"Seeds behind the means: {', '.join(told)} of the weights."


def _end(until: Until, infos: Sequence[LevelInfo]) -> str:
    accuracies = [info.validation_accuracy for info in infos]
    fell = until.fell_at(accuracies)
    if fell is None:
        if len(infos) <= len(until.rounds):
            return ""
        return (
            f"went through all {_rounds(len(until.rounds))}: validation accuracy never fell by "
            f"more than {fall_in_words(until)}"
        )
    points = 100 * (accuracies[0] - accuracies[fell])
    return (
        f"stopped after {_rounds(fell)}: validation accuracy "
        f"{in_percent(100 * accuracies[fell], 2)} is {points:.2f} points below the dense "
        f"network's {in_percent(100 * accuracies[0], 2)}"
    )


def _rounds(count: int) -> str:
    return f"{count} round{'s' if count > 1 else ''}"
