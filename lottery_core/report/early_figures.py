"""Figures of how far apart masks are that are drawn while a network trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import (
    BLUE,
    MARGIN,
    ORANGE,
    Curve,
    Style,
    add_curve,
    begin_figure,
    remaining_axis,
)


def distance_figure(
    looks: Sequence[int],
    distances: Sequence[Sequence[float]],
    settled: int | None = None,
    *,
    title: str = "Distance between masks",
    height: int = 420,
) -> go.Figure:
    """The distance (fraction of all places) between the masks that are drawn at any two of these
    iterations, and the one at which they had `settled` (You et al. 2020, figure 2)."""
    values = 100 * np.array(distances, float).reshape(len(looks), len(looks))
    greatest = float(values.max(initial=0.0))
    axis = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    if len(looks) > 1:
        # Cells of equal looks; where one has a middle its axis has a place for the next.
        half = (looks[1] - looks[0]) / 2
        axis["range"] = [looks[0] - half, looks[-1] + half]
    when = "has not settled" if settled is None else f"has settled at iteration {settled:,}"
    figure = begin_figure(
        title,
        height,
        f"{title}: masks drawn at {len(looks)} evaluations differ at up to {greatest:.1f} % of all "
        f"places; the mask {when}.",
        xaxis={"title": "iteration", **axis},
        yaxis={"title": "iteration", "scaleanchor": "x", **axis},
        margin={**MARGIN, "b": 60},
    )
    figure.add_heatmap(
        x=list(looks),
        y=list(looks),
        z=values,
        zmin=0,
        zmax=max(greatest, 1e-9),
        colorscale=[[0, "#f4f7fa"], [0.5, "#86b8e2"], [1, "#1d5f99"]],
        colorbar={"title": {"text": "differ, %"}, "thickness": 12},
        hovertemplate="iterations %{x:,} and %{y:,}: %{z:.2f} % differ<extra></extra>",
    )
    if settled is not None:
        for add in (figure.add_vline, figure.add_hline):
            add(settled, line={"color": ORANGE, "dash": "dash", "width": 2})
    return figure


def settled_figure(
    percents: Sequence[float], iterations: Sequence[int], end: int, *, height: int = 420
) -> go.Figure:
    """The iteration, of `end` in all, at which masks of these sizes (percent of weights that
    remain) had settled."""
    said = [f"{at:,} at {p:.3g} %" for p, at in zip(percents, iterations, strict=True)]
    figure = begin_figure(
        "When a mask stands still",
        height,
        f"Iteration at which masks had settled, by weights remaining, of {end:,} iterations: "
        f"{'; '.join(said) or 'none has'}.",
        xaxis=remaining_axis(percents or [100.0]),
        yaxis={"title": "iteration", "range": [0, 1.05 * end]},
        margin={**MARGIN, "b": 60},
    )
    curve = Curve("settled", list(percents), list(iterations), Style(BLUE))
    add_curve(figure, curve, "iteration %{y:,} at %{x:.3g} % of weights")
    return figure.update_layout(showlegend=False)
