"""Figures of one ticket: its layers, what died when, values, units, and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lottery_core.report.figures import (
    BLUE,
    GREEN,
    GREY,
    MARGIN,
    ORANGE,
    Curve,
    Style,
    add_curve,
    begin_figure,
)
from lottery_core.report.tiles import place, tiles
from lottery_core.report.weight_figures import NO_AXIS, UNMARKED
from lottery_core.spec.limits import MAX_CELLS
from lottery_core.spec.sizes import size_in_words

# From what died first to what died last, told apart in grey too; survivors have a colour of their
# own, lighter than any of them.
_DEATHS = ("#20242b", "#27364f", "#2f4a78", "#3d62a0", "#5a80bb", "#86a5cf", "#b9cbe2")
_ALIVE = "#ffb547"
RUBBED = GREEN  # out by hand: on the picture, and as a curve
_BY_HAND = {
    "by hand": Style(RUBBED),
    "magnitude": Style(BLUE, "dash", "square"),
    "random": Style(GREY, "dot", "diamond"),
}


def layers_figure(table: pd.DataFrame, height: int = 300) -> go.Figure:
    """What each layer keeps, from `anatomy.layers`: weights, units and inputs, in percent."""
    hidden = len(table) - 1
    bars = {
        "weights kept": 100 * table["density"],
        "inputs read": 100 * (1 - table["unread_inputs"] / table["inputs"]),
        "units alive": 100 * (1 - table["dead_units"] / table["units"]),
    }
    said = "; ".join(
        f"{row.layer} keeps {row.density:.1%} of its weights" for row in table.itertuples()
    )
    figure = begin_figure(
        "What each layer keeps",
        height,
        f"{said}. {int(table['dead_units'][:hidden].sum())} hidden units are dead.",
        xaxis={"type": "category"},
        yaxis={"title": "%", "range": [0, 104], "autorange": False},
        barmode="group",
    )
    for (name, values), colour, pattern in zip(
        bars.items(), (BLUE, GREEN, ORANGE), ("", "/", "."), strict=True
    ):
        figure.add_bar(
            x=table["layer"],
            y=values,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            hovertemplate="%{x}: %{y:.2f} %<extra>%{fullData.name}</extra>",
        )
    return figure


def coarse(died: np.ndarray, cells: int = MAX_CELLS) -> tuple[np.ndarray, int]:
    """Rounds of death as a picture small enough to draw, and the side of its blocks: each shows
    one of its weights, drawn by lot, so that the picture has as many of each round as the layer
    does. Kernels are drawn as they are where there is room, else one cell each."""
    lot = np.random.default_rng(0)  # the same in every picture of this size
    if died.ndim == 4:
        outputs, inputs, rows, columns = died.shape
        if outputs * inputs * (rows + 1) * (columns + 1) <= cells:
            return died, 1
        kernels = died.reshape(outputs, inputs, -1)
        drawn = lot.integers(kernels.shape[2], size=(outputs, inputs, 1))
        died = np.take_along_axis(kernels, drawn, axis=2)[..., 0]
    block = 1
    while -(-died.shape[0] // block) * -(-died.shape[1] // block) > cells:
        block += 1
    if block == 1:
        return died, 1
    firsts = np.ix_(*(np.arange(0, size, block) for size in died.shape))
    moved = [first + lot.integers(block, size=np.broadcast_shapes(*(f.shape for f in firsts)))
             for first in firsts]  # fmt: skip
    # Blocks at the edge may be smaller than the others.
    at = [np.minimum(index, size - 1) for index, size in zip(moved, died.shape, strict=True)]
    return died[tuple(at)], block


def survival_figure(
    died: np.ndarray,
    layer: str,
    shown: int,
    rounds: int,
    height: int = 380,
    *,
    bare: bool = False,
) -> go.Figure:
    """In which of so many rounds each weight of a layer died, as it stood after round `shown`;
    0 is alive. `died` is (units, inputs) or (outputs, inputs, rows, columns); `bare` without
    axes, where it is one unit's own pictures."""
    picture, block = coarse(died)
    alive = float((died == 0).mean())
    figure = begin_figure(
        f"{layer} after round {shown}: {size_in_words(100 * alive)} alive",
        height,
        f"Of the weights of {layer}, {alive:.1%} are alive after round {shown}. "
        + "; ".join(f"{int((died == n).sum()):,} died in round {n}" for n in range(1, shown + 1))
        + ".",
    )
    figure.update_layout(margin={**MARGIN, "r": 4, "b": 50})
    trace = _deaths(picture, max(1, rounds))
    if picture.ndim == 4:
        _place_kernels(figure, _drawn(picture, rounds), trace)
    else:
        unit, read = ("unit", "input") if died.ndim == 2 else ("output channel", "input channel")
        each = f", one of {block}x{block} a cell" if block > 1 else ""
        if died.ndim == 4:
            each = (
                ", one weight of a kernel a cell"
                if block == 1
                else f", one of {block}x{block} kernels a cell"
            )
        figure.update_xaxes(title=f"{read}{each}", showgrid=False, zeroline=False)
        figure.update_yaxes(title=unit, autorange="reversed", showgrid=False, zeroline=False)
        hover = f"{unit} %{{y}}, {read} %{{x}}<extra></extra>"
        figure.add_trace(trace.update(z=_drawn(picture, rounds), hovertemplate=hover))
    if bare:
        figure.update_xaxes(**NO_AXIS)
        figure.update_yaxes(**NO_AXIS)
        figure.update_layout(margin={**MARGIN, "l": 8, "b": 14})
    return figure


def _drawn(picture: np.ndarray, rounds: int) -> np.ndarray:
    # Alive is drawn as one round more than the last.
    return np.where(picture == 0, max(1, rounds) + 1, picture).astype(np.uint8)


def _place_kernels(figure: go.Figure, kernels: np.ndarray, trace: go.Heatmap) -> None:
    tiled = tiles(kernels)
    trace.update(z=tiled.cells)
    if tiled.alone:
        trace.update(hovertemplate="row %{y}, column %{x}<extra></extra>")
    elif tiled.strips > 1:
        trace.update(customdata=tiled.numbers, hovertemplate="%{customdata}<extra></extra>")
    else:
        trace.update(hovertemplate="output %{y:.0f}, input %{x:.0f}<extra></extra>")
        figure.update_xaxes(title="input channel")
        figure.update_yaxes(title="output channel")
    place(figure, tiled, trace)
    if tiled.strips > 1:
        figure.update_xaxes(title=f"{len(kernels)} filters, row by row", **UNMARKED)
        figure.update_yaxes(**UNMARKED)


def _deaths(picture: np.ndarray, rounds: int) -> go.Heatmap:
    """What died first in the darkest colours, what lives in one of its own."""
    colours = [_mix((n - 1) / max(1, rounds - 1)) for n in range(1, rounds + 1)] + [_ALIVE]
    edges = np.linspace(0, 1, rounds + 2)
    scale = [
        [edge, colour]
        for left, right, colour in zip(edges[:-1], edges[1:], colours, strict=True)
        for edge, colour in ((float(left), colour), (float(right), colour))
    ]
    every = -(-rounds // 8)
    ticks = [n for n in range(1, rounds + 1) if (rounds - n) % every == 0]
    return go.Heatmap(
        zmin=0.5,
        zmax=rounds + 1.5,
        colorscale=scale,
        colorbar={
            "thickness": 12,
            "outlinewidth": 0,
            "title": {"text": "died in", "side": "top"},
            "tickvals": [*ticks, rounds + 1],
            "ticktext": [*(f"round {n}" for n in ticks), "alive"],
        },
    )


def _mix(part: float) -> str:
    """The colour at that part of `_DEATHS`."""
    at = part * (len(_DEATHS) - 1)
    low = min(int(at), len(_DEATHS) - 2)
    pair = [[int(_DEATHS[low + k][i : i + 2], 16) for i in (1, 3, 5)] for k in (0, 1)]
    mixed = [round(a + (at - low) * (b - a)) for a, b in zip(*pair, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def histogram_figure(
    edges: np.ndarray,
    shares: dict[str, np.ndarray],
    counts: dict[str, int],
    title: str,
    axis: str,
    height: int = 360,
) -> go.Figure:
    """Shares of values per bin, a curve of steps a group: see `values.Histogram`."""
    centres = (edges[:-1] + edges[1:]) / 2
    said = "; ".join(
        f"{name}: {counts[name]:,} values, most near {centres[int(share.argmax())]:.3f}"
        for name, share in shares.items()
        if counts[name]
    )
    figure = begin_figure(
        title,
        height,
        f"{title}. {said}.",
        xaxis={"title": axis},
        yaxis={"title": "share of the group, %", "rangemode": "tozero"},
        margin={**MARGIN, "b": 108},
    )
    looks = ((GREY, "dot", "rgba(138,144,153,0.18)"), (BLUE, "solid", "rgba(44,134,209,0.22)"))
    for (name, share), (colour, dash, fill) in zip(shares.items(), looks, strict=True):
        figure.add_scatter(
            x=centres,
            y=100 * share,
            name=f"{name} ({counts[name]:,})",
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2, "shape": "hvh"},
            fill="tozeroy",
            fillcolor=fill,
            hovertemplate="%{x:.3f}: %{y:.2f} %<extra>%{fullData.name}</extra>",
        )
    return figure


def links_figure(
    links: Sequence[tuple[str, float]],
    title: str,
    empty: str,
    axis: str = "weight",
    height: int = 380,
) -> go.Figure:
    """Weights to or from other units, or the norms of several (`axis` says which), by name,
    strongest first; `empty` says why there are none."""
    figure = begin_figure(
        title,
        height,
        f"{title}: " + (", ".join(f"{name} {w:+.2f}" for name, w in links[:5]) or empty),
        xaxis={"title": axis, "zeroline": True},
        yaxis={"type": "category", "autorange": "reversed", "dtick": 1, "tickfont": {"size": 11}},
        margin={**MARGIN, "l": 74, "b": 50},
        showlegend=False,
    )
    if not links:
        figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
        figure.add_annotation(text=empty, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
        return figure
    names, weights = zip(*links, strict=True)
    figure.add_bar(
        x=weights,
        y=names,
        orientation="h",
        marker={"color": ["#b2182b" if weight > 0 else "#2166ac" for weight in weights]},
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )
    return figure


def by_hand_figure(
    removed: Sequence[int], accuracies: Mapping[str, Sequence[float]], height: int = 300
) -> go.Figure:
    """Test accuracies (fractions) of a network as weights are removed, by what chose them: "by
    hand", "magnitude" or "random". The axis shows five points at least, so that what a few images
    make does not look like much."""
    low, high = (end(map(end, accuracies.values())) for end in (min, max))
    said = "; ".join(f"{name} {values[-1]:.1%}" for name, values in accuracies.items())
    figure = begin_figure(
        "As weights were removed",
        height,
        f"Without {removed[-1]:,} weights, not trained again: {said}.",
        xaxis={"title": "weights removed", "rangemode": "tozero"},
        yaxis={
            "title": "test accuracy, %",
            "range": [100 * min(low, high - 0.05) - 1, 100 * high + 1],
            "autorange": False,
        },
    )
    for name, values in accuracies.items():
        curve = Curve(name, removed, values, _BY_HAND[name])
        add_curve(figure, curve, "%{y:.2f} % without %{x:,} weights", by=100)
    return figure
