"""A layer's picture to rub on, by mouse, pen, finger or keys."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import numpy as np
import streamlit as st

from lottery_core.findings.anatomy import short
from lottery_core.findings.by_hand import MOST_STROKES, Stroke, as_kernels, read_strokes
from lottery_core.report.figures import DIVERGING, PRUNED
from lottery_core.report.pixels import bright_of, layer_png
from lottery_core.report.ticket_figures import RUBBED
from lottery_core.report.tiles import tiles
from lottery_core.report.weight_figures import round_up
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.networks import Shape
from ui.shared.reading import Look, Picture
from ui.shared.scripts import brought

_HTML = """
<div class="lottery-rubber">
  <div class="tools">
    <div role="group" aria-label="Rub out"><span>Rub out</span></div>
    <div role="group" aria-label="Rubber, cells wide"><span>Rubber, cells wide</span></div>
    <div><button type="button">Undo</button><button type="button">Start over</button></div>
  </div>
  <canvas tabindex="0" role="application"></canvas>
  <div class="foot">
    <span><i class="rubbed"></i> rubbed out</span>
    <span><i class="pruned"></i> pruned before</span>
    <span><b class="low"></b><i class="scale"></i><b class="high"></b></span>
    <output></output>
  </div>
</div>
"""
_CSS = """
.lottery-rubber { color: var(--st-text-color); font-family: var(--st-font); font-size: 0.875rem; }
.lottery-rubber .tools {
  display: flex; flex-wrap: wrap; gap: 0.4rem 1.25rem; padding: 0 2px 0.5rem;
}
.lottery-rubber .tools div { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem; }
.lottery-rubber .tools span { padding-right: 0.25rem; }
.lottery-rubber button {
  min-height: 2rem; padding: 0 0.6rem; font: inherit; color: inherit; cursor: pointer;
  background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.lottery-rubber button:hover:enabled { border-color: var(--st-primary-color); }
.lottery-rubber button[aria-pressed="true"] {
  border-color: var(--st-primary-color); box-shadow: inset 0 0 0 1px var(--st-primary-color);
}
.lottery-rubber button:disabled { opacity: 0.5; cursor: default; }
.lottery-rubber :is(button, canvas):focus-visible {
  outline: 2px solid var(--st-primary-color); outline-offset: 1px;
}
.lottery-rubber canvas { display: block; cursor: crosshair; touch-action: none; }
.lottery-rubber .foot {
  display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; min-height: 2.6rem; padding-top: 0.3rem;
  font-size: 0.8rem; font-variant-numeric: tabular-nums;
}
.lottery-rubber .foot b { font-weight: inherit; }
.lottery-rubber .foot i {
  display: inline-block; width: 0.8rem; height: 0.8rem; vertical-align: -0.1rem;
  border: 1px solid var(--st-border-color);
}
.lottery-rubber .foot .scale { width: 5rem; margin: 0 0.3rem; }
.lottery-rubber output { margin-left: auto; }
"""
_RUBBER = st.components.v2.component(
    "lottery_rubber",
    html=_HTML,
    css=_CSS,
    js=brought("rubber", Path(__file__).parent / "rubber.js"),
)


def rubber(drawn: Look, shapes: dict[str, Shape], name: str, key: str) -> list[Stroke]:
    """What was rubbed out so far of all layers of a network, whose weights have these `shapes`;
    the layer with weight `name` is on the screen."""
    kept, begin = f"{key}_kept", f"{key}_begin"
    if key not in st.session_state:  # on the page for the first time, or again
        st.session_state[begin] = st.session_state.get(kept, [])
    names = list(shapes)
    result = _RUBBER(
        data=_layout((drawn.what, name), drawn.layers[name], shapes[name], drawn.limits.get(name))
        | {
            "label": f"{short(name)}: rub to remove weights. Arrow keys move, with Shift by ten; "
            "Space rubs, Ctrl and Z undo",
            "names": [short(one) for one in names],
            "layer": names.index(name),
            "begin": st.session_state[begin],
            "most": MOST_STROKES,
        },
        key=key,
        on_strokes_change=lambda: None,
    )
    sent = st.session_state[begin] if result.strokes is None else result.strokes
    try:
        found = read_strokes(sent, shapes)
    except InvalidValue:  # a forged client may send anything
        return []
    st.session_state[kept] = sent
    return found


@st.cache_data(show_spinner=False, max_entries=8)
def _layout(what: Hashable, _picture: Picture, shape: Shape, _limit: float | None) -> dict:
    """A layer's picture, and where in it each output and each input is; `what` tells it from all
    others."""
    picture, limit, kernel = _picture, _limit, shape[2:]
    tiled, block = tiles(as_kernels(picture.values)), picture.block
    rows, columns = tiled.cells.shape
    scale = None if limit is None else round_up(limit)
    side, whole = "x".join(map(str, kernel)), picture.values.ndim == len(shape)
    colours = [colour for _, colour in DIVERGING]
    if scale is None:
        colours = [f"rgb({r}, {g}, {b})" for r, g, b in bright_of(np.linspace(0, 1, 5))]
    what = "Weights" if whole else f"Kernels of {side}"
    if block > 1:
        what = f"Blocks of {block}x{block} {what.lower()}"
    there = tiled.numbers < len(picture.values)  # the last places may be empty
    return {
        "picture": layer_png(np.where(there, tiled.cells, np.nan), scale),
        "rows": rows,
        "columns": columns,
        "side": tiled.side,
        "strips": tiled.strips,
        "inputs": tiled.across // tiled.strips,
        "outputs": len(picture.values),
        "block": block,
        "modes": [what, *(("Filters", "Input channels") if kernel else ("Units", "Inputs"))],
        "words": ["filter", "input channel"] if kernel else ["unit", "input"],
        "colours": colours,
        "ends": ["0", "100 % kept"] if scale is None else [f"{-scale:g}", f"{scale:g}"],
        "rubbed": RUBBED,
        "pruned": PRUNED,
    }
