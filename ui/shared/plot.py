"""Plotly figures that update in place.

`st.plotly_chart` mounts a new node on every change and shows an empty frame in between. This
component keeps its node and hands each new figure to `Plotly.react`, with the plotly.js that
the plotly package brings. Text, grid and background take the page's colours.

Figures are packed before they travel, and what many visitors look at is made and packed once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.io.json import to_json_plotly

from lottery_core.report.figures import Curve
from lottery_core.report.script import SCRIPT
from ui.shared.reading import SHADES
from ui.shared.runtime import runtime
from ui.shared.scripts import brought

_TALLER = 1.4  # by how much a chart is that is written large
_SCRIPT = Path(__file__).resolve().parents[2] / "static" / "plotly.min.js"


def provide_script(target: Path = _SCRIPT) -> bool:
    """Put plotly's own script where Streamlit serves static files from; whether it is there now.

    Any number of first starts at once may do so. Where nothing can be written, as in an
    installation that belongs to somebody else, pages send the script themselves.
    """
    try:
        if target.is_file() and target.stat().st_size == SCRIPT.stat().st_size:
            return True
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".plotly-") as folder:
            part = Path(folder) / target.name
            shutil.copyfile(SCRIPT, part)
            part.replace(target)
    except OSError:
        return False
    return True


_IS_SERVED = provide_script()
_CALL = brought("plot", Path(__file__).parent / "plot.js")
_PLOT = st.components.v2.component(
    "lottery_plot",
    html='<div class="lottery-plot"></div>',
    css="""
.lottery-plot { width: 100%; }
.lottery-plot:focus-visible { outline: 2px solid; }
.lottery-plot.opens .nsewdrag { cursor: pointer; }
.lottery-plot:fullscreen { background: var(--st-background-color); }
/* Where the title needs all of the width, the toolbar comes below it, to whom touches the chart. */
.lottery-plot.narrow .modebar-container { top: 1.9rem !important; }
.lottery-plot.narrow:not(:focus, :focus-within) .modebar-container { display: none; }
""",
    js=_CALL,
    isolate_styles=False,
)

_LEGEND = st.components.v2.component(
    "lottery_legend",
    html='<div class="lottery-legend"></div>',
    css="""
.lottery-legend { display: flex; flex-wrap: wrap; gap: 0.25rem 0.5rem; }
.lottery-legend button {
  display: flex; align-items: center; gap: 0.5rem; padding: 0.25rem 0.5rem;
  border: 0; border-radius: 0.5rem; background: none; color: inherit;
  font: inherit; font-size: 0.875rem; text-align: left; cursor: pointer;
}
.lottery-legend button:hover { background: var(--st-secondary-background-color); }
.lottery-legend button:focus-visible { outline: 2px solid; }
.lottery-legend button[aria-pressed="false"] { opacity: 0.45; text-decoration: line-through; }
.lottery-legend svg { flex: none; }
.lottery-legend span { align-self: center; padding: 0 0.25rem; font-size: 0.75rem; }
""",
    js=_CALL,
    isolate_styles=False,
)

_PLOTLY = st.components.v2.component(
    "lottery_plotly",
    html="<span hidden></span>",
    js="""
export default function ({ data }) {
  globalThis.lotteryPlotly ??= URL.createObjectURL(
    new Blob([data.script], { type: "text/javascript" })
  );
}
""",
)

_AHEAD = st.components.v2.component(
    "lottery_plot_ahead",
    html="<span hidden></span>",
    js="""
export default function () {
  const served = new URL("app/static/plotly.min.js", document.baseURI).href;
  const timer = setTimeout(() => import(globalThis.lotteryPlotly ?? served), 1000);
  return () => clearTimeout(timer);
}
""",
)


def preload() -> None:
    """Have the browser fetch and parse plotly.js before the first chart: a second's work, done
    once the page is there to be read."""
    _AHEAD(key="plot_ahead")


def send_plotly() -> None:
    """Send plotly.js with the page where it can't be served as a file."""
    if not _IS_SERVED:
        _PLOTLY(key="plotly", data={"script": SCRIPT.read_text(encoding="utf-8")})


@dataclass(frozen=True)
class Packed:
    """A figure as it is sent: compressed, and under a `name` that no other has."""

    content: bytes
    name: str
    alt: str
    height: int | None


def packed(figure: go.Figure) -> Packed:
    """A figure ready to be sent."""
    plain = figure.to_dict()
    for trace, own in zip(plain["data"], figure.data, strict=True):
        if own.type == "heatmap" and isinstance(own.z, np.ndarray) and own.z.dtype == np.float32:
            trace["z"] = _small(own.z) or trace["z"]
    content = zlib.compress(to_json_plotly(plain).encode())
    name = hashlib.blake2b(content, digest_size=12).hexdigest()
    return Packed(content, name, figure.layout.meta["alt"], figure.layout.height)


# Weights are read to four decimals, where a chart is pointed at.
_DECIMAL = 1e-4
_HOLE, _ZERO = 33, 35 + SHADES  # codes of characters, for none and for 0


def _small(z: np.ndarray) -> dict | None:
    """Cells as whole numbers of a unit, the smallest of their kind for none, with which plot.js
    makes the same cells: in one byte where they have been rounded (`reading.live_look`), in two
    what fits these to the decimals that are read. None where neither does."""
    largest = float(np.abs(z).max(initial=0.0, where=np.isfinite(z)))
    if not largest or np.isinf(z).any():
        return None
    kind, unit = np.int8, largest / SHADES
    if np.nanmax(np.abs(z / unit - np.rint(z / unit))) > 1e-3:
        kind, unit = np.int16, _DECIMAL
        # Of fewer units than this the colours would show steps.
        if not 250 <= largest / unit <= np.iinfo(kind).max:
            return None
    cells = z / unit
    whole = np.rint(np.nan_to_num(cells))
    if kind is np.int8:
        # A character each, which compresses as well as the numbers do; base64 would mix them.
        codes = np.where(np.isnan(cells), _HOLE, whole + _ZERO).astype(np.uint8)
        packed_cells = codes.tobytes().decode("ascii")
    else:
        codes = np.where(np.isnan(cells), np.iinfo(kind).min, whole).astype("<i2")
        packed_cells = base64.b64encode(codes.tobytes()).decode()
    return {
        "unit": unit,
        "bytes": kind(0).itemsize,
        "shape": z.shape,
        "cells": packed_cells,
    }


def drawn(what: Hashable, make: Callable[[], go.Figure]) -> Packed:
    """A figure that any number of visitors look at, made once. `what` tells it from all others:
    the kind of chart, the keys of what is in it, how far that is, and how it is drawn."""
    return runtime().charts.get(what, lambda: packed(make()))


def plot(figure: go.Figure | Packed, key: str, group: str = "", *, styled: bool = False) -> None:
    """Show a figure; the same `key` on the next run updates it in place. It is as high as it says,
    or where it is `styled` as the page's style sheet has it.

    Charts of one `group` share a `legend`, and what is pointed at in one is shown in the others
    that have the same x axis.
    """
    chart = figure if isinstance(figure, Packed) else packed(figure)
    large = st.session_state.get("large", False)  # see `ui.shared.frame`
    height = round(chart.height * (_TALLER if large else 1)) if chart.height else None
    header = {
        "name": chart.name,
        "alt": chart.alt,
        "height": "" if styled else f"{height}px",
        "group": group,
        "served": _IS_SERVED,
        "large": large,
    }
    _PLOT(
        data=json.dumps(header).encode() + b"\n" + chart.content,
        key=key,
        height="content" if styled else height,
    )


def legend(curves: Sequence[Curve], key: str, group: str, note: str = "") -> None:
    """The one legend of a group's charts: a button a curve, which hides it in all of them, and a
    `note` on all of these."""
    entries = [
        {
            "curve": curve.group,
            "name": curve.name,
            "colour": curve.style.colour,
            "dash": curve.style.dash,
            "symbol": curve.style.symbol,
        }
        for curve in curves
    ]
    _LEGEND(data={"legend": entries, "group": group, "note": note}, key=key)
