"""What a ticket is made of: counts, paths, values, and the round in which each weight died.

Everything here is computed from levels with NumPy; nothing is trained. A layer is called by its
name without ".weight"; rows of a weight matrix are units, columns what they read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lottery_core.method.masks import Arrays
from lottery_core.spec.datasets import PIXELS
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Level

BINS = 61  # odd, so that the middle one is centred on zero


def short(name: str) -> str:
    """ "fc1.weight" -> "fc1"."""
    return name.removesuffix(".weight")


def bias_of(name: str) -> str:
    """ "fc1.weight" -> "fc1.bias"."""
    return f"{short(name)}.bias"


# Counts


def alive(mask: Arrays) -> tuple[np.ndarray, ...]:
    """Which units a signal can pass, by layer from the pixels to the answers: of each, whether
    kept weights lead from some pixel through it to some answer.

    A unit that reads nothing still passes its bias on: a constant, which says nothing of the
    image, so it does not count as alive.
    """
    kept = list(mask.values())
    reached = [np.ones(kept[0].shape[1], bool)]
    for layer in kept:
        reached.append((layer & reached[-1]).any(axis=1))
    useful = [np.ones(len(kept[-1]), bool)]
    for layer in kept[::-1]:
        useful.append((layer & useful[-1][:, None]).any(axis=0))
    return tuple(a & b for a, b in zip(reached, useful[::-1], strict=True))


def layers(level: Level) -> pd.DataFrame:
    """One row a layer.

    layer, units, inputs, weights, kept, pruned, density (fraction kept); norm_restart and
    norm_trained (Euclidean, of the kept weights); fan_in (kept weights a unit reads) and fan_out
    (kept weights that read an input), each as mean, least and greatest; reads_nothing (units
    without a kept input), dead_units (units on no path from an image to an answer, whether they
    read nothing or nothing reads them), unread_inputs (inputs that no kept weight of this layer
    reads).
    """
    through = alive(level.mask)
    rows = []
    for k, (name, kept) in enumerate(level.mask.items()):
        into, out = kept.sum(axis=1), kept.sum(axis=0)
        count = int(kept.sum())
        rows.append(
            {
                "layer": short(name),
                "units": kept.shape[0],
                "inputs": kept.shape[1],
                "weights": kept.size,
                "kept": count,
                "pruned": kept.size - count,
                "density": count / kept.size,
                "norm_restart": float(np.linalg.norm(level.start[name][kept])),
                "norm_trained": float(np.linalg.norm(level.end[name][kept])),
                "fan_in_mean": float(into.mean()),
                "fan_in_least": int(into.min()),
                "fan_in_greatest": int(into.max()),
                "fan_out_mean": float(out.mean()),
                "fan_out_least": int(out.min()),
                "fan_out_greatest": int(out.max()),
                "reads_nothing": int((into == 0).sum()),
                "dead_units": int((~through[k + 1]).sum()),
                "unread_inputs": int((out == 0).sum()),
            }
        )
    return pd.DataFrame(rows)


def in_words(table: pd.DataFrame) -> str:
    """What `layers` found, in a few sentences."""
    densest = table.loc[table["density"].idxmax()]
    sparsest = table.loc[table["density"].idxmin()]
    words = []
    if densest["density"] > 1.1 * sparsest["density"]:
        words.append(
            f"{densest['layer']} keeps the largest part of its weights "
            f"({densest['density']:.1%}), {sparsest['layer']} the smallest "
            f"({sparsest['density']:.1%})."
        )
    unread = int(table["unread_inputs"].iloc[0])
    if unread:
        words.append(f"No weight reads {unread:,} of the {int(table['inputs'].iloc[0]):,} pixels.")
    hidden = table.iloc[:-1]
    dead, units = int(hidden["dead_units"].sum()), int(hidden["units"].sum())
    if dead:
        words.append(f"No signal passes {dead:,} of the {units:,} hidden units: they are dead.")
    elif units:
        words.append(f"All {units:,} hidden units still carry a signal.")
    silent = int(table["dead_units"].iloc[-1])
    if silent:
        answers = int(table["units"].iloc[-1])
        words.append(f"The image has no influence on {silent} of the {answers} answers any more.")
    return " ".join(words)


# The round in which each weight died


def chain(experiment: Experiment, n: int) -> tuple[str, ...]:
    """Keys of the levels whose masks lead to level `n`: a control's come after its trunk's."""
    trunk = experiment.trunk.keys
    return (*trunk[:n], experiment.keys[n])


def deaths(masks: Sequence[Arrays]) -> Arrays:
    """For each weight the round in which it died, 0 while it lives: uint8 arrays by name.

    `masks` are those of levels 0 to n, in order. What the last one keeps lives, even where a
    reshuffled mask took it back.
    """
    found: Arrays = {}
    for name, last in masks[-1].items():
        rounds = np.zeros(last.shape, np.uint8)
        for n in range(len(masks) - 1, 0, -1):
            rounds[~masks[n][name]] = n
        rounds[last] = 0
        found[name] = rounds
    return found


def deaths_until(died: np.ndarray, n: int) -> np.ndarray:
    """`deaths` as they were after round `n`: later ones are undone."""
    return np.where(died > n, 0, died).astype(np.uint8)


def kept_per_pixel(mask: Arrays) -> np.ndarray | None:
    """How many weights of the first layer read each pixel, (28, 28); None without such a layer."""
    first = next(iter(mask.values()))
    return first.sum(axis=0).reshape(28, 28) if first.shape[1] == PIXELS else None


# Values


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
        f"While this level trained, {moved.away:.0%} of the survivors moved away from zero, "
        f"{moved.towards:.0%} towards it, and {moved.across:.0%} changed their sign"
    )
    if moved.size:
        words += (
            f"; on average they moved by {moved.distance:.3f}, "
            f"{moved.distance / moved.size:.1f} times their size before"
        )
    return f"{words}."


# Units


def units(level: Level, name: str) -> pd.DataFrame:
    """The units of a layer, those with most kept weights first.

    unit (row of the weight), reads (kept inputs), read_by (kept weights of the next layer that
    read it; an answer, of the last layer, is read by nobody: 0), norm (of its trained kept
    weights), bias (trained), alive (see there).
    """
    names = list(level.mask)
    k = names.index(name)
    kept = level.mask[name]
    following = level.mask[names[k + 1]].sum(axis=0) if k + 1 < len(names) else np.zeros(len(kept))
    table = pd.DataFrame(
        {
            "unit": np.arange(len(kept)),
            "reads": kept.sum(axis=1),
            "read_by": following.astype(int),
            "norm": np.linalg.norm(np.where(kept, level.end[name], 0), axis=1),
            "bias": level.end[bias_of(name)],
            "alive": alive(level.mask)[k + 1],
        }
    )
    return table.sort_values(["reads", "read_by", "unit"], ascending=[False, False, True])


@dataclass(frozen=True)
class Unit:
    """What a unit reads and what reads it: trained weights, NaN where pruned. `reads` (inputs,);
    `read_by` (units of the next layer,), None for an answer."""

    reads: np.ndarray
    read_by: np.ndarray | None


def unit(level: Level, name: str, number: int) -> Unit:
    """One unit of a layer."""
    names = list(level.mask)
    k = names.index(name)
    nothing = np.float32(np.nan)
    reads = np.where(level.mask[name][number], level.end[name][number], nothing)
    if k + 1 == len(names):
        return Unit(reads, None)
    after = names[k + 1]
    read_by = np.where(level.mask[after][:, number], level.end[after][:, number], nothing)
    return Unit(reads, read_by)


def strongest(weights: np.ndarray, count: int) -> Iterator[tuple[int, float]]:
    """(position, weight) of the kept weights of largest magnitude, largest first."""
    kept = np.flatnonzero(np.isfinite(weights))
    order = kept[np.argsort(-np.abs(weights[kept]), kind="stable")]
    return ((int(i), float(weights[i])) for i in order[:count])
