"""Figures of several experiments side by side, and of the lines between two copies of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import (
    BLUE,
    GREEN,
    GREY,
    LOG_TICKS,
    MARGIN,
    ORANGE,
    PINK,
    STYLES,
    Curve,
    Style,
    above,
    accuracy_figure,
    add_curve,
    begin_figure,
    iterations_axis,
    loss_range,
    remaining_axis,
    spread,
    without_legend,
)
from lottery_core.spec.sizes import size_in_words

# Where the arms' own styles are not enough, or not different enough from each other.
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


def compared_accuracy_figure(
    curves: Sequence[Curve], dense: float | None, *, height: int = 400, **options
) -> go.Figure:
    """As `accuracy_figure`, for several experiments under one legend outside the chart."""
    return without_legend(accuracy_figure(curves, dense, height=height, **options))


def early_stop_figure(
    curves: Sequence[Curve], sizes: Sequence[float], total: int, height: int = 400
) -> go.Figure:
    """Iteration of least validation loss, of trainings of up to `total`, against percent of weights
    remaining, of which `sizes` are those that will be reached."""
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
        xaxis=remaining_axis(sizes, curves),
        yaxis={"title": "early-stop iteration", "range": [0, 1.05 * total], "autorange": False},
    )
    for curve in curves:
        hover = "iteration %{y:,.0f} at %{x:.2f} % of weights"
        add_curve(figure, curve, hover, within=(0, 1.05 * total))
    return without_legend(figure)


def training_figure(
    curves: Sequence[Curve],
    what: str,
    percent: float,
    *,
    total: int,
    chance: float,
    height: int = 400,
) -> go.Figure:
    """How networks of one size learn: test accuracy (`what` "accuracy") or validation loss
    ("loss", mean cross-entropy in nats) over their iterations, up to `total`. `chance` is the
    accuracy of guessing, from which the axis begins."""
    accuracy = what == "accuracy"
    said = [
        f"{curve.name}: {curve.y[-1]:{'.1%' if accuracy else '.3f'}}"
        for curve in curves
        if len(curve.y)
    ]
    name = "Test accuracy" if accuracy else "Validation loss"
    figure = begin_figure(
        f"{name} with {size_in_words(percent)} of the weights",
        height,
        f"{name} over the iterations with {size_in_words(percent)} of the weights. At the end, "
        + "; ".join(said)
        + ".",
        xaxis=iterations_axis(total),
        yaxis={"title": "test accuracy, %"}
        if accuracy
        else {
            "title": "cross-entropy, nats (log)",
            "type": "log",
            "tickvals": LOG_TICKS,
            "ticktext": [f"{value:g}" for value in LOG_TICKS],
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
    losses = [curve.y for curve in curves]
    span = above(chance) if accuracy else loss_range(chance, losses)
    figure.update_yaxes(range=span, autorange=False)
    return without_legend(figure)


def differences_figure(rows: Sequence[Curve], slight: float, *, title: str) -> go.Figure:
    """A forest plot: a row each, named as its curve, with the difference of accuracies that is its
    one `y`, a fraction, and its 95 % interval (`low`, `high`) where it rests on more than one seed.
    Differences within `slight` of nothing lie in a band."""
    said = [
        f"{row.name}: {100 * row.y[0]:+z.2f} points"
        + (f" ({100 * row.low[0]:+z.2f} to {100 * row.high[0]:+z.2f})" if row.n > 1 else "")
        for row in rows
        if len(row.y)
    ]
    names = [row.name for row in rows]
    figure = begin_figure(
        title,
        110 + 38 * len(rows),
        f"{title}. {'; '.join(said) or 'Nothing yet'}.",
        xaxis={
            "title": "points of test accuracy",
            "title_standoff": 8,
            "range": _points_range(rows, slight),
            "autorange": False,
        },
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names,
            "tickvals": names,
            "range": [len(names) - 0.5, -0.5],
            "autorange": False,
        },
        margin={**MARGIN, "l": 14 + 7 * max(map(len, names)), "b": 50},
        showlegend=False,
        uirevision=title,
    )
    band = {"fillcolor": GREY, "opacity": 0.15, "line_width": 0, "layer": "below"}
    figure.add_vrect(-100 * slight, 100 * slight, **band)
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    for row in rows:
        _add_difference(figure, row)
    return figure


def _points_range(rows: Sequence[Curve], slight: float) -> list[float]:
    """All intervals and the band; but those of two or three seeds may reach far beyond what there
    is to see."""
    there = [row for row in rows if len(row.y)]
    reach = max([6 * slight, *(2.5 * abs(row.y[0]) for row in there)])
    ends = [end for row in there if row.n > 1 for end in (row.low[0], row.high[0])]
    low, high = max(-reach, min([-slight, *ends])), min(reach, max([slight, *ends]))
    room = 0.06 * (high - low)
    return [100 * (low - room), 100 * (high + room)]


def _add_difference(figure: go.Figure, row: Curve) -> None:
    is_there, colour = bool(len(row.y)), row.style.colour
    bar = None
    if is_there and row.n > 1:
        bar = {
            "type": "data",
            "symmetric": False,
            "array": [100 * (row.high[0] - row.y[0])],
            "arrayminus": [100 * (row.y[0] - row.low[0])],
            "color": colour,
            "thickness": 2.5,
            "width": 6,
        }
    figure.add_scatter(
        x=[100 * row.y[0] if is_there else None],
        y=[row.name],
        name=row.name,
        mode="markers",
        marker={"color": colour, "symbol": row.style.symbol, "size": 11},
        error_x=bar,
        hovertemplate="%{x:+.2f} points<extra>%{fullData.name}</extra>",
    )


# Stability

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
    xs = sorted({float(x) for curve in curves for x in curve.x})
    positive = [x for x in xs if x > 0]
    zero = positive[0] / 3 if positive else 1.0  # where 0, which is on no log axis, is drawn
    axis = remaining_axis(xs) if against == "remaining" else _parting_axis(positive, zero)
    figure = begin_figure(
        titles[against],
        height,
        _instability_in_words(curves, against),
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


def _instability_in_words(curves: Sequence[Curve], against: str) -> str:
    unit = {"iteration": "from iteration {:,.0f} on", "remaining": "with {:.3g} % of weights"}
    said = [
        f"{curve.name}: {100 * curve.y[0]:.2f} points {unit[against].format(curve.x[0])}, "
        f"{100 * curve.y[-1]:.2f} {unit[against].format(curve.x[-1])}"
        for curve in curves
        if len(curve.y)
    ]
    return (
        "Rise of error between two copies trained with other data orders. "
        + ("; ".join(said) or "Nothing measured yet")
        + f". Below {STABLE} points a network is called stable."
    )


def _parting_axis(positive: Sequence[float], zero: float) -> dict:
    """A log axis of iterations, with 0 drawn at `zero`."""
    labelled = spread(positive[::-1])[::-1]
    return {
        "type": "log",
        "title": "iteration at which the copies part (log)",
        "tickvals": [zero, *labelled],
        "ticktext": ["0", *(f"{x:,.0f}" for x in labelled)],
        "range": [np.log10(zero / 1.3), np.log10(1.3 * max([zero, *positive]))],
        "autorange": False,
    }
