"""Numbers -> plotly figures.

Each figure carries its takeaway in words in `layout.meta["alt"]`. Colours of text, grid and
background are left to the page, which knows whether it is light or dark; those of the data
are after Okabe and Ito, told apart by colour-blind readers, and by dash and marker besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PINK, GREY = "#2c86d1", "#e0752d", "#1a9e77", "#c966a0", "#8a9099"
LAYER_COLOURS = (BLUE, ORANGE, GREEN, PINK, "#b59a1b", "#5bb4e5", "#7f6fd0")
PRUNED = "#3a3f47"
# Blue to red through near-white: zero is the lightest, pruned darker than any of them.
DIVERGING = [
    [0.0, "#2166ac"],
    [0.25, "#7ab4d8"],
    [0.5, "#f6f5f3"],
    [0.75, "#ec9c7c"],
    [1.0, "#b2182b"],
]
_MARGIN = {"l": 58, "r": 14, "t": 44, "b": 78}


_LOSS_TICKS = [m * 10.0**p for p in range(-4, 3) for m in (1, 2, 5)]


@dataclass(frozen=True)
class Curve:
    """Test accuracies (fractions) at percents of weights remaining."""

    name: str
    percent: Sequence[float]
    accuracy: Sequence[float]
    colour: str
    dash: str = "solid"
    symbol: str = "circle"


def _figure(title: str, height: int, alt: str, **layout) -> go.Figure:
    return go.Figure(
        layout={
            "title": {"text": title, "x": 0, "xref": "container", "pad": {"l": 8}},
            "height": height,
            "margin": _MARGIN,
            "meta": {"alt": alt},
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0,
            },
            # Kept over updates: a reader's zoom survives the next point.
            "uirevision": True,
            **layout,
        }
    )


def accuracy_figure(
    curves: Sequence[Curve], dense: float | None, *, near_dense: bool = False, height: int = 440
) -> go.Figure:
    """Test accuracy against percent of weights remaining: log axis, falling left to right.

    `near_dense` shows the few points around the dense network's accuracy alone.
    """
    parts = [
        f"{curve.name}: {curve.accuracy[-1]:.1%} with {curve.percent[-1]:.1f} % of weights"
        for curve in curves
        if len(curve.accuracy)
    ]
    reference = [f"dense: {dense:.1%}"] if dense is not None else []
    figure = _figure(
        "Accuracy against weights remaining",
        height,
        "Test accuracy as weights are pruned. " + "; ".join([*reference, *parts]) + ".",
        xaxis={"type": "log", "autorange": "reversed", "title": "weights remaining, % (log)"},
        yaxis={"title": "test accuracy, %"},
        margin={**_MARGIN, "b": 138},
        uirevision=near_dense,
    )
    percents = sorted({round(p, 2) for curve in curves for p in curve.percent}, reverse=True)
    if percents:
        figure.update_xaxes(
            tickvals=_spread(percents),
            ticktext=[f"{value:.3g}" for value in _spread(percents)],
            range=[np.log10(115), np.log10(min(percents) * 0.87)],
            autorange=False,
        )
    else:
        figure.update_xaxes(range=[2, 0], autorange=False)
        figure.update_yaxes(range=[0, 100], autorange=False)
    if dense is not None and near_dense:
        figure.update_yaxes(range=[100 * dense - 4, min(100.2, 100 * dense + 2)], autorange=False)
    if dense is not None:
        figure.add_hline(
            y=100 * dense,
            line={"color": GREY, "dash": "dash", "width": 1.5},
            annotation={
                "text": f"dense {dense:.1%}",
                "font": {"color": GREY},
                "xanchor": "right",
                "yanchor": "bottom",
            },
        )
    for curve in curves:
        figure.add_scatter(
            x=np.asarray(curve.percent, float),
            y=100 * np.asarray(curve.accuracy, float),
            name=curve.name,
            mode="lines+markers",
            line={"color": curve.colour, "dash": curve.dash, "width": 2.5},
            marker={"symbol": curve.symbol, "size": 8},
            hovertemplate="%{y:.2f} % at %{x:.2f} % of weights<extra>%{fullData.name}</extra>",
        )
    return figure


def _spread(values: Sequence[float]) -> list[float]:
    """Of falling `values`, those far enough apart on a log axis to be labelled."""
    chosen: list[float] = []
    for value in values:
        if not chosen or chosen[-1] / value > 1.35:
            chosen.append(value)
    return chosen


def _iterations(total: int | None) -> dict:
    """An axis of iterations; with a known `total` it does not grow while the level trains."""
    if total is None:
        return {"title": "iteration"}
    return {"title": "iteration", "range": [0, total], "autorange": False}


def loss_figure(
    iterations: Sequence[float],
    losses: Sequence[float],
    history: pd.DataFrame,
    dense: pd.DataFrame | None = None,
    *,
    level: int = 0,
    iterations_total: int | None = None,
    height: int = 300,
) -> go.Figure:
    """A level's losses (mean cross-entropy, nats) over its iterations; dense for reference."""
    last = f" Training loss is now {losses[-1]:.3f}." if len(losses) else ""
    figure = _figure(
        f"Loss of level {level}",
        height,
        f"Loss of level {level} over its iterations.{last}",
        xaxis=_iterations(iterations_total),
        yaxis={
            "title": "cross-entropy, nats (log)",
            "type": "log",
            "tickvals": _LOSS_TICKS,
            "ticktext": [f"{value:g}" for value in _LOSS_TICKS],
        },
    )
    if dense is not None:
        _line(figure, dense, "test_loss", "dense, test", GREY, "dash", 1)
    figure.add_scatter(
        x=np.asarray(iterations, float),
        y=np.asarray(losses, float),
        name="training",
        line={"color": BLUE, "width": 1.2},
        opacity=0.75,
    )
    if history["validation_loss"].notna().any():
        _line(figure, history, "validation_loss", "validation", GREEN, "dot", 1)
    _line(figure, history, "test_loss", "test", ORANGE, "solid", 1)
    return figure


def level_accuracy_figure(
    history: pd.DataFrame,
    dense: pd.DataFrame | None = None,
    *,
    level: int = 0,
    iterations_total: int | None = None,
    height: int = 300,
) -> go.Figure:
    """A level's accuracies over its iterations; the dense network's for reference."""
    now = history["test_accuracy"].iloc[-1] if len(history) else None
    figure = _figure(
        f"Accuracy of level {level}",
        height,
        f"Accuracy of level {level} over its iterations."
        + (f" Test accuracy is now {now:.1%}." if now is not None else ""),
        xaxis=_iterations(iterations_total),
        yaxis={"title": "accuracy, %"},
    )
    if dense is not None:
        _line(figure, dense, "test_accuracy", "dense, test", GREY, "dash", 100)
    if history["validation_accuracy"].notna().any():
        _line(figure, history, "validation_accuracy", "validation", GREEN, "dot", 100)
    _line(figure, history, "test_accuracy", "test", ORANGE, "solid", 100)
    # The first evaluations, near chance, would squeeze what matters into a corner.
    shown = [history, *([dense] if dense is not None else [])]
    later = pd.concat([frame[frame["iteration"] > 0]["test_accuracy"] for frame in shown])
    if not len(later):
        figure.update_yaxes(range=[0, 100], autorange=False)
    else:
        figure.update_yaxes(range=[max(0, 100 * later.min() - 3), 100.5], autorange=False)
    return figure


def _line(
    figure: go.Figure,
    frame: pd.DataFrame,
    column: str,
    name: str,
    colour: str,
    dash: str,
    by: float,
) -> None:
    figure.add_scatter(
        x=frame["iteration"].to_numpy(float),
        y=by * frame[column].to_numpy(float),
        name=name,
        mode="lines+markers" if dash != "dash" else "lines",
        line={"color": colour, "dash": dash, "width": 2 if dash != "dash" else 1.5},
        marker={"size": 4},
    )


def sparsity_figure(
    layers: Mapping[str, Sequence[float]],
    total: Sequence[float],
    ends: Sequence[float],
    height: int = 300,
) -> go.Figure:
    """Sparsity (fractions) in total and per layer over all iterations trained so far.

    Level n lasts from `ends[n-1]` to `ends[n]` iterations.
    """
    figure = _figure(
        "Sparsity over time",
        height,
        f"Sparsity rises in {len(total)} steps to {total[-1]:.1%} of all weights."
        if len(total)
        else "Sparsity over time: nothing trained yet.",
        xaxis={"title": "iterations trained, all levels", "rangemode": "tozero"},
        yaxis={"title": "weights pruned, %", "range": [-3, 103], "autorange": False},
    )
    begins = [0.0, *ends[:-1]] if len(ends) else []
    x = np.array([edge for pair in zip(begins, ends, strict=True) for edge in pair], float)
    dashes = ("dot", "dash", "dashdot", "longdash")
    figure.add_scatter(
        x=x,
        y=100 * np.repeat(np.asarray(total, float), 2),
        name="total",
        mode="lines",
        line={"color": BLUE, "width": 5},
        opacity=0.45,
    )
    for i, (name, values) in enumerate(layers.items()):
        figure.add_scatter(
            x=x,
            y=100 * np.repeat(np.asarray(values, float), 2),
            name=name.removesuffix(".weight"),
            mode="lines",
            line={
                "color": LAYER_COLOURS[(i + 1) % len(LAYER_COLOURS)],
                "dash": dashes[i % len(dashes)],
                "width": 1.8,
            },
        )
    return figure


def weights_figure(
    picture: np.ndarray,
    name: str,
    scale: float,
    *,
    block: int = 1,
    title: str = "",
    height: int = 300,
) -> go.Figure:
    """Heatmap of one layer's weights, (outputs, inputs), NaN where pruned.

    The colours run from -scale to scale through zero; pruned weights show the plot's own
    background, which is on no scale, and have a legend entry of their own.
    """
    layer = name.removesuffix(".weight")
    kept = np.isfinite(picture)
    coarse = f", largest of each {block}x{block} block" if block > 1 else ""
    figure = _figure(
        title or f"{layer}: {picture.shape[0]}x{picture.shape[1]}",
        height,
        f"Weights of {layer}{coarse}: {kept.mean():.1%} of the cells hold a weight, "
        f"from {np.nanmin(picture):.3f} to {np.nanmax(picture):.3f}."
        if kept.any()
        else f"Weights of {layer}: all pruned.",
        plot_bgcolor=PRUNED,
        xaxis={"title": f"input{coarse}", "showgrid": False, "zeroline": False},
        yaxis={
            "title": "unit",
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
        },
        showlegend=True,
    )
    figure.update_layout(margin={**_MARGIN, "r": 4, "b": 66})
    figure.add_heatmap(
        z=picture.astype(np.float32),
        zmin=-scale,
        zmax=scale,
        colorscale=DIVERGING,
        colorbar={"thickness": 10, "outlinewidth": 0, "tickformat": ".2~f", "nticks": 5},
        hoverongaps=False,
        hovertemplate="unit %{y}, input %{x}: %{z:.4f}<extra></extra>",
    )
    # Nothing to see but the legend entry.
    figure.add_scatter(
        x=[None],
        y=[None],
        name="pruned",
        mode="markers",
        marker={
            "symbol": "square",
            "size": 10,
            "color": PRUNED,
            "line": {"width": 1, "color": GREY},
        },
        hoverinfo="skip",
    )
    return figure


def pixels_figure(kept_per_pixel: np.ndarray, units: int, height: int = 300) -> go.Figure:
    """How many of the first layer's weights each pixel of the 28x28 image keeps."""
    image = kept_per_pixel.reshape(28, 28)
    unread = int((image == 0).sum())
    return _figure(
        "Weights kept per pixel",
        height,
        f"Weights each pixel keeps, {image.min()} to {image.max()} of {units}; "
        f"{unread} of 784 pixels keep none.",
        xaxis={"showgrid": False, "zeroline": False, "constrain": "domain", "visible": False},
        yaxis={
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
            "visible": False,
        },
        margin={**_MARGIN, "l": 8, "b": 14},
    ).add_heatmap(
        z=image,
        zmin=0,
        zmax=max(1, int(image.max())),
        colorscale="Cividis",
        colorbar={"thickness": 10, "outlinewidth": 0, "nticks": 5},
        hovertemplate="row %{y}, column %{x}: %{z} of " + str(units) + " weights<extra></extra>",
    )
