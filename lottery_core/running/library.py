"""A choice run from Python, in this process: what a researcher has in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from lottery_core.data import identify, own
from lottery_core.findings.ending import ended, ended_arms
from lottery_core.findings.handout.asked import Asked
from lottery_core.findings.handout.paper import archive
from lottery_core.findings.handout.run_page import run_page
from lottery_core.findings.outcome import Outcome, sparsity
from lottery_core.findings.tables import history_table, layers_table, levels_table
from lottery_core.report.figures import Figure, level_accuracy_figure, loss_figure
from lottery_core.running import engine, worker
from lottery_core.running.bar import bar
from lottery_core.running.progress import thin
from lottery_core.spec.arms import ARMS, title_of
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice, write_choice
from lottery_core.spec.own import is_own
from lottery_core.spec.sizes import as_percent, size_in_words
from lottery_core.store import CACHE, Job, Level, LevelInfo, Store
from lottery_core.training.base import LOOPS
from lottery_core.training.context import Context, Monitor

TABLES = {"levels": levels_table, "layers": layers_table, "history": history_table}
FIGURES = ("accuracy", "early-stop", "sparsity", "loss", "training")


def run(
    choice: Choice,
    cache: str | Path | None = None,
    *,
    device: str = "cpu",
    loop: str = "auto",
    dataset_folder: str | Path | None = None,
) -> Run:
    """Run a choice in this process, with its controls and seeds, behind a progress bar; each level
    is told of as it finishes.

    Levels that `cache` holds (a folder; the app's own if None) are not trained again, so a run
    that was interrupted goes on where it stopped. `device` is "cpu", "cuda" or "mps", `loop` one
    of "auto", "torch" and "compiled", `dataset_folder` the folder of a data set's original files.
    Raises `InvalidValue` for what breaks a rule, before anything is trained.
    """
    found = Run(choice, cache, device=device, loop=loop, dataset_folder=dataset_folder)
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for arm, experiment in found._in_order():
        words = f"{_title(arm, experiment)}, seed {experiment.recipe.seed}"
        done: list[Level] = []
        with bar(console, found.store, experiment, done, f"{words}, "):
            for level in found._levels_of(experiment):
                done.append(level)
                if arm == "main" or level.info.level:  # all arms share level 0
                    console.print(f"{words}, {_in_words(level.info)}")
    return found


class Run:
    """A choice and what has come of it. `run` makes one and performs it; made by itself it trains
    while it is iterated, and gives each level as it finishes:

        for level in Run(preset("quick"), cache="cache"): ...

    First come the levels of the experiment itself, seed by seed, then those of each control.
    Whoever stops iterating, or interrupts, keeps the levels that are finished.
    """

    def __init__(
        self,
        choice: Choice,
        cache: str | Path | None = None,
        *,
        device: str = "cpu",
        loop: str = "auto",
        dataset_folder: str | Path | None = None,
    ):
        """As `run`, which see; trains nothing yet."""
        check_known("loop", loop, LOOPS)
        self._folder = None if dataset_folder is None else Path(dataset_folder).expanduser()
        if self._folder and not choice.content:
            choice = replace(choice, content=identify(choice.dataset, self._folder))
        self.store = Store(CACHE if cache is None else cache)
        own.register(self.store.datasets)
        self.choice = choice
        self.arms = ended_arms(self.store, choice.arms())
        self._context = Context(self.store, device, loop, self._folder)
        # Without mask and weights: of large networks, memory holds a level's and no more.
        self._finished: dict[str, list[Level]] = {}

    def __iter__(self) -> Iterator[Level]:
        for _, experiment in self._in_order():
            yield from self._levels_of(experiment)

    def _in_order(self) -> Iterator[tuple[str, Experiment]]:
        """Each experiment with its arm, as it has ended when it is its turn: a control goes on no
        longer than what it stands beside."""
        for arm in [*self.arms]:
            for n in range(len(self.arms[arm])):
                yield arm, self.arms[arm][n]

    def __len__(self) -> int:
        """How many levels there will be, all arms and seeds together; at most, while it is not
        known where a run ends that stops when accuracy falls."""
        return sum(len(one.keys) for arm in self.arms.values() for one in arm)

    @property
    def levels(self) -> Sequence[Level]:
        """The finished levels of the experiment itself with its first seed; the first is the dense
        network. They are read from the cache when they are asked for."""
        return self.levels_of("main")

    def levels_of(self, arm: str, seed: int | None = None) -> Sequence[Level]:
        """As `levels`, of "main" or a control of the choice, with a seed (the first if None)."""
        check_known("arm", arm, self.arms)
        seeds = {one.recipe.seed: one for one in self.arms[arm]}
        if seed is not None and seed not in seeds:
            known = ", ".join(map(str, seeds))
            raise InvalidValue("seed", seed, f"was not run; choose one of {known}")
        experiment = self.arms[arm][0] if seed is None else seeds[seed]
        return _Kept(self.store, experiment.keys[: len(self._told(experiment))])

    @property
    def ticket(self) -> Level | None:
        """The level to take away, of the first seed: the smallest that wins over all seeds by what
        may pick one (see `findings.verdict`). None where there is none."""
        found = self._outcome.verdict
        return self.levels[found.level] if found else None

    def table(self, name: str = "levels") -> pd.DataFrame:
        """All arms and seeds as one table; `name` is "levels" (a row a level: weights, accuracies,
        early stop, seconds), "layers" (a row a level and layer) or "history" (a row an evaluation).
        Accuracies are fractions, losses mean cross-entropies in nats."""
        check_known("table", name, TABLES)
        parts = []
        for arm, experiments in self.arms.items():
            for experiment in experiments:
                if levels := self._told(experiment):
                    part = TABLES[name](levels)
                    facts = {"arm": _title(arm, experiment), "seed": experiment.recipe.seed}
                    rest = part.columns.difference(facts, sort=False)
                    parts.append(part.assign(**facts)[[*facts, *rest]])
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def figure(self, name: str = "accuracy", level: int = -1) -> Figure:
        """A plotly figure: "accuracy" and "early-stop" (against weights remaining, every arm, with
        bands over several seeds), "sparsity" (over time), "loss" and "training" (loss and accuracy
        of one `level` of the first seed while it trained). Raises `InvalidValue`."""
        check_known("figure", name, FIGURES)
        levels = self._told(self._outcome.main)
        if not levels:
            raise InvalidValue("figure", name, "has nothing to show before a level is finished")
        if name == "accuracy":
            return self._outcome.accuracy()
        if name == "early-stop":
            return self._outcome.early_stop()
        if name == "sparsity":
            return sparsity(self._outcome.main, [one.info for one in levels])
        if not -len(levels) <= level < len(levels):
            raise InvalidValue("level", level, f"is not finished; the last is {len(levels) - 1}")
        shown = levels[level]
        dense = levels[0].history if shown is not levels[0] else None
        options = {
            "level": shown.info.level,
            "iterations_total": self._outcome.main.iterations(shown.info.level),
        }
        if name == "training":
            return level_accuracy_figure(shown.history, dense, **options)
        at, losses = thin(shown.losses, int(shown.history["iteration"].iloc[0]))
        return loss_figure(at, losses, shown.history, dense, **options)

    def report(self, path: str | Path) -> None:
        """Write the run to a file to hand out: .html, one page that opens without a network, or
        .zip, tables for a paper in LaTeX, Markdown and CSV. Raises `InvalidValue`."""
        path = Path(path).expanduser()
        check_known("path", path.suffix, (".html", ".zip"))
        link = self._link()
        asked = Asked.of(self.arms, *read_choice(link)) if link else Asked(self.arms)
        make = run_page if path.suffix == ".html" else archive
        path.write_bytes(make(self.store, asked))

    def __repr__(self) -> str:
        """What came of it, in words."""
        done = sum(len(self._told(one)) for arm in self.arms.values() for one in arm)
        if done < len(self):
            at_most = "at most " * any(one.until for arm in self.arms.values() for one in arm)
            return f"{done} of {at_most}{len(self)} levels are finished."
        return self._outcome.in_words()

    @property
    def _outcome(self) -> Outcome:
        runs = {}
        for name, arm in self.arms.items():
            told = {one.recipe.seed: [level.info for level in self._told(one)] for one in arm}
            runs[name] = {seed: infos for seed, infos in told.items() if infos}
        return Outcome(self.arms, runs, self.choice.until())

    def _told(self, experiment: Experiment) -> list[Level]:
        return self._finished.get(experiment.key, [])

    def _link(self) -> dict[str, str]:
        """What leads to the run on a page: nothing, where a part of it is code."""
        parts = self.choice.network, self.choice.criterion
        return {} if any(map(is_own, parts)) else write_choice("quick", self.choice)

    def _levels_of(self, experiment: Experiment) -> Iterator[Level]:
        """Each level of one experiment as it finishes; the app sees the run and can stop it."""
        store, finished = self.store, []
        job = Job(
            key=experiment.key,
            state="queued",
            owner="",
            submitted=time.time(),
            experiment=experiment.as_dict(),
            params=self._link(),
            device=self._context.device,
            loop=self._context.loop,
        )
        store.make()
        store.clear_cancel(job.key)
        if self._context.loop == "auto" and not all(map(store.has, experiment.keys)):
            worker.prepare_in_background(store)
        record = worker.Record(store, job)
        with record.kept():
            watched = replace(self._context, monitor=Monitor(record.check))
            for level in engine.run(experiment, watched):
                finished.append(replace(level, mask={}, start={}, end={}, snapshots={}))
                if len(finished) >= len(self._told(experiment)):
                    self._finished[experiment.key] = finished
                yield level
                record.check()
        if experiment.until:
            self.arms = ended_arms(store, self.arms)
            self._finished[ended(store, experiment).key] = self._finished.pop(experiment.key)


class _Kept(Sequence):
    """Levels of a store by their keys, each read when it is asked for."""

    def __init__(self, store: Store, keys: Sequence[str]):
        self._store, self._keys = store, keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, n: int | slice) -> Level | Sequence[Level]:
        if isinstance(n, slice):
            return _Kept(self._store, self._keys[n])
        level = self._store.read(self._keys[n])
        if level is None:
            raise InvalidValue("level", n, f"is gone from {self._store.root}; run it again")
        return level


def _title(arm: str, experiment: Experiment) -> str:
    return title_of(experiment) if arm == "main" else ARMS[arm].title


def _in_words(info: LevelInfo) -> str:
    return (
        f"level {info.level}: {size_in_words(info.percent_remaining)} of the weights, "
        f"{as_percent(info.test_accuracy)} of the test images"
    )
