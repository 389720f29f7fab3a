"""What a round does to the weights, step by step: rank, cut, rewind. Nothing is trained for it, and
it is computed in NumPy alone, for pages, whose process imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply
from lottery_core.method.restart import RULES, Origins
from lottery_core.method.seeds import seed_of
from lottery_core.report.bar_figures import Group, bars_figure, outlines_figure
from lottery_core.report.figures import BLUE, GREEN, GREY, ORANGE, Figure
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.own import short
from lottery_core.spec.rounds import Round
from lottery_core.store import Level

BARS = 60


class Bars(NamedTuple):
    """How many weights lie between neighbouring `edges`: of those that a round keeps, and of those
    that it prunes. The last bar holds its upper edge too."""

    edges: tuple[float, ...]
    kept: tuple[int, ...]
    pruned: tuple[int, ...]


@dataclass(frozen=True)
class LayerSteps:
    """What a round does to a layer, of whose weights there are `before` it and `after` it so many.

    `scores` are those that the criterion gives the weights; the `threshold` is the lowest score
    that is kept, or None where a higher one is pruned in what is ranked together, as by a criterion
    that ranks again after each of several steps. `weights` are what they were trained to,
    `restarted` how many of those that are kept restart between the same edges, None where they are
    drawn anew.
    """

    before: int
    after: int
    scores: Bars
    threshold: float | None
    weights: Bars
    restarted: tuple[int, ...] | None

    @property
    def pruned(self) -> int:
        """How many weights go."""
        return self.before - self.after


@dataclass(frozen=True)
class RoundSteps:
    """A round's layers by the names of their weights, and the test accuracy (a fraction) that its
    cut leaves, before anything is trained again; None where nobody judged it."""

    layers: Mapping[str, LayerSteps]
    accuracy: float | None

    @property
    def before(self) -> int:
        """How many weights there are before it."""
        return sum(one.before for one in self.layers.values())

    @property
    def after(self) -> int:
        """How many it keeps."""
        return sum(one.after for one in self.layers.values())


def figure(stage: str, name: str, layer: LayerSteps) -> Figure:
    """A layer at a stage of its round: "rank" shows the scores and the threshold, "cut" the weights
    as they were trained, those that stay and those that go, "rewind" those that stay, as they were
    trained and as they restart."""
    if stage == "rank":
        alt = f"{layer.before:,} weights of {name} by their score; the {layer.pruned:,} lowest go."
        groups = [Group("will go", layer.scores.pruned, ORANGE)]
        groups += [Group("will stay", layer.scores.kept, BLUE)]
        edges, title = layer.scores.edges, f"{name}, ranked"
        axis = "score: the lowest go"
        return bars_figure(title, axis, alt, edges, groups, threshold=layer.threshold)
    edges, axis = layer.weights.edges, "value of a weight"
    if stage == "cut":
        alt = f"Of {layer.before:,} weights of {name} {layer.pruned:,} go, {layer.after:,} stay."
        groups = [Group("gone", layer.weights.pruned, GREY)]
        groups += [Group("stay", layer.weights.kept, BLUE)]
        return bars_figure(f"{name}, cut", axis, alt, edges, groups)
    alt = f"The {layer.after:,} weights of {name} that stay, as trained and as they restart."
    groups = [Group("as trained", layer.weights.kept, BLUE)]
    if layer.restarted is not None:
        groups.append(Group("as they restart", layer.restarted, GREEN))
    return outlines_figure(f"{name}, restarted", axis, alt, edges, groups)


def trained_figure(name: str, weights: np.ndarray) -> Figure:
    """The weights that a layer has left, as they were trained."""
    edges = _edges(weights)
    alt = f"{weights.size:,} weights of {name} as they were trained."
    group = Group("weights", _counts(edges, weights), BLUE)
    return bars_figure(f"{name}, trained", "value of a weight", alt, edges.tolist(), [group])


def why_not(step: Round) -> str:
    """Why a round can't be shown before it is trained, as a sentence; empty if it can."""
    if step.ticket:
        return "The mask was brought, so nothing is ranked here."
    if step.takes_units:
        return (
            f"The criterion {short(step.criterion)} ranks whole units, and the pictures of a round "
            "are of single weights; choose one that looks at the weights alone, such as magnitude."
        )
    if CRITERIA[step.criterion].asks_slopes:
        return (
            f"The criterion {short(step.criterion)} ranks by training images, which the pages "
            "don't compute with; choose one that looks at the weights alone, such as magnitude."
        )
    return ""


def steps_of(
    experiment: Experiment,
    n: int,
    dense: Level,
    previous: Level,
    judge: Callable[[Arrays], float | None] = lambda weights: None,
) -> RoundSteps:
    """What round `n` does to level n-1 (`previous`); `dense` is level 0 with its snapshots, `judge`
    gives the test accuracy of weights by name. Raises `InvalidValue` where there is a reason in
    `why_not`."""
    step, recipe = experiment.round(n), experiment.recipe
    if why := why_not(step):
        raise InvalidValue("criterion", step.criterion, f"can't be stepped through: {why}")
    evidence = Evidence(dense.start, previous.end, previous.mask, seed_of(recipe.seed, "prune", n))
    mask = step.cut(evidence, seed_of(recipe.seed, "reshuffle", n))
    scores = CRITERIA[step.criterion].score(evidence)
    thresholds = _thresholds(step, scores, previous.mask, mask)
    restarted = _restarted(step, dense, previous)
    layers = {
        name: _layer(
            (previous.mask[name], kept),
            scores[name],
            thresholds[name],
            previous.end[name],
            restarted and restarted[name],
        )
        for name, kept in mask.items()
    }
    return RoundSteps(layers, judge(apply(previous.end, mask)))


def _restarted(step: Round, dense: Level, previous: Level) -> Arrays | None:
    """What the survivors restart from, by the names of their weights; None if it is drawn anew."""

    def draw() -> NoReturn:
        raise _Drawn

    origins = Origins(dense.snapshots, previous.end, draw, prunable=tuple(previous.mask))
    try:
        return RULES[step.restart].start(origins, step.rewind_iteration)
    except _Drawn:
        return None


class _Drawn(Exception):
    """A rule asked for new weights, which training draws when it begins."""


def _layer(
    masks: tuple[np.ndarray, np.ndarray],
    scores: np.ndarray,
    threshold: float | None,
    trained: np.ndarray,
    restarted: np.ndarray | None,
) -> LayerSteps:
    before, kept = masks
    again = trained[:0] if restarted is None else restarted[kept]
    edges = _edges(np.concatenate([trained[before], again.ravel()]))
    return LayerSteps(
        before=int(before.sum()),
        after=int(kept.sum()),
        scores=_bars(_edges(scores[before]), scores, before, kept),
        threshold=threshold,
        weights=_bars(edges, trained, before, kept),
        restarted=None if restarted is None else _counts(edges, again),
    )


def _thresholds(
    step: Round, scores: Arrays, before: Arrays, after: Arrays
) -> dict[str, float | None]:
    """By layer the lowest score that is kept where its weights were ranked, or None."""
    found: dict[str, float | None] = dict.fromkeys(after)
    for target in step.targets([*after]):
        # With a budget each layer is ranked by itself.
        for names in [(name,) for name in target.names] if target.budget else [target.names]:
            kept = np.concatenate([scores[name][after[name]] for name in names])
            gone = np.concatenate([scores[name][before[name] & ~after[name]] for name in names])
            if len(kept) and len(gone) and gone.max() <= kept.min():
                found |= dict.fromkeys(names, float(kept.min()))
    return found


def _edges(values: np.ndarray) -> np.ndarray:
    """Of `BARS` bars of one width that hold all these numbers."""
    if not values.size:
        return np.linspace(0, 1, BARS + 1)
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high, BARS + 1) if low < high else np.linspace(low, low + 1, BARS + 1)


def _bars(edges: np.ndarray, values: np.ndarray, before: np.ndarray, kept: np.ndarray) -> Bars:
    gone = before & ~kept
    return Bars(tuple(edges.tolist()), _counts(edges, values[kept]), _counts(edges, values[gone]))


def _counts(edges: np.ndarray, values: np.ndarray) -> tuple[int, ...]:
    return tuple(np.histogram(values.astype(float), edges)[0].tolist())
