"""Figures of one ticket: its layers, what died when, values, units, and its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lottery_core.report.figures import (
    BLUE,
    DIVERGING,
    GREEN,
    GREY,
    MARGIN,
    ORANGE,
    PRUNED,
    begin_figure,
)

# From what died first to what died last, told apart in grey too; survivors have a colour of their
# own, lighter than any of them.
_DEATHS = ("#20242b", "#27364f", "#2f4a78", "#3d62a0", "#5a80bb", "#86a5cf", "#b9cbe2")
_ALIVE = "#ffb547"
_NO_AXIS = {"showgrid": False, "zeroline": False, "visible": False}


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


def coarse(died: np.ndarray, cells: int = 300 * 784) -> tuple[np.ndarray, int]:
    """Rounds of death in blocks small enough to draw, and a block's side: each shows the weight
    that lived longest."""
    block = 1
    while (died.shape[0] // block) * (died.shape[1] // block) > cells:
        block += 1
    if block == 1:
        return died, 1
    rows, columns = (-(-size // block) for size in died.shape)
    # One that lives (0) has outlived all; what is beyond the edge has never lived.
    outlived = np.where(died == 0, 255, died).astype(np.uint8)
    padded = np.zeros((rows * block, columns * block), np.uint8)
    padded[: died.shape[0], : died.shape[1]] = outlived
    longest = padded.reshape(rows, block, columns, block).max(axis=(1, 3))
    return np.where(longest == 255, 0, longest).astype(np.uint8), block


def survival_figure(
    died: np.ndarray,
    layer: str,
    shown: int,
    rounds: int,
    height: int = 380,
    *,
    square: bool = False,
) -> go.Figure:
    """In which of so many rounds each weight of a layer died, as it stood after round `shown`;
    0 is alive. `died` is (units, inputs), or, where `square`, one unit's weights as an image."""
    picture, block = coarse(died)
    alive = float((died == 0).mean())
    figure = begin_figure(
        f"{layer} after round {shown}: {alive:.1%} alive",
        height,
        f"Of the weights of {layer}, {alive:.1%} are alive after round {shown}. "
        + "; ".join(f"{int((died == n).sum()):,} died in round {n}" for n in range(1, shown + 1))
        + ".",
        xaxis={
            "title": "input" + (f", in blocks of {block}x{block}" if block > 1 else ""),
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"title": "unit", "autorange": "reversed", "showgrid": False, "zeroline": False},
    )
    figure.update_layout(margin={**MARGIN, "r": 4, "b": 50})
    if square:
        figure.update_layout(
            xaxis={**_NO_AXIS, "constrain": "domain"},
            yaxis={**_NO_AXIS, "scaleanchor": "x", "constrain": "domain"},
            margin={**MARGIN, "l": 8, "b": 14},
        )
    steps = max(1, rounds)
    colours = [_mix((n - 1) / max(1, steps - 1)) for n in range(1, steps + 1)] + [_ALIVE]
    # Alive is drawn as one round more than the last.
    z = np.where(picture == 0, steps + 1, picture).astype(np.uint8)
    edges = np.linspace(0, 1, steps + 2)
    scale = [
        [edge, colour]
        for left, right, colour in zip(edges[:-1], edges[1:], colours, strict=True)
        for edge, colour in ((float(left), colour), (float(right), colour))
    ]
    every = -(-steps // 8)
    ticks = [n for n in range(1, steps + 1) if (steps - n) % every == 0]
    figure.add_heatmap(
        z=z,
        zmin=0.5,
        zmax=steps + 1.5,
        colorscale=scale,
        colorbar={
            "thickness": 12,
            "outlinewidth": 0,
            "title": {"text": "died in", "side": "top"},
            "tickvals": [*ticks, steps + 1],
            "ticktext": [*(f"round {n}" for n in ticks), "alive"],
        },
        hovertemplate=f"{'row' if square else 'unit'} %{{y}}, "
        f"{'column' if square else 'input'} %{{x}}<extra></extra>",
    )
    return figure


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
    """Shares of values per bin, a curve of steps a group: see `anatomy.Histogram`."""
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


def unit_pixels_figure(weights: np.ndarray, title: str, height: int = 380) -> go.Figure:
    """What a unit reads of the image: its weights (784,), NaN where pruned, as 28x28."""
    image = weights.reshape(28, 28).astype(np.float32)
    kept = np.isfinite(image)
    largest = float(np.abs(image[kept]).max()) if kept.any() else 1.0
    figure = begin_figure(
        title,
        height,
        f"{title}: {int(kept.sum())} of 784 pixels are read.",
        plot_bgcolor=PRUNED,
        xaxis={**_NO_AXIS, "constrain": "domain", "range": [-0.5, 27.5]},
        yaxis={
            **_NO_AXIS,
            "range": [27.5, -0.5],
            "scaleanchor": "x",
            "constrain": "domain",
        },
        margin={**MARGIN, "l": 8, "b": 14},
    )
    figure.add_heatmap(
        z=image,
        zmin=-largest,
        zmax=largest,
        colorscale=DIVERGING,
        colorbar={"thickness": 10, "outlinewidth": 0, "tickformat": ".2~f", "nticks": 5},
        hoverongaps=False,
        hovertemplate="row %{y}, column %{x}: %{z:.4f}<extra></extra>",
    )
    return figure


def links_figure(
    links: Sequence[tuple[str, float]], title: str, empty: str, height: int = 380
) -> go.Figure:
    """Weights to or from other units, by name, strongest first; `empty` says why there are none."""
    figure = begin_figure(
        title,
        height,
        f"{title}: " + (", ".join(f"{name} {w:+.2f}" for name, w in links[:5]) or empty),
        xaxis={"title": "weight", "zeroline": True},
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


def confidence_figure(given: dict[str, np.ndarray], height: int = 320) -> go.Figure:
    """How sure each network is of each class: probabilities (10,) by the network's name."""
    said = "; ".join(
        f"{name} says {int(values.argmax())} with {values.max():.0%}"
        for name, values in given.items()
    )
    figure = begin_figure(
        "How sure they are",
        height,
        f"{said}.",
        xaxis={"title": "class", "type": "category"},
        yaxis={"title": "confidence, %", "range": [0, 104], "autorange": False},
        barmode="group",
    )
    for (name, values), colour, pattern in zip(given.items(), (GREY, BLUE), ("/", ""), strict=True):
        figure.add_bar(
            x=list(range(len(values))),
            y=100 * values,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            hovertemplate="%{x}: %{y:.1f} %<extra>%{fullData.name}</extra>",
        )
    return figure


def confusion_figure(counts: np.ndarray, name: str, height: int = 380) -> go.Figure:
    """Which class a network names (column) for which one there is (row): counts (10, 10).

    Colours are of the logarithm: mistakes are few beside what is right.
    """
    right, total = int(np.trace(counts)), int(counts.sum())
    wrong = counts - np.diag(np.diag(counts))
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    figure = begin_figure(
        f"{name}: {right / max(1, total):.1%} right",
        height,
        f"{name} names {right:,} of {total:,} images rightly. Its most frequent mistake: {column} "
        f"for {row}, {wrong[row, column]} times.",
        xaxis={"title": "named", "dtick": 1, "showgrid": False, "zeroline": False},
        yaxis={
            "title": "is",
            "dtick": 1,
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
        },
        margin={**MARGIN, "b": 50},
    )
    figure.add_heatmap(
        z=np.log10(1 + counts),
        text=counts,
        texttemplate="%{text}",
        # Opaque, so that the counts stand out on light and dark pages alike.
        colorscale=[[0, "#f4f7fa"], [0.5, "#86b8e2"], [1, "#1d5f99"]],
        showscale=False,
        hovertemplate="%{y} named %{x}: %{text} times<extra></extra>",
    )
    return figure
