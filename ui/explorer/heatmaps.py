"""The weights of any level, layer by layer, live while it trains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lottery_core.findings.anatomy import short
from lottery_core.findings.flow import read_shape, reads_pixels
from lottery_core.report import figures, weight_figures
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network, Shape
from ui.explorer.link import LINK
from ui.explorer.lives import weights_are_of
from ui.shared.frame import one_of
from ui.shared.jobs import current_level
from ui.shared.layers import SHOWN
from ui.shared.network import choose_part
from ui.shared.plot import drawn, plot
from ui.shared.reading import Look, Picture, finished, live_look, look, training_now, whole
from ui.shared.reads import show_reads, word_of
from ui.shared.runtime import has_level
from ui.shared.scrubber import scrubber

_PARTS = {"end": "Trained", "start": "As they restarted"}
_SCALES = {"layer": "Per layer", "shared": "Shared"}
_KEYS = "The arrow keys go from weight to weight, Enter opens the unit."  # see plot.js
_ROOM = 3  # layers beside each other with all that belongs to a chart; more are small


@dataclass(frozen=True)
class Shown:
    """Which weights: those of level `n`, trained ("end") or as they restarted ("start"), in colours
    of each layer's own or `shared` by all."""

    n: int
    part: str
    shared: bool


def choose_level(experiment: Experiment, active: bool, wanted: int | None, most: int) -> int:
    """The level to look at, by a slider, of those up to `most`; the `wanted` or the newest until
    another is chosen."""
    last = len(experiment.rounds)
    here = current_level(experiment)
    newest = min(most, last if here is None else here)
    # While its training waits to begin, the level before stays.
    if not _exists(experiment, newest):
        newest = max(0, newest - 1)
    levels = [] if active or most < last else finished(experiment)
    spans = [(span.iloc[0], span.iloc[-1]) for span in (one.history["iteration"] for one in levels)]
    return scrubber(
        newest,
        last,
        active,
        f"level_of_{experiment.key}",
        wanted,
        spans=[(int(first), int(end)) for first, end in spans] if len(spans) > last else (),
    )


def choose_weights(n: int) -> Shown:
    """Which weights of level `n` are drawn, and how."""
    part = LINK.option("weights", _PARTS, lambda key, part: one_of("Weights", key, _PARTS, part))
    scale = LINK.option(
        "colours", _SCALES, lambda key, scale: one_of("Colour scale", key, _SCALES, scale)
    )
    return Shown(n, part, scale == "shared")


def show_weights(
    experiment: Experiment, chosen: Shown, above: DeltaGenerator, below: DeltaGenerator
) -> None:
    """The network as a picture, and a heatmap of each layer or of the one that is chosen there."""
    n, network = chosen.n, experiment.recipe.net
    key = experiment.keys[n]
    # A level may be finished between the first two looks.
    shown = look(key, chosen.part) or _live(experiment, n) or look(key, chosen.part)
    if shown is None and n:  # it is between two states: what is on the screen stays there
        shown = look(experiment.keys[n - 1], chosen.part)
    if shown is None:
        below.info(f"Level {n} is not trained yet. Move the slider to a level that is, or wait.")
        return
    kept = {name: picture.kept for name, picture in shown.layers.items()}
    always = network.is_convolutional and len(network.shapes) > SHOWN
    with above:
        name, unit = choose_part(network, kept, f"part_of_{experiment.key}", always=always)
    with below:
        if name:
            _draw_one(shown, experiment, chosen, name, unit)
        else:
            _draw_all(shown, experiment, chosen)
        weights_are_of(experiment, n)


def _exists(experiment: Experiment, n: int) -> bool:
    # In this order: the first goes when the second is there.
    return training_now(experiment, n) is not None or has_level(experiment.keys[n])


def _live(experiment: Experiment, n: int) -> Look | None:
    progress = training_now(experiment, n)
    return live_look(experiment, progress) if progress else None


def _draw_all(shown: Look, experiment: Experiment, chosen: Shown) -> None:
    network = experiment.recipe.net
    names = list(network.shapes)
    with st.container(key="screen_layers"):
        across = SHOWN if len(names) <= SHOWN else _ROOM
        for start in range(0, len(names), across):
            row = names[start : start + across]
            # The first layer of a fully connected network is the one to see structure in.
            wide = [1.6 if name == names[0] and not network.shapes[name][2:] else 1 for name in row]
            for column, name in zip(st.columns(wide, gap="small"), row, strict=True):
                small = _ROOM < len(names) <= SHOWN
                with column:
                    _layer(shown, network, name, chosen.shared, small)
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


def _draw_one(
    shown: Look, experiment: Experiment, chosen: Shown, name: str, unit: int | None
) -> None:
    """A layer's weights, and what one of its units reads."""
    network = experiment.recipe.net
    with st.container(key="screen_layer"):
        left, right = st.columns([3, 2], gap="small")
        with left:
            _layer(shown, network, name, chosen.shared, small=False)
        with right:
            if unit is None:
                st.caption(
                    f"Press a weight, or give a number above, to see what a "
                    f"{word_of(network, name).lower()} of {short(name)} reads."
                )
                return
            key, shape = experiment.keys[chosen.n], read_shape(network, name)
            reads = _reads(shown.layers[name], key, chosen.part, name, unit, shape)
            if reads is None:
                st.caption("When this level is finished, its units can be looked at one by one.")
                return
            show_reads(network, name, unit, reads, "plot_part_reads", styled=True)


def _reads(
    picture: Picture, key: str, part: str, name: str, unit: int, shape: Shape
) -> np.ndarray | None:
    """A unit's weights in the `shape` of what it reads, NaN where pruned; from the level itself
    once it is there, since a picture may be coarser."""
    level = whole(key) if has_level(key) else None
    if level is not None:
        weights = getattr(level, part)[name][unit]
        return np.where(level.mask[name][unit], weights, np.float32(np.nan)).reshape(shape)
    return picture.values[unit].reshape(shape) if picture.shows == "weights" else None


def _layer(shown: Look, network: Network, name: str, shared: bool, small: bool) -> None:
    """A layer's heatmap, as high as the style sheet has it, its colours `shared` by all layers or
    its own; without axes and scale if `small`."""
    shape, picture = network.shapes[name], shown.layers[name]

    def make() -> figures.Figure:
        limits = shown.limits
        limit = max(limits.values(), default=1.0) if shared else limits.get(name, 1.0)
        figure = weight_figures.layer_figure(
            (picture.values, picture.block, picture.shows),
            name,
            shape,
            limit,
            colours=reads_pixels(network, name),
        )
        if small:
            figure = weight_figures.small(figure, name, shape, limit, picture.shows)
        # A press on a weight opens the unit it belongs to.
        layer = list(network.shapes).index(name)
        meta = figure.layout.meta
        return figure.update_layout(meta={**meta, "layer": layer, "alt": f"{meta['alt']} {_KEYS}"})

    figure = drawn(("weights", shown.what, name, shared, small), make)
    plot(figure, f"plot_weights_{short(name)}", styled=True)
    if picture.kernels is not None:
        st.caption(
            f"{picture.kept:,} of {math.prod(shape):,} weights, {picture.kernels:,} of "
            f"{shape[0] * shape[1]:,} kernels, {picture.channels:,} of {shape[0]:,} "
            f"{'' if small else 'output '}channels are kept."
        )
