"""Which level of an experiment wins: the one rule, the one level, and what is said of it.

Whatever names a winning ticket asks here: pages, cards, the command line and the library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lottery_core.findings.replicates import (
    NOTHING,
    ONE_SEED,
    Difference,
    Infos,
    by_level,
    field_of,
    gap_in_words,
    in_percent,
    interval_in_words,
    mean_percent,
    paired,
)
from lottery_core.findings.tables import chance, has_learned
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import LevelInfo


@dataclass(frozen=True)
class Condition:
    """One thing that a winning level must meet: `difference` is ticket - dense, paired by seed,
    an accuracy as a fraction or the early stop in iterations; `selects` says whether it may pick
    a level, which test images may not where others were held out."""

    what: str
    difference: Difference
    selects: bool

    @property
    def is_met(self) -> bool:
        """No accuracy below the dense network's, no early stop later, on the mean over seeds."""
        sign = -1 if self.what == STOP else 1
        return sign * self.difference.mean >= -NOTHING

    def in_words(self) -> str:
        """Both numbers and their difference."""
        one = self.difference
        if self.what == STOP:
            steps = round(one.mean)
            if not steps:
                when = "like the dense network's"
            else:
                way = "earlier" if steps < 0 else "later"
                when = f"{abs(steps):,} iterations {way} than the dense network's {one.b:,.0f}"
            return (
                f"{self.what} at iteration {one.a:,.0f}, {when}{interval_in_words(one, 1, ',.0f')}"
            )
        # Test images that may not pick are looked at where the validation loss was least.
        when = "" if self.selects else " at the early stop"
        return (
            f"{self.what}{when} {in_percent(100 * one.a, 2)}, "
            f"{gap_in_words(one, 'the dense network')}{interval_in_words(one, 100, '.2f')}"
        )


VALIDATION, TEST, STOP = "validation accuracy", "test accuracy", "early stop"


@dataclass(frozen=True)
class Verdict:
    """Whether one level holds a winning ticket: trained to the dense network's accuracy in no
    more iterations. It does if the mean over `n` seeds meets each of the `conditions`:

    - validation accuracy, at the last iteration, not below the dense network's;
    - the early stop, the iteration of least validation loss, not later than its;
    - test accuracy, at the early stop, not below its.

    Where no images were held out, test accuracy at the last iteration is all there is. `held` is
    in how many of the seeds the level wins by itself.
    """

    level: int
    percent: float
    n: int
    held: int
    conditions: tuple[Condition, ...]

    @property
    def wins(self) -> bool:
        """By all of the conditions."""
        return all(one.is_met for one in self.conditions)

    @property
    def is_picked(self) -> bool:
        """By what may select a level: all but the test images, where others were held out."""
        return all(one.is_met for one in self.conditions if one.selects)

    @property
    def missed(self) -> tuple[Condition, ...]:
        """The conditions that are not met."""
        return tuple(one for one in self.conditions if not one.is_met)

    @property
    def may_be_chance(self) -> bool:
        """Of one that does not win: whether chance alone may explain all that it misses."""
        return all(one.difference.may_be_chance for one in self.missed)

    @property
    def is_certain(self) -> bool:
        """Whether even the worse ends of the intervals win; never of one seed."""
        return self.n > 1 and all(
            (-one.difference.high if one.what == STOP else one.difference.low) >= -NOTHING
            for one in self.conditions
        )

    @property
    def is_by_accuracy_alone(self) -> bool:
        """Whether nothing was held out, to find an early stop with and to pick a level by."""
        return len(self.conditions) == 1

    def reasons(self) -> str:
        """Why it wins or does not, in words that follow a colon."""
        if self.missed:
            words = "; ".join(one.in_words() for one in self.missed)
            return f"{words}{'; chance alone may explain that' if self.may_be_chance else ''}"
        return "; ".join(one.in_words() for one in self.conditions)


def verdicts(runs: Mapping[int, Infos]) -> list[Verdict]:
    """The verdict on each level from 1 on that a seed has together with its dense network, level
    0. `runs` maps a seed to the infos of its levels."""
    levels = by_level(runs)
    dense = levels.pop(0, {})
    found = [_verdict(level, infos, dense) for level, infos in levels.items()]
    return [verdict for verdict in found if verdict.n]


def picked(runs: Mapping[int, Infos]) -> Verdict | None:
    """The smallest pruned level that wins by what may select one, among those that most seeds have
    reached; whether it also wins on the test images is for its verdict to say. None where no level
    does."""
    found = [one for one in _of_most_seeds(runs) if one.is_picked]
    return min(found, key=lambda verdict: verdict.percent, default=None)


def level_to_show(runs: Mapping[int, Infos]) -> int:
    """The level that every page begins with: the one that is picked, or else the last that most
    seeds have reached."""
    if found := picked(runs):
        return found.level
    reached = [verdict.level for verdict in _of_most_seeds(runs)]
    return max(reached or by_level(runs), default=0)


def has_won(runs: Mapping[int, Infos]) -> bool:
    """Whether there is a winning ticket: the level that is picked wins."""
    found = picked(runs)
    return found is not None and found.wins and _has_learned(runs)


def verdict_in_words(runs: Mapping[int, Infos], name: str = "ticket") -> str:
    """What came of an experiment over its seeds, in a few sentences; `name` is what a pruned
    network of this arm is called."""
    known = _of_most_seeds(runs)
    if not known:
        return "No seed has a dense network and a pruned one yet."
    found, n = picked(runs), known[0].n
    if not _has_learned(runs):
        words = _untaught_in_words(runs, name)
    elif found is None:
        words = _none_in_words(known, name)
    else:
        words = _found_in_words(found, name)
    if n > 1:
        return f"Over {n} seeds {words}"
    return f"{words[0].upper()}{words[1:]} {ONE_SEED}"


def _of_most_seeds(runs: Mapping[int, Infos]) -> list[Verdict]:
    found = [verdict for verdict in verdicts(runs) if verdict.percent < 100]
    most = max((verdict.n for verdict in found), default=0)
    return [verdict for verdict in found if verdict.n == most]


def _verdict(level: int, infos: Mapping[int, LevelInfo], dense: Mapping[int, LevelInfo]) -> Verdict:
    seeds = [seed for seed in infos if seed in dense]
    return Verdict(
        level=level,
        percent=mean_percent(infos.values()),
        n=len(seeds),
        held=sum(
            all(one.is_met for one in _conditions({seed: infos[seed]}, dense)) for seed in seeds
        ),
        conditions=_conditions({seed: infos[seed] for seed in seeds}, dense),
    )


def _conditions(
    infos: Mapping[int, LevelInfo], dense: Mapping[int, LevelInfo]
) -> tuple[Condition, ...]:
    def gap(name: str) -> Difference:
        return paired(field_of(infos, name), field_of(dense, name))

    stop = gap("early_stop_iteration")
    if not stop.n:
        return (Condition(TEST, gap("test_accuracy"), selects=True),)
    return (
        Condition(VALIDATION, gap("validation_accuracy"), selects=True),
        Condition(STOP, stop, selects=True),
        Condition(TEST, gap("test_accuracy_at_early_stop"), selects=False),
    )


def _dense(runs: Mapping[int, Infos]) -> list[LevelInfo]:
    return [infos[0] for infos in runs.values() if infos]


def _has_learned(runs: Mapping[int, Infos]) -> bool:
    dense = _dense(runs)
    return bool(dense) and has_learned(dense[0], _mean_accuracy(dense))


def _mean_accuracy(infos: Sequence[LevelInfo]) -> float:
    return sum(info.test_accuracy for info in infos) / len(infos)


def _untaught_in_words(runs: Mapping[int, Infos], name: str) -> str:
    dense = _dense(runs)
    return (
        "the dense network itself learned next to nothing "
        f"({in_percent(100 * _mean_accuracy(dense))} on the test images; guessing gives "
        f"{100 * chance(dense[0]):.3g}\u202f%), so there is no {name} to find. Try a smaller "
        "learning rate or a longer training."
    )


def _none_in_words(known: Sequence[Verdict], name: str) -> str:
    nearest = min(known, key=lambda one: (len(one.missed), -one.conditions[0].difference.mean))
    kind = "winning ticket" if name == "ticket" else f"{name} that wins"
    return (
        f"there is no {kind}. The nearest keeps {size_in_words(nearest.percent)} of the weights "
        f"and misses it by its {nearest.reasons()}."
    )


def _found_in_words(found: Verdict, name: str) -> str:
    kind = f"{name} that wins on the validation images"
    if found.wins:
        kind = "winning ticket" if name == "ticket" else f"{name} that wins"
    words = f"the smallest {kind} keeps {size_in_words(found.percent)} of the weights: "
    if found.wins:
        # What it reports comes first: the test images.
        words += "; ".join(one.in_words() for one in reversed(found.conditions))
        words += "."
    else:
        words += (
            f"{'; '.join(one.in_words() for one in found.conditions if one.selects)}. The test "
            f"images do not bear it out: {found.reasons()}."
        )
    if found.n > 1:
        words += f" It wins by itself in {found.held} of {found.n} seeds"
        room = found.wins and not found.is_certain
        words += f"{'; the intervals do not rule out a loss' if room else ''}."
    if found.is_by_accuracy_alone:
        words += (
            " It was judged on accuracy alone and picked on the test images, as this recipe holds "
            "out no others."
        )
    return words
