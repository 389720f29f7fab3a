"""Figures of what training costs: seconds against weights remaining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import (
    LOG_TICKS,
    MARGIN,
    Style,
    begin_figure,
    remaining_axis,
)


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
            "tickvals": LOG_TICKS,
            "ticktext": [f"{value:g}" for value in LOG_TICKS],
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
