"""Evidence, a criterion and targets -> the next mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lottery_core.method.budgets import kept_by, spread
from lottery_core.method.criteria import CRITERIA
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, removed_of
from lottery_core.method.units import Axes, PerUnit, normalised, read, without

UNIFORM = "uniform"  # a target's budget: the same fraction of each layer's units


@dataclass(frozen=True)
class Target:
    """Layers by the names of their weights, and the fraction of all these that is gone afterwards,
    earlier ones included. They are ranked together, or, with a `budget` of `BUDGETS` (for whole
    units `UNIFORM`), each by itself, which says how many of what is left it keeps."""

    names: tuple[str, ...]
    sparsity: float
    budget: str = ""


def prune(evidence: Evidence, criterion: str, targets: Sequence[Target]) -> Arrays:
    """The mask after one round by a criterion of `CRITERIA`.

    Exactly `removed_of(...)` weights of each target are gone afterwards, or as many as were gone
    before if these are more; ties go in order of position. A criterion of several steps gets there
    by equal factors of what is kept (Tanaka et al. 2020). One that takes whole units has one
    target, the network, and takes as few as leave no more weights than that (`cut_units`); ranked
    together, their scores are normalised by layer (`units.normalised`). Raises `ValueError` for
    scores that are no finite numbers.
    """
    known, mask = CRITERIA[criterion], evidence.mask
    if known.takes_units:
        (whole,) = targets
        scores = known.score(evidence)
        _check_finite(scores, criterion, "units of group")
        total = sum(kept.size for kept in mask.values())
        most = total - removed_of(whole.sparsity, total)
        together = not whole.budget
        if together:
            scores = normalised(scores, read(mask, evidence.axes))
        return cut_units(scores, mask, most, evidence.axes, together=together)
    parts = [part for target in targets for part in _parts(target, mask)]

    for k in range(1, known.steps + 1):
        scores = known.score(replace(evidence, mask=mask))
        _check_finite(scores, criterion)
        for names, before, after in parts:
            now = round(before * (after / before) ** (k / known.steps)) if before else 0
            mask = mask | keep_best(scores, {name: mask[name] for name in names}, now)
    return mask


def _parts(target: Target, mask: Arrays) -> list[tuple[tuple[str, ...], int, int]]:
    """(names, how many are kept, how many shall be) of the layers that are ranked together."""
    before = {name: int(mask[name].sum()) for name in target.names}
    total = sum(mask[name].size for name in target.names)
    left = total - removed_of(target.sparsity, total)
    if target.budget:
        after = kept_by(target.budget, left, {name: mask[name] for name in target.names})
        return [((name,), before[name], after[name]) for name in target.names]
    kept = sum(before.values())
    return [(target.names, kept, min(kept, left))]


def cut_units(
    scores: PerUnit, mask: Arrays, most: int, axes: Axes, *, together: bool = False
) -> Arrays:
    """`mask` without the weights of as few whole units as leave at most so many weights.

    Those of the lowest `scores` go first, of equal ones the first. Groups are ranked `together`, or
    each by itself: then the same fraction of each stays, so that how many go depends on no weight.
    The last unit of a group always stays, so there may be more weights. Units that nothing reads
    are gone already.
    """
    if sum(int(kept.sum()) for kept in mask.values()) <= most:
        return mask
    there = read(mask, axes)
    left_of = _best_in_all if together else _best_in_each

    def keeping(count: int) -> Arrays:
        return without(mask, left_of(scores, there, count), axes)

    low = sum(bool(units.any()) for units in there.values())
    high = sum(int(units.sum()) for units in there.values())
    while low < high:  # the most units that are few enough
        middle = (low + high + 1) // 2
        is_few = sum(int(kept.sum()) for kept in keeping(middle).values()) <= most
        low, high = (middle, high) if is_few else (low, middle - 1)
    return keeping(low)


def _best_in_each(scores: PerUnit, there: PerUnit, count: int) -> PerUnit:
    """The best units of each group, shared out as `budgets.spread` does by how many it had."""
    sizes = {group: len(units) for group, units in there.items()}
    room = {group: int(units.sum()) for group, units in there.items()}
    left = {}
    for group, share in spread(count, sizes, room).items():
        left |= keep_best(scores, {group: there[group]}, min(room[group], max(1, share)))
    return left


def _best_in_all(scores: PerUnit, there: PerUnit, count: int) -> PerUnit:
    """The best units of all groups, and of each the best one whatever the others are."""
    first = {}
    for group, units in there.items():
        first |= keep_best(scores, {group: units}, min(1, int(units.sum())))
    others = {group: units & ~first[group] for group, units in there.items()}
    more = count - sum(int(units.sum()) for units in first.values())
    best = keep_best(scores, others, more)
    return {group: units | first[group] for group, units in best.items()}


def _check_finite(
    scores: Mapping[str | int, np.ndarray], criterion: str, what: str = "weights of"
) -> None:
    for name, values in scores.items():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ValueError(
                f"criterion={criterion} gives {bad:,} of {values.size:,} {what} {name} a score "
                "that is no finite number, so they can't be ranked; choose another criterion or a "
                "lower learning rate"
            )


def keep_best(scores: Arrays, mask: Arrays, count: int) -> Arrays:
    """The `count` best of the weights that `mask` keeps, all its layers ranked together by finite
    `scores`; of equal ones the first go."""
    kept = np.concatenate([values.ravel() for values in mask.values()])
    # Only survivors are ranked: one may score no more than a weight that is gone, and must not
    # change places with it.
    survivors = np.flatnonzero(kept)
    ranked = np.concatenate([scores[name].ravel() for name in mask])[survivors]
    kept[survivors] = best(ranked, count)
    ends = np.cumsum([values.size for values in mask.values()])[:-1]
    return {
        name: part.reshape(mask[name].shape)
        for name, part in zip(mask, np.split(kept, ends), strict=True)
    }


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` greatest of finite `scores` are, bool in their shape; of equal ones the
    last."""
    going = scores.size - count
    if not going:
        return np.ones(scores.shape, bool)
    # A threshold is found much faster than an order, and may be asked for at every step.
    flat = scores.ravel()
    highest = np.partition(flat, going - 1)[going - 1]
    goes = flat < highest
    ties = np.flatnonzero(flat == highest)
    goes[ties[: going - np.count_nonzero(goes)]] = True
    return ~goes.reshape(scores.shape)
