"""Figures of what networks answer: how sure they are, and what they confuse."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import BLUE, GREY, MARGIN, begin_figure

_MANY = 15  # classes: with more, not all are named or counted in a figure
_LONG = 16  # letters of a name beside a chart


def confidence_figure(
    given: dict[str, np.ndarray], names: Sequence[str], height: int = 320
) -> go.Figure:
    """How sure each network is of each class: probabilities (classes,) by the network's name. Of
    many classes those that any network is surest of."""
    said = "; ".join(
        f"{name} says {names[int(values.argmax())]} with {values.max():.0%}"
        for name, values in given.items()
    )
    shown, labels = np.arange(len(names)), _labels(names)
    if len(names) > _MANY:
        surest = np.maximum.reduce(list(given.values()))
        shown = np.sort(np.argsort(-surest, kind="stable")[:10])
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
            x=[labels[k] for k in shown],
            y=100 * values[shown],
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            hovertemplate="%{x}: %{y:.1f} %<extra>%{fullData.name}</extra>",
        )
    if max(map(len, names)) > 3:  # words are written upwards, and need room
        figure.update_layout(xaxis={"title": ""}, margin={**MARGIN, "b": 118})
    return figure


def confusion_figure(
    counts: np.ndarray, name: str, names: Sequence[str], height: int = 380
) -> go.Figure:
    """Which class a network names (column) for which one there is (row): counts (classes,
    classes).

    Colours are of the logarithm: mistakes are few beside what is right.
    """
    right, total = int(np.trace(counts)), int(counts.sum())
    wrong = counts - np.diag(np.diag(counts))
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    many = len(names) > _MANY
    axis = {"showgrid": False, "zeroline": False, "type": "category", "automargin": True}
    figure = begin_figure(
        f"{name}: {right / max(1, total):.1%} right",
        height,
        f"{name} names {right:,} of {total:,} images rightly. Its most frequent mistake: "
        f"{names[column]} for {names[row]}, {wrong[row, column]} times.",
        xaxis={"title": "named", **axis, **({} if many else {"dtick": 1})},
        yaxis={"title": "is", "autorange": "reversed", **axis, **({} if many else {"dtick": 1})},
        margin={**MARGIN, "b": 50},
    )
    labels = _labels(names)
    figure.add_heatmap(
        x=labels,
        y=labels,
        z=np.log10(1 + counts),
        text=counts,
        texttemplate="" if many else "%{text}",
        # Opaque, so that the counts stand out on light and dark pages alike.
        colorscale=[[0, "#f4f7fa"], [0.5, "#86b8e2"], [1, "#1d5f99"]],
        showscale=False,
        hovertemplate="%{y} named %{x}: %{text} times<extra></extra>",
    )
    return figure


def _labels(names: Sequence[str]) -> list[str]:
    """As `cut_to_fit`; a chart would take signs in them for markup."""
    return cut_to_fit([escape(name, quote=False) for name in names])


def cut_to_fit(names: Sequence[str]) -> list[str]:
    """The names, cut to fit beside a chart or an image where they can still be told apart."""
    cut = [name if len(name) <= _LONG else f"{name[: _LONG - 1]}…" for name in names]
    return cut if len(set(cut)) == len(cut) else list(names)
