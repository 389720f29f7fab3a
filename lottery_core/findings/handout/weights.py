"""The weights of every layer at every level, as pictures small enough to be handed out."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

from lottery_core.findings.flow import reads_pixels
from lottery_core.findings.handout.page import script_data
from lottery_core.report.figures import DIVERGING, PRUNED
from lottery_core.report.pixels import diverging_of, png_of, rgb_of, saturation
from lottery_core.report.weight_figures import Tiles, tiles
from lottery_core.spec.limits import MAX_CELLS
from lottery_core.spec.networks import Network
from lottery_core.store import Level, LevelInfo
from lottery_core.store.pictures import shrink

_SHADES = 32  # to each side of zero: the eye tells no more apart, and noise packs badly
_SHADE = 0.8  # bytes of a shade, packed: log2(65) bits and a little
_FLAT = 7  # times as wide as high: stretched, or there would be little to see
_PRUNED, _GAP = 2 * _SHADES + 1, 2 * _SHADES + 2
_COLOURS = diverging_of(np.arange(-_SHADES, _SHADES + 1), _SHADES)
_PALETTE = [*_COLOURS.ravel().tolist(), *diverging_of(np.array([np.nan]), 1).ravel().tolist()]


def cells_that_fit(infos: Sequence[LevelInfo], network: Network, room: int) -> int:
    """How many cells the picture of a layer may have for all pictures together to take at most
    `room` bytes: all there are, or else about as many as fit."""
    cells = MAX_CELLS
    while cells > 64 and sum(_bytes(info, network, cells) for info in infos) > room:
        cells = cells * 4 // 5
    return cells


def _bytes(info: LevelInfo, network: Network, most: int) -> float:
    """At most what one level's pictures take, in base64: for each cell that is there its shade, as
    if all were equally frequent, and for all cells which ones are there."""
    total = 0.0
    for name, (outputs, inputs, *kernel) in network.shapes.items():
        counts = info.layers[name]
        # As `shrink` decides: kernels are drawn with a gap around each, or as a cell each.
        whole = outputs * inputs * math.prod(side + 1 for side in kernel) <= most
        cells = counts.weights if whole else min(most, outputs * inputs)
        here = counts.kept / counts.weights
        if cells < counts.weights:  # a cell is there if any weight of its block is
            here = 1 - (1 - here) ** (counts.weights / cells)
        which = sum(-p * math.log2(p) for p in (here, 1 - here) if p) / 8
        colours = 3 if _is_coloured(network, name) else 1
        total += 500 + 4 / 3 * cells * (_SHADE * here + which) * colours
    return total


def frames(levels: Iterable[Level], network: Network, cells: int) -> list[dict]:
    """By layer, what a page shows of it: its name and shape, and by level a PNG in base64, what its
    mask keeps, where the colours end, and what one cell shows."""
    found: list[dict] = [
        {
            "name": name.removesuffix(".weight"),
            "shape": " x ".join(map(str, shape)),
            "flat": shape[1] > _FLAT * shape[0],
            "levels": [],
        }
        for name, shape in network.shapes.items()
    ]
    for level in levels:
        for layer, (name, shape) in zip(found, network.shapes.items(), strict=True):
            kept, weights = level.mask[name], level.end[name]
            values, block = shrink(weights, kept, cells)
            limit = saturation(values)
            colours = values.ndim == 4 and _is_coloured(network, name)
            layer["levels"].append(
                {
                    "png": _coloured(values, limit) if colours else _png(values, limit),
                    "kept": f"{int(kept.sum()):,} of {kept.size:,} weights",
                    "limit": f"{limit:.2g}",
                    "coarse": "in colour; grey is 0"
                    if colours
                    else _coarse(shape, values.ndim, block),
                }
            )
    return found


def _is_coloured(network: Network, name: str) -> bool:
    """Whether a layer's kernels read red, green and blue; of code that somebody brought it is not
    known what reads what."""
    shape = network.shapes[name]
    known = any(f"{at.name}.weight" == name for at in network.operations)
    return known and len(shape) == 4 and shape[1] == 3 and reads_pixels(network, name)


def _coarse(shape: Sequence[int], dimensions: int, block: int) -> str:
    of = "kernels" if len(shape) == 4 else "weights"
    if block > 1:
        return f"each cell the largest of {block} x {block} {of}"
    if dimensions < len(shape):
        return "each cell the largest weight of a kernel"
    return ""


def _png(values: np.ndarray, limit: float) -> str:
    """Values, (outputs, inputs) or kernels, NaN where pruned, in the pages' colours."""
    finite = np.nan_to_num(values, posinf=limit, neginf=-limit)
    shades = np.rint(np.clip(finite / limit, -1, 1) * _SHADES)
    indices = np.where(np.isnan(values), _PRUNED, shades + _SHADES).astype(np.uint8)
    if values.ndim == 4:
        indices = _apart(tiles(indices), np.uint8(_GAP))
    image = Image.fromarray(indices)
    image.putpalette([*_PALETTE, 0, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=_GAP)
    return base64.b64encode(buffer.getvalue()).decode()


def _coloured(filters: np.ndarray, limit: float) -> str:
    """Filters that read red, green and blue, in these."""
    pixels = rgb_of(np.moveaxis(filters, 1, -1), limit)
    opaque = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)
    planes = [
        _apart(tiles(np.ascontiguousarray(opaque[:, None, ..., plane])), np.uint8(0))
        for plane in range(4)
    ]
    return png_of(np.stack(planes, axis=-1))


def _apart(tiled: Tiles, gap: np.uint8) -> np.ndarray:
    """Small pictures with a cell of `gap` between them."""
    rows, columns = tiled.side
    space = 1 if rows * columns > 1 else 0
    shape = (tiled.down, rows + space, tiled.across, columns + space)
    laid = np.full(shape, gap, np.uint8)
    cells = tiled.cells.reshape(tiled.down, rows, tiled.across, columns)
    laid[:, :rows, :, :columns] = cells
    if tiled.blank:
        laid[-1, :, tiled.across - tiled.blank :] = gap
    tall, wide = tiled.down * (rows + space), tiled.across * (columns + space)
    return laid.reshape(tall, wide)[: tall - space, : wide - space]


def html_of(layers: Sequence[dict], first: int) -> str:
    """The pictures of level `first`, and those that a page's slider brings in their place."""
    shades = ", ".join(colour for _, colour in DIVERGING)
    parts = []
    for n, layer in enumerate(layers):
        shown = layer["levels"][first]
        title = f"{layer['name']}, {layer['shape']}"
        # The first layer of a fully connected network is the one to see structure in.
        wide = " first" if n == 0 and layer["shape"].count("x") == 1 else ""
        wide += " flat" if layer["flat"] else ""
        scale = (
            f'<div class="scale note"><span>−<span class="limit">{shown["limit"]}</span></span>'
            f'<i style="background: linear-gradient(90deg, {shades})"></i>'
            f'<span class="limit">{shown["limit"]}</span>'
            f'<b style="background: {PRUNED}"></b> pruned</div>'
        )
        if shown["coarse"].startswith("in colour"):
            scale = ""
        parts.append(
            f'<figure class="layer{wide}" data-layer="{n}"><figcaption>'
            f'<strong>{escape(title)}</strong>: <span class="kept">{_told(shown)}</span>'
            f'</figcaption><img src="data:image/png;base64,{shown["png"]}" '
            f'alt="Weights of {escape(title)}, level {first}: {_told(shown)}">'
            f"{scale}</figure>"
        )
    # What stands in the page already need not be there twice.
    others = [
        {
            **layer,
            "levels": [
                one | {"png": one["png"] if n != first else "", "told": _told(one)}
                for n, one in enumerate(layer["levels"])
            ],
        }
        for layer in layers
    ]
    return f'<div class="layers" id="layers">{"".join(parts)}{script_data(others)}</div>'


def _told(one: dict) -> str:
    return f"{one['kept']}{', ' + one['coarse'] if one['coarse'] else ''}"
