"""What a ticket's barriers say, over seeds: heights, curves and sentences.

A barrier is the rise of error at the worst point of the line above the mean of its two ends
(Frankle et al. 2020, arXiv 1912.05671). Below `STABLE` points two networks are called linearly
connected: they lie in one valley.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from lottery_core.findings.replicates import Band, band, in_percent
from lottery_core.report.barrier_figures import style_of
from lottery_core.report.compared_figures import STABLE
from lottery_core.report.figures import Curve
from lottery_core.spec.barriers import ENDS, PRUNED
from lottery_core.store import Barriers, LineTo


@dataclass(frozen=True)
class _End:
    """What stands at the other end: a title, and in a sentence."""

    title: str
    words: str


_ENDS = {
    "new-order": _End("trained in another data order", "itself, trained in another data order,"),
    "pruned": _End("pruned, not retrained", "the network it was pruned from, cut by its mask,"),
    "reinit": _End("its mask, new random weights", "its mask with new random weights"),
    "transplanted": _End(
        "its mask, another network's weights", "its mask with another dense network's weights"
    ),
    "permuted": _End(
        "its mask, matched to these weights",
        "its mask with its units matched to that network and that network's weights",
    ),
}


@dataclass(frozen=True)
class Barrier:
    """Between a ticket and an `end`: the `test` and `train` heights (fractions), and how much of
    the test error's is `above` the worse end, each a mean over the seeds, from the least to the
    greatest; and the mean test error at that `other` end."""

    end: str
    test: Band
    train: Band
    above: Band
    other: float

    @property
    def title(self) -> str:
        """What stands at the other end."""
        return _ENDS[self.end].title

    @property
    def judged(self) -> Band:
        """The height by which it is told whether both lie in one valley. What was not retrained is
        worse for that alone, so there it is what rises above it."""
        return self.above if self.end == PRUNED else self.test

    @property
    def outcome(self) -> str:
        """A name in `OUTCOMES`, by the test error of all seeds."""
        if 100 * self.judged.high < STABLE:
            return "same"
        return "other" if 100 * self.judged.low >= STABLE else "open"


OUTCOMES = {
    "same": "one valley",
    "other": "different valleys",
    "open": "one or the other, by the seed",
}


def _lines(measured: Iterable[Barriers], end: str) -> list[LineTo]:
    return [line for one in measured for line in one.lines if line.end == end]


def barriers(measured: Sequence[Barriers]) -> list[Barrier]:
    """One for each end, in the order of `ENDS`, over the seeds of `measured`."""
    found = []
    for end in ENDS:
        if lines := _lines(measured, end):
            test = band([line.instability_test for line in lines], "range")
            train = band([line.instability_train for line in lines], "range")
            above = band([_above(line.test_error) for line in lines], "range")
            other = [line.test_error[-1] for line in lines]
            found.append(Barrier(end, test, train, above, fmean(other)))
    return found


def _above(errors: Sequence[float]) -> float:
    return max(errors) - max(errors[0], errors[-1])


def curves(measured: Sequence[Barriers], what: str) -> list[Curve]:
    """Errors along the line to each end, the mean over the seeds and from the least to the
    greatest; `what` is "test" or "train"."""
    found = []
    for end in ENDS:
        if lines := _lines(measured, end):
            points = zip(*(getattr(line, f"{what}_error") for line in lines), strict=True)
            bands = [band(point, "range") for point in points]
            mean, low, high = (
                [getattr(one, at) for one in bands] for at in ("mean", "low", "high")
            )
            title, style = _ENDS[end].title, style_of(end)
            found.append(Curve(title, lines[0].alphas, mean, style, low, high, len(lines)))
    return found


def table(found: Iterable[Barrier]) -> pd.DataFrame:
    """A row a barrier, in words and Markdown."""
    return pd.DataFrame(map(_row, found))


def _row(one: Barrier) -> dict[str, str]:
    return {
        "between the ticket and": f"**{one.title}**",
        "outcome": OUTCOMES[one.outcome],
        "rise of test error, points": f"{100 * one.test.mean:.2f}{_range(one.test)}",
        "above the worse end": f"{100 * one.above.mean:.2f}{_range(one.above)}",
        "rise of training error, points": f"{100 * one.train.mean:.2f}{_range(one.train)}",
        "test error there": in_percent(100 * one.other, 2),
    }


_BEGINNINGS = {
    "same": "In one valley:",
    "other": "In different valleys:",
    "open": "In one valley or not, by the seed:",
}


def in_words(measured: Sequence[Barriers]) -> str:
    """What the barriers say, in a few sentences, as Markdown."""
    found, words = barriers(measured), []
    for outcome, begin in _BEGINNINGS.items():
        if some := [one for one in found if one.outcome == outcome]:
            first, *others = some
            words.append(
                f"**{begin}** between the ticket and {_ENDS[first.end].words} the test error rises "
                f"by {_height(first)}"
                + "".join(f"; {_ENDS[one.end].words} by {_height(one)}" for one in others)
                + "."
            )
    outcomes = {one.end: one.outcome for one in found}
    if (outcomes.get("new-order"), outcomes.get("reinit")) == ("same", "other"):
        words.append(
            "So it is not the mask that leads to the ticket's valley, but the weights it begins "
            "with: new ones end elsewhere, where the mask was not made for them."
        )
    return f"{' '.join(words)} {_seeds(measured)}"


def _height(one: Barrier) -> str:
    where = " above the worse end" if one.end == PRUNED else ""
    return f"{100 * one.judged.mean:.2f} points{where}{_range(one.judged)}"


def _range(of: Band) -> str:
    """From the least seed to the greatest."""
    return f" ({100 * of.low:.2f} to {100 * of.high:.2f})" if of.n > 1 else ""


def _seeds(measured: Sequence[Barriers]) -> str:
    seeds = [str(one.seed) for one in measured]
    if len(seeds) == 1:
        return f"One seed, {seeds[0]}."
    return f"Over seeds {', '.join(seeds[:-1])} and {seeds[-1]}."
