"""The paper's LeNet-300-100 experiments, run and written up: `python -m benchmarks.paper_lenet`.

Frankle and Carbin 2018 (arXiv 1803.03635): 20 levels of 50,000 iterations for every seed, with
random reinit, random masks and one-shot pruning at the levels its claims name. Everything goes
through the queue into the cache, as from a page, so that a run that was stopped goes on where it
was. Writes docs/paper.md, its charts and docs/paper.csv, which holds every number behind them.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from playwright.sync_api import sync_playwright

from lottery_core.findings.replicates import Difference, band, curve, paired
from lottery_core.findings.tables import percent_remaining
from lottery_core.report import figures
from lottery_core.running.queue import Queue
from lottery_core.running.time_left import in_words
from lottery_core.spec.arms import at
from lottery_core.spec.choice import PRESETS, Choice
from lottery_core.spec.experiment import Experiment, Round
from lottery_core.store import CACHE, Store, processor
from tests.browser.browser import executable
from tests.browser.server import ARGUMENTS

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTES = Path(__file__).with_name("paper_notes.md")  # by hand: where we differ, what was tried
SHARES = (80.0, 51.3, 21.1, 13.5, 3.6, 2.9)  # percents of weights that the paper speaks of
ARMS = {
    "ticket": ("ticket, iterative", "main"),
    "reinit": ("random reinit", "reinit"),
    "random-mask": ("random mask", "random-mask"),
    "one-shot": ("ticket, one-shot", "rate-rewind"),
}

Values = dict[int, float]  # seed -> value


class Results:
    """What came out: `infos[arm][level][seed]`, levels numbered as the iterative run's."""

    def __init__(self, choice: Choice, seeds: Sequence[int], store: Store):
        self.store, self.seeds = store, seeds
        self.main = {seed: replace(choice, seed=seed).experiment() for seed in seeds}
        percents = _percents(self.main[seeds[0]])
        self.levels = sorted(
            {min(range(1, len(percents)), key=lambda n: abs(percents[n] - p)) for p in SHARES}
        )
        self.wanted: dict[str, dict[int, list[Experiment]]] = {
            "ticket": {len(percents) - 1: list(self.main.values())}
        }
        for arm in ("reinit", "random-mask"):
            self.wanted[arm] = {
                n: [at(arm, one, n) for one in self.main.values()] for n in self.levels
            }
        self.wanted["one-shot"] = {
            n: [Experiment(one.recipe, one.rounds[n - 1 : n]) for one in self.main.values()]
            for n in self.levels
        }

    def experiments(self, at_once: int) -> list[Experiment]:
        """In the order in which they are run: a few seeds at a time, so that what is finished is
        so for whole seeds; first their tickets, whose masks the other arms need."""
        wanted = [e for arm in self.wanted.values() for level in arm.values() for e in level]
        return sorted(wanted, key=lambda one: self.seeds.index(one.recipe.seed) // at_once)

    def read(self) -> None:
        """Take everything from the store."""
        self.infos: dict[str, dict[int, dict[int, dict]]] = {arm: {} for arm in self.wanted}
        for seed, one in self.main.items():
            for n, key in enumerate(one.keys):
                self.infos["ticket"].setdefault(n, {})[seed] = self._info(key)
        for arm in ("reinit", "random-mask", "one-shot"):
            self.infos[arm][0] = self.infos["ticket"][0]
            for n, experiments in self.wanted[arm].items():
                self.infos[arm][n] = {e.recipe.seed: self._info(e.key) for e in experiments}

    def _info(self, key: str) -> dict:
        level = self.store.read(key)
        if level is None:
            raise SystemExit(f"level {key} is missing: its run failed; see the Runs page")
        return level.info

    def stop(self, arm: str, n: int) -> Values:
        """Early-stop iteration by seed."""
        return {s: i["early_stop_iteration"] for s, i in self.infos[arm][n].items()}

    def accuracy(self, arm: str, n: int) -> Values:
        """Test accuracy at the early stop by seed, in percent."""
        return {s: 100 * i["test_accuracy_at_early_stop"] for s, i in self.infos[arm][n].items()}

    def percent(self, n: int) -> float:
        """Weights remaining at level n of the iterative run."""
        return percent_remaining(next(iter(self.infos["ticket"][n].values())))

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
                "early_stop_iteration": info["early_stop_iteration"],
                "test_accuracy_at_early_stop": info["test_accuracy_at_early_stop"],
                "test_accuracy_at_end": info["test_accuracy"],
                "seconds": round(info["seconds"], 1),
                "loop": info["loop"],
            }
            for arm, levels in self.infos.items()
            for n, seeds in levels.items()
            if n or arm == "ticket"
            for seed, info in seeds.items()
        )


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
    interval lies on one side, else "on average" or "not on average", within chance.
    """

    text: str
    measure: Callable[[Results], tuple[str, str]]


def _gap(difference: Difference, unit: str, digits: int) -> str:
    words = f"{difference.mean:+,.{digits}f} {unit}"
    if difference.n > 1:
        words += f" ({difference.low:+,.{digits}f} to {difference.high:+,.{digits}f})"
    return words


def _side(difference: Difference, above: bool) -> str:
    """Whether a difference lies above (or below) 0."""
    sign = 1 if above else -1
    mean = sign * difference.mean
    low = min(sign * difference.low, sign * difference.high)
    high = max(sign * difference.low, sign * difference.high)
    if difference.n > 1 and low > 0:
        return "yes"
    if difference.n > 1 and high < 0:
        return "no"
    return "on average, within chance" if mean > 0 else "not on average, within chance"


def _against_dense(arm: str, percent: float, what: str, above: bool, of: float = 0.0):
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
        return _gap(gap, unit, digits), _side(moved, above)

    return measure


def _against(other: str, percent: float, what: str, above: bool):
    """Ticket minus another arm at the same size."""

    def measure(results: Results) -> tuple[str, str]:
        n = results.level(percent)
        if what == "accuracy":
            gap = paired(results.accuracy("ticket", n), results.accuracy(other, n))
            return _gap(gap, "points", 2), _side(gap, above)
        ours, theirs = results.stop("ticket", n), results.stop(other, n)
        gap = paired(ours, theirs)
        ratio = band([theirs[s] / ours[s] for s in ours], "range")
        words = f"{ratio.mean:.2f}x ({ratio.low:.2f} to {ratio.high:.2f} over seeds)"
        return words, _side(gap, above)

    return measure


CLAIMS = (
    Claim(
        "At 21.1 % of the weights the early stop comes earlier than the dense network's (38 % "
        "earlier)",
        _against_dense("ticket", 21.1, "iterations", above=False),
    ),
    Claim(
        "At 13.5 % test accuracy is more than 0.3 points above dense",
        _against_dense("ticket", 13.5, "accuracy", above=True, of=0.3),
    ),
    Claim(
        "At 13.5 % test accuracy is above dense at all",
        _against_dense("ticket", 13.5, "accuracy", above=True),
    ),
    Claim(
        "At 3.6 % accuracy is back at the dense network's (not yet below it)",
        _against_dense("ticket", 3.6, "accuracy", above=True),
    ),
    Claim(
        "At 3.6 % the early stop is back at the dense network's (not yet later)",
        _against_dense("ticket", 3.6, "iterations", above=False),
    ),
    Claim(
        "At 2.9 % the ticket falls below dense accuracy",
        _against_dense("ticket", 2.9, "accuracy", above=False),
    ),
    Claim(
        "Random reinit learns more slowly than dense from the first round (80 %)",
        _against_dense("reinit", 80, "iterations", above=True),
    ),
    Claim(
        "At 21.1 % random reinit is below dense accuracy",
        _against_dense("reinit", 21.1, "accuracy", above=False),
    ),
    Claim(
        "At 21.1 % the ticket stops earlier than random reinit (2.51x)",
        _against("reinit", 21.1, "iterations", above=False),
    ),
    Claim(
        "At 21.1 % the ticket is better than random reinit (0.5 points)",
        _against("reinit", 21.1, "accuracy", above=True),
    ),
    Claim(
        "At 21.1 % the ticket is better than a random mask of the same size",
        _against("random-mask", 21.1, "accuracy", above=True),
    ),
    Claim(
        "One-shot pruning finds tickets too: at 21.1 % it is not below dense",
        _against_dense("one-shot", 21.1, "accuracy", above=True),
    ),
    Claim(
        "Iterative tickets stay good at smaller sizes: at 3.6 % they beat one-shot ones",
        _against("one-shot", 3.6, "accuracy", above=True),
    ),
)


def run(results: Results, workers: int) -> float:
    """Train what the cache lacks; returns the seconds it took."""
    began = time.time()

    def missing(wanted: list[Experiment]) -> list[Experiment]:
        return [one for one in wanted if not all(map(results.store.has, one.keys))]

    todo = missing(results.experiments(workers))
    if not todo:
        return 0.0
    queue = Queue(results.store, workers)
    try:
        shown = 0.0
        while todo:
            active = [job for job in results.store.jobs() if job.active]
            for one in todo[: max(0, 4 * workers - len(active))]:
                queue.submit(one, loop="compiled", params={})
            todo = missing(todo)
            failed = [results.store.job(one.key) for one in todo]
            for job in failed:
                if job is not None and job.state in ("failed", "killed"):
                    raise SystemExit(f"{job.key} {job.state}: {job.message}")
            if time.time() - shown > 60:
                shown = time.time()
                left = {key for one in todo for key in one.keys if not results.store.has(key)}
                print(f"{in_words(shown - began)}: {len(left)} levels to go", flush=True)
            time.sleep(1)
    finally:
        queue.close()
    return time.time() - began


def charts(results: Results) -> dict[str, go.Figure]:
    """The paper's two curves, with every arm."""
    found = {}
    for name, field, title, by, unit in (
        ("accuracy", "test_accuracy_at_early_stop", "Test accuracy at the early stop", 100, "%"),
        ("iterations", "early_stop_iteration", "Early-stop iteration", 1, "iterations"),
    ):
        figure = go.Figure(
            layout={
                "title": {"text": f"{title}, {len(results.seeds)} seeds"},
                "template": "plotly_white",
                "width": 900,
                "height": 480,
                "xaxis": figures.remaining_axis([*map(results.percent, results.infos["ticket"])]),
                "yaxis": {"title": unit},
                "legend": {"orientation": "h", "y": -0.2},
            }
        )
        for arm, (label, style) in ARMS.items():
            # By the iterative run's levels: a one-shot ticket is always the first of its own.
            by_seed = {
                seed: [levels[seed] | {"level": n} for n, levels in results.infos[arm].items()]
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


def save(drawn: dict[str, go.Figure]) -> None:
    """Write the charts as SVG, drawn by plotly.js in the tests' browser."""
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
            (DOCS / f"paper-{name}.svg").write_text(text)
        browser.close()


def report(results: Results, seconds: float, command: str) -> str:
    """docs/paper.md."""
    n = len(results.seeds)
    recipe = results.main[results.seeds[0]].recipe
    table = results.table()
    lines = [
        "# The paper, reproduced",
        "",
        "Frankle and Carbin, *The Lottery Ticket Hypothesis* "
        "([arXiv 1803.03635](https://arxiv.org/abs/1803.03635)), LeNet-300-100 on MNIST: "
        f"{recipe.optimiser.capitalize()} at {recipe.learning_rate:g}, batches of "
        f"{recipe.batch_size}, {recipe.iterations:,} iterations a level, evaluated every "
        f"{recipe.evaluate_every}; {len(results.main[results.seeds[0]].rounds)} rounds of 20 % "
        "(10 % in the output layer); 5,000 training images held out. Pixels are scaled as in the "
        "authors' own code, each image to a Euclidean norm of 1; the paper does not say so.",
        "",
        f"{n} seeds. Differences are paired by seed; the interval in brackets is the 95 % one of "
        "their mean (Student's t). *yes* and *no* mean that the whole interval lies on that side. "
        "Accuracies are those at the early stop, the iteration of least validation loss, as in "
        "the paper.",
        "",
        "| the paper says | here | holds |",
        "|---|---|---|",
    ]
    for claim in CLAIMS:
        measured, holds = claim.measure(results)
        lines.append(f"| {claim.text} | {measured} | {holds} |")
    lines += [
        "",
        "![Accuracy](paper-accuracy.svg)",
        "",
        "![Early stop](paper-iterations.svg)",
        "",
        "Lines are means, bands least to greatest over the seeds.",
        "",
        "| % of weights | " + " | ".join(label for label, _ in ARMS.values()) + " |",
        "|---|" + "---|" * len(ARMS),
    ]
    for level in (0, *results.levels):
        cells = []
        for arm in ARMS:
            stop = band(list(results.stop(arm, level).values()), "range")
            accuracy = band(list(results.accuracy(arm, level).values()), "range")
            cells.append(
                f"{accuracy.mean:.2f} % ({accuracy.low:.2f} to {accuracy.high:.2f}), "
                f"stop {stop.mean:,.0f}"
            )
        lines.append(f"| {results.percent(level):.1f} | " + " | ".join(cells) + " |")
    work = table["seconds"].sum()
    lines += [
        "",
        f"Command: `{command}`. The {len(table)} trainings behind this page took "
        f"{in_words(work)} of work in all on {processor()}"
        + (f"; this run took {in_words(seconds)}" if seconds > 60 else "")
        + ". Every number is in [paper.csv](paper.csv).",
        "",
        NOTES.read_text().rstrip(),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and write docs/paper.*."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--iterations", type=int, default=50_000, help="fewer: a rehearsal; nothing is written"
    )
    args = parser.parse_args()
    choice = replace(PRESETS["paper"].choice, length=float(args.iterations))
    results = Results(choice, range(args.seeds), Store(args.cache))
    seconds = run(results, args.workers)
    results.read()
    text = report(results, seconds, "python -m benchmarks.paper_lenet --seeds " + str(args.seeds))
    print(text)
    if args.iterations == PRESETS["paper"].choice.length:
        (DOCS / "paper.md").write_text(text)
        results.table().to_csv(DOCS / "paper.csv", index=False)
        save(charts(results))


if __name__ == "__main__":
    main()
