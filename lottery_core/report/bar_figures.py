"""Figures of how many weights, or units, have which value, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import GREY, begin_figure


@dataclass(frozen=True)
class Group:
    """How many of some weights, or units, lie in each bar."""

    name: str
    counts: Sequence[int]
    colour: str


def bars_figure(
    title: str,
    axis: str,
    alt: str,
    edges: Sequence[float],
    groups: Sequence[Group],
    *,
    what: str = "weights",
    threshold: float | None = None,
) -> go.Figure:
    """Groups of `what` is counted by a value, which the `axis` names, between neighbouring `edges`:
    one upon the other with a line at the `threshold`, if there is one."""
    figure = begin_figure(
        title,
        280,
        alt,
        barmode="stack",
        bargap=0,
        xaxis={"title": axis, "range": [edges[0], edges[-1]], "autorange": False},
        yaxis={"title": what},
    )
    at = np.asarray(edges)
    if groups and max(np.sum([group.counts for group in groups], axis=0), default=0) < 5:
        figure.update_yaxes(dtick=1)  # no marks between whole numbers
    for group in groups:
        figure.add_bar(
            x=(at[:-1] + at[1:]) / 2,
            y=np.asarray(group.counts),
            width=np.diff(at),
            name=group.name,
            marker={"color": group.colour, "line": {"width": 0}},
            hovertemplate="%{y:,} near %{x:.3g}<extra>%{fullData.name}</extra>",
        )
    if threshold is not None:
        figure.add_vline(threshold, line={"color": GREY, "dash": "dash", "width": 2})
    return figure


def outlines_figure(
    title: str, axis: str, alt: str, edges: Sequence[float], groups: Sequence[Group]
) -> go.Figure:
    """As `bars_figure`, but each group's outline in front of the others'."""
    figure = bars_figure(title, axis, alt, edges, ())
    for n, group in enumerate(groups):
        figure.add_scatter(
            x=np.repeat(edges, 2),
            y=np.concatenate([[0], np.repeat(group.counts, 2), [0]]),
            name=group.name,
            mode="lines",
            line={"color": group.colour, "width": 2, "dash": ("solid", "dot")[n]},
            fill="tozeroy" if n == 0 else None,
            hovertemplate="%{y:,} near %{x:.3g}<extra>%{fullData.name}</extra>",
        )
    return figure
