"""What makes a ticket: which of its mask, signs, magnitudes and order of the data, changed alone or
together, loses it.

Whether the mask or the initial weights matter: Frankle & Carbin 2018, arXiv 1803.03635; signs and
magnitudes told apart: Zhou et al. 2019, arXiv 1905.01067. Differences are of test accuracy at the
end of training, seed by seed; they select nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from lottery_core.findings.replicates import (
    NOTHING,
    Difference,
    gap_in_words,
    in_percent,
    interval_in_words,
    paired,
)
from lottery_core.spec.arms import ARMS, at
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import size_in_words

# What each arm changes about a ticket, from nothing to all that can be.
ALTERATIONS = {
    "ticket": (),
    "new-order": ("data order",),
    "new-magnitudes": ("magnitudes",),
    "new-signs": ("signs",),
    "reinit": ("signs", "magnitudes"),
    "transplanted": ("weights",),
    "permuted": ("weights", "unit order"),
    "random-mask": ("mask",),
    "reshuffled-reinit": ("mask", "signs", "magnitudes"),
}
SLIGHT = 0.005  # of accuracy: where a greater loss can be ruled out, an alteration keeps the ticket


@dataclass(frozen=True)
class Effect:
    """What an arm of `ALTERATIONS` does: `difference` is arm - ticket of test accuracies
    (fractions), paired by seed; of the ticket itself it is nothing."""

    arm: str
    difference: Difference

    @property
    def changed(self) -> str:
        """What is changed, as a label: "signs + magnitudes"."""
        return " + ".join(ALTERATIONS[self.arm]) or "nothing"

    @property
    def outcome(self) -> str:
        """A name in `OUTCOMES`: by the 95 % interval of the mean alone, which one seed has not."""
        one = self.difference
        if one.n < 2:
            return "unknown"
        if one.high < -NOTHING:
            return "loses"
        if one.low > NOTHING:
            return "gains"
        return "keeps" if one.low > -SLIGHT else "open"


OUTCOMES = {
    "loses": "lost",
    "keeps": f"kept within {100 * SLIGHT:g} points",
    "gains": "improved",
    "open": "may be chance",
    "unknown": "takes two seeds to tell",
}


def altered(experiment: Experiment, n: int) -> dict[str, Experiment]:
    """The ticket at level `n` of an experiment and what `ALTERATIONS` make of it, by arm; each
    trains that level alone, but for the ticket's own before it."""
    ticket = replace(experiment, rounds=experiment.rounds[:n])
    return {arm: at(arm, ticket, n) if arm in ARMS else ticket for arm in ALTERATIONS}


def effects(accuracies: Mapping[str, Mapping[int, float]]) -> list[Effect]:
    """The effect of every alteration, in their order, from test accuracies by arm and seed."""
    ticket = accuracies.get("ticket", {})
    return [Effect(arm, paired(accuracies.get(arm, {}), ticket)) for arm in ALTERATIONS]


def in_words(accuracies: Mapping[str, Mapping[int, float]]) -> str:
    """What the `effects` of these accuracies say, in a few sentences, as Markdown."""
    ticket, *others = effects(accuracies)
    n = ticket.difference.n
    if not n:
        return "The ticket itself is not trained yet, so nothing can be held against it."
    seeds = f"Over {n} seeds the" if n > 1 else "The"
    words = [f"{seeds} ticket reaches {in_percent(100 * ticket.difference.a, 2)} on test images."]
    of = {name: [one for one in others if one.outcome == name] for name in OUTCOMES}
    if len(of["unknown"]) == len(others):
        begun = any(one.difference.n for one in others)
        words.append(
            "One seed can't tell what an alteration does from chance: train two or more."
            if begun
            else "None of its alterations is trained yet."
        )
        return " ".join(words)
    if not of["loses"]:
        words.append("Nothing that was changed is known to lose that.")
    for name, begin in _BEGINNINGS.items():
        if of[name]:
            words.append(f"**{begin}** {'; '.join(map(_named, of[name]))}.")
    matched = paired(accuracies.get("permuted", {}), accuracies.get("transplanted", {}))
    if matched.n > 1:
        words.append(
            "On the other weights the mask with its units matched ends "
            f"{gap_in_words(matched, 'the plain mask')}"
            f"{interval_in_words(matched, 100, '.2f')}"
            f"{'; that may be chance' if matched.may_be_chance else ''}."
        )
    return " ".join(words)


_BEGINNINGS = {
    "loses": "Lost by changing",
    "keeps": f"Kept within {100 * SLIGHT:g} points by changing",
    "gains": "Improved by changing",
    "open": "Can't be told from chance: changing",
    "unknown": "Not trained over two seeds yet: changing",
}


def _named(effect: Effect) -> str:
    *most, last = ALTERATIONS[effect.arm]
    together = f"the {', '.join(most)} and {last} at once" if most else f"the {last}"
    if not effect.difference.n:
        return together
    return f"{together} ({100 * effect.difference.mean:+z.2f} points)"


def table(found: Iterable[Effect]) -> pd.DataFrame:
    """A row an effect, in words and Markdown."""
    return pd.DataFrame(map(_row, found))


def _row(effect: Effect) -> dict[str, str]:
    one, is_ticket = effect.difference, effect.arm == "ticket"
    what = "the ticket itself" if is_ticket else ARMS[effect.arm].summary
    interval = f"{100 * one.low:+z.2f} to {100 * one.high:+z.2f}" if one.n > 1 else ""
    return {
        "changed": f"**{effect.changed}**: {what}",
        "test accuracy": in_percent(100 * one.a, 2) if one.n else "",
        "minus the ticket": "" if is_ticket or not one.n else f"{100 * one.mean:+z.2f}",
        "95\u202f% interval": "" if is_ticket else interval,
        "outcome": "" if is_ticket else OUTCOMES[effect.outcome] if one.n else "not trained yet",
    }


def level_names(experiment: Experiment, percents: Mapping[int, float]) -> list[str]:
    """What each pruned level is called, from the first on; `percents` of weights remaining are
    known of those that are there."""
    planned = {n: 100 * (1 - step.sparsity) for n, step in enumerate(experiment.rounds, 1)}
    sizes = {n: percents.get(n, percent) for n, percent in planned.items()}
    return [f"level {n}: {size_in_words(percent)} of the weights" for n, percent in sizes.items()]


def seeds_of(known: Iterable[int], count: int) -> list[int]:
    """The first `count` of the seeds that are known, and as many more as are wanted."""
    seeds = sorted(known)[:count]
    return seeds + [seeds[-1] + n for n in range(1, count - len(seeds) + 1)]
