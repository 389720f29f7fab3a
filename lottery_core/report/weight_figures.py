"""Weights to look at: matrices, kernels, and what units read of an image.

Colours are brighter as weights are larger, and pruned weights show the plot's own background, which
is on no scale.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lottery_core.report.figures import DIVERGING, GREY, MARGIN, PRUNED, begin_figure
from lottery_core.report.pixels import png_of, rgb_of
from lottery_core.report.tiles import place, tiles
from lottery_core.spec.networks import Shape

NO_AXIS = {"showgrid": False, "zeroline": False, "visible": False}
UNMARKED = {"showticklabels": False, "ticks": ""}
_BESIDE = {"thickness": 10, "outlinewidth": 0}
# In the lower right, as the key of what is pruned is in the lower left.
_BELOW = {
    "orientation": "h",
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
    "x": 1,
    "xanchor": "right",
    "len": 0.6,  # beside it "pruned" has room in the narrowest chart too
    "thickness": 8,
    "ypad": 2,
    "xpad": 0,
    "outlinewidth": 0,
    "tickfont": {"size": 10},
}
_WHOLE = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)  # where colours may end, times a power of ten
# More cells than this are shrunk to what there is room for, each pixel a mean of theirs.
_MANY = (128, 256)


def layer_figure(
    shrunk: tuple,
    name: str,
    shape: Shape,
    scale: float,
    *,
    colours: bool = False,
    level: int | None = None,
    height: int = 300,
) -> go.Figure:
    """A layer's weights as `store.pictures.shrink` gives them: values and the side of a block, and
    where these are no densities what else they are, "means". The layer itself has that `shape`.

    The colours run from -scale to scale. With `colours` a convolution that reads red, green and
    blue shows its kernels in these.
    """
    picture, block, *told = shrunk
    of = "mean" if told == ["means"] else "density"
    layer = name.removesuffix(".weight")
    where = "" if level is None else f", level {level}"
    if len(shape) == 2:
        title = f"{layer}: {shape[0]} units, {shape[1]} inputs{where}"
        what = f"{of} of each {block}x{block} block" if block > 1 else ""
        return weights_figure(
            picture, name, scale, title=title, coarse=(what, block), height=height
        )
    outputs, inputs, rows, columns = shape
    kernels = "kernels" if outputs * inputs > 1 else "kernel"
    title = f"{layer}: {outputs}x{inputs} {kernels} of {rows}x{columns}{where}"
    if picture.ndim == 2:
        what = f"{of} of each kernel of {rows}x{columns}"
        if block > 1:
            what = f"{of} of each {block}x{block} kernels"
        return weights_figure(
            picture,
            name,
            scale,
            title=title,
            coarse=(what, block),
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
    coarse: tuple[str, int] = ("", 1),
    axes: tuple[str, str] = ("unit", "input"),
    height: int = 300,
) -> go.Figure:
    """Heatmap of one layer's weights, (outputs, inputs), NaN where pruned.

    The colours run from -scale to scale (see `round_up`) through zero; pruned weights show the
    plot's own background, which is on no scale, and have a legend entry of their own. `coarse` says
    what a cell shows where it is not one weight, the density or the mean of some, and of how many
    outputs and inputs: it stands at the first of them.
    """
    layer, (of, block) = name.removesuffix(".weight"), coarse
    of = f", {of}" if of else ""
    figure = _begin(
        title or f"{layer}: {picture.shape[0]}x{picture.shape[1]}",
        height,
        _said(f"Weights of {layer}{of}", picture, "cells hold a weight"),
        xaxis={"title": f"{axes[1]}{of}", "showgrid": False, "zeroline": False},
        yaxis={
            "title": axes[0],
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
        },
    )
    start = "from " if block > 1 else ""
    is_density = of.startswith(", density")
    value = "%{z:.1%} kept" if is_density else "%{z:.4f}"
    hover = f"{start}{axes[0]} %{{y}}, {axes[1]} %{{x}}: {value}<extra></extra>"
    cells = _heatmap(picture, scale, hover).update(x0=0, dx=block, y0=0, dy=block)
    if any(size > most for size, most in zip(picture.shape, _MANY, strict=True)):
        cells.zsmooth = "fast"
    if is_density:
        ticks = {"tickvals": [0, 0.5, 1], "ticktext": ["0", "50", "100 %"]}
        cells.update(zmin=0, zmax=1, colorscale="Cividis", colorbar=_BELOW | ticks)
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


def small(
    figure: go.Figure, name: str, shape: Shape, scale: float, shows: str = "weights"
) -> go.Figure:
    """A layer's figure with room for its picture alone, to stand in a row of many: the title has
    outputs x inputs, and where the colours end, or what else than weights the picture `shows`."""
    ends = "part kept" if shows == "density" else f"±{round_up(scale):g}"
    title = f"{name.removesuffix('.weight')}: {shape[0]}x{shape[1]}, {ends}"
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
    place(figure, tiled, _heatmap(tiled.cells, largest, hover, numbers, _BESIDE))
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
    return figure.update_layout(
        legend={"xref": "container", "itemwidth": 30, "font": {"size": 10}},
        margin={**MARGIN, "l": 48, "r": 26, "t": 32, "b": 68, "autoexpand": False},
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


def round_up(scale: float) -> float:
    """The next number with one digit or so, for a colour bar to end at."""
    if not scale > 0 or not np.isfinite(scale):
        return 1.0
    power = 10.0 ** np.floor(np.log10(scale))
    return float(f"{next(n * power for n in _WHOLE if n * power >= scale * (1 - 1e-6)):.3g}")


def _heatmap(
    cells: np.ndarray,
    scale: float,
    hover: str,
    numbers: np.ndarray | None = None,
    bar: dict = _BELOW,
) -> go.Heatmap:
    end = round_up(scale)
    ticks = [-end, 0, end]
    return go.Heatmap(
        z=cells.astype(np.float32),
        zmin=-end,
        zmax=end,
        colorscale=DIVERGING,
        colorbar=bar | {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]},
        hoverongaps=False,
        hovertemplate=hover,
        customdata=numbers,
    )
