"""Numbers -> plotly figures.

Each figure carries its takeaway in words in `layout.meta["alt"]`. Colours of text, grid and
background are left to the page, which knows whether it is light or dark; those of the data
are after Okabe and Ito, told apart by colour-blind readers, and by dash and marker besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
MARGIN = {"l": 58, "r": 14, "t": 44, "b": 78}


_LOG_TICKS = [m * 10.0**p for p in range(-4, 4) for m in (1, 2, 5)]


@dataclass(frozen=True)
class Style:
    """How a curve is told from the others: each in three ways."""

    colour: str
    dash: str = "solid"
    symbol: str = "circle"


# One look per arm, on every page; "main" is the experiment itself.
STYLES = {
    "main": Style(BLUE),
    "fine-tune": Style(GREEN, "dash", "diamond"),
    "reinit": Style("#b59a1b", "longdash", "square"),
    "random-mask": Style("#7f6fd0", "longdashdot", "star"),
    "reshuffled-reinit": Style("#5bb4e5", "dashdot", "cross"),
    "rate-rewind": Style("#a5572b", "dash", "hexagon"),
    "dense-longer": Style(GREY, "dash", "triangle-down"),
    "not retrained": Style(ORANGE, "dot", "triangle-up"),
    "dense pruned": Style(PINK, "dashdot", "x"),
}
# What is left to take where these are not enough, or not different enough from each other.
_COLOURS = (BLUE, ORANGE, GREEN, PINK, "#b59a1b", "#7f6fd0", "#5bb4e5", "#a5572b", GREY)
_DASHES = (
    "solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "2px,7px",
    "12px,3px,3px,3px,3px,3px",
)  # fmt: skip
_SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "cross", "hexagon",
)  # fmt: skip
MAX_STYLES = len(_DASHES)


def distinct_styles(arms: Sequence[str]) -> list[Style]:
    """A style for each of at most `MAX_STYLES` curves, by the names of their arms: the arm's own
    where no curve before has its colour, dash or symbol, and else the first of each that is
    free. Any two differ in all three."""
    found: list[Style] = []
    for arm in arms:
        own = STYLES.get({"ticket": "main"}.get(arm, arm), STYLES["main"])
        parts = zip((own.colour, own.dash, own.symbol), (_COLOURS, _DASHES, _SYMBOLS), strict=True)
        taken = list(zip(*((s.colour, s.dash, s.symbol) for s in found), strict=True)) or [()] * 3
        found.append(
            Style(
                *(
                    next(part for part in (mine, *others) if part not in used)
                    for (mine, others), used in zip(parts, taken, strict=True)
                )
            )
        )
    return found


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
    curves: Sequence[Curve], dense: float | None, *, near_dense: bool = False, height: int = 440
) -> go.Figure:
    """Test accuracy against percent of weights remaining: log axis, falling left to right.

    `near_dense` shows the few points around the dense network's accuracy alone.
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
        xaxis=remaining_axis([p for curve in curves for p in curve.x]),
        yaxis={"title": "test accuracy, %"},
        margin={**MARGIN, "b": 138 + 19 * max(0, len(curves) - 4)},
        uirevision=near_dense,
    )
    if not parts:
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
        add_curve(figure, curve, "%{y:.2f} % at %{x:.2f} % of weights", by=100, within=(0, 100))
    return figure


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
    figure.add_scatter(
        x=x,
        y=by * np.asarray(curve.y, float),
        name=curve.name,
        legendgroup=curve.group or curve.name,
        mode="lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": 2.5},
        marker={"symbol": style.symbol, "size": 8},
        hovertemplate=f"{hover}<extra>%{{fullData.name}}</extra>",
    )


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
    figure = begin_figure(
        f"Loss of level {level}",
        height,
        f"Loss of level {level} over its iterations.{last}",
        xaxis=_iterations(iterations_total),
        yaxis={
            "title": "cross-entropy, nats (log)",
            "type": "log",
            "tickvals": _LOG_TICKS,
            "ticktext": [f"{value:g}" for value in _LOG_TICKS],
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
    figure = begin_figure(
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


def remaining_axis(percents: Sequence[float]) -> dict:
    """The paper's axis: percent of weights remaining, log, falling left to right."""
    percents = sorted({round(p, 2) for p in percents}, reverse=True) or [100.0, 1.0]
    return {
        "type": "log",
        "title": "weights remaining, % (log)",
        "tickvals": _spread(percents),
        "ticktext": [f"{value:.3g}" for value in _spread(percents)],
        "range": [np.log10(115), np.log10(min(percents) * 0.87)],
        "autorange": False,
    }


@dataclass(frozen=True)
class Times:
    """Seconds at percents of weights remaining, each with the least and most measured."""

    name: str
    percent: Sequence[float]
    seconds: Sequence[tuple[float, float, float]]  # median, least, most
    style: Style


def epoch_figure(curves: Sequence[Times], height: int = 440) -> go.Figure:
    """Seconds of an epoch against percent of weights remaining, both on log axes; the bars
    span all repetitions."""
    said = [
        f"{curve.name}: {curve.seconds[0][0]:.2g} s at {curve.percent[0]:.3g} % of weights, "
        f"{curve.seconds[-1][0]:.2g} s at {curve.percent[-1]:.3g} %"
        for curve in curves
    ]
    figure = begin_figure(
        "Time of an epoch",
        height,
        "Seconds of an epoch as weights are pruned. " + "; ".join(said) + ".",
        xaxis=remaining_axis([p for curve in curves for p in curve.percent]),
        yaxis={
            "type": "log",
            "title": "seconds of an epoch (log)",
            "tickvals": _LOG_TICKS,
            "ticktext": [f"{value:g}" for value in _LOG_TICKS],
        },
        margin={**MARGIN, "b": 138},
    )
    for curve in curves:
        seconds = np.asarray(curve.seconds, float)
        bars = {
            "array": seconds[:, 2] - seconds[:, 0],
            "arrayminus": seconds[:, 0] - seconds[:, 1],
            "thickness": 1.2,
            "width": 3,
        }
        _times(figure, curve, "%{y:.3g} s at %{x:.2f} % of weights", error_y=bars)
    return figure


def cumulative_figure(curves: Sequence[Times], height: int = 440) -> go.Figure:
    """Seconds of training up to and including each level, against its weights remaining."""
    said = [f"{curve.name}: {curve.seconds[-1][0]:.3g} s" for curve in curves]
    figure = begin_figure(
        "Time of the whole experiment",
        height,
        "Seconds of training, added up level by level. In the end, " + "; ".join(said) + ".",
        xaxis=remaining_axis([p for curve in curves for p in curve.percent]),
        yaxis={"title": "seconds so far", "rangemode": "tozero"},
        margin={**MARGIN, "b": 138},
    )
    for curve in curves:
        _times(figure, curve, "%{y:.3g} s up to %{x:.2f} %")
    return figure


def _times(figure: go.Figure, curve: Times, hover: str, **more) -> None:
    figure.add_scatter(
        x=np.asarray(curve.percent, float),
        y=np.asarray(curve.seconds, float)[:, 0],
        name=curve.name,
        mode="lines+markers",
        line={"color": curve.style.colour, "dash": curve.style.dash, "width": 2.5},
        marker={"symbol": curve.style.symbol, "size": 8},
        hovertemplate=f"{hover}<extra>%{{fullData.name}}</extra>",
        **more,
    )


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


def compared_accuracy_figure(
    curves: Sequence[Curve], dense: float | None, *, near_dense: bool = False, height: int = 400
) -> go.Figure:
    """As `accuracy_figure`, for several experiments under one legend outside the chart."""
    return _without_legend(accuracy_figure(curves, dense, near_dense=near_dense, height=height))


def early_stop_figure(curves: Sequence[Curve], height: int = 400) -> go.Figure:
    """Iteration of least validation loss against percent of weights remaining."""
    parts = [
        f"{curve.name}: {curve.y[0]:,.0f} at {curve.x[0]:.1f} %, {curve.y[-1]:,.0f} at "
        f"{curve.x[-1]:.1f} %"
        for curve in curves
        if len(curve.y)
    ]
    figure = begin_figure(
        "Early stop against weights remaining",
        height,
        "Iteration of least validation loss as weights are pruned. " + "; ".join(parts) + ".",
        xaxis=remaining_axis([p for curve in curves for p in curve.x]),
        yaxis={"title": "early-stop iteration", "rangemode": "tozero"},
    )
    latest = np.nanmax([y for curve in curves for y in curve.y], initial=0)
    for curve in curves:
        hover = "iteration %{y:,.0f} at %{x:.2f} % of weights"
        add_curve(figure, curve, hover, within=(0, 1.25 * latest))
    return _without_legend(figure)


def training_figure(
    curves: Sequence[Curve], what: str, percent: float, *, total: int | None, height: int = 400
) -> go.Figure:
    """How networks of one size learn: test accuracy (`what` "accuracy") or validation loss
    ("loss", mean cross-entropy in nats) over their iterations."""
    accuracy = what == "accuracy"
    said = [
        f"{curve.name}: {curve.y[-1]:{'.1%' if accuracy else '.3f'}}"
        for curve in curves
        if len(curve.y)
    ]
    name = "Test accuracy" if accuracy else "Validation loss"
    figure = begin_figure(
        f"{name} at {percent:.3g} % of weights",
        height,
        f"{name} over the iterations with {percent:.3g} % of the weights. At the end, "
        + "; ".join(said)
        + ".",
        xaxis=_iterations(total),
        yaxis={"title": "test accuracy, %"}
        if accuracy
        else {
            "title": "cross-entropy, nats (log)",
            "type": "log",
            "tickvals": _LOG_TICKS,
            "ticktext": [f"{value:g}" for value in _LOG_TICKS],
        },
        uirevision=f"{what} {percent}",
    )
    least = np.nanmin([y for curve in curves for y in curve.y], initial=np.inf)
    for curve in curves:
        if accuracy:
            add_curve(figure, curve, "%{y:.2f} % at iteration %{x:,}", by=100, within=(0, 100))
        else:
            add_curve(figure, curve, "%{y:.4f} at iteration %{x:,}", within=(least / 2, np.inf))
    figure.update_traces(marker={"size": 6, "maxdisplayed": 16}, selector={"mode": "lines+markers"})
    # The first evaluations, near chance, would squeeze what matters into a corner.
    later = [y for c in curves for x, y in zip(c.x, c.y, strict=True) if x and np.isfinite(y)]
    if accuracy and later:
        figure.update_yaxes(range=[max(0, 100 * min(later) - 3), 100.5], autorange=False)
    return _without_legend(figure)


def _without_legend(figure: go.Figure) -> go.Figure:
    figure.update_xaxes(title_standoff=8)
    return figure.update_layout(showlegend=False, margin={**MARGIN, "b": 50})


def sparsity_figure(
    layers: Mapping[str, Sequence[float]],
    total: Sequence[float],
    ends: Sequence[float],
    height: int = 300,
) -> go.Figure:
    """Sparsity (fractions) in total and per layer over all iterations trained so far.

    Level n lasts from `ends[n-1]` to `ends[n]` iterations.
    """
    figure = begin_figure(
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
    figure = begin_figure(
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
    figure.update_layout(margin={**MARGIN, "r": 4, "b": 66})
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
    return begin_figure(
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
        margin={**MARGIN, "l": 8, "b": 14},
    ).add_heatmap(
        z=image,
        zmin=0,
        zmax=max(1, int(image.max())),
        colorscale="Cividis",
        colorbar={"thickness": 10, "outlinewidth": 0, "nticks": 5},
        hovertemplate="row %{y}, column %{x}: %{z} of " + str(units) + " weights<extra></extra>",
    )


STABLE = 2  # points of error, below which the paper calls a network stable (arXiv 1912.05671)


def path_figure(
    alphas: Sequence[float],
    train_error: Sequence[float],
    test_error: Sequence[float],
    *,
    title: str = "Error between two copies",
    height: int = 340,
) -> go.Figure:
    """Errors (fractions) along the straight line between two trained copies of a network, from
    one at 0 to the other at 1."""
    errors = {"training": train_error, "test": test_error}
    said = [
        f"{name} error is {values[0]:.2%} and {values[-1]:.2%} at the ends and at most "
        f"{max(values):.2%}"
        for name, values in errors.items()
        if len(values)
    ]
    figure = begin_figure(
        title,
        height,
        f"{title}: on the line from one to the other, {'; '.join(said) or 'nothing yet'}.",
        xaxis={"title": "way from one copy to the other", "range": [-0.02, 1.02]},
        yaxis={"title": "error, %", "rangemode": "tozero"},
        margin={**MARGIN, "b": 96},
    )
    for style, (name, values) in zip(
        (Style(GREEN, "dot", "diamond"), Style(ORANGE)), errors.items(), strict=True
    ):
        curve = Curve(name, alphas, values, style)
        add_curve(figure, curve, "%{y:.2f} % at %{x:.2f} of the way", by=100)
    return figure


def instability_figure(
    curves: Sequence[Curve], *, against: str = "iteration", height: int = 400
) -> go.Figure:
    """Instabilities (fractions of images) against what curves have as `x`.

    `against` is "iteration", the one at which the two copies part (log, with 0 at the left), or
    "remaining", the percent of weights they have (log, falling left to right). Below the line
    at 2 points the paper calls a network stable.
    """
    titles = {
        "iteration": "Instability of the dense network",
        "remaining": "Instability of the pruned levels",
    }
    unit = {"iteration": "from iteration {:,.0f} on", "remaining": "with {:.3g} % of weights"}
    said = [
        f"{curve.name}: {100 * curve.y[0]:.2f} points {unit[against].format(curve.x[0])}, "
        f"{100 * curve.y[-1]:.2f} {unit[against].format(curve.x[-1])}"
        for curve in curves
        if len(curve.y)
    ]
    xs = sorted({float(x) for curve in curves for x in curve.x})
    positive = [x for x in xs if x > 0]
    zero = positive[0] / 3 if positive else 1.0  # where 0, which is on no log axis, is drawn
    if against == "iteration":
        labelled = _spread(positive[::-1])
        axis = {
            "type": "log",
            "title": "iteration at which the copies part (log)",
            "tickvals": [zero, *labelled[::-1]],
            "ticktext": ["0", *(f"{x:,.0f}" for x in labelled[::-1])],
            "range": [np.log10(zero / 1.3), np.log10(1.3 * max([zero, *positive]))],
            "autorange": False,
        }
    else:
        axis = remaining_axis(xs)
    figure = begin_figure(
        titles[against],
        height,
        "Rise of error between two copies trained with other data orders. "
        + ("; ".join(said) or "Nothing measured yet")
        + f". Below {STABLE} points a network is called stable.",
        xaxis=axis,
        yaxis={"title": "rise of error, points", "rangemode": "tozero"},
        margin={**MARGIN, "b": 96},
        uirevision=against,
    )
    figure.add_hline(
        y=STABLE,
        line={"color": GREY, "dash": "dash", "width": 1.5},
        annotation={
            "text": "stable below",
            "font": {"color": GREY},
            "xanchor": "right",
            "yanchor": "bottom",
        },
    )
    for curve in curves:
        drawn, where = curve, "%{x:.3g} % of weights"
        if against == "iteration":
            drawn = replace(curve, x=[x if x > 0 else zero for x in curve.x])
            where = "iteration %{customdata:,}"
        add_curve(figure, drawn, f"%{{y:.2f}} points at {where}", by=100)
        figure.data[-1].customdata = list(curve.x)
    return figure


def learning_figure(
    curves: Sequence[Curve], total: int, title: str, height: int = 360
) -> go.Figure:
    """Test accuracies (fractions) over the iterations of a training of `total`."""
    said = [f"{curve.name}: {curve.y[-1]:.1%}" for curve in curves if len(curve.y)]
    figure = begin_figure(
        title,
        height,
        f"{title}. {'; '.join(said) or 'Nothing is trained yet'}.",
        xaxis={"title": "iteration", "range": [0, 1.02 * total], "autorange": False},
        yaxis={"title": "unseen digits read correctly, %"},
        margin={**MARGIN, "b": 84 + 19 * max(0, len(curves) - 1)},
    )
    # The untrained network's tenth would squeeze what matters into a corner.
    later = [100 * y for curve in curves for x, y in zip(curve.x, curve.y, strict=True) if x > 0]
    low = min(later, default=0)
    figure.update_yaxes(range=[max(0, low - 3), 100.5 if later else 100], autorange=False)
    for curve in curves:
        add_curve(figure, curve, "%{y:.2f} % at iteration %{x}", by=100)
    return figure


def falling_figure(
    sparsities: Sequence[float], accuracies: Sequence[float], height: int = 340
) -> go.Figure:
    """Test accuracy (fractions) of a network pruned in one go and not trained again; the last
    trace is one marker, at the first point, for a slider to move."""
    figure = begin_figure(
        "Pruned, and not trained again",
        height,
        "Test accuracy as the dense network is pruned in one go. "
        + (
            f"{accuracies[0]:.1%} with all weights, {accuracies[-1]:.1%} without "
            f"{sparsities[-1]:.0%} of them."
            if len(accuracies)
            else "Nothing is computed yet."
        ),
        xaxis={"title": "sparsity: weights gone, %", "range": [-2, 101], "autorange": False},
        yaxis={
            "title": "unseen digits read correctly, %",
            "range": [0, 102],
            "autorange": False,
        },
        showlegend=False,
        margin={**MARGIN, "b": 56},
    )
    style = STYLES["dense pruned"]
    x, y = 100 * np.asarray(sparsities, float), 100 * np.asarray(accuracies, float)
    hover = "%{y:.2f} % without %{x:.3g} % of the weights<extra></extra>"
    line = {"color": style.colour, "width": 2.5}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, hovertemplate=hover)
    figure.add_scatter(
        x=x[:1],
        y=y[:1],
        mode="markers",
        marker={"size": 15, "color": BLUE, "line": {"width": 2, "color": style.colour}},
        hovertemplate=hover,
    )
    return figure


def awaited(figure: go.Figure, words: str) -> go.Figure:
    """The figure with words in its middle: what it waits for."""
    figure.add_annotation(
        text=words, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False,
        font={"color": GREY, "size": 14},
    )  # fmt: skip
    return figure
