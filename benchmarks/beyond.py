"""Is a ticket worth its search? Beside other ways to be sparse: `python -m benchmarks.beyond`.

Tickets by iterative magnitude pruning, their masks on other weights, masks drawn by chance or found
at initialisation, masks that move while they train, gradual pruning, masks learned for untrained
weights and Optimal Brain Damage, at 20, 10, 5 and 2 % of the weights, over seeds: accuracy, and
what it cost in multiply-adds. What is in the cache is not trained again. Writes docs/beyond.md, its
charts and docs/beyond.csv; with `--only`, one network's parts of them.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from benchmarks.paper import (
    DOCS,
    HOW,
    Claim,
    Values,
    blank,
    claims_table,
    gap_in_words,
    run,
    save,
    side,
    work_in_words,
    written,
)
from lottery_core.data import own
from lottery_core.data.own_images.wording import counted
from lottery_core.findings.replicates import band, paired
from lottery_core.method.dynamics import changes, mean_left
from lottery_core.report import figures
from lottery_core.report.compared_figures import distinct_styles
from lottery_core.spec.arms import ARMS, at
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.notation import shortest
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.store import CACHE, LevelInfo, Store

NOTES = Path(__file__).with_name("beyond_notes.md")  # by hand: what does not hold, and why
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)  # of the iterative search
SIZES = {20.0: 2, 10.0: 3, 5.0: 4, 2.0: 5}  # percent of weights -> its level
SLIGHT = 0.5  # points of accuracy: what is no further below has reached the other
AT = 5.0  # percent of weights at which costs are told
HEAD = f"""# Beyond the ticket

Is the search for a ticket worth it? Other ways to be as sparse beside it, each at the same number of weights.

{HOW} Accuracies are those of test images at the end of training. Costs are multiply-adds of training in units of one dense training, forward and backward and only of weights that are there: alone, and with all that has to be trained before. Where a mask is learned, all weights have gradients. What a criterion computes once (SNIP, GraSP, SynFlow, Optimal Brain Damage) is not counted. SNIP, GraSP, SynFlow and Optimal Brain Damage rank all layers together, magnitude layer by layer, as in their papers. *Reaches* means no more than {SLIGHT:g} points below.
"""  # noqa: E501 - a paragraph of Markdown


@dataclass(frozen=True)
class Method:
    """A way to be sparse: `of(ticket, n)` has, as its last level, as many weights as level `n` of
    the iterative search. `searched` says that this search has to be done before, `lent` that the
    dense network of another seed has to be trained too."""

    title: str
    of: Callable[[Experiment, int], Experiment]
    searched: bool = False
    lent: bool = False


def _arm(name: str, **facts: bool) -> Method:
    return Method(ARMS[name].title, partial(at, name), **facts)


def _at_once(title: str, criterion: str) -> Method:
    """One round on the network as it is initialised."""

    def of(ticket: Experiment, n: int) -> Experiment:
        step = replace(ticket.rounds[n - 1], criterion=criterion, scope="global")
        return Experiment(ticket.recipe, (step,))

    return Method(title, of)


def _first_rounds(ticket: Experiment, n: int) -> Experiment:
    return Experiment(ticket.recipe, ticket.rounds[:n])


def _by_damage(ticket: Experiment, n: int) -> Experiment:
    rounds = (replace(step, criterion="obd", scope="global") for step in ticket.rounds[:n])
    return Experiment(ticket.recipe, tuple(rounds))


METHODS = {
    "ticket": Method("rewound ticket", _first_rounds),
    "obd": Method("ticket by Optimal Brain Damage", _by_damage),
    "reinit": _arm("reinit", searched=True),
    "signs": _arm("signs", searched=True),
    "transplanted": _arm("transplanted", searched=True, lent=True),
    "permuted": _arm("permuted", searched=True, lent=True),
    "random-erk": _arm("random-erk"),
    "snip": _at_once("SNIP", "snip"),
    "grasp": _at_once("GraSP", "grasp"),
    "synflow": _at_once("SynFlow", "synflow"),
    "gradual": _arm("gradual"),
    "set": _arm("set"),
    "rigl": _arm("rigl"),
    "set-long": _arm("set-long"),
    "rigl-long": _arm("rigl-long"),
    "edge-popup": _arm("edge-popup"),
    "edge-popup-signs": _arm("edge-popup-signs"),
    "learned-mask": _arm("learned-mask"),
    "learned-mask-signs": _arm("learned-mask-signs"),
}
CHART = ("ticket", "reinit", "random-erk", "synflow", "edge-popup", "rigl", "rigl-long", "obd")


class Results:
    """What came out of every method at every size, by seed: `infos[method][percent][seed]`."""

    def __init__(self, choice: Choice, seeds: Sequence[int], store: Store):
        self.store, self.seeds = store, seeds
        self.tickets = {seed: replace(choice, seed=seed).experiment() for seed in seeds}
        self.wanted = {
            (name, percent): [method.of(one, n) for one in self.tickets.values()]
            for name, method in METHODS.items()
            for percent, n in SIZES.items()
        }

    @property
    def recipe(self) -> Recipe:
        """That of the first seed."""
        return self.tickets[self.seeds[0]].recipe

    def experiments(self, at_once: int) -> list[Experiment]:
        """In the order in which they are run: a few seeds at a time."""
        wanted = [one for each in self.wanted.values() for one in each]
        return sorted(wanted, key=lambda one: self.seeds.index(one.recipe.seed) // at_once)

    def read(self) -> None:
        """Take everything from the store."""
        self.dense = {seed: self._info(one.keys[0]) for seed, one in self.tickets.items()}
        self.infos = {
            what: {one.recipe.seed: self._info(one.key) for one in each}
            for what, each in self.wanted.items()
        }

    def _info(self, key: str) -> LevelInfo:
        info = self.store.info(key)
        if info is None:
            raise SystemExit(f"level {key} is missing: its run failed; see the Runs page")
        return info

    def accuracy(self, method: str, percent: float) -> Values:
        """Test accuracy at the end by seed, in percent; that of the dense network as "dense"."""
        infos = self.dense if method == "dense" else self.infos[method, percent]
        return {seed: 100 * info.test_accuracy for seed, info in infos.items()}

    def costs(self, method: str, percent: float) -> tuple[float, float]:
        """Multiply-adds of training alone, and of all that has to be trained for it, over those of
        a dense training; means over the seeds."""
        known, n = METHODS[method], SIZES[percent]
        alone, whole = [], []
        for seed, one in zip(self.seeds, self.wanted[method, percent], strict=True):
            dense = _work(one.trunk, 0, self.dense[seed])
            mine = _work(one, len(one.rounds), self.infos[method, percent][seed])
            before = 0.0
            searched = self.tickets[seed] if known.searched else one
            if known.searched or method in ("ticket", "obd"):
                levels = [self._info(key) for key in searched.keys[:n]]
                before = sum(_work(searched, k, info) for k, info in enumerate(levels))
            alone.append(mine / dense)
            whole.append((mine + before) / dense + known.lent)
        return sum(alone) / len(alone), sum(whole) / len(whole)

    def table(self) -> pd.DataFrame:
        """Every number behind the page."""
        rows = [("dense", 100.0, self.dense)]
        rows += [(name, percent, infos) for (name, percent), infos in self.infos.items()]
        return pd.DataFrame(
            {
                "method": name,
                "percent": percent,
                "seed": seed,
                "weights": info.weights_kept,
                "test_accuracy": info.test_accuracy,
                "explored": info.explored,
                "seconds": round(info.seconds, 2),
                "loop": info.loop,
            }
            for name, percent, infos in rows
            for seed, info in infos.items()
        )


def _work(experiment: Experiment, n: int, info: LevelInfo) -> float:
    """Multiply-adds of training level `n` an image; RigL looks at a dense gradient at every
    change, and where a mask is learned every step has one."""
    recipe, rule = experiment.recipe, experiment.dynamics(n) if n else ""
    iterations = experiment.iterations(n)
    kept = {name: float(one.kept) for name, one in info.layers.items()}
    if rule:
        kept = {
            name: mean_left(rule, iterations, info.layers[name].weights, int(count))
            for name, count in kept.items()
        }
    work = iterations * _step(recipe, kept)
    whole = {name: one.weights for name, one in info.layers.items()}
    if experiment.supermask(n):
        work += iterations * (recipe.net.multiply_adds(whole) - recipe.net.multiply_adds(kept))
    if rule == "rigl":
        work += len(changes(iterations)) * _step(recipe, whole)
    return work


def _step(recipe: Recipe, kept: dict[str, float]) -> float:
    """Of a step, an image: as `running.measurement.multiply_adds`."""
    each = [count * recipe.net.positions[name] for name, count in kept.items()]
    return 3 * sum(each) - each[0]


def _gap(
    one: str, other: str, percent: float, reaches: bool
) -> Callable[[Results], tuple[str, str]]:
    """That `one` is better than `other`, or `reaches` it: is no more than `SLIGHT` below."""

    def measure(results: Results) -> tuple[str, str]:
        gap = paired(results.accuracy(one, percent), results.accuracy(other, percent))
        moved = gap
        if reaches:
            moved = replace(
                gap, mean=gap.mean + SLIGHT, low=gap.low + SLIGHT, high=gap.high + SLIGHT
            )
        return gap_in_words(gap, "points", 2), side(moved, above=True)

    return measure


SAID = (
    ("tickets reach the dense network (Frankle & Carbin 2018)", "ticket", "dense", 20),
    ("tickets are better than their masks with new weights (the same)", "ticket", "reinit", 5),
    ("signs only are better than new weights (Zhou et al. 2019)", "signs", "reinit", 5),
    ("signs only reach tickets (the same)", "signs", "ticket", 5),
    ("a mask matched to other weights is better there than as it is (Adnan et al. 2025)",
     "permuted", "transplanted", 5),
    ("Optimal Brain Damage is better than magnitude (LeCun et al. 1989)", "obd", "ticket", 2),
    ("SNIP reaches the dense network (Lee et al. 2019)", "snip", "dense", 10),
    ("SynFlow is better than SNIP, which cuts layers off (Tanaka et al. 2020)",
     "synflow", "snip", 2),
    ("tickets are better than masks found at initialisation (Frankle et al. 2021)",
     "ticket", "synflow", 5),
    ("SET is better than a random mask that stays (Mocanu et al. 2018)", "set", "random-erk", 5),
    ("RigL is better than SET (Evci et al. 2020)", "rigl", "set", 5),
    ("RigL, trained as long as the search, reaches tickets (the same)",
     "rigl-long", "ticket", 5),
    ("gradual pruning, in one training, reaches tickets (Gale et al. 2019)",
     "gradual", "ticket", 5),
    ("untrained weights under a mask of edge-popup reach the dense network (Ramanujan et al. 2020)",
     "edge-popup", "dense", 20),
    ("edge-popup does better with signed constants (the same)",
     "edge-popup-signs", "edge-popup", 20),
    ("learned masks do better with signed constants (Zhou et al. 2019)",
     "learned-mask-signs", "learned-mask", 20),
    ("edge-popup is better than learned masks (Ramanujan et al. 2020)",
     "edge-popup", "learned-mask", 20),
)  # fmt: skip


def _claims() -> list[Claim]:
    """What papers say, each as one difference at one size."""
    return [
        Claim(f"At {size} % {text}", _gap(*two, size, reaches=" reach" in text))
        for text, *two, size in SAID
    ]


def methods_table(results: Results) -> list[str]:
    """Accuracy of every method at every size, with the difference to the ticket, and its costs."""
    lines = [
        f"| | {' | '.join(f'{p:g} %' for p in SIZES)} | cost at {AT:g} % | with its search |",
        "|---|" + "---|" * (len(SIZES) + 2),
    ]
    dense = band([*results.accuracy("dense", 100).values()], "range").mean
    lines.append(f"| dense network: {dense:.2f} | " + " | " * len(SIZES) + "1x | 1x |")
    for name, method in METHODS.items():
        cells = []
        for percent in SIZES:
            mine = results.accuracy(name, percent)
            words = f"{sum(mine.values()) / len(mine):.2f}"
            if name != "ticket":
                gap = paired(mine, results.accuracy("ticket", percent))
                words += f", {gap_in_words(gap, 'points', 2).replace(' points', '')}"
            cells.append(words)
        alone, whole = results.costs(name, AT)
        lines.append(f"| {method.title} | {' | '.join(cells)} | {alone:.2f}x | {whole:.2f}x |")
    return lines


def chart(results: Results) -> go.Figure:
    """Accuracy against weights remaining, of some of the methods."""
    title = f"Test accuracy, {counted(len(results.seeds), 'seed')}"
    figure = blank(title, [*SIZES], "%")
    # No further than there is something to see: dense is a line.
    figure.update_xaxes(range=[math.log10(22), math.log10(1.8)])
    dense = band([*results.accuracy("dense", 100).values()], "range").mean
    figure.add_hline(
        dense, line={"color": figures.GREY, "dash": "dash"}, annotation_text=f"dense {dense:.1f} %"
    )
    for name, style in zip(CHART, distinct_styles(CHART), strict=True):
        bands = [band([*results.accuracy(name, percent).values()], "range") for percent in SIZES]
        curve = figures.Curve(
            METHODS[name].title,
            [*SIZES],
            [one.mean for one in bands],
            style,
            [one.low for one in bands],
            [one.high for one in bands],
            len(results.seeds),
        )
        figures.add_curve(figure, curve, "%{y} at %{x:.1f} %")
    return figure


STUDIES = {
    "lenet-300-100": (
        "LeNet-300-100 on MNIST",
        replace(PRESETS["paper"].choice, length=3_000.0, evaluate_every=3_000, output_factor=1.0),
    ),
    "lenet-5": (
        "LeNet-5 on MNIST",
        replace(PRESETS["lenet-5"].choice, evaluate_every=800),
    ),
    "conv-2": (
        "Conv-2 of a quarter of its channels on CIFAR-10",
        replace(
            PRESETS["conv-2"].choice,
            network=shortest("conv-2 x0.25"),
            learning_rate=0.001,
            length=500.0,
            evaluate_every=500,
            validation_size=0,
            output_factor=1.0,
            conv_factor=1.0,
        ),
    ),
}


def section(results: Results, title: str, stem: str, work: str) -> str:
    """One network's part of docs/beyond.md."""
    recipe = results.recipe
    lines = [
        f"## {title}",
        "",
        f"{recipe.iterations:,} iterations a training with {recipe.optimiser} at "
        f"{recipe.learning_rate:g}, batches of {recipe.batch_size}, "
        f"{counted(len(results.seeds), 'seed')}. Accuracy in percent; beside it the difference to "
        "the ticket with its interval.",
        "",
        *methods_table(results),
        "",
        f"![Accuracy](beyond-{stem}-accuracy.svg)",
        "",
        *claims_table(results, _claims()),
        "",
        work,
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and write docs/beyond.*."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=STUDIES, help="leave the other networks as they stand")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dataset", default="cifar-10", help="CIFAR-10 under another name")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    store = Store(args.cache)
    own.register(store.datasets)
    page, sheet = DOCS / "beyond.md", DOCS / "beyond.csv"
    sections = written(page.read_text(), [*STUDIES], "beyond") if page.exists() else {}
    tables = [pd.read_csv(sheet)] if sheet.exists() else []
    for stem, (title, choice) in STUDIES.items():
        if args.only not in (None, stem):
            continue
        choice = replace(choice, schedule="list", sparsities=SPARSITIES, controls=())
        given = f"--only {stem} --seeds {args.seeds}"
        if choice.dataset == "cifar-10":
            choice = replace(choice, dataset=args.dataset)
            given += f" --dataset {args.dataset}"
        results = Results(choice, range(args.seeds), store)
        seconds = run(results, args.workers)
        results.read()
        command = f"python -m benchmarks.beyond {given}"
        work = work_in_words(results, seconds, command, sheet.name)
        sections[stem] = section(results, title, stem, work)
        save({"accuracy": chart(results)}, f"beyond-{stem}")
        tables = [table[table["study"] != stem] for table in tables]
        tables.append(results.table().assign(study=stem))
        print(sections[stem], flush=True)
        parts = [sections[name] for name in STUDIES if name in sections]
        text = [part.strip() for part in (HEAD, *parts, NOTES.read_text())]
        page.write_text("\n\n".join(text) + "\n")
        pd.concat(tables).to_csv(sheet, index=False)


if __name__ == "__main__":
    main()
