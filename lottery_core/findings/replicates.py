"""What several seeds of one experiment say together: bands, paired differences, the verdict.

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

from lottery_core.findings.tables import chance, has_learned
from lottery_core.store import LevelInfo

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
_NOTHING = 1e-9  # what rounding leaves of equal accuracies; an image of 10,000 is 1e-4


@dataclass(frozen=True)
class Band:
    """A mean over `n` seeds and its bounds, in the unit of the values."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference(Band):
    """A mean difference a - b over the pairs of `seeds`, with its 95 % t interval."""

    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether one level holds winning tickets: trained to the dense network's test accuracy in
    no more iterations.

    All differences are ticket - dense, paired by seed; accuracies are fractions of the images.
    `accuracy` is the one that judges: test accuracy at the early stop, or at the end where
    nothing was held out. `reached` is the ticket's own. Iterations count within the schedule,
    from the dense network's iteration 0. `by` says what was judged, `held` in how many of the
    `n` seeds the level won by itself. `verdict` is

    - "winning" if the mean accuracy is not below the dense network's and the mean early stop
      not later: the definition, applied to the means;
    - "not winning" if one of the two is lost beyond chance, its 95 % interval wholly on the
      losing side;
    - "undecided" otherwise: a mean is on the losing side, by no more than chance may explain.

    `certain` adds that the intervals leave no room for a loss. With one seed there is no interval:
    its values alone say "winning" or "not winning", and `n` is 1.
    """

    level: int
    percent: float
    verdict: str
    by: str
    n: int
    held: int
    reached: float
    accuracy: Difference
    accuracy_at_end: Difference
    validation: Difference
    iterations: Difference

    @property
    def certain(self) -> bool:
        """Whether even the worse ends of the intervals win."""
        return self.accuracy.low >= -_NOTHING and not self.iterations.high > 0

    @property
    def selection(self) -> str:
        """The verdict by what may select a level: validation accuracy and the early stop, or test
        accuracy where nothing was held out."""
        accuracy = self.validation if self.validation.n else self.accuracy
        return _judge(accuracy, self.iterations)


def band(values: Sequence[float | None], kind: str) -> Band:
    """Mean and bounds of one value a seed, by one of `KINDS`; missing ones (None, NaN) are left
    out. A single seed is its own range and has no interval."""
    mean, low, high, n = _bands(np.array(values, float).reshape(-1, 1), kind)
    return Band(float(mean[0]), float(low[0]), float(high[0]), int(n[0]))


def paired(a: Mapping[int, float | None], b: Mapping[int, float | None]) -> Difference:
    """Mean of a - b over the seeds that have both, with the interval of a paired t test."""
    seeds = sorted(seed for seed in a if not (pd.isna(a[seed]) or pd.isna(b.get(seed))))
    found = band([a[seed] - b[seed] for seed in seeds], "interval")
    return Difference(**vars(found), seeds=tuple(seeds))


def curve(runs: Mapping[int, Infos], y: str, kind: str = "range") -> pd.DataFrame:
    """One row per level: level, percent of weights remaining, and the band of `y`, a field of
    `LevelInfo`.

    Raises AttributeError for another name, ValueError where seeds keep different numbers of
    weights at one level.
    """
    return _rows(
        (level, infos, band([getattr(info, y) for info in infos.values()], kind))
        for level, infos in _by_level(runs).items()
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
    """One row per size that both arms have: arm a's level, percent of weights remaining, and the
    paired difference a - b of `y`, a field of `LevelInfo`. Where levels repeat a size, the first
    goes with the first, and so on."""
    b_sizes = _by_size(b_runs)
    return _rows(
        (next(iter(a.values())).level, a, paired(_field(a, y), _field(b_sizes[size], y)))
        for size, a in _by_size(a_runs).items()
        if size in b_sizes
    )


def winning(runs: Mapping[int, Infos]) -> list[Verdict]:
    """The verdict on each level from 1 on, level 0 being the dense network: see `Verdict`."""
    levels = _by_level(runs)
    dense = levels.pop(0, {})
    return [_verdict(level, infos, dense) for level, infos in levels.items()]


def smallest_winning(runs: Mapping[int, Infos]) -> Verdict | None:
    """The smallest pruned level that wins by what may select one (`Verdict.selection`), among
    those that most seeds have reached; its verdict then reports the test images."""
    verdicts = winning(runs)
    most = max((verdict.n for verdict in verdicts), default=0)
    found = [v for v in verdicts if v.n == most and v.percent < 100 and v.selection == "winning"]
    return min(found, key=lambda verdict: verdict.percent, default=None)


def verdict_in_words(runs: Mapping[int, Infos], name: str = "ticket") -> str:
    """What came of the replicates of an experiment, in a few sentences; `name` is what a pruned
    network of this arm is called."""
    verdicts, found = winning(runs), smallest_winning(runs)
    n = found.n if found else max((verdict.n for verdict in verdicts), default=0)
    if not n:
        return "No seed has a dense network and a pruned one yet."
    dense = curve(runs, "test_accuracy").iloc[0]["mean"]
    one = next(iter(runs.values()))[0]
    if not has_learned(one, dense):
        words = (
            f"the dense network itself learned next to nothing ({_percent(100 * dense)} on the "
            f"test images; guessing gives {100 * chance(one):.3g}\u202f%), so there is no {name} "
            "to find."
        )
    elif not found:
        words = _none_in_words([verdict for verdict in verdicts if verdict.n == n])
    else:
        words = _found_in_words(found, name)
    return f"Over {n} seeds {words}" if n > 1 else f"{words[0].upper()}{words[1:]} One seed."


def difference_in_words(difference: Difference, what_a: str, what_b: str, percent: float) -> str:
    """A difference of test accuracies between two arms at one density, in a sentence."""
    where = f"At {_percent(percent)} of the weights"
    if not difference.n:
        return f"{where} no seed has both {what_a} and {what_b}."
    words = f"{where} {what_a} is {_gap(difference, what_b)} on the test images"
    if difference.n == 1:
        return f"{words}. One seed."
    chance = difference.low <= 0 <= difference.high
    return (
        f"{words}{_interval(difference, 100, '.2f', f', {difference.n} seeds')}"
        f"{'; chance alone may explain it' if chance else ''}."
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


def _by_level(runs: Mapping[int, Infos]) -> dict[int, dict[int, LevelInfo]]:
    """Level -> seed -> info, in order."""
    levels: dict[int, dict[int, LevelInfo]] = {}
    for seed, infos in runs.items():
        for info in infos:
            levels.setdefault(info.level, {})[seed] = info
    for level, infos in levels.items():
        sizes = {(info.weights_kept, info.weights_total) for info in infos.values()}
        if len(sizes) > 1:
            found = " and ".join(f"{kept:,} of {total:,}" for kept, total in sorted(sizes))
            raise ValueError(
                f"level={level} keeps {found} weights in different seeds; replicates keep equally "
                "many, so give the runs of one experiment"
            )
    return dict(sorted(levels.items()))


def _by_size(runs: Mapping[int, Infos]) -> dict[tuple[int, int, int], dict[int, LevelInfo]]:
    """(weights kept, of how many, the how-manieth level of that size) -> seed -> info."""
    sizes: dict[tuple[int, int, int], dict[int, LevelInfo]] = {}
    for infos in _by_level(runs).values():
        info, times = next(iter(infos.values())), 0
        while (size := (info.weights_kept, info.weights_total, times)) in sizes:
            times += 1
        sizes[size] = infos
    return sizes


def _field(infos: Mapping[int, LevelInfo], name: str) -> dict[int, float | None]:
    return {seed: getattr(info, name) for seed, info in infos.items()}


def _rows(rows: Iterable[tuple[int, Mapping[int, LevelInfo], Band]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (level, next(iter(infos.values())).percent_remaining, b.mean, b.low, b.high, b.n)
            for level, infos, b in rows
        ],
        columns=["level", "percent", "mean", "low", "high", "n"],
    )


def _verdict(level: int, infos: Mapping[int, LevelInfo], dense: Mapping[int, LevelInfo]) -> Verdict:
    seeds = [seed for seed in infos if seed in dense]

    def gap(name: str, among: Sequence[int] = seeds) -> Difference:
        return paired(_field({seed: infos[seed] for seed in among}, name), _field(dense, name))

    iterations = gap("early_stop_iteration")
    judge = "test_accuracy_at_early_stop" if iterations.n else "test_accuracy"
    return Verdict(
        level=level,
        percent=next(iter(infos.values())).percent_remaining,
        verdict=_judge(gap(judge), iterations),
        by="accuracy and iterations" if iterations.n else "accuracy alone",
        n=len(seeds),
        held=sum(
            _judge(gap(judge, [seed]), gap("early_stop_iteration", [seed])) == "winning"
            for seed in seeds
        ),
        reached=band([getattr(infos[seed], judge) for seed in seeds], "range").mean,
        accuracy=gap(judge),
        accuracy_at_end=gap("test_accuracy"),
        validation=gap("validation_accuracy"),
        iterations=iterations,
    )


def _judge(accuracy: Difference, iterations: Difference) -> str:
    """The rule that `Verdict` states."""
    gains = [(accuracy.mean, accuracy.high)]
    if iterations.n:
        gains.append((-iterations.mean, -iterations.low))
    if all(mean >= -_NOTHING for mean, _ in gains):
        return "winning"
    if accuracy.n == 1 or any(best < -_NOTHING for _, best in gains):
        return "not winning"
    return "undecided"


def _none_in_words(verdicts: Sequence[Verdict]) -> str:
    one = verdicts[0]
    words = "no pruned network reached the dense network's "
    words += "validation accuracy" if one.validation.n else "test accuracy"
    words += " in no more iterations" if one.iterations.n else ""
    words += " on average" if one.n > 1 else ""
    unclear = sum(verdict.selection == "undecided" for verdict in verdicts)
    if unclear:
        words += f"; at {unclear} of {len(verdicts)} levels chance alone may explain that"
    return f"{words}."


def _found_in_words(found: Verdict, name: str) -> str:
    won = found.verdict == "winning"
    words = f"the smallest {f'winning {name}' if won else f'{name} that wins on validation images'}"
    words += (
        f" keeps {_percent(found.percent)} of the weights: {_percent(100 * found.reached)} on the "
        f"test images, {_gap(found.accuracy, 'the dense network')}"
        f"{_interval(found.accuracy, 100, '.2f')}"
    )
    if found.iterations.n:
        steps = round(found.iterations.mean)
        when = f"{abs(steps):,} iterations {'earlier' if steps < 0 else 'later'}"
        words += f", stopping {when if steps else 'at the same iteration'}"
        words += _interval(found.iterations, 1, ",.0f")
    words += "."
    if found.verdict == "not winning":
        words += " By the test images it does not win."
    elif not won:
        words += " The test images leave it undecided whether it wins."
    if found.n > 1:
        both = "Accuracy and iterations both" if found.iterations.n else "Accuracy"
        room = won and not found.certain
        words += (
            f" {both} held in {found.held} of {found.n} seeds"
            f"{'; the intervals do not rule out a loss' if room else ''}."
        )
    if not found.iterations.n:
        words += (
            " It was judged on accuracy alone and picked on the test images, as this recipe holds "
            "out no others."
        )
    return words


def _percent(percent: float) -> str:
    return f"{percent:.1f}\u202f%"


def _gap(difference: Difference, other: str) -> str:
    """How far accuracy is from another's, in points."""
    points = round(100 * difference.mean, 2)
    if not points:
        return f"equal to {other}"
    return f"{abs(points):.2f} points {'above' if points > 0 else 'below'} {other}"


def _interval(difference: Difference, scale: int, form: str, more: str = "") -> str:
    """In brackets, in the unit of the mean times `scale`; nothing for one seed."""
    if difference.n < 2:
        return ""
    low, high = (format(scale * bound, f"+z{form}") for bound in (difference.low, difference.high))
    return f" (95\u202f% interval {low} to {high}{more})"
