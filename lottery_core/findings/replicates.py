"""What several seeds of one experiment say together: bands and paired differences.

Replicates share everything but the seed, and with it initialisation, data order and the images
held out. Two arms, or a ticket and its dense network, are therefore compared seed by seed: the
difference of each pair first, its mean after. `runs` maps a seed to the infos (`Level.info`) of
that seed's levels. Every number carries `n`, the seeds it rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lottery_core.findings.recipe_words import last_round
from lottery_core.method.criteria import CRITERIA
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import LevelInfo
from lottery_core.store.info import Pruned

KINDS = {
    "range": "from the least seed to the greatest, as in the paper",
    "interval": "95\u202f% interval of the mean (Student's t)",
}
Infos = Sequence[LevelInfo]

# Student's t, quantile 0.975, by degrees of freedom from 1 to 30 (scipy.stats.t.ppf). One seed
# leaves none, and nothing to say.
_T = np.array([
    np.nan, 12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
    2.262157, 2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816,
    2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899, 2.059539, 2.055529,
    2.051831, 2.048407, 2.045230, 2.042272,
])  # fmt: skip
_Z = 1.959964  # the normal distribution's
ONE_SEED = "One seed."
NOTHING = 1e-9  # what rounding leaves of equal accuracies; an image of 10,000 is 1e-4


@dataclass(frozen=True)
class Band:
    """A mean over `n` seeds and its bounds, in the unit of the values."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference(Band):
    """A mean difference a - b over the pairs of `seeds`, with its 95 % t interval, and the means
    of both over these pairs."""

    a: float = np.nan
    b: float = np.nan
    seeds: tuple[int, ...] = ()

    @property
    def may_be_chance(self) -> bool:
        """Whether the interval leaves both signs open; never of one pair, which has none."""
        return self.n > 1 and self.low <= 0 <= self.high


def band(values: Sequence[float | None], kind: str) -> Band:
    """Mean and bounds of one value a seed, by one of `KINDS`; missing ones (None, NaN) are left
    out. A single seed is its own range and has no interval."""
    mean, low, high, n = _bands(np.array(values, float).reshape(-1, 1), kind)
    return Band(float(mean[0]), float(low[0]), float(high[0]), int(n[0]))


def paired(a: Mapping[int, float | None], b: Mapping[int, float | None]) -> Difference:
    """Mean of a - b over the seeds that have both, with the interval of a paired t test."""
    seeds = sorted(seed for seed in a if not (pd.isna(a[seed]) or pd.isna(b.get(seed))))
    found = band([a[seed] - b[seed] for seed in seeds], "interval")
    each = (band([one[seed] for seed in seeds], "range").mean for one in (a, b))
    return Difference(**vars(found), **dict(zip("ab", each, strict=True)), seeds=tuple(seeds))


def curve(runs: Mapping[int, Infos], y: str, kind: str = "range") -> pd.DataFrame:
    """One row per level: level, percent of weights remaining, and the band of `y`, a field of
    `LevelInfo`.

    Raises AttributeError for another name, ValueError where seeds keep different numbers of
    weights at one level, as only those do whose units were ranked over all layers; then the percent
    is their mean.
    """
    return _rows(
        (level, infos, band([getattr(info, y) for info in infos.values()], kind))
        for level, infos in by_level(runs).items()
    )


def history_curve(
    histories: Mapping[int, pd.DataFrame], column: str, kind: str = "range"
) -> pd.DataFrame:
    """One row per evaluated iteration: iteration and the band of a column of `Level.history`."""
    frame = pd.DataFrame(
        {seed: h.set_index("iteration")[column] for seed, h in histories.items()}, dtype=float
    ).sort_index()
    mean, low, high, n = _bands(frame.to_numpy().T, kind)
    return pd.DataFrame(
        {"iteration": frame.index.to_numpy(), "mean": mean, "low": low, "high": high, "n": n}
    )


def differences(a_runs: Mapping[int, Infos], b_runs: Mapping[int, Infos], y: str) -> pd.DataFrame:
    """One row per size that both arms have: arm a's level, percent of weights remaining, the
    paired difference a - b of `y`, a field of `LevelInfo`, and the means of both. Where levels
    repeat a size, the first goes with the first, and so on."""
    rows, left = [], [*by_level(b_runs).values()]
    for level, a in by_level(a_runs).items():
        at = next((n for n, b in enumerate(left) if _keep_as_many(a, b)), None)
        if at is not None:
            rows.append((level, a, paired(field_of(a, y), field_of(left.pop(at), y))))
    return _rows(rows, ("a", "b"))


def difference_in_words(
    difference: Difference, what_a: str, what_b: str, percent: float | None = None
) -> str:
    """A difference of test accuracies at the end between two arms, in a sentence that names both;
    at a percent of the weights, where it is one."""
    where = "" if percent is None else f"At {size_in_words(percent)} of the weights "
    if not difference.n:
        return _sentence(f"{where}no seed has both {what_a} and {what_b}.")
    words = _sentence(
        f"{where}{what_a} reaches {in_percent(100 * difference.a, 2)} on the test images at the "
        f"end of training, {gap_in_words(difference, what_b)}"
    )
    if difference.n == 1:
        return f"{words}. {ONE_SEED}"
    return (
        f"{words}{interval_in_words(difference, 100, '.2f', f', {difference.n} seeds')}"
        f"{'; chance alone may explain it' if difference.may_be_chance else ''}."
    )


def _bands(values: np.ndarray, kind: str) -> tuple[np.ndarray, ...]:
    """Mean, low, high and n down the columns of (seeds, points); NaN is a missing value."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown; choose one of {', '.join(KINDS)}")
    n = (~np.isnan(values)).sum(axis=0)
    mean = np.where(n, np.nansum(values, axis=0) / np.maximum(n, 1), np.nan)
    if kind == "range":
        low = np.fmin.reduce(values, axis=0, initial=np.nan)
        return mean, low, np.fmax.reduce(values, axis=0, initial=np.nan), n
    deviation = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / np.maximum(n - 1, 1))
    half = _t(n - 1) * deviation / np.sqrt(np.maximum(n, 1))
    return mean, mean - half, mean + half, n


def _t(freedom: np.ndarray) -> np.ndarray:
    # Beyond the table: Abramowitz and Stegun 26.7.5, good to 1e-4 there.
    d, z = np.maximum(freedom, len(_T)), _Z
    large = z + (z**3 + z) / (4 * d) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * d**2)
    return np.where(freedom < len(_T), _T.take(freedom, mode="clip"), large)


def by_level(runs: Mapping[int, Infos]) -> dict[int, dict[int, LevelInfo]]:
    """Level -> seed -> info, in order."""
    levels: dict[int, dict[int, LevelInfo]] = {}
    for seed, infos in runs.items():
        for info in infos:
            levels.setdefault(info.level, {})[seed] = info
    for level, infos in levels.items():
        sizes = {_size(info) for info in infos.values()}
        if len(sizes) > 1 and not any(map(_may_differ, infos.values())):
            found = " and ".join(f"{kept:,} of {total:,}" for kept, total in sorted(sizes))
            raise ValueError(
                f"level={level} keeps {found} weights in different seeds; replicates keep equally "
                "many, so give the runs of one experiment"
            )
    return dict(sorted(levels.items()))


def _size(info: Pruned) -> tuple[int, int]:
    return info.weights_kept, info.weights_total


def _may_differ(info: Pruned) -> bool:
    """Whether seeds may keep differently many weights there: units of all layers were ranked
    together, and it lies with the weights of which layers they are."""
    last = last_round(info.experiment) if isinstance(info, LevelInfo) else {}
    known = CRITERIA.get(last.get("criterion"))
    return known is not None and known.takes_units and last["scope"] == "global"


def _keep_as_many(a: Mapping[int, LevelInfo], b: Mapping[int, LevelInfo]) -> bool:
    """Whether each seed that both have keeps as many weights in both; if they have none in common,
    whether the first ones do."""
    if both := a.keys() & b.keys():
        return all(_size(a[seed]) == _size(b[seed]) for seed in both)
    return _size(next(iter(a.values()))) == _size(next(iter(b.values())))


def mean_percent(infos: Iterable[Pruned]) -> float:
    """The percent of the weights that remains at one level of several seeds: their mean."""
    return float(np.mean([info.percent_remaining for info in infos]))


def field_of(infos: Mapping[int, LevelInfo], name: str) -> dict[int, float | None]:
    return {seed: getattr(info, name) for seed, info in infos.items()}


def _rows(
    rows: Iterable[tuple[int, Mapping[int, LevelInfo], Band]], more: Sequence[str] = ()
) -> pd.DataFrame:
    columns = ["mean", "low", "high", "n", *more]
    return pd.DataFrame(
        [
            (
                level,
                mean_percent(infos.values()),
                *(getattr(band, column) for column in columns),
            )
            for level, infos, band in rows
        ],
        columns=["level", "percent", *columns],
    )


def in_percent(percent: float, decimals: int = 1) -> str:
    return f"{percent:.{decimals}f}\u202f%"


def gap_in_words(difference: Difference, other: str) -> str:
    """How far an accuracy is from another's, in points, and what that is."""
    points = round(100 * difference.mean, 2)
    owner = f"{other}'" if other.endswith("s") else f"{other}'s"
    beside = f"{owner} {in_percent(100 * difference.b, 2)}"
    if not points:
        return f"equal to {beside}"
    return f"{abs(points):.2f} points {'above' if points > 0 else 'below'} {beside}"


def interval_in_words(difference: Difference, scale: int, form: str, more: str = "") -> str:
    """In brackets, in the unit of the mean times `scale`; nothing for one seed, and nothing where
    all pairs differ by the same, as by nothing."""
    if difference.n < 2 or difference.low == difference.high:
        return ""
    low, high = (format(scale * bound, f"+z{form}") for bound in (difference.low, difference.high))
    return f" (95\u202f% interval {low} to {high}{more})"


def _sentence(words: str) -> str:
    """With a large first letter, behind what makes it bold."""
    at = len(words) - len(words.lstrip("*"))
    return f"{words[:at]}{words[at : at + 1].upper()}{words[at + 1 :]}"
