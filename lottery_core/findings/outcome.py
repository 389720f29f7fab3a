"""What came of a choice with its controls and seeds: the level it found, in words, as curves.

The pages and a notebook say and draw the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lottery_core.findings import ending, replicates
from lottery_core.findings.early import cut_in_words
from lottery_core.findings.replicates import ONE_SEED, Infos, difference_in_words, paired
from lottery_core.findings.tables import empty_in_words
from lottery_core.findings.verdict import (
    Verdict,
    has_won,
    level_to_show,
    picked,
    verdict_in_words,
)
from lottery_core.report import figures
from lottery_core.report.compared_figures import early_stop_figure
from lottery_core.report.sparsity_figures import sparsity_figure
from lottery_core.spec.arms import ARMS, arm_of, how_much_longer, title_of
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.store import LevelProgress

_NOT_RETRAINED = {
    "not retrained": (
        "test_accuracy_before_retraining",
        "right after pruning, before retraining",
    ),
    "dense pruned": (
        "test_accuracy_dense_pruned",
        "dense, pruned in one step, not retrained",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """`arms` are those of `Choice.arms`; `runs` says by arm and seed what came out of the levels
    that are there (`Level.info`), and lacks the seeds of an arm that have none; `until` when the
    experiment was to stop, if before all rounds. What follows from them is worked out once."""

    arms: Mapping[str, Sequence[Experiment]]
    runs: Mapping[str, Mapping[int, Infos]]
    until: Until | None = None

    @property
    def main(self) -> Experiment:
        """The experiment itself with its first seed."""
        return self.arms["main"][0]

    @property
    def _longest(self) -> Experiment:
        """The seed with the most rounds: where each stops for itself, charts have to hold it."""
        return max(self.arms["main"], key=lambda one: len(one.rounds))

    @property
    def first(self) -> Infos:
        """What came out of its levels."""
        return self.runs["main"].get(self.main.recipe.seed, ())

    @cached_property
    def verdict(self) -> Verdict | None:
        """On the level that is picked over all seeds; None where none is."""
        return picked(self.runs["main"])

    @cached_property
    def has_won(self) -> bool:
        """Whether there is a winning ticket."""
        return has_won(self.runs["main"])

    @cached_property
    def level(self) -> int:
        """The level to look at first: the one that is picked, or else the last."""
        return level_to_show(self.runs["main"])

    def in_words(self) -> str:
        """All of `sentences` as one text."""
        return " ".join(self.sentences())

    def sentences(self) -> list[str]:
        """What came of it, once all levels of the experiment itself are there: the verdict, then
        every control at the level to look at, each a sentence or two; then what else there is to
        know of it."""
        return [self.verdict_in_words, *self.beside, *self.notes]

    @cached_property
    def verdict_in_words(self) -> str:
        """Whether there is a winning ticket, and what it reaches."""
        return self._once(verdict_in_words(self.runs["main"], self._name))

    @cached_property
    def beside(self) -> list[str]:
        """What each control reaches at the level to look at."""
        return [
            self._once(self._beside(arm, f"the {self._name}"))
            for arm, seeds in self.runs.items()
            if arm != "main" and any(len(infos) > self.level for infos in seeds.values())
        ]

    @cached_property
    def notes(self) -> list[str]:
        """Where it stopped, if early, layers that are empty, and what one seed can't say."""
        parts = [ending.in_words(self.until, self.runs["main"])] if self.until else []
        parts.append(empty_in_words(self.first).strip())
        if len(self.arms["main"]) == 1:
            parts.append(f"{ONE_SEED} It can't say how much of this is chance.")
        return [*filter(None, parts)]

    def _once(self, words: str) -> str:
        """Without what the notes say, of all arms at once."""
        return words.removesuffix(f" {ONE_SEED}") if len(self.arms["main"]) == 1 else words

    @property
    def _name(self) -> str:
        return "ticket" if arm_of(self.main) == "ticket" else "network"

    def _beside(self, arm: str, name: str) -> str:
        """What an arm reaches where the experiment reaches that level."""
        n = self.level

        def reached(runs: Mapping[int, Infos]) -> dict[int, float]:
            return {seed: i[n].test_accuracy for seed, i in runs.items() if len(i) > n}

        main = self.runs["main"]
        gap = paired(reached(self.runs[arm]), reached(main))
        what = ARMS[arm].title
        levels = [infos[n] for infos in self.runs[arm].values() if len(infos) > n]
        explored = replicates.band([info.explored for info in levels], "range")
        if explored.n and explored.mean < 1:
            part = replicates.in_percent(100 * explored.mean)
            what += f" ({part} of all weights were in its mask at some time)"
        how = self.arms[arm][0]
        if how.supermask(n):
            what += " (no weight is trained)"
        if how.dynamics(n):
            what += f", {cut}," if (cut := cut_in_words(levels)) else ""
        if ARMS[arm].is_longer and n:
            what += f", trained {n + 1} times as long,"
        there = [infos[n] for infos in main.values() if len(infos) > n]
        percent = None if arm == "dense-longer" else replicates.mean_percent(there)
        return difference_in_words(gap, what, name, percent)

    def accuracy(
        self, *, near_dense: bool = False, kind: str = "range", live: LevelProgress | None = None
    ) -> figures.Figure:
        """Test accuracy against weights remaining: every arm, and what pruning alone leaves; `live`
        is the progress of the first seed's level that is being trained."""
        curves = self._curves("test_accuracy", kind)
        pruned = {seed: infos[1:] for seed, infos in self.runs["main"].items() if infos[1:]}
        seed = self.main.recipe.seed
        for name, (field, _) in _NOT_RETRAINED.items():
            shown = pruned
            if live and getattr(live, field) is not None:
                shown = {**pruned, seed: [*pruned.get(seed, ()), live]}
            frame = replicates.curve(shown, field, kind)
            curves.append(_curve(self._titles[name], figures.STYLES[name], frame))
        dense = [infos[0].test_accuracy for infos in self.runs["main"].values()]
        mean = replicates.band(dense, "range").mean if self.first else None
        return figures.accuracy_figure(
            curves,
            mean,
            near_dense=near_dense,
            sizes=sizes_of(self._longest),
            chance=chance_of(self.main),
        )

    def early_stop(self, kind: str = "range") -> figures.Figure:
        """Iteration of least validation loss against weights remaining, every arm; no curves
        where nothing was held out."""
        curves = self._curves("early_stop_iteration", kind)
        return early_stop_figure(
            [curve for curve in curves if len(curve.x)],
            sizes_of(self._longest),
            axes_of([arm[0] for arm in self.arms.values()]).iterations,
        )

    def _curves(self, field: str, kind: str) -> list[figures.Curve]:
        """A field of each arm against the weights that the experiment itself keeps there."""
        curves = []
        for name in self.arms:
            frame = replicates.curve(self.runs[name], field, kind)
            if name == "dense-longer":  # it keeps all; drawn beside the levels it trains as long as
                there = replicates.curve(self.runs["main"], field)["percent"].tolist()
                places = there + sizes_of(self._longest)[len(there) :]
                frame["percent"] = places[: len(frame)]
            curves.append(_curve(self._titles[name], figures.STYLES[name], frame))
        return curves

    @cached_property
    def _titles(self) -> dict[str, str]:
        """What the curves of `accuracy` are called, by the names of their styles."""
        titles = {}
        for name, (first, *_) in self.arms.items():
            title = ARMS[name].title if name != "main" else title_of(first)
            titles[name] = title + how_much_longer(first)
        return titles | {name: title for name, (_, title) in _NOT_RETRAINED.items()}

    @property
    def legend(self) -> list[figures.Curve]:
        """The curves of `accuracy` without their points, which are known before there is any."""
        return [
            figures.Curve(title, (), (), figures.STYLES[name], group=title)
            for name, title in self._titles.items()
        ]


def _curve(title: str, style: figures.Style, frame: pd.DataFrame) -> figures.Curve:
    n = int(frame["n"].max()) if len(frame) else 0
    name = f"{title}, {n} seeds" if n > 1 else title
    columns = (frame[name].tolist() for name in ("percent", "mean"))
    return figures.Curve(name, *columns, style, frame["low"], frame["high"], n, title)


def sizes_of(experiment: Experiment) -> list[float]:
    """The percents of weights that remain at its levels, as its rounds ask for them."""
    return [100.0, *(100 * (1 - step.sparsity) for step in experiment.rounds)]


@dataclass(frozen=True)
class Axes:
    """What charts of several experiments have to hold, known before any is trained: the percents
    of weights that will remain, the longest training's iterations, the least accuracy of
    guessing."""

    sizes: list[float]
    iterations: int
    chance: float


def axes_of(experiments: Sequence[Experiment]) -> Axes:
    """The axes that hold all that will come of these experiments."""
    return Axes(
        sizes=[percent for one in experiments for percent in sizes_of(one)],
        iterations=max(one.iterations(n) for one in experiments for n in range(len(one.keys))),
        chance=min(map(chance_of, experiments)),
    )


def chance_of(experiment: Experiment) -> float:
    """The accuracy of guessing: one in as many classes as its data set has."""
    return 1 / DATASETS[experiment.recipe.dataset].classes


def sparsity(
    experiment: Experiment, infos: Infos, live: LevelProgress | None = None
) -> figures.Figure:
    """Sparsity of each layer over the iterations that all levels trained, of all there will be."""
    trained = [info.iterations_trained for info in infos]
    if live:
        infos = [*infos, live]
        trained.append(live.iteration - live.first_iteration)
    return sparsity_figure(
        {
            name: [1 - i.layers[name].kept / i.layers[name].weights for i in infos]
            for name in experiment.recipe.net.shapes
        },
        [info.sparsity for info in infos],
        np.cumsum(trained).tolist(),
        iterations_total=sum(
            experiment.iterations(n) - experiment.first_iteration(n)
            for n in range(len(experiment.keys))
        ),
        height=440,
    )
