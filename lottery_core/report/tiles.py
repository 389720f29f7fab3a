"""Small pictures beside and below each other, as kernels and units are shown, with gaps between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

PAPER = "#fefefd"  # becomes the page's own background where the page draws it
_ASPECT = 1.6  # width by height that wrapped rows aim at


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


def weight_at(shape: tuple[int, ...], x: float, y: float) -> tuple[int, ...] | None:
    """Which weight of a layer with that `shape` is drawn at a position of its picture, where each
    has a cell of its own; None beside it."""
    if len(shape) == 2:
        at = (round(y), round(x))
        return at if all(0 <= i < size for i, size in zip(at, shape, strict=True)) else None
    # The same layout as its picture's, of numbers that say where each weight went.
    laid = tiles(np.arange(np.prod(shape), dtype=float).reshape(shape))
    tall, wide = (1, 1) if laid.alone else laid.side
    row, column = int((y + 0.5) * tall // 1), int((x + 0.5) * wide // 1)
    if not (0 <= row < laid.cells.shape[0] and 0 <= column < laid.cells.shape[1]):
        return None
    number = int(laid.cells[row, column])
    blank = number == 0 and (row or column)  # a place that is empty
    return None if blank else tuple(int(i) for i in np.unravel_index(number, shape))
