"""Figures of the straight lines from a ticket to other networks of its mask."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from lottery_core.report.figures import GREY, MARGIN, STYLES, Curve, Style, add_curve, begin_figure

_PRUNED = Style(GREY, "dot", "triangle-up")


def style_of(end: str) -> Style:
    """How the line to an end is drawn: as the arm that stands there."""
    return STYLES.get(end, _PRUNED)


def lines_figure(curves: Sequence[Curve], what: str, *, height: int = 420) -> go.Figure:
    """Errors (fractions) along the lines from a ticket, at 0, to the network that each curve is
    named after, at 1; `what` images they are of, "test" or "training"."""
    title = f"Error on {what} images between the ticket and ..."
    said = [
        f"{curve.name}: {100 * curve.y[0]:.2f} % and {100 * curve.y[-1]:.2f} % at the ends, at "
        f"most {100 * max(curve.y):.2f} %"
        for curve in curves
    ]
    figure = begin_figure(
        title,
        height,
        f"{title}: {'; '.join(said) or 'nothing measured yet'}.",
        xaxis={
            "title": "way from the ticket to the other network",
            "title_standoff": 8,
            "range": [-0.02, 1.02],
        },
        yaxis={"title": "error, %", "rangemode": "tozero"},
        margin={**MARGIN, "b": 150},
        uirevision=what,
    )
    for curve in curves:
        hover = "%{y:.2f} % at %{x:.2f} of the way"
        add_curve(figure, curve, hover, by=100, within=(0, 100))
    return figure.update_traces(marker={"size": 6}, selector={"mode": "lines+markers"})
