"""Numbers -> plotly figures.

Each figure carries its takeaway in words in `layout.meta["alt"]`. Colours of text, grid and
background are left to the page, which knows whether it is light or dark; those of the data
are after Okabe and Ito, told apart by colour-blind readers, and by dash and marker besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PINK, GREY = "#2c86d1", "#e0752d", "#1a9e77", "#c966a0", "#8a9099"
PRUNED = "#23282f"
# Negative blue, positive orange, brighter as they are larger: zero is the dullest, and pruned
# darker than any of them.
DIVERGING = [
    [0.0, "#a5dcff"],
    [0.25, "#3d8fd6"],
    [0.5, "#646b76"],
    [0.75, "#e0693a"],
    [1.0, "#ffcf9e"],
]
Figure = go.Figure
MARGIN = {"l": 58, "r": 14, "t": 44, "b": 78}
TWO_ROWS = {**MARGIN, "b": 94}  # of a legend, below the axis's title
LOG_TICKS = [m * 10.0**p for p in range(-4, 4) for m in (1, 2, 5)]


@dataclass(frozen=True)
class Style:
    """How a curve is told from the others: each in three ways."""

    colour: str
    dash: str = "solid"
    symbol: str = "circle"


# Of a level's training: no colour of an arm.
TRAINING, VALIDATION, TEST = "#12a3b4", "#6d9f1d", "#d43d4f"
# One look per arm, on every page; "main" is the experiment itself.
STYLES = {
    "main": Style(BLUE),
    "fine-tune": Style(GREEN, "dash", "diamond"),
    "reinit": Style("#b59a1b", "longdash", "square"),
    "signs": Style("#7a7a1f", "12px,3px,3px,3px,3px,3px", "hourglass"),
    "new-order": Style("#4d6bd6", "6px,3px", "circle-open"),
    "new-magnitudes": Style("#2aa198", "longdash", "triangle-right"),
    "new-signs": Style("#cf5c5c", "dot", "bowtie"),
    "transplanted": Style("#7d8f2f", "dashdot", "square-open"),
    "permuted": Style("#b3739c", "dash", "diamond-open"),
    "random-mask": Style("#7f6fd0", "longdashdot", "star"),
    "random-erk": Style("#9b3fc9", "2px,7px", "pentagon"),
    "set": Style("#0f7f6a", "longdash", "triangle-left"),
    "set-long": Style("#57a897", "dot", "triangle-left-open"),
    "rigl": Style("#5b5bd6", "longdash", "triangle-ne"),
    "rigl-long": Style("#8c8cd9", "dot", "triangle-ne-open"),
    "gradual": Style("#5d6d1e", "dashdot", "star-square"),
    "edge-popup": Style("#a8326f", "longdash", "arrow-up"),
    "edge-popup-signs": Style("#d58ab0", "dot", "arrow-up-open"),
    "learned-mask": Style("#8a5a00", "longdash", "arrow-down"),
    "learned-mask-signs": Style("#c79a4b", "dot", "arrow-down-open"),
    "early-bird": Style("#c2571a", "longdashdot", "hexagram"),
    "reshuffled-reinit": Style("#5bb4e5", "dashdot", "cross"),
    "rate-rewind": Style("#a5572b", "dash", "hexagon"),
    "dense-longer": Style(GREY, "dash", "triangle-down"),
    "not retrained": Style(ORANGE, "dot", "triangle-up"),
    "dense pruned": Style(PINK, "dashdot", "x"),
}


@dataclass(frozen=True)
class Curve:
    """Values at percents of weights remaining, or other `x`: means over `n` seeds, and with more
    than one of them a band from `low` to `high`."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: Style
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    n: int = 1
    group: str = ""  # what its traces are called in a legend for several charts; the name if empty


def begin_figure(title: str, height: int, alt: str, **layout) -> go.Figure:
    """An empty figure in the style of all; `alt` is its takeaway in words."""
    return go.Figure(
        layout={
            "title": {"text": title, "x": 0, "xref": "container", "pad": {"l": 8}},
            "height": height,
            "margin": MARGIN,
            "meta": {"alt": alt},
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0,
                # Where a phone stacks it row by row, the margin below has room for no more.
                "tracegroupgap": 0,
            },
            # Kept over updates: a reader's zoom survives the next point.
            "uirevision": True,
            **layout,
        }
    )


def accuracy_figure(
    curves: Sequence[Curve],
    dense: float | None,
    *,
    near_dense: bool = False,
    sizes: Sequence[float] = (),
    chance: float | None = None,
    height: int = 440,
) -> go.Figure:
    """Test accuracy against percent of weights remaining: log axis, falling left to right.

    `near_dense` shows the few points around the dense network's accuracy alone. With the `sizes`
    that will be reached (percents of weights) and the accuracy of guessing, `chance`, the axes stay
    what they are while curves grow.
    """
    parts = [
        f"{curve.name}: {curve.y[-1]:.1%} with {curve.x[-1]:.1f} % of weights"
        for curve in curves
        if len(curve.y)
    ]
    reference = [f"dense: {dense:.1%}"] if dense is not None else []
    figure = begin_figure(
        "Accuracy against weights remaining",
        height,
        "Test accuracy as weights are pruned. " + "; ".join([*reference, *parts]) + ".",
        xaxis=remaining_axis(sizes, curves),
        yaxis={"title": "test accuracy, %"},
        margin={**MARGIN, "b": 138 + 19 * max(0, len(curves) - 4)},
        uirevision=near_dense,
    )
    if not parts or chance is not None:
        figure.update_yaxes(range=above(chance or 0), autorange=False)
    if dense is not None and near_dense:
        figure.update_yaxes(range=[100 * dense - 4, min(100.2, 100 * dense + 2)], autorange=False)
    if dense is not None:
        figure.add_hline(
            y=100 * dense,
            line={"color": GREY, "dash": "dash", "width": 1.5},
            annotation={
                "text": f"dense {100 * dense:.1f}\u202f%",
                "font": {"color": GREY},
                "xanchor": "right",
                "yanchor": "bottom",
            },
        )
    for curve in curves:
        add_curve(
            figure, curve, "%{y:.2f}\u202f% at %{x:.3g}\u202f% of weights", by=100, within=(0, 100)
        )
    return figure


def above(chance: float) -> list[float]:
    """The range of an axis of accuracies in percent, from that of guessing (a fraction) to 100,
    with room for markers."""
    return [max(0, 100 * chance - 3), 102]


def loss_range(chance: float, losses: Sequence[Sequence[float]]) -> list[float]:
    """The range of a log axis of losses: from a thousandth to twice that of guessing with the
    accuracy `chance`, or to the mark above the worst there was."""
    worst = np.nanmax(np.concatenate([[0], *losses]).astype(float))
    top = -2 * np.log(chance)
    if worst > top:
        top = next((tick for tick in LOG_TICKS if tick >= worst), LOG_TICKS[-1])
    return [-3, np.log10(top)]


def without_legend(figure: go.Figure) -> go.Figure:
    """The same, for a page that has its legend outside the chart."""
    figure.update_xaxes(title_standoff=8)
    return figure.update_layout(showlegend=False, margin={**MARGIN, "b": 50})


def opening_levels(figure: go.Figure, percents: Sequence[float], chosen: int) -> go.Figure:
    """The same as a way to levels (see `ui/shared/plot.js`): a press on a point opens the level
    with so many `percents` of weights remaining; the `chosen` one is marked."""
    return figure.update_layout(meta={**figure.layout.meta, "levels": list(percents)}).add_vline(
        x=percents[chosen], line={"color": GREY, "width": 12}, opacity=0.25, layer="below"
    )


def add_curve(
    figure: go.Figure,
    curve: Curve,
    hover: str,
    by: float = 1,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Draw a curve, and under it its band where it has one, cut off at `within`: an interval
    over two or three seeds may reach far beyond what can be."""
    style, x = curve.style, np.asarray(curve.x, float)
    if curve.n > 1:
        low, high = (
            np.clip(by * np.asarray(edge, float), *within) for edge in (curve.low, curve.high)
        )
        there = np.isfinite(low) & np.isfinite(high)
        figure.add_scatter(
            x=np.concatenate([x[there], x[there][::-1]]),
            y=np.concatenate([high[there], low[there][::-1]]),
            fill="toself",
            fillcolor=style.colour,
            opacity=0.2,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=curve.group or curve.name,
        )
    # A curve that has no point yet is in the legend already.
    figure.add_scatter(
        x=x if len(x) else [None],
        y=by * np.asarray(curve.y, float) if len(x) else [None],
        name=curve.name,
        legendgroup=curve.group or curve.name,
        mode="lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": 2.5},
        marker={"symbol": style.symbol, "size": 8},
        hovertemplate=f"{hover}<extra>%{{fullData.name}}</extra>",
    )


def spread(values: Sequence[float]) -> list[float]:
    """Of falling `values`, those far enough apart on a log axis to be labelled."""
    chosen: list[float] = []
    for value in values:
        if not chosen or chosen[-1] / value > 1.35:
            chosen.append(value)
    return chosen


def iterations_axis(total: int | None) -> dict:
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
    chance: float | None = None,
) -> go.Figure:
    """A level's losses (mean cross-entropy, nats) over its iterations; dense for reference. With
    `chance`, the accuracy of guessing, its axis stays what it is while the level trains, unless
    losses leave it."""
    last = f" Training loss is now {losses[-1]:.3f}." if len(losses) else ""
    figure = begin_figure(
        f"Loss of level {level}",
        300,
        f"Loss of level {level} over its iterations.{last}",
        xaxis=iterations_axis(iterations_total),
        yaxis={
            "title": "cross-entropy, nats",
            "type": "log",
            "tickvals": LOG_TICKS,
            # Over so many decades, and in so low a chart, there is room for every third.
            "ticktext": [f"{n:g}" if f"{n:e}".startswith("1.") else "" for n in LOG_TICKS],
        },
        margin=TWO_ROWS,
    )
    if chance is not None:
        judged = [history[name] for name in ("validation_loss", "test_loss")]
        judged += [] if dense is None else [dense["test_loss"]]
        figure.update_yaxes(range=loss_range(chance, judged), autorange=False)
    if dense is not None:
        _line(figure, dense, "test_loss", "dense, test", GREY, "dash", 1)
    figure.add_scatter(
        x=np.asarray(iterations, float),
        y=np.asarray(losses, float),
        name="training",
        line={"color": TRAINING, "width": 1.2},
        opacity=0.75,
    )
    if history["validation_loss"].notna().any():
        _line(figure, history, "validation_loss", "validation", VALIDATION, "dot", 1)
    _line(figure, history, "test_loss", "test", TEST, "solid", 1)
    return figure


def level_accuracy_figure(
    history: pd.DataFrame,
    dense: pd.DataFrame | None = None,
    *,
    level: int = 0,
    iterations_total: int | None = None,
    chance: float | None = None,
    height: int = 300,
) -> go.Figure:
    """A level's accuracies over its iterations; the dense network's for reference. With `chance`,
    the accuracy of guessing, its axis stays what it is while the level trains."""
    now = history["test_accuracy"].iloc[-1] if len(history) else None
    figure = begin_figure(
        f"Accuracy of level {level}",
        height,
        f"Accuracy of level {level} over its iterations."
        + (f" Test accuracy is now {now:.1%}." if now is not None else ""),
        xaxis=iterations_axis(iterations_total),
        yaxis={"title": "accuracy, %"},
        margin=TWO_ROWS,
    )
    if dense is not None:
        _line(figure, dense, "test_accuracy", "dense, test", GREY, "dash", 100)
    if history["validation_accuracy"].notna().any():
        _line(figure, history, "validation_accuracy", "validation", VALIDATION, "dot", 100)
    _line(figure, history, "test_accuracy", "test", TEST, "solid", 100)
    # The first evaluations, near chance, would squeeze what matters into a corner.
    shown = [history, *([dense] if dense is not None else [])]
    later = pd.concat([frame[frame["iteration"] > 0]["test_accuracy"] for frame in shown])
    if not len(later) or chance is not None:
        figure.update_yaxes(range=above(chance or 0), autorange=False)
    else:
        figure.update_yaxes(range=[max(0, 100 * later.min() - 3), 100.5], autorange=False)
    return figure


def remaining_axis(percents: Sequence[float], curves: Sequence[Curve] = ()) -> dict:
    """The paper's axis: percent of weights remaining, log, falling left to right. It holds all of
    the `curves`: where whole units go, fewer weights may remain than were asked for."""
    reached = [x for curve in curves for x in curve.x]
    percents = sorted({round(p, 2) for p in percents or reached}, reverse=True) or [100.0, 1.0]
    return {
        "type": "log",
        "title": "weights remaining, % (log)",
        "tickvals": spread(percents),
        "ticktext": [f"{value:.3g}" for value in spread(percents)],
        "range": [np.log10(115), np.log10(min([*percents, *reached]) * 0.87)],
        "autorange": False,
    }


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
        meta="reference" if name.startswith("dense") else None,
    )
