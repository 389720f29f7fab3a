"""Figures of the Story page, which is about MNIST's digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import (
    BLUE,
    GREY,
    MARGIN,
    STYLES,
    Curve,
    above,
    add_curve,
    begin_figure,
)

_CHANCE = 1 / 10  # of ten digits


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
        yaxis={
            "title": "unseen digits read correctly, %",
            "range": above(_CHANCE),
            "autorange": False,
        },
        margin={**MARGIN, "b": 84 + 19 * max(0, len(curves) - 1)},
    )
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
