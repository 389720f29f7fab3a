"""Evidence, a criterion and targets -> the next mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lottery_core.method.criteria import CRITERIA, Evidence
from lottery_core.method.masks import Arrays, removed_of


@dataclass(frozen=True)
class Target:
    """Layers that are ranked together, by the names of their weights, and the fraction of all their
    weights that is gone afterwards, earlier ones included."""

    names: tuple[str, ...]
    sparsity: float


def prune(evidence: Evidence, criterion: str, targets: Sequence[Target]) -> Arrays:
    """The mask after one round by a criterion of `CRITERIA`.

    Exactly `removed_of(...)` weights of each target are gone afterwards; ties go in order of
    position. A criterion of several steps gets there by equal factors of what is kept (Tanaka et
    al. 2020). Raises `ValueError` for scores that are no finite numbers.
    """
    known, mask = CRITERIA[criterion], evidence.mask
    kept_before = [sum(int(mask[name].sum()) for name in target.names) for target in targets]

    for k in range(1, known.steps + 1):
        scores = known.score(replace(evidence, mask=mask))
        _check_finite(scores, criterion)
        for target, before in zip(targets, kept_before, strict=True):
            total = sum(mask[name].size for name in target.names)
            after = min(before, total - removed_of(target.sparsity, total))
            now = round(before * (after / before) ** (k / known.steps)) if before else 0
            mask = mask | _keep_best(scores, {name: mask[name] for name in target.names}, now)
    return mask


def _check_finite(scores: Arrays, criterion: str) -> None:
    for name, values in scores.items():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ValueError(
                f"criterion={criterion} gives {bad:,} of {values.size:,} weights of {name} a score "
                "that is no finite number, so they can't be ranked; choose another criterion or a "
                "lower learning rate"
            )


def _keep_best(scores: Arrays, mask: Arrays, count: int) -> Arrays:
    """The `count` best of the weights that `mask` keeps, all its layers ranked together."""
    kept = np.concatenate([values.ravel() for values in mask.values()])
    # Only survivors are ranked: one may score no more than a weight that is gone, and must not
    # change places with it.
    survivors = np.flatnonzero(kept)
    ranked = np.concatenate([scores[name].ravel() for name in mask])[survivors]
    going = survivors.size - count
    if going:  # a threshold is found much faster than an order, and may be asked for 100 times
        highest = np.partition(ranked, going - 1)[going - 1]
        below = ranked < highest
        ties = np.flatnonzero(ranked == highest)
        below[ties[: going - np.count_nonzero(below)]] = True
        kept[survivors[below]] = False
    ends = np.cumsum([values.size for values in mask.values()])[:-1]
    return {
        name: part.reshape(mask[name].shape)
        for name, part in zip(mask, np.split(kept, ends), strict=True)
    }
