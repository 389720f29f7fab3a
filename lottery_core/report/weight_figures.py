"""Weights to look at: matrices, kernels, and what units read of an image.

Zero is the lightest of the colours, and pruned weights show the plot's own background, which is on
no scale. Kernels stand beside and below each other as small squares with gaps between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import DIVERGING, GREY, MARGIN, PRUNED, begin_figure
from lottery_core.report.pixels import png_of, rgb_of
from lottery_core.spec.networks import Shape

PAPER = "#fefefd"  # becomes the page's own background where the page draws it
NO_AXIS = {"showgrid": False, "zeroline": False, "visible": False}
UNMARKED = {"showticklabels": False, "ticks": ""}
# At a fixed distance from the axes, however wide they are: its numbers need the margin.
_COLOURBAR = {"x": 1, "thickness": 10, "outlinewidth": 0, "tickformat": ".2~f", "nticks": 5}
_ASPECT = 1.6  # width by height that wrapped rows aim at


# Beside and below each other


@dataclass(frozen=True)
class Tiles:
    """Small pictures of one size, `down` by `across` of them: `cells` is what a heatmap draws, and
    the last `blank` places are empty. With `strips` above 1 the pictures of `strips` outputs stand
    beside each other in a row."""

    cells: np.ndarray
    side: tuple[int, int]
    down: int
    across: int
    strips: int
    blank: int

    @property
    def alone(self) -> bool:
        """Whether there is one picture alone, whose positions are its own rows and columns."""
        return self.down * self.across == 1

    @property
    def numbers(self) -> np.ndarray:
        """For each cell the number of its output."""
        rows, columns = (np.arange(size) for size in self.cells.shape)
        each = self.across // self.strips * self.side[1]
        return rows[:, None] // self.side[0] * self.strips + columns // each


def tiles(kernels: np.ndarray) -> Tiles:
    """Lay out (outputs, inputs, rows, columns): outputs down, inputs across; of few inputs several
    outputs in a row."""
    outputs, inputs, rows, columns = kernels.shape
    strips = 1
    if inputs <= 4:
        strips = round((_ASPECT * outputs * rows / (inputs * columns)) ** 0.5)
        strips = min(outputs, max(1, strips))
        # A last row that is full looks better than a perfect shape.
        near = [n for n in range(strips, max(0, strips // 2 - 1), -1) if n and outputs % n == 0]
        strips = next(iter(near), strips)
    down = -(-outputs // strips)
    filled = np.zeros((down * strips, inputs, rows, columns), kernels.dtype)
    filled[:outputs] = kernels
    laid = filled.reshape(down, strips, inputs, rows, columns).transpose(0, 3, 1, 2, 4)
    return Tiles(
        laid.reshape(down * rows, strips * inputs * columns),
        (rows, columns),
        down,
        strips * inputs,
        strips,
        (down * strips - outputs) * inputs,
    )


def place(figure: go.Figure, tiled: Tiles, trace: go.Heatmap | go.Image) -> go.Figure:
    """Put a trace of `tiled.cells` into a figure: positions count tiles, gaps part them."""
    rows, columns = (1, 1) if tiled.alone else tiled.side
    x, y = (-0.5 + 0.5 / side for side in (columns, rows))
    figure.add_trace(trace.update(x0=x, dx=1 / columns, y0=y, dy=1 / rows))
    if rows * columns > 1:
        figure.add_trace(_gaps(tiled))
    if tiled.blank:
        last = tiled.down - 0.5
        figure.add_shape(
            type="rect",
            x0=tiled.across - tiled.blank - 0.5,
            x1=tiled.across - 0.49,
            y0=last - 1,
            y1=last + 0.01,
            fillcolor=PAPER,
            line={"width": 0},
        )
    axis = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    down, across = tiled.side if tiled.alone else (tiled.down, tiled.across)
    # Tiles keep their shape: a kernel of 5x5 is a square.
    shape = {"scaleanchor": "x", "scaleratio": rows / columns}
    figure.update_xaxes(range=[-0.5, across - 0.5], **axis)
    figure.update_yaxes(range=[down - 0.5, -0.5], **shape, **axis)
    for update, count in ((figure.update_xaxes, across), (figure.update_yaxes, down)):
        if count <= 8:
            update(dtick=1)
    return figure


def _gaps(tiled: Tiles) -> go.Scatter:
    """Lines between tiles, in the colour of the page."""
    x: list[float | None] = []
    y: list[float | None] = []
    for column in range(1, tiled.across):
        x += [column - 0.5, column - 0.5, None]
        y += [-0.5, tiled.down - 0.5, None]
    for row in range(1, tiled.down):
        x += [-0.5, tiled.across - 0.5, None]
        y += [row - 0.5, row - 0.5, None]
    most = max(tiled.down, tiled.across)
    width = 3 if most <= 12 else 2 if most <= 32 else 1
    return go.Scatter(
        x=x, y=y, mode="lines", line={"color": PAPER, "width": width}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip


# Layers


def layer_figure(
    shrunk: tuple[np.ndarray, int],
    name: str,
    shape: Shape,
    scale: float,
    *,
    colours: bool = False,
    level: int | None = None,
    height: int = 300,
) -> go.Figure:
    """A layer's weights as `store.pictures.shrink` gives them: values and the side of a block.
    The layer itself has that `shape`.

    The colours run from -scale to scale. With `colours` a convolution that reads red, green and
    blue shows its kernels in these.
    """
    picture, block = shrunk
    layer = name.removesuffix(".weight")
    where = "" if level is None else f", level {level}"
    if len(shape) == 2:
        title = f"{layer}: {shape[0]} units, {shape[1]} inputs{where}"
        what = f"largest of each {block}x{block} block" if block > 1 else ""
        return weights_figure(
            picture, name, scale, title=title, coarse=what, block=block, height=height
        )
    outputs, inputs, rows, columns = shape
    kernels = "kernels" if outputs * inputs > 1 else "kernel"
    title = f"{layer}: {outputs}x{inputs} {kernels} of {rows}x{columns}{where}"
    if picture.ndim == 2:
        what = f"largest of each kernel of {rows}x{columns}"
        if block > 1:
            what = f"largest of each {block}x{block} kernels"
        return weights_figure(
            picture,
            name,
            scale,
            title=title,
            coarse=what,
            block=block,
            axes=("output channel", "input channel"),
            height=height,
        )
    if colours and inputs == 3:
        return colours_figure(picture, title, scale, "filter", height)
    return kernels_figure(picture, title, scale, height)


def weights_figure(
    picture: np.ndarray,
    name: str,
    scale: float,
    *,
    title: str = "",
    coarse: str = "",
    block: int = 1,
    axes: tuple[str, str] = ("unit", "input"),
    height: int = 300,
) -> go.Figure:
    """Heatmap of one layer's weights, (outputs, inputs), NaN where pruned.

    The colours run from -scale to scale through zero; pruned weights show the plot's own
    background, which is on no scale, and have a legend entry of their own. `coarse` says what a
    cell shows where it is not one weight; with a `block` above 1 it stands at the first of so many
    outputs and inputs.
    """
    layer = name.removesuffix(".weight")
    coarse = f", {coarse}" if coarse else ""
    figure = _begin(
        title or f"{layer}: {picture.shape[0]}x{picture.shape[1]}",
        height,
        _said(f"Weights of {layer}{coarse}", picture, "cells hold a weight"),
        xaxis={"title": f"{axes[1]}{coarse}", "showgrid": False, "zeroline": False},
        yaxis={
            "title": axes[0],
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
        },
    )
    start = "from " if block > 1 else ""
    hover = f"{start}{axes[0]} %{{y}}, {axes[1]} %{{x}}: %{{z:.4f}}<extra></extra>"
    cells = _heatmap(picture, scale, hover).update(x0=0, dx=block, y0=0, dy=block)
    return _with_legend(figure.add_trace(cells))


def kernels_figure(kernels: np.ndarray, title: str, scale: float, height: int = 300) -> go.Figure:
    """Kernels, (outputs, inputs, rows, columns), NaN where pruned: output channels down, input
    channels across; the filters of few input channels beside and below each other."""
    tiled = tiles(kernels)
    figure = _begin(title, height, _said(title, kernels, "weights are kept"))
    hover = "output channel %{y:.0f}, input channel %{x:.0f}: %{z:.4f}<extra></extra>"
    numbers = None
    figure.update_xaxes(title="input channel")
    figure.update_yaxes(title="output channel")
    if tiled.strips > 1:
        hover, numbers = "filter %{customdata}: %{z:.4f}<extra></extra>", tiled.numbers
        figure.update_xaxes(title=f"{len(kernels)} filters, row by row", **UNMARKED)
        figure.update_yaxes(title="", **UNMARKED)
    return _with_legend(place(figure, tiled, _heatmap(tiled.cells, scale, hover, numbers)))


def colours_figure(
    filters: np.ndarray, title: str, scale: float, what: str, height: int = 300
) -> go.Figure:
    """Filters that read red, green and blue, (n, 3, rows, columns), NaN where pruned, as pictures
    in these colours: `scale` is full, 0 half of it, -scale none. A weight that is pruned in one
    colour counts as 0 there."""
    tiled = tiles(filters[:, :1])
    planes = [tiles(filters[:, colour : colour + 1]).cells for colour in range(3)]
    pixels = rgb_of(np.stack(planes, axis=-1), scale)
    hover = [
        [", ".join(_named(values)) for values in zip(*rows, strict=True)]
        for rows in zip(*planes, strict=True)
    ]
    numbers = tiled.numbers
    texts = [
        [
            f"{what} {n}: {text}" if len(filters) > 1 else text
            for n, text in zip(ns, row, strict=True)
        ]
        for ns, row in zip(numbers, hover, strict=True)
    ]
    figure = _begin(title, height, _said(title, filters, "weights are kept"))
    if len(filters) > 1:
        figure.update_xaxes(title=f"{len(filters)} {what}s in colour; grey is 0")
    else:
        figure.update_xaxes(title="in colour; grey is 0")
    figure.update_xaxes(**UNMARKED)
    figure.update_yaxes(**UNMARKED)
    source = f"data:image/png;base64,{png_of(pixels)}"
    trace = go.Image(source=source, customdata=texts, hovertemplate="%{customdata}<extra></extra>")
    return _with_legend(place(figure, tiled, trace))


def _named(values: tuple[float, ...]) -> list[str]:
    return [
        f"{colour} {value:.4f}" if np.isfinite(value) else f"{colour} pruned"
        for colour, value in zip(("red", "green", "blue"), values, strict=True)
    ]


def small(figure: go.Figure, name: str, shape: Shape, scale: float) -> go.Figure:
    """A layer's figure with room for its picture alone, to stand in a row of many: the title has
    outputs x inputs, and where the colours end."""
    title = f"{name.removesuffix('.weight')}: {shape[0]}x{shape[1]}, ±{scale:.2g}"
    return figure.update_layout(
        title={"text": title, "font": {"size": 12}},
        margin={"l": 30, "r": 6, "b": 24},
        showlegend=False,
        xaxis={"title": "", "nticks": 4},
        yaxis={"title": "", "nticks": 5},
    ).update_traces(showscale=False, selector={"type": "heatmap"})


def maps_figure(maps: np.ndarray, title: str, what: str, height: int = 380) -> go.Figure:
    """What a unit reads, (n, rows, columns) of weights, NaN where pruned: the image, or each of n
    channels; `what` one of them is called."""
    kept = np.isfinite(maps)
    largest = float(np.abs(maps[kept]).max()) if kept.any() else 1.0
    read = f"{int(kept.sum()):,} of {maps.size:,} {what if len(maps) == 1 else 'weight'}s"
    figure = begin_figure(
        title,
        height,
        f"{title}: {read} are read." if len(maps) == 1 else f"{title}: {read} are kept.",
        plot_bgcolor=PRUNED,
        margin={**MARGIN, "l": 8, "b": 14},
    )
    tiled = tiles(maps[:, None])
    numbers = None
    if len(maps) == 1:
        hover = "row %{y}, column %{x}: %{z:.4f}<extra></extra>"
    else:
        hover, numbers = f"{what} %{{customdata}}: %{{z:.4f}}<extra></extra>", tiled.numbers
    place(figure, tiled, _heatmap(tiled.cells, largest, hover, numbers))
    figure.update_xaxes(**NO_AXIS)
    figure.update_yaxes(**NO_AXIS)
    return figure


def pixels_figure(kept_per_pixel: np.ndarray, units: int, height: int = 300) -> go.Figure:
    """How many of the first layer's weights each pixel of the image keeps, (rows, columns)."""
    unread = int((kept_per_pixel == 0).sum())
    least, most = int(kept_per_pixel.min()), int(kept_per_pixel.max())
    return begin_figure(
        "Weights kept per pixel",
        height,
        f"Weights each pixel keeps, {least} to {most} of {units}; "
        f"{unread} of {kept_per_pixel.size} pixels keep none.",
        xaxis={"showgrid": False, "zeroline": False, "constrain": "domain", "visible": False},
        yaxis={
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
            "visible": False,
        },
        margin={**MARGIN, "l": 8, "b": 14},
    ).add_heatmap(
        z=kept_per_pixel,
        zmin=0,
        zmax=max(1, most),
        colorscale="Cividis",
        colorbar={"thickness": 10, "outlinewidth": 0, "nticks": 5},
        hovertemplate="row %{y}, column %{x}: %{z} of " + str(units) + " weights<extra></extra>",
    )


def _begin(title: str, height: int, alt: str, **layout) -> go.Figure:
    figure = begin_figure(title, height, alt, plot_bgcolor=PRUNED, showlegend=True, **layout)
    # A colour bar whose numbers become longer must not move the weights beside it.
    return figure.update_layout(
        margin={**MARGIN, "l": 48, "r": 58, "b": 66, "autoexpand": False},
        title_font_size=13,
    )


def _with_legend(figure: go.Figure) -> go.Figure:
    """With an entry for pruned weights, of which there is nothing else to see."""
    return figure.add_scatter(
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


def _said(what: str, weights: np.ndarray, are: str) -> str:
    kept = np.isfinite(weights)
    if not kept.any():
        return f"{what}: all pruned."
    low, high = np.nanmin(weights), np.nanmax(weights)
    return f"{what}: {kept.mean():.1%} of the {are}, from {low:.3f} to {high:.3f}."


def _heatmap(
    cells: np.ndarray, scale: float, hover: str, numbers: np.ndarray | None = None
) -> go.Heatmap:
    return go.Heatmap(
        z=cells.astype(np.float32),
        zmin=-scale,
        zmax=scale,
        colorscale=DIVERGING,
        colorbar=_COLOURBAR,
        hoverongaps=False,
        hovertemplate=hover,
        customdata=numbers,
    )
