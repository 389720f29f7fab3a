"""Lines beside each other: at equal density, and seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isclose

import numpy as np
import pandas as pd

from lottery_core.findings.lines import Line, Runs, line_id
from lottery_core.findings.replicates import (
    Difference,
    curve,
    difference_in_words,
    differences,
    paired,
)
from lottery_core.report.figures import Curve, Style
from lottery_core.spec.arms import how_much_longer
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import size_in_words


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


def level_frames(
    lines: Sequence[Line], runs: Mapping[str, Runs], field: str, kind: str
) -> dict[str, pd.DataFrame]:
    """By line: its curve of a field of its levels (see `replicates.curve`), without levels that
    have no such value; what prunes nothing is drawn where `percents_of` says."""
    found = {}
    for line in lines:
        frame = curve(runs[line.id], field, kind)
        if line.arm == "dense-longer":
            places = percents_of(line.main, lines, [runs[one.id] for one in lines])
            frame["percent"] = places[: len(frame)]
        found[line.id] = frame[frame["n"] > 0]
    return found


def drawn(line: Line, frame: pd.DataFrame, x: str, words: str, style: Style, n: int) -> Curve:
    """A line's frame as a curve over its column `x`; `n` is of how many seeds it is while the frame
    is empty."""
    n = int(frame["n"].max()) if len(frame) else n
    seeds = f"{n} seeds" if n > 1 else "one seed"
    if x == "percent":
        words += how_much_longer(line.main)
    return Curve(
        f"{words}, {seeds}" if n else words,
        frame[x].tolist(),
        frame["mean"].tolist(),
        style,
        frame["low"].tolist(),
        frame["high"].tolist(),
        n,
        group=line.id,
    )


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
        "line", "reference", "level", "percent", "mean", "low", "high", "n", "a", "b",
        "mean_early_stop", "low_early_stop", "high_early_stop", "n_early_stop",
    ]  # fmt: skip
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def same_density(percent: float, other: float) -> bool:
    """Whether two percents of weights are one density: rounds to whole weights apart."""
    return isclose(percent, other, rel_tol=0.005)


def at_density(frame: pd.DataFrame, percent: float) -> np.ndarray:
    """Which rows of a frame with a column `percent` have that density, as booleans."""
    return np.array([same_density(at, percent) for at in frame["percent"]], bool)


def _at_equal_density(a_runs: Runs, b_runs: Runs, y: str) -> pd.DataFrame:
    """`replicates.differences`; for networks of different sizes, at equal percents instead."""
    found = differences(a_runs, b_runs, y)
    a, b = (curve(runs, y) for runs in (a_runs, b_runs))
    if len(found) or not len(a) or not len(b):
        return found
    rows = []
    for level, percent in zip(a["level"], a["percent"], strict=True):
        other = b["level"][at_density(b, percent)]
        if len(other):
            pair = (_values(a_runs, level, y), _values(b_runs, other.iloc[0], y))
            gap = paired(*pair)
            rows.append((level, percent, *(getattr(gap, name) for name in found.columns[2:])))
    return pd.DataFrame(rows, columns=found.columns)


def _values(runs: Runs, level: int, y: str) -> dict[int, float | None]:
    return {
        seed: getattr(info, y)
        for seed, infos in runs.items()
        for info in infos
        if info.level == level
    }


def row_in_words(row, what_a: str, what_b: str) -> str:
    """A row of `differences_table` in a sentence or two."""
    accuracy = Difference(row.mean, row.low, row.high, row.n, row.a, row.b)
    words = difference_in_words(accuracy, what_a, what_b, row.percent)
    if not row.n_early_stop:
        return words
    words, alone, _ = words.partition(" One seed.")
    steps = round(row.mean_early_stop)
    when = f"{abs(steps):,} iterations {'earlier' if steps < 0 else 'later'}"
    words += f" It stops {when if steps else 'at the same iteration'}"
    if row.n_early_stop > 1 and row.low_early_stop < row.high_early_stop:
        low, high = (f"{bound:+z,.0f}" for bound in (row.low_early_stop, row.high_early_stop))
        words += f" (95\u202f% interval {low} to {high})"
    return f"{words}.{alone}"


def why_none(line: Line, reference: Line, percent: float) -> str:
    """Why two lines have no difference at a size."""
    if "dense-longer" in (line.arm, reference.arm):
        return "nothing is pruned there, so the two have no size in common"
    if same_density(percent, 100):
        return "it begins with the same dense network"
    return f"the two have no level with {size_in_words(percent)} of the weights in common yet"
