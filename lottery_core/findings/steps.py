"""What a round does to the weights, step by step: rank, cut, rewind. Nothing is trained for it, and
it is computed in NumPy alone, for pages, whose process imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply
from lottery_core.method.restart import RULES, Origins
from lottery_core.method.seeds import seed_of
from lottery_core.method.units import normalised, read
from lottery_core.report.bar_figures import Group, bars_figure, outlines_figure
from lottery_core.report.figures import BLUE, GREEN, GREY, ORANGE, Figure
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.own import short
from lottery_core.spec.rounds import Round
from lottery_core.spec.symmetries import axes_of
from lottery_core.store import Level

BARS = 60


class Bars(NamedTuple):
    """How many weights, or units, lie between neighbouring `edges`: of those that a round keeps,
    and of those that it prunes. The last bar holds its upper edge too."""

    edges: tuple[float, ...]
    kept: tuple[int, ...]
    pruned: tuple[int, ...]


@dataclass(frozen=True)
class Ranked:
    """What a layer's criterion ranks: its "weights", or the "units" or "channels" that it makes,
    which are those of `group`, and of other layers whose results are added to its own.

    The `threshold` is the lowest score that is kept, or None where a higher one is pruned in what
    is ranked together, as by a criterion that ranks again after each of several steps. A layer's
    last unit, which stays whatever its score, has no part in it.
    """

    what: str
    scores: Bars
    threshold: float | None
    group: int | None = None

    @property
    def pruned(self) -> int:
        """How many of them go."""
        return sum(self.scores.pruned)

    @property
    def before(self) -> int:
        """How many there are before."""
        return sum(self.scores.kept) + self.pruned


@dataclass(frozen=True)
class LayerSteps:
    """What a round does to a layer, of whose weights there are `before` it and `after` it so many.

    `ranked` is None where nothing of its own is, as of an output layer where whole units go.
    `weights` are what they were trained to, `restarted` how many of those that are kept restart
    between the same edges, None where they are drawn anew.
    """

    before: int
    after: int
    ranked: Ranked | None
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

    @property
    def units(self) -> dict[str, tuple[int, int]]:
        """How many whole "channels" and "units" there are before it and after it; empty where it
        ranks weights."""
        groups = {one.ranked.group: one.ranked for one in self.layers.values() if one.ranked}
        groups.pop(None, None)
        found: dict[str, tuple[int, int]] = {}
        for one in groups.values():
            before, after = found.get(one.what, (0, 0))
            found[one.what] = (before + one.before, after + one.before - one.pruned)
        return found


def figure(stage: str, name: str, layer: LayerSteps) -> Figure:
    """A layer at a stage of its round: "rank" shows the scores and the threshold, "cut" the weights
    as they were trained, those that stay and those that go, "rewind" those that stay, as they were
    trained and as they restart."""
    if stage == "rank" and (found := layer.ranked):
        alt = f"{found.before:,} {found.what} of {name} by their score; {found.pruned:,} go, of "
        alt += "the lowest."
        groups = [Group("will go", found.scores.pruned, ORANGE)]
        groups += [Group("will stay", found.scores.kept, BLUE)]
        title = f"{name}, ranked"
        if found.group is not None:  # few enough to be counted one by one
            title = f"{name}: {found.pruned:,} of {found.before:,} {found.what} go"
        return bars_figure(
            title, "score: the lowest go", alt, found.scores.edges, groups,
            what=found.what, threshold=found.threshold,
        )  # fmt: skip
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
    if CRITERIA[step.criterion].asks_slopes:
        other = "unit-norm" if step.takes_units else "magnitude"
        return (
            f"The criterion {short(step.criterion)} ranks by training images, which the pages "
            f"don't compute with; choose one that looks at the weights alone, such as {other}."
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
    axes = axes_of(recipe.net) if step.takes_units else None
    evidence = Evidence(
        dense.start, previous.end, previous.mask, seed_of(recipe.seed, "prune", n), axes=axes
    )
    mask = step.cut(evidence, seed_of(recipe.seed, "reshuffle", n))
    ranked = (_ranked_units if step.takes_units else _ranked_weights)(step, evidence, mask)
    restarted = _restarted(step, dense, previous)
    layers = {
        name: _layer(
            (previous.mask[name], kept),
            ranked.get(name),
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
    ranked: Ranked | None,
    trained: np.ndarray,
    restarted: np.ndarray | None,
) -> LayerSteps:
    before, kept = masks
    again = trained[:0] if restarted is None else restarted[kept]
    edges = _edges(np.concatenate([trained[before], again.ravel()]))
    return LayerSteps(
        before=int(before.sum()),
        after=int(kept.sum()),
        ranked=ranked,
        weights=_bars(edges, trained, before, kept),
        restarted=None if restarted is None else _counts(edges, again),
    )


def _ranked_weights(step: Round, evidence: Evidence, mask: Arrays) -> dict[str, Ranked]:
    scores, before = CRITERIA[step.criterion].score(evidence), evidence.mask
    found = {}
    for target in step.targets([*mask]):
        # With a budget each layer is ranked by itself.
        for names in [(name,) for name in target.names] if target.budget else [target.names]:
            at = _threshold([(scores[name], before[name], mask[name]) for name in names])
            for name in names:
                bars = _scores(scores[name], before[name], mask[name], at)
                found[name] = Ranked("weights", bars, at)
    return found


def _ranked_units(step: Round, evidence: Evidence, mask: Arrays) -> dict[str, Ranked]:
    """By the name of a layer's weights the units it makes, with the scores they are ranked by."""
    axes, before = evidence.axes, read(evidence.mask, evidence.axes)
    scores, after = CRITERIA[step.criterion].score(evidence), read(mask, axes)
    (target,) = step.targets([*mask])
    if not target.budget:
        scores = normalised(scores, before)
    parts = {group: (scores[group], before[group], after[group]) for group in scores}
    # A layer's last unit stays whatever its score.
    chosen = {group: part for group, part in parts.items() if after[group].sum() > 1}
    at = {group: _threshold([part]) for group, part in chosen.items()}
    if not target.budget:
        at = dict.fromkeys(parts, _threshold([*chosen.values()]))
    found = {}
    for name in mask:
        if axis := axes[name][0]:
            threshold = at.get(axis.group)
            what = "channels" if mask[name].ndim == 4 else "units"
            bars = _scores(*parts[axis.group], threshold)
            found[name] = Ranked(what, bars, threshold, axis.group)
    return found


def _scores(
    scores: np.ndarray, before: np.ndarray, after: np.ndarray, threshold: float | None
) -> Bars:
    """Between edges that hold the threshold too, though it lie beyond a layer's own scores."""
    held = scores[before] if threshold is None else np.append(scores[before], threshold)
    return _bars(_edges(held), scores, before, after)


def _threshold(ranked: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float | None:
    """The lowest score that is kept of what is ranked together, given as (scores, before, after);
    None where a higher one goes, and where none goes or none stays."""
    kept = np.concatenate([np.empty(0), *(scores[after] for scores, _, after in ranked)])
    gone = [scores[before & ~after] for scores, before, after in ranked]
    gone = np.concatenate([np.empty(0), *gone])
    if len(kept) and len(gone) and gone.max() <= kept.min():
        return float(kept.min())
    return None


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
