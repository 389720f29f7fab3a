"""What pages read from the store, kept in memory in small pieces.

A level never changes once it is there, so its key is all a cache needs to know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
import streamlit as st

from lottery_core.findings import anatomy
from lottery_core.findings.anatomy import kept_per_pixel
from lottery_core.findings.lines import asked_with
from lottery_core.findings.rewinding import Rewinding, proof, rewound_to
from lottery_core.report.pixels import saturation
from lottery_core.running.progress import thin
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network, Shape
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Level, LevelInfo, LevelProgress
from lottery_core.store.pictures import averaged, counted, shrink, unpack
from ui.shared.once import Once
from ui.shared.runtime import has_level, runtime
from ui.shared.turns import looking

_LEISURE = 3  # seconds between two pictures of a training that has gone on for as long
_LIVE_CELLS = 20_000
SHADES = 31  # of blue and of red, while a level trains
HISTORY = (
    "iteration",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
)


@dataclass(frozen=True)
class Picture:
    """One layer to draw: `values` as `pictures.shrink` gives them, float32, NaN where pruned, in
    blocks of side `block`; what the layer's mask keeps (see `pictures.counted`); and what a cell
    shows: a weight, the mean of a block ("means"), or its "density"."""

    values: np.ndarray
    block: int
    kept: int
    kernels: int | None = None
    channels: int | None = None
    shows: str = "weights"


@dataclass(frozen=True)
class Look:
    """A level's weights to look at; `what` tells them from all others, and `kept_per_pixel` is
    None where it can't be told."""

    what: Hashable
    layers: dict[str, Picture]
    kept_per_pixel: np.ndarray | None

    @cached_property
    def limits(self) -> dict[str, float]:
        """Where the colours of each layer end that are no densities."""
        return {
            name: saturation(picture.values)
            for name, picture in self.layers.items()
            if picture.shows != "density"
        }

    @property
    def size(self) -> int:
        """Bytes of its pictures."""
        return sum(picture.values.nbytes for picture in self.layers.values())


def summary(key: str) -> Level | None:
    """A level without its arrays: info, history, and its losses thinned to (iteration, loss)."""
    return _read(runtime().levels, _summary, key)


def whole(key: str) -> Level | None:
    """A level with its mask and weights, without snapshots."""
    return _read(runtime().wholes, _whole, key)


def look(key: str, part: str) -> Look | None:
    """A level's weights (`part`: "start" or "end") as pictures."""
    return _read(runtime().looks, _look, key, part)


def deaths(keys: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """For each weight the round in which it died (`anatomy.deaths`), of a chain of levels; None
    where one is not there."""
    return runtime().deaths.get(keys, lambda: _deaths(keys))


def proven(experiment: Experiment, n: int) -> Rewinding | None:
    """The proof of level `n`'s rewinding (`rewinding.proof`); None where there is none."""
    if rewound_to(experiment, n) is None:
        return None
    key = experiment.keys[n]
    return runtime().tables.get(("rewinding", key), lambda: _proven(key))


def _proven(key: str) -> Rewinding | None:
    level = runtime().store.read(key)
    return proof(runtime().store, level) if level else None


def _deaths(keys: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    levels = (whole(key) for key in keys)
    masks = [level.mask if level else None for level in levels]
    return None if None in masks else anatomy.deaths(masks)


def _read(known: Once, make: Callable, key: str, *rest: str):
    if not has_level(key):
        return None
    found = known.get((key, *rest), lambda: make(key, *rest))
    if found is None and runtime().store.damaged(key):
        # It counts as absent from now on, and what was drawn so far took it for finished.
        st.rerun()
    return found


def _summary(key: str) -> Level | None:
    level = runtime().store.read(key)
    if level is None:
        return None
    first = int(level.history["iteration"].iloc[0])
    losses = np.stack(thin(level.losses, first)).astype(np.float32)
    # A copy: what was read holds the file's own memory, more than twice as much. What is the same
    # of many levels is kept once.
    history = level.history.copy()
    history.columns = _columns(tuple(history))
    plain = level.info.experiment
    experiment = plain | {
        "recipe": _one(json.dumps(plain["recipe"])),
        "rounds": [_one(json.dumps(one)) for one in plain["rounds"]],
    }
    return replace(
        level,
        info=replace(level.info, experiment=experiment),
        mask={},
        start={},
        end={},
        snapshots={},
        losses=losses,
        history=history,
    )


@lru_cache(maxsize=16)
def _columns(names: tuple[str, ...]) -> pd.Index:
    return pd.Index(names)


@lru_cache(maxsize=512)
def _one(text: str) -> dict:
    return json.loads(text)


def _whole(key: str) -> Level | None:
    level = runtime().store.read(key)
    return None if level is None else replace(level, snapshots={})


def _look(key: str, part: str) -> Look | None:
    level = runtime().store.read(key)
    if level is None:
        return None
    weights = getattr(level, part)
    layers = {
        name: _told(Picture(*shrink(weights[name], mask), **counted(mask)), mask.shape)
        for name, mask in level.mask.items()
    }
    pixels = kept_per_pixel(level.mask, network_of(level).input)
    return Look((key, part), layers, pixels)


def live_look(experiment: Experiment, live: LevelProgress) -> Look:
    """The weights of a level that is being trained: new ones every second at first, later every
    few, which is as fast as they change and a third of what a look costs to send."""
    key, second = experiment.keys[live.level], int(live.seconds)
    slot = second if second < _LEISURE else second - second % _LEISURE
    what = (key, "live", slot)
    return runtime().looks.get(what, lambda: _live_look(what, experiment.recipe.net, live))


def _live_look(what: Hashable, network: Network, live: LevelProgress) -> Look:
    layers = {
        name: _told(
            Picture(unpack(live.pictures[name], scale.pop("unit")), **scale), network.shapes[name]
        )
        for name, scale in ((name, dict(scale)) for name, scale in live.scales.items())
    }
    first, picture = next(iter(layers.items()))
    whole = picture.values.shape == network.shapes[first]
    mask = {first: np.isfinite(picture.values)}
    pixels = kept_per_pixel(mask, network.input) if whole else None
    return Look(what, {name: _coarse(layer) for name, layer in layers.items()}, pixels)


def _told(picture: Picture, shape: Shape) -> Picture:
    """With what its cells show, if not weights."""
    return picture if picture.values.shape == shape else replace(picture, shows="density")


def _coarse(picture: Picture) -> Picture:
    """As much as there is to see of a layer while it trains: shades rather than numbers, and a
    matrix of more cells than that in blocks of them. A third of the bytes."""
    values, by = picture.values, 1
    if values.ndim == 2:
        values, by = averaged(values, _LIVE_CELLS)
    unit = float(np.abs(values).max(initial=0.0, where=np.isfinite(values))) / SHADES
    if unit:
        values = np.rint(values / np.float32(unit)) * np.float32(unit)
    shows = "means" if by > 1 and picture.shows == "weights" else picture.shows
    return replace(picture, values=values, block=by * picture.block, shows=shows)


def network_of(level: Level) -> Network:
    """A level's network."""
    return Experiment.from_dict(level.info.experiment).recipe.net


def names_of(recipe: Recipe) -> tuple[str, ...]:
    """What the classes of a recipe's images are called."""
    return DATASETS[recipe.dataset].names


def finished(experiment: Experiment) -> list[Level]:
    """Summaries of the levels that are there, up to the first that is not."""
    levels = []
    for key in experiment.keys:
        level = summary(key)
        if level is None:
            break
        levels.append(level)
    return levels


def history_so_far(live: LevelProgress) -> pd.DataFrame:
    """The evaluations of a level that is being trained, as `Level.history` has them."""
    return pd.DataFrame(live.history, columns=HISTORY).astype(float)


def training_now(experiment: Experiment, n: int) -> LevelProgress | None:
    """What is known of the level that is being trained, if one is; where many look, what was known
    a moment ago, so that they share its charts."""
    if n >= len(experiment.keys):
        return None
    progress = looking.lately(runtime().store.read_progress, experiment.keys[n])
    # While it waits to begin there is nothing to draw.
    return progress if isinstance(progress, LevelProgress) else None


def runs(arm: Sequence[Experiment]) -> dict[int, list[Level]]:
    """Seed -> finished levels, for the seeds of an arm that have any."""
    found = {experiment.recipe.seed: finished(experiment) for experiment in arm}
    return {seed: levels for seed, levels in found.items() if levels}


def asked_together(experiment: Experiment) -> dict[int, list[LevelInfo]]:
    """As `infos`, of the seeds with which the experiment was asked for: what the Explorer judges
    as one, so that every page says the same of a level."""
    store = runtime().store
    return infos(asked_with(store, experiment, store.job(experiment.key)))


def infos(arm: Sequence[Experiment]) -> dict[int, list[LevelInfo]]:
    """As `runs`, with what came out of each level alone."""
    return {seed: [level.info for level in levels] for seed, levels in runs(arm).items()}
