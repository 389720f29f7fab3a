"""How sparse a network has become, in all and layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import ImageColor

from lottery_core.report.figures import BLUE, TWO_ROWS, begin_figure, iterations_axis

# From input to output, in colours that mean nothing else.
_LAYERS = ("#d9a3e6", "#b566c9", "#8a3aa3")
_MANY = 8  # layers: more have no entry of their own in a legend
_KINDS = ("convolutions", "fully connected")


def layer_colours(count: int) -> list[str]:
    """A colour for each of so many layers, from input to output."""
    stops = np.array([ImageColor.getrgb(colour) for colour in _LAYERS], float)
    at = np.linspace(0, len(_LAYERS) - 1, count) if count > 1 else np.ones(count)
    parts = [np.interp(at, range(len(_LAYERS)), stops[:, k]) for k in range(3)]
    return ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in np.rint(parts).astype(int).T]


def sparsity_figure(
    layers: Mapping[str, Sequence[float]],
    total: Sequence[float],
    ends: Sequence[float],
    *,
    iterations_total: int | None = None,
    height: int = 300,
) -> go.Figure:
    """Sparsity (fractions) in total and per layer over all iterations trained so far.

    Level n lasts from `ends[n-1]` to `ends[n]` iterations; the last one ends at
    `iterations_total`, which the axis goes to if it is known.
    """
    figure = begin_figure(
        "Sparsity over time",
        height,
        f"Sparsity rises in {len(total)} steps to {total[-1]:.1%} of all weights."
        if len(total)
        else "Sparsity over time: nothing trained yet.",
        xaxis=iterations_axis(iterations_total) | {"title": "iterations trained, all levels"},
        yaxis={"title": "weights pruned, %", "range": [-3, 103], "autorange": False},
        margin=TWO_ROWS,
    )
    figure.update_layout(meta={**figure.layout.meta, "ends": list(ends)})
    begins = [0.0, *ends[:-1]] if len(ends) else []
    x = np.array([edge for pair in zip(begins, ends, strict=True) for edge in pair], float)
    dashes = ("dot", "dash", "dashdot", "longdash")
    figure.add_scatter(
        x=x,
        y=100 * np.repeat(np.asarray(total, float), 2),
        name="total",
        mode="lines",
        line={"color": BLUE, "width": 5},  # the network itself, as among the arms
        opacity=0.45,
    )
    many, said = len(layers) > _MANY, set()
    colours = layer_colours(len(_KINDS) if many else len(layers))
    for i, (name, values) in enumerate(layers.items()):
        layer, n = name.removesuffix(".weight"), i
        kind = _KINDS[not layer.startswith("conv")]
        if many:
            n = _KINDS.index(kind)
        figure.add_scatter(
            x=x,
            y=100 * np.repeat(np.asarray(values, float), 2),
            name=kind if many else layer,
            legendgroup=kind if many else layer,
            showlegend=not (many and kind in said),
            mode="lines",
            line={
                "color": colours[n],
                "dash": dashes[n % len(dashes)],
                "width": 1.8,
            },
            hovertemplate=f"%{{y:.1f}} % at %{{x:,}}<extra>{layer}</extra>",
        )
        said.add(kind)
    return figure
