"""What a ticket is made of: counts, paths, units, and the round in which each weight died.

Everything here is computed from levels with NumPy; nothing is trained. A layer is called by its
name without ".weight"; the rows of its weight are its units, which of a convolution are channels,
and the columns what they read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lottery_core.findings.flow import (
    alive,
    columns_of,
    read_shape,
    readers,
)
from lottery_core.method.masks import Arrays
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network, Shape
from lottery_core.spec.sizes import as_percent
from lottery_core.store import Level


def short(name: str) -> str:
    """ "fc1.weight" -> "fc1"."""
    return name.removesuffix(".weight")


def bias_of(name: str) -> str:
    """ "fc1.weight" -> "fc1.bias"."""
    return f"{short(name)}.bias"


# Counts


def layers(level: Level, network: Network) -> pd.DataFrame:
    """One row a layer.

    layer, kind ("conv" or "fc"), units, inputs, weights, kept, pruned, density (fraction kept);
    kernels and kernels_kept (those of a convolution with any weight left; 0 of other layers);
    norm_restart and norm_trained (Euclidean, of the kept weights); fan_in (kept weights a unit
    reads with) and fan_out (kept weights that read an input), each as mean, least and greatest;
    reads_nothing (units without a kept weight), dead_units (units on no path from the image to
    an answer, whether they read nothing or nothing reads them), unread_inputs (inputs that no
    kept weight of this layer reads).
    """
    through = alive(network, level.mask)
    rows = []
    for name, kept in level.mask.items():
        by_input = columns_of(kept, kept.shape[1])
        into, out = by_input.sum(axis=(1, 2)), by_input.sum(axis=(0, 2))
        count, convolves = int(kept.sum()), kept.ndim == 4
        rows.append(
            {
                "layer": short(name),
                "kind": "conv" if convolves else "fc",
                "units": kept.shape[0],
                "inputs": kept.shape[1],
                "weights": kept.size,
                "kept": count,
                "pruned": kept.size - count,
                "density": count / kept.size,
                "kernels": kept.shape[0] * kept.shape[1] if convolves else 0,
                "kernels_kept": int(by_input.any(axis=2).sum()) if convolves else 0,
                "norm_restart": float(np.linalg.norm(level.start[name][kept])),
                "norm_trained": float(np.linalg.norm(level.end[name][kept])),
                "fan_in_mean": float(into.mean()),
                "fan_in_least": int(into.min()),
                "fan_in_greatest": int(into.max()),
                "fan_out_mean": float(out.mean()),
                "fan_out_least": int(out.min()),
                "fan_out_greatest": int(out.max()),
                "reads_nothing": int((into == 0).sum()),
                "dead_units": int((~through[name]).sum()),
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
            f"({as_percent(densest['density'])}), {sparsest['layer']} the smallest "
            f"({as_percent(sparsest['density'])})."
        )
    first, hidden, answers = table.iloc[0], table.iloc[:-1], table.iloc[-1]
    if first["unread_inputs"]:
        inputs = "pixels" if first["kind"] == "fc" else "channels of the image"
        words.append(
            f"No weight reads {first['unread_inputs']:,} of the {first['inputs']:,} {inputs}."
        )
    kernels, kept = int(table["kernels"].sum()), int(table["kernels_kept"].sum())
    if kept < kernels:
        words.append(f"Of {kernels:,} kernels {kept:,} have a weight left.")
    for kind, units in (("conv", "channels"), ("fc", "hidden units")):
        of = hidden[hidden["kind"] == kind]
        dead, total = int(of["dead_units"].sum()), int(of["units"].sum())
        if dead:
            words.append(f"No signal passes {dead:,} of the {total:,} {units}: they are dead.")
        elif total:
            words.append(f"All {total:,} {units} still carry a signal.")
    if answers["dead_units"]:
        words.append(
            f"The image has no influence on {answers['dead_units']} of the {answers['units']} "
            "answers any more."
        )
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


def kept_per_pixel(mask: Arrays, image: Shape) -> np.ndarray | None:
    """How many weights of the first layer read each pixel of images (channels, rows, columns):
    (rows, columns); None where the first layer is none that reads pixel by pixel."""
    first = next(iter(mask.values()))
    if first.ndim != 2 or first.shape[1] != math.prod(image):
        return None
    return first.sum(axis=0).reshape(image).sum(axis=0)


# Units


def units(level: Level, network: Network, name: str) -> pd.DataFrame:
    """The units of a layer, those with most kept weights first.

    unit (row of the weight), reads (kept weights), read_by (kept weights of other layers that
    read it, through residual sums too; an answer, of the last layer, is read by nobody: 0), norm
    (of its trained kept weights), alive (see `flow.alive`).
    """
    kept = level.mask[name]
    read_by = np.zeros(len(kept), int)
    for reader in readers(network, name):
        read_by += columns_of(level.mask[reader], len(kept)).sum(axis=(0, 2))
    trained = np.where(kept, level.end[name], 0).reshape(len(kept), -1)
    table = pd.DataFrame(
        {
            "unit": np.arange(len(kept)),
            "reads": columns_of(kept, 1).sum(axis=(1, 2)),
            "read_by": read_by,
            "norm": np.linalg.norm(trained, axis=1),
            "alive": alive(network, level.mask)[name],
        }
    )
    return table.sort_values(["reads", "read_by", "unit"], ascending=[False, False, True])


@dataclass(frozen=True)
class Unit:
    """What a unit reads and what reads it: trained weights, NaN where pruned.

    `reads` has the shape of `flow.read_shape`; `read_by` has for each layer that reads it, by
    name of weight, (its units, weights for this one); none for an answer.
    """

    reads: np.ndarray
    read_by: dict[str, np.ndarray]


def unit(level: Level, network: Network, name: str, number: int) -> Unit:
    """One unit of a layer."""
    kept = shown(level, name)
    read_by = {
        reader: columns_of(shown(level, reader), len(kept))[:, number]
        for reader in readers(network, name)
    }
    return Unit(kept[number].reshape(read_shape(network, name)), read_by)


def shown(level: Level, name: str) -> np.ndarray:
    """A layer's trained weights, NaN where pruned."""
    return np.where(level.mask[name], level.end[name], np.float32(np.nan))


def strengths(weights: np.ndarray) -> np.ndarray:
    """Of (n, weights) each row's Euclidean norm; NaN where none is kept."""
    norms = np.sqrt(np.nansum(np.square(weights), axis=1))
    return np.where(np.isfinite(weights).any(axis=1), norms, np.float32(np.nan))


def strongest(weights: np.ndarray, count: int) -> Iterator[tuple[int, float]]:
    """(position, weight) of the kept weights of largest magnitude, largest first."""
    kept = np.flatnonzero(np.isfinite(weights))
    order = kept[np.argsort(-np.abs(weights[kept]), kind="stable")]
    return ((int(i), float(weights[i])) for i in order[:count])
