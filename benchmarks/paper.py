"""A paper's experiment and its controls, run over several seeds, beside what the paper says.

Everything goes through the queue into the cache, as from a page, so that a run that was stopped
goes on where it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import torch

from lottery_core.data.own_images.wording import counted
from lottery_core.findings.replicates import Difference, band, curve, paired
from lottery_core.report import figures
from lottery_core.running.crew import Crew
from lottery_core.running.many import Asked, run_all
from lottery_core.running.time_left import in_words
from lottery_core.spec.arms import at
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.rounds import Round
from lottery_core.store import LevelInfo, Store, processor

DOCS = Path(__file__).resolve().parents[1] / "docs"
ARMS = {
    "ticket": ("ticket, iterative", "main"),
    "reinit": ("random reinit", "reinit"),
    "random-mask": ("random mask", "random-mask"),
    "one-shot": ("ticket, one-shot", "rate-rewind"),
}

Values = dict[int, float]  # seed -> value


class Results:
    """What came out: `infos[arm][level][seed]`, levels numbered as the iterative run's.

    `arms`, of `ARMS`, are run at the levels next to `shares`, in percent of weights. Accuracy is
    that at the early stop or, with `at_end`, at the end of training.
    """

    def __init__(
        self,
        choice: Choice,
        seeds: Sequence[int],
        store: Store,
        shares: Sequence[float],
        arms: Sequence[str],
        *,
        at_end: bool = False,
    ):
        self.store, self.seeds, self.arms = store, seeds, ["ticket", *arms]
        self.elsewhere: dict[str, dict] = {}
        self.accuracy_field = "test_accuracy" if at_end else "test_accuracy_at_early_stop"
        self.main = {seed: replace(choice, seed=seed).experiment() for seed in seeds}
        percents = _percents(self.main[seeds[0]])
        self.levels = sorted(
            {min(range(1, len(percents)), key=lambda n: abs(percents[n] - p)) for p in shares}
        )
        self.wanted: dict[str, dict[int, list[Experiment]]] = {
            "ticket": {len(percents) - 1: list(self.main.values())}
        }
        for arm in arms:
            self.wanted[arm] = {
                n: [_beside(arm, one, n) for one in self.main.values()] for n in self.levels
            }

    def experiments(self, at_once: int) -> list[Experiment]:
        """In the order in which they are run: a few seeds at a time, so that what is finished is
        so for whole seeds; first their tickets, whose masks the other arms need."""
        wanted = [e for arm in self.wanted.values() for level in arm.values() for e in level]
        return sorted(wanted, key=lambda one: self.seeds.index(one.recipe.seed) // at_once)

    def plain(self) -> dict[str, dict]:
        """What `read` reads, by the level's key, for a file."""
        keys = {key for one in self.main.values() for key in one.keys}
        keys |= {one.key for arm in self.wanted.values() for n in arm.values() for one in n}
        return {key: self._info(key).as_dict() for key in sorted(keys)}

    def read(self, elsewhere: dict[str, dict] | None = None) -> None:
        """Take everything from the store, or from what `plain` wrote on another machine."""
        self.elsewhere = elsewhere or {}
        self.infos: dict[str, dict[int, dict[int, LevelInfo]]] = {arm: {} for arm in self.wanted}
        for seed, one in self.main.items():
            for n, key in enumerate(one.keys):
                self.infos["ticket"].setdefault(n, {})[seed] = self._info(key)
        for arm in self.arms[1:]:
            self.infos[arm][0] = self.infos["ticket"][0]
            for n, experiments in self.wanted[arm].items():
                self.infos[arm][n] = {e.recipe.seed: self._info(e.key) for e in experiments}

    def _info(self, key: str) -> LevelInfo:
        if key in self.elsewhere:
            return LevelInfo.from_dict(self.elsewhere[key])
        info = self.store.info(key)
        if info is None:
            raise SystemExit(f"level {key} is missing: its run failed; see the Runs page")
        return info

    def stop(self, arm: str, n: int) -> Values:
        """Early-stop iteration by seed."""
        return {s: i.early_stop_iteration for s, i in self.infos[arm][n].items()}

    def accuracy(self, arm: str, n: int) -> Values:
        """Test accuracy by seed, in percent."""
        return {s: 100 * getattr(i, self.accuracy_field) for s, i in self.infos[arm][n].items()}

    def percent(self, n: int) -> float:
        """Weights remaining at level n of the iterative run."""
        return next(iter(self.infos["ticket"][n].values())).percent_remaining

    def level(self, percent: float) -> int:
        """The level nearest to that percent."""
        return min(self.infos["ticket"], key=lambda n: abs(self.percent(n) - percent))

    def table(self) -> pd.DataFrame:
        """Every number behind the claims."""
        return pd.DataFrame(
            {
                "arm": arm,
                "level": n,
                "percent_remaining": self.percent(n),
                "seed": seed,
                "early_stop_iteration": info.early_stop_iteration,
                "test_accuracy_at_early_stop": info.test_accuracy_at_early_stop,
                "test_accuracy_at_end": info.test_accuracy,
                "seconds": round(info.seconds, 1),
                "loop": info.loop,
            }
            for arm, levels in self.infos.items()
            for n, seeds in levels.items()
            if n or arm == "ticket"
            for seed, info in seeds.items()
        )


def _beside(arm: str, experiment: Experiment, n: int) -> Experiment:
    if arm == "one-shot":
        return Experiment(experiment.recipe, experiment.rounds[n - 1 : n])
    return at(arm, experiment, n)


def _percents(experiment: Experiment) -> list[float]:
    recipe = experiment.recipe

    def kept(step: Round) -> float:
        return sum(
            math.prod(recipe.shapes[name]) * (1 - target.sparsity)
            for target in step.targets([*recipe.shapes])
            for name in target.names
        )

    return [100.0, *(100 * kept(step) / recipe.weights_total for step in experiment.rounds)]


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and how to put a number beside it.

    `holds` is told by the mean difference and its 95 % interval: "yes" or "no" where the whole
    interval lies on one side, else "on average" or "not on average", within chance. One seed has no
    interval, and says so.
    """

    text: str
    measure: Callable[[Results], tuple[str, str]]


def gap_in_words(difference: Difference, unit: str, digits: int) -> str:
    words = f"{difference.mean:+,.{digits}f} {unit}"
    if difference.n > 1:
        words += f" ({difference.low:+,.{digits}f} to {difference.high:+,.{digits}f})"
    return words


def side(difference: Difference, above: bool) -> str:
    """Whether a difference lies above (or below) 0."""
    sign = 1 if above else -1
    mean = sign * difference.mean
    low = min(sign * difference.low, sign * difference.high)
    high = max(sign * difference.low, sign * difference.high)
    if difference.n == 1:
        return "in this seed" if mean > 0 else "not in this seed"
    if low > 0:
        return "yes"
    if high < 0:
        return "no"
    return "on average, within chance" if mean > 0 else "not on average, within chance"


def _over(low: float, high: float, digits: int, seeds: int, of: str = "") -> str:
    """The least and the greatest of several seeds; nothing of one."""
    return f" ({low:.{digits}f} to {high:.{digits}f}{of})" if seeds > 1 else ""


def against_dense(arm: str, percent: float, what: str, above: bool, of: float = 0.0):
    """Arm minus dense, in points of accuracy or percent of dense's iterations, less `of`."""

    def measure(results: Results) -> tuple[str, str]:
        n = results.level(percent)
        if what == "accuracy":
            gap = paired(results.accuracy(arm, n), results.accuracy("ticket", 0))
            unit, digits = "points", 2
        else:
            dense = results.stop("ticket", 0)
            share = {s: 100 * v / dense[s] for s, v in results.stop(arm, n).items()}
            gap = paired(share, dict.fromkeys(share, 100.0))
            unit, digits = "% of dense's iterations", 0
        moved = replace(gap, mean=gap.mean - of, low=gap.low - of, high=gap.high - of)
        return gap_in_words(gap, unit, digits), side(moved, above)

    return measure


def against(other: str, percent: float, what: str, above: bool):
    """Ticket minus another arm at the same size."""

    def measure(results: Results) -> tuple[str, str]:
        n = results.level(percent)
        if what == "accuracy":
            gap = paired(results.accuracy("ticket", n), results.accuracy(other, n))
            return gap_in_words(gap, "points", 2), side(gap, above)
        ours, theirs = results.stop("ticket", n), results.stop(other, n)
        gap = paired(ours, theirs)
        ratio = band([theirs[s] / ours[s] for s in ours], "range")
        words = f"{ratio.mean:.2f}x" + _over(ratio.low, ratio.high, 2, len(ours), " over seeds")
        return words, side(gap, above)

    return measure


def run(
    results: Results,
    workers: int,
    *,
    loop: str = "auto",
    device: str = "cpu",
    folder: Path | None = None,
) -> float:
    """Train what the cache lacks; returns the seconds it took."""
    began = shown = time.time()
    asked = [Asked(one, {}) for one in results.experiments(workers)]
    options = {"loop": loop, "device": device, "folder": folder}
    standings = run_all(results.store, Crew(workers), asked, **options)
    with closing(standings):
        for standing in standings:
            for job in standing.failed.values():
                raise SystemExit(f"{job.key} {job.state}: {job.message}")
            if time.time() - shown > 60:
                shown = time.time()
                left = standing.of - standing.done
                print(f"{in_words(shown - began)}: {left} levels to go", flush=True)
    return time.time() - began


def blank(title: str, percents: Sequence[float], unit: str) -> go.Figure:
    """An empty chart against percents of weights remaining, as it stands in docs/."""
    return go.Figure(
        layout={
            "title": {"text": title},
            "template": "plotly_white",
            "width": 900,
            "height": 480,
            "xaxis": figures.remaining_axis(percents),
            "yaxis": {"title": unit},
            "legend": {"orientation": "h", "y": -0.2},
        }
    )


def charts(results: Results) -> dict[str, go.Figure]:
    """The paper's two curves, with every arm."""
    found = {}
    at_end = results.accuracy_field == "test_accuracy"
    accuracy = f"Test accuracy at the {'end of training' if at_end else 'early stop'}"
    for name, field, title, by, unit in (
        ("accuracy", results.accuracy_field, accuracy, 100, "%"),
        ("iterations", "early_stop_iteration", "Early-stop iteration", 1, "iterations"),
    ):
        percents = [*map(results.percent, results.infos["ticket"])]
        figure = blank(f"{title}, {counted(len(results.seeds), 'seed')}", percents, unit)
        for arm in results.arms:
            label, style = ARMS[arm]
            # By the iterative run's levels: a one-shot ticket is always the first of its own.
            by_seed = {
                seed: [replace(levels[seed], level=n) for n, levels in results.infos[arm].items()]
                for seed in results.seeds
            }
            frame = curve(by_seed, field)
            figures.add_curve(
                figure,
                figures.Curve(
                    label,
                    frame["percent"],
                    frame["mean"],
                    figures.STYLES[style],
                    frame["low"],
                    frame["high"],
                    len(results.seeds),
                ),
                "%{y} at %{x:.1f} %",
                by=by,
            )
        found[name] = figure
    return found


def written(page: str, stems: Sequence[str], begin: str) -> dict[str, str]:
    """The parts of a page as it stands, by the stems of their charts, whose names `begin` so."""
    parts = [f"## {part}" for part in page.split("\n## ")]
    return {stem: part for stem in stems for part in parts if f"({begin}-{stem}-" in part}


def save(drawn: dict[str, go.Figure], stem: str) -> None:
    """Write the charts as docs/<stem>-<name>.svg, drawn by plotly.js in the tests' browser."""
    # Here, so that a machine without a browser can train.
    from playwright.sync_api import sync_playwright

    from tests.browser.browser import executable
    from tests.browser.server import ARGUMENTS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        page = browser.new_page()
        for name, figure in drawn.items():
            page.set_content(figure.to_html(include_plotlyjs=True, full_html=True))
            text = page.evaluate(
                "async () => decodeURIComponent((await Plotly.toImage("
                "document.querySelector('.js-plotly-plot'), {format: 'svg', width: 900, "
                "height: 480})).replace(/^data:image\\/svg\\+xml,/, ''))"
            )
            (DOCS / f"{stem}-{name}.svg").write_text(text)
        browser.close()


def claims_table(results: Results, claims: Sequence[Claim]) -> list[str]:
    """What the paper says beside what came out, as Markdown."""
    lines = ["| the paper says | here | holds |", "|---|---|---|"]
    for claim in claims:
        measured, holds = claim.measure(results)
        lines.append(f"| {claim.text} | {measured} | {holds} |")
    return lines


def sizes_table(results: Results) -> list[str]:
    """Accuracy and early stop of every arm at every size that claims name, as Markdown."""
    labels = [ARMS[arm][0] for arm in results.arms]
    lines = ["| % of weights | " + " | ".join(labels) + " |", "|---|" + "---|" * len(labels)]
    for level in (0, *results.levels):
        cells = []
        for arm in results.arms:
            accuracy = band(list(results.accuracy(arm, level).values()), "range")
            words = f"{accuracy.mean:.2f} %"
            words += _over(accuracy.low, accuracy.high, 2, len(results.seeds))
            if results.accuracy_field != "test_accuracy":
                stop = band(list(results.stop(arm, level).values()), "range")
                words += f", stop {stop.mean:,.0f}"
            cells.append(words)
        lines.append(f"| {results.percent(level):.1f} | " + " | ".join(cells) + " |")
    return lines


def machine(device: str) -> str:
    """What trains there, by its name."""
    return torch.cuda.get_device_name() if device == "cuda" else processor()


def work_in_words(results: Results, seconds: float, command: str, csv: str, name: str = "") -> str:
    """The command, and what it cost on the machine of that name, or on this one."""
    table = results.table()
    return (
        f"Command: `{command}`. The {len(table)} trainings behind this page took "
        f"{in_words(table['seconds'].sum())} of work in all on {name or processor()}"
        + (f"; this run took {in_words(seconds)}" if seconds > 60 else "")
        + f". Every number is in [{csv}]({csv})."
    )


HOW = (
    "Differences are paired by seed; the interval in brackets is the 95 % one of their mean "
    "(Student's t). *yes* and *no* mean that the whole interval lies on that side."
)
