"""The weights of any level, layer by layer, live while it trains."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lottery_core.report import weight_figures
from lottery_core.spec.experiment import Experiment
from ui.frame import one_of
from ui.plot import plot
from ui.reading import Look, live_look, look
from ui.runtime import runtime
from ui.scrubber import scrubber
from ui.status import current_level

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
    _draw(shown, experiment, n, scale == "shared")


def _exists(experiment: Experiment, n: int) -> bool:
    store = runtime().store
    return store.has(experiment.keys[n]) or store.read_progress(experiment.keys[n]) is not None


def _live(experiment: Experiment, n: int) -> Look | None:
    progress = runtime().store.read_progress(experiment.keys[n])
    if progress is None or "waiting" in progress[0]:
        return None
    numbers, pictures = progress
    return live_look(numbers["scales"], pictures)


def _limit(values: np.ndarray) -> float:
    kept = np.abs(values[np.isfinite(values)])
    return float(np.percentile(kept, _SATURATED)) or 1.0 if kept.size else 1.0


def _draw(shown: Look, experiment: Experiment, n: int, shared: bool) -> None:
    limits = {name: _limit(picture.values) for name, picture in shown.layers.items()}
    if shared:
        limits = dict.fromkeys(limits, max(limits.values()))
    shapes = experiment.recipe.shapes

    def heatmap(name: str, height: int) -> None:
        rows, columns = shapes[name]
        picture = shown.layers[name]
        layer = name.removesuffix(".weight")
        plot(
            weight_figures.weights_figure(
                picture.values,
                name,
                limits[name],
                block=picture.block,
                title=f"{layer}: {rows} units, {columns} inputs, level {n}",
                height=height,
            ),
            f"plot_weights_{layer}",
        )

    first, *others = shapes
    wide, narrow = st.columns([2, 1])
    with wide:
        heatmap(first, 380)
    with narrow:
        if shown.kept_per_pixel is not None:
            units = shapes[first][0]
            plot(weight_figures.pixels_figure(shown.kept_per_pixel, units, 380), "plot_pixels")
        else:
            st.caption("The map of weights per pixel appears when this level is finished.")
    for pair in (others[i : i + 2] for i in range(0, len(others), 2)):
        for column, name in zip(st.columns(len(pair)), pair, strict=True):
            with column:
                heatmap(name, 320)
