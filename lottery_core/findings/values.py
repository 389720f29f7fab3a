"""The values of a ticket's weights: where they began, where they ended, how far they went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.sizes import as_percent
from lottery_core.store import Level

BINS = 61  # odd, so that the middle one is centred on zero


@dataclass(frozen=True)
class Histogram:
    """Shares of values per bin: `edges` (bins + 1), and per group a share (adding up to 1; what
    lies beyond the edges is counted in the outermost bins) and the number of values."""

    edges: np.ndarray
    shares: Mapping[str, np.ndarray]
    counts: Mapping[str, int]

    @property
    def centres(self) -> np.ndarray:
        """The middle of each bin."""
        return (self.edges[:-1] + self.edges[1:]) / 2


def histogram(groups: Mapping[str, np.ndarray], *, signed: bool = True) -> Histogram:
    """Groups of values in the same bins, from -limit (0 if not `signed`) to the limit that all
    but a thousandth of any group stay within."""
    sizes = [np.abs(values) for values in groups.values() if values.size]
    limit = max((float(np.quantile(size, 0.999)) for size in sizes), default=0.0) or 1.0
    edges = np.linspace(-limit if signed else 0.0, limit, BINS + 1)
    shares = {}
    for name, values in groups.items():
        counted, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        shares[name] = counted / max(1, values.size)
    return Histogram(edges, shares, {name: values.size for name, values in groups.items()})


def _of(weights: Arrays, mask: Arrays, names: Sequence[str], keep: bool = True) -> np.ndarray:
    return np.concatenate([weights[name][mask[name] == keep] for name in names])


def _all(weights: Arrays, names: Sequence[str]) -> np.ndarray:
    return np.concatenate([weights[name].ravel() for name in names])


SURVIVORS, EVERYTHING, REST = "survivors", "all weights", "weights that were pruned"


def initial_values(dense: Level, level: Level, names: Sequence[str]) -> Histogram:
    """Initial values of the survivors beside those of all weights of these layers."""
    return histogram(
        {
            EVERYTHING: _all(dense.start, names),
            SURVIVORS: _of(dense.start, level.mask, names),
        }
    )


def restart_values(level: Level, names: Sequence[str]) -> Histogram:
    """The survivors' values before and after this level's training."""
    return histogram(
        {
            "before training": _of(level.start, level.mask, names),
            "after training": _of(level.end, level.mask, names),
        }
    )


def distances(dense: Level, level: Level, names: Sequence[str]) -> Histogram:
    """How far weights moved while the dense network trained, |after - before|: those that this
    level keeps beside those it does not (Frankle & Carbin 2018, appendix F)."""
    moved = {name: np.abs(dense.end[name] - dense.start[name]) for name in names}
    return histogram(
        {
            REST: _of(moved, level.mask, names, keep=False),
            SURVIVORS: _of(moved, level.mask, names),
        },
        signed=False,
    )


@dataclass(frozen=True)
class Moves:
    """How survivors moved in one training: `away` from zero, `towards` it, or `across` it to the
    other sign, as fractions of `n`; what is missing to 1 did not move. `distance` is the mean of
    |after - before|, `size` that of |before|."""

    away: float
    towards: float
    across: float
    distance: float
    size: float
    n: int


def moves(level: Level, names: Sequence[str]) -> Moves:
    """How this level's survivors moved from where they restarted."""
    before, after = (_of(w, level.mask, names) for w in (level.start, level.end))
    if not before.size:
        return Moves(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    across = before * after < 0
    grew, shrank = (np.abs(after) > np.abs(before)), (np.abs(after) < np.abs(before))
    return Moves(
        away=float((grew & ~across).mean()),
        towards=float((shrank & ~across).mean()),
        across=float(across.mean()),
        distance=float(np.abs(after - before).mean()),
        size=float(np.abs(before).mean()),
        n=before.size,
    )


def moves_in_words(moved: Moves) -> str:
    """Those fractions in a sentence."""
    if not moved.n:
        return "No weight is left here."
    words = (
        f"While this level trained, {as_percent(moved.away, 0)} of the survivors moved away from "
        f"zero, {as_percent(moved.towards, 0)} towards it, and {as_percent(moved.across, 0)} "
        "changed their sign"
    )
    if moved.size:
        words += (
            f"; on average they moved by {moved.distance:.3f}, "
            f"{moved.distance / moved.size:.1f} times their size before"
        )
    return f"{words}."
