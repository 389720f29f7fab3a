"""The weights of any level, layer by layer, live while it trains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import streamlit as st

from lottery_core.findings.anatomy import short
from lottery_core.findings.flow import reads_pixels
from lottery_core.report import figures, weight_figures
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network
from ui.shared.frame import one_of
from ui.shared.jobs import current_level
from ui.shared.layers import SHOWN, choose_layer
from ui.shared.plot import drawn, plot
from ui.shared.reading import Look, live_look, look, training_now, whole
from ui.shared.runtime import runtime
from ui.shared.scrubber import scrubber

_ROOM = 3  # layers beside each other with all that belongs to a chart; more are small


@dataclass(frozen=True)
class Shown:
    """Which weights: those of level `n`, trained ("end") or as they restarted ("start"), in colours
    of each layer's own or `shared` by all."""

    n: int
    part: str
    shared: bool


def choose_level(experiment: Experiment, active: bool) -> int:
    """The level to look at, by a slider; the newest one until another is chosen."""
    last = len(experiment.rounds)
    here = current_level(experiment)
    newest = last if here is None else here
    # While its training waits to begin, the level before stays.
    if not _exists(experiment, newest):
        newest = max(0, newest - 1)
    return scrubber(newest, last, active, f"level_of_{experiment.key}")


def choose_weights(n: int) -> Shown:
    """Which weights of level `n` are drawn, and how."""
    part = one_of("Weights", "part", {"end": "Trained", "start": "As they restarted"})
    scale = one_of("Colour scale", "scale", {"layer": "Per layer", "shared": "Shared"})
    return Shown(n, part, scale == "shared")


def show_heatmaps(experiment: Experiment, chosen: Shown) -> None:
    """One heatmap a layer."""
    n = chosen.n
    key = experiment.keys[n]
    # A level may be finished between the first two looks.
    shown = look(key, chosen.part) or _live(experiment, n) or look(key, chosen.part)
    if shown is None:
        st.info(f"Level {n} is not trained yet. Move the slider to a level that is, or wait.")
        return
    _draw(shown, experiment, chosen)


def _exists(experiment: Experiment, n: int) -> bool:
    return runtime().store.has(experiment.keys[n]) or training_now(experiment, n) is not None


def _live(experiment: Experiment, n: int) -> Look | None:
    progress = training_now(experiment, n)
    return live_look(experiment, progress) if progress else None


def _draw(shown: Look, experiment: Experiment, chosen: Shown) -> None:
    network, n = experiment.recipe.net, chosen.n

    def heatmap(name: str) -> None:
        _layer(shown, network, name, chosen.shared, _ROOM < len(names) <= SHOWN)

    names = list(network.shapes)
    if network.is_convolutional and len(names) > SHOWN:
        kept = {name: picture.kept for name, picture in shown.layers.items()}
        name = choose_layer(network, kept, f"layer_of_{experiment.key}")
        with st.container(key="screen_layer"):
            heatmap(name)
        if shown.layers[name].values.ndim < len(network.shapes[name]):
            _one_channel(experiment.keys[n], network, name, chosen.part)
        return
    with st.container(key="screen_layers"):
        across = SHOWN if len(names) <= SHOWN else _ROOM
        for start in range(0, len(names), across):
            row = names[start : start + across]
            # The first layer of a fully connected network is the one to see structure in.
            wide = [1.6 if name == names[0] and not network.shapes[name][2:] else 1 for name in row]
            for column, name in zip(st.columns(wide, gap="small"), row, strict=True):
                with column:
                    heatmap(name)
    if network.shapes[names[0]][2:]:
        return
    with st.container(key="screen_pixels"):
        if shown.kept_per_pixel is not None:
            counts, units = shown.kept_per_pixel, network.shapes[names[0]][0]
            what = ("pixels", counts.tobytes(), units)
            figure = drawn(what, lambda: weight_figures.pixels_figure(counts, units, 380))
            plot(figure, "plot_pixels")
        else:
            st.caption("The map of weights per pixel appears when this level is finished.")


def _layer(shown: Look, network: Network, name: str, shared: bool, small: bool) -> None:
    """A layer's heatmap, as high as the style sheet has it, its colours `shared` by all layers or
    its own; without axes and scale if `small`."""
    shape, picture = network.shapes[name], shown.layers[name]

    def make() -> figures.Figure:
        limit = max(shown.limits.values()) if shared else shown.limits[name]
        figure = weight_figures.layer_figure(
            (picture.values, picture.block),
            name,
            shape,
            limit,
            colours=reads_pixels(network, name),
        )
        return weight_figures.small(figure, name, shape, limit) if small else figure

    figure = drawn(("weights", shown.what, name, shared, small), make)
    plot(figure, f"plot_weights_{short(name)}", styled=True)
    if picture.kernels is not None:
        st.caption(
            f"{picture.kept:,} of {math.prod(shape):,} weights, {picture.kernels:,} of "
            f"{shape[0] * shape[1]:,} kernels, {picture.channels:,} of {shape[0]:,} "
            f"{'' if small else 'output '}channels are kept."
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
