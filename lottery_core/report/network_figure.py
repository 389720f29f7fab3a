"""A network as a picture: its layers as boxes, filled by what a mask keeps of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import plotly.graph_objects as go

from lottery_core.report.figures import BLUE, GREY, begin_figure
from lottery_core.spec.networks import Network

# Between two layers with weights, told below the boxes; the rest goes without saying.
_TOLD = {"pool": "pool", "mean": "mean", "add": "+"}
_ROOM = 9  # layers with words below and above them


def network_figure(network: Network, kept: Mapping[str, int], height: int = 240) -> go.Figure:
    """The layers of a network from input to output, by name of their weights; a box is as high as
    its layer is large (log10 of its weights) and filled as far as its weights are `kept`."""
    names = [name.removesuffix(".weight") for name in network.shapes]
    sizes = [math.prod(shape) for shape in network.shapes.values()]
    densities = [kept[name] / size for name, size in zip(network.shapes, sizes, strict=True)]
    tall = [math.log10(size) for size in sizes]
    shapes = ["x".join(map(str, shape)) for shape in network.shapes.values()]
    counts = [
        f"{kept[name]:,} of {size:,}" for name, size in zip(network.shapes, sizes, strict=True)
    ]
    said = "; ".join(
        f"{name} keeps {density:.1%}" for name, density in zip(names, densities, strict=True)
    )
    figure = begin_figure(
        "The network",
        height,
        f"{network.in_words}. {said}.",
        barmode="overlay",
        bargap=0.25,
        showlegend=False,
        xaxis={"type": "category", "fixedrange": True, "showgrid": False},
        yaxis={"visible": False, "range": [0, 1.18 * max(tall)], "fixedrange": True},
    )
    facts = list(zip(shapes, counts, densities, strict=True))
    hover = "%{x}, %{customdata[0]}: %{customdata[1]} weights (%{customdata[2]:.2%})<extra></extra>"
    same = {"x": names, "customdata": facts, "hovertemplate": hover}
    figure.add_bar(
        y=tall, marker={"color": "rgba(0,0,0,0)", "line": {"color": GREY, "width": 1.5}}, **same
    )
    figure.add_bar(
        y=[high * density for high, density in zip(tall, densities, strict=True)],
        marker={"color": BLUE},
        **same,
    )
    if len(names) <= _ROOM:
        for name, high, density in zip(names, tall, densities, strict=True):
            text = f"{100 * density:.3g}\u202f%"
            figure.add_annotation(x=name, y=high, text=text, showarrow=False, yanchor="bottom")
        figure.update_xaxes(tickvals=names, ticktext=_labels(network, names, shapes))
    return figure


def _labels(network: Network, names: list[str], shapes: list[str]) -> list[str]:
    """Name and shape of each layer, and what comes after it."""
    after: dict[str, str] = dict.fromkeys(names, "")
    last = names[0]
    for at in network.operations:
        if at.name in after:
            last = at.name
        elif at.kind in _TOLD:
            after[last] = f"then {_TOLD[at.kind]}"
    return [
        "<br>".join(filter(None, (name, shape, after[name])))
        for name, shape in zip(names, shapes, strict=True)
    ]
