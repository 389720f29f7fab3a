"""The weights of any level, layer by layer, live while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from lottery_core.findings.anatomy import short
from lottery_core.findings.flow import reads_pixels
from lottery_core.report import weight_figures
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network
from lottery_core.store import LevelProgress
from ui.shared.frame import one_of
from ui.shared.jobs import current_level
from ui.shared.layers import SHOWN, choose_layer
from ui.shared.plot import plot
from ui.shared.reading import Look, Picture, live_look, look, whole
from ui.shared.runtime import runtime
from ui.shared.scrubber import scrubber

_SATURATED = 99.5  # percentile of |weight| where the colours end: a few outliers must not pale all


def show_heatmaps(experiment: Experiment, active: bool) -> None:
    """One heatmap a layer, with a level to choose, to follow or to play."""
    last = len(experiment.rounds)
    here = current_level(experiment)
    newest = last if here is None else here
    if not _exists(experiment, newest):
        newest = max(0, newest - 1)

    st.subheader("The weights")
    n = scrubber(newest, last, active, f"level_of_{experiment.key}")
    with st.container(horizontal=True, gap="large"):
        part = one_of("Weights", "part", {"end": "Trained", "start": "As they restarted"})
        scale = one_of("Colour scale", "scale", {"layer": "Per layer", "shared": "Shared"})
    shown = look(experiment.keys[n], part) or _live(experiment, n)
    if shown is None:
        st.info(f"Level {n} is not trained yet. Move the slider to a level that is, or wait.")
        return
    _draw(shown, experiment, n, part, scale == "shared")


def _exists(experiment: Experiment, n: int) -> bool:
    store = runtime().store
    return store.has(experiment.keys[n]) or store.read_progress(experiment.keys[n]) is not None


def _live(experiment: Experiment, n: int) -> Look | None:
    progress = runtime().store.read_progress(experiment.keys[n])
    return (
        live_look(experiment.recipe.net, progress) if isinstance(progress, LevelProgress) else None
    )


def _limit(values: np.ndarray) -> float:
    kept = np.abs(values[np.isfinite(values)])
    return float(np.percentile(kept, _SATURATED)) or 1.0 if kept.size else 1.0


def _draw(shown: Look, experiment: Experiment, n: int, part: str, shared: bool) -> None:
    network = experiment.recipe.net
    limits = {name: _limit(picture.values) for name, picture in shown.layers.items()}
    if shared:
        limits = dict.fromkeys(limits, max(limits.values()))

    def heatmap(name: str, height: int) -> None:
        _layer(shown.layers[name], network, name, n, limits[name], height)

    first, *others = network.shapes
    if network.is_convolutional and len(network.shapes) > SHOWN:
        kept = {name: picture.kept for name, picture in shown.layers.items()}
        name = choose_layer(network, kept, f"layer_of_{experiment.key}")
        heatmap(name, 460)
        if shown.layers[name].values.ndim < len(network.shapes[name]):
            _one_channel(experiment.keys[n], network, name, part)
        return
    if network.shapes[first][2:]:
        _pairs([first, *others], heatmap, 400)
        return
    wide, narrow = st.columns([2, 1])
    with wide:
        heatmap(first, 380)
    with narrow:
        if shown.kept_per_pixel is not None:
            units = network.shapes[first][0]
            plot(weight_figures.pixels_figure(shown.kept_per_pixel, units, 380), "plot_pixels")
        else:
            st.caption("The map of weights per pixel appears when this level is finished.")
    _pairs(others, heatmap, 320)


def _pairs(names: Sequence[str], heatmap: Callable[[str, int], None], height: int) -> None:
    for pair in (names[i : i + 2] for i in range(0, len(names), 2)):
        for column, name in zip(st.columns(len(pair)), pair, strict=True):
            with column:
                heatmap(name, height)


def _layer(
    picture: Picture, network: Network, name: str, n: int, limit: float, height: int
) -> None:
    shape, layer = network.shapes[name], short(name)
    figure = weight_figures.layer_figure(
        (picture.values, picture.block),
        name,
        shape,
        limit,
        colours=reads_pixels(network, name),
        level=n,
        height=height,
    )
    plot(figure, f"plot_weights_{layer}")
    if picture.kernels is not None:
        st.caption(
            f"{picture.kept:,} of {math.prod(shape):,} weights, {picture.kernels:,} of "
            f"{shape[0] * shape[1]:,} kernels, {picture.channels:,} of {shape[0]:,} output "
            "channels are kept."
        )


def _one_channel(key: str, network: Network, name: str, part: str) -> None:
    """Of kernels that are too many to be drawn, those of one output channel."""
    level = whole(key) if runtime().store.has(key) else None
    if level is None:
        st.caption("When this level is finished, one channel's kernels can be looked at.")
        return
    outputs, inputs, *_ = network.shapes[name]
    number = st.number_input(
        f"Output channel, 0 to {outputs - 1}", 0, outputs - 1, key=f"channel_of_{name}", width=260
    )
    kept = level.mask[name][number]
    kernels = np.where(kept, getattr(level, part)[name][number], np.float32(np.nan))
    title = f"Channel {number} of {short(name)}: its {inputs} kernels"
    plot(weight_figures.maps_figure(kernels, title, "input channel", 420), "plot_channel")
