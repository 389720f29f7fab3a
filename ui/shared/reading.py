"""What pages read from the store, kept in memory in small pieces.

A level never changes once it is there, so its key is all a cache needs to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from lottery_core.findings import anatomy
from lottery_core.findings.anatomy import kept_per_pixel
from lottery_core.findings.lines import asked_with
from lottery_core.running.progress import thin
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Level, LevelInfo, LevelProgress
from lottery_core.store.pictures import counted, shrink, unpack
from ui.shared.runtime import runtime

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
    blocks of side `block`; and what the layer's mask keeps (see `pictures.counted`)."""

    values: np.ndarray
    block: int
    kept: int
    kernels: int | None = None
    channels: int | None = None


@dataclass(frozen=True)
class Look:
    """A level's weights to look at; `kept_per_pixel` is None where it can't be told."""

    layers: dict[str, Picture]
    kept_per_pixel: np.ndarray | None


def summary(key: str) -> Level | None:
    """A level without its arrays: info, history, and its losses thinned to (iteration, loss)."""
    return _read(_summary, key)


def whole(key: str) -> Level | None:
    """A level with its mask and weights, without snapshots."""
    return _read(_whole, key)


def look(key: str, part: str) -> Look | None:
    """A level's weights (`part`: "start" or "end") as pictures."""
    return _read(_look, key, part)


def deaths(keys: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """For each weight the round in which it died (`anatomy.deaths`), of a chain of levels; None
    where one is not there."""
    found = _deaths(keys)
    if found is None:
        _deaths.clear(keys)
    return found


@st.cache_resource(show_spinner=False, max_entries=4)
def _deaths(keys: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    levels = (whole(key) for key in keys)
    masks = [level.mask if level else None for level in levels]
    return None if None in masks else anatomy.deaths(masks)


def _read(cached, key: str, *rest: str):
    if not runtime().store.has(key):
        return None
    found = cached(key, *rest)
    if found is None:
        cached.clear(key, *rest)
        if runtime().store.damaged(key):
            # It counts as absent from now on, and what was drawn so far took it for finished.
            st.rerun()
    return found


@st.cache_resource(show_spinner=False, max_entries=400)
def _summary(key: str) -> Level | None:
    level = runtime().store.read(key)
    if level is None:
        return None
    first = int(level.history["iteration"].iloc[0])
    losses = np.stack(thin(level.losses, first))
    return replace(level, mask={}, start={}, end={}, snapshots={}, losses=losses)


@st.cache_resource(show_spinner=False, max_entries=4)
def _whole(key: str) -> Level | None:
    level = runtime().store.read(key)
    return None if level is None else replace(level, snapshots={})


@st.cache_resource(show_spinner=False, max_entries=24)
def _look(key: str, part: str) -> Look | None:
    level = runtime().store.read(key)
    if level is None:
        return None
    weights = getattr(level, part)
    layers = {
        name: Picture(*shrink(weights[name], mask), **counted(mask))
        for name, mask in level.mask.items()
    }
    return Look(layers, kept_per_pixel(level.mask, network_of(level).input))


def live_look(network: Network, live: LevelProgress) -> Look:
    """The weights of a level that is being trained."""
    layers = {
        name: Picture(unpack(live.pictures[name], scale.pop("unit")), **scale)
        for name, scale in ((name, dict(scale)) for name, scale in live.scales.items())
    }
    first, picture = next(iter(layers.items()))
    whole = picture.values.shape == network.shapes[first]
    mask = {first: np.isfinite(picture.values)}
    return Look(layers, kept_per_pixel(mask, network.input) if whole else None)


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
    """What is known of the level that is being trained, if one is."""
    if n >= len(experiment.keys):
        return None
    progress = runtime().store.read_progress(experiment.keys[n])
    # While it waits to begin there is nothing to draw.
    return progress if isinstance(progress, LevelProgress) else None


def runs(arm: Sequence[Experiment]) -> dict[int, list[Level]]:
    """Seed -> finished levels, for the seeds of an arm that have any."""
    found = {experiment.recipe.seed: finished(experiment) for experiment in arm}
    return {seed: levels for seed, levels in found.items() if levels}


def asked_together(experiment: Experiment) -> dict[int, list[LevelInfo]]:
    """As `infos`, of the seeds with which the experiment was asked for: what the Explorer judges
    as one, so that every page says the same of a level."""
    return infos(asked_with(experiment, runtime().store.job(experiment.key)))


def infos(arm: Sequence[Experiment]) -> dict[int, list[LevelInfo]]:
    """As `runs`, with what came out of each level alone."""
    return {seed: [level.info for level in levels] for seed, levels in runs(arm).items()}
