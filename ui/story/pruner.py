"""A slider that prunes: what it shows was computed before, so that nothing has to be waited for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from lottery_core.findings.walk import Point

_HTML = """
<div class="lottery-pruner">
  <label>Prune: drag, or use the arrow keys
    <input type="range" min="0" step="1" value="0" aria-label="Sparsity">
  </label>
  <output>
    <span><b class="gone"></b> gone</span>
    <span class="kept"></span>
    <span>reads <b class="accuracy"></b></span>
  </output>
</div>
"""
_CSS = """
.lottery-pruner { color: var(--st-text-color); font-family: var(--st-font); }
.lottery-pruner label { display: block; font-size: 0.875rem; }
.lottery-pruner input {
  display: block; width: 100%; height: 2.2rem; margin: 0;
  accent-color: var(--st-primary-color); cursor: pointer;
}
/* Beside the other a browser makes the rest of the slider white, on a dark page too. */
@media (prefers-color-scheme: dark) { .lottery-pruner input { accent-color: #7db4ec; } }
.lottery-pruner output {
  display: flex; flex-wrap: wrap; gap: 0 1rem; justify-content: space-between;
  align-items: baseline; min-height: 2.4rem; font-variant-numeric: tabular-nums;
}
.lottery-pruner b { font-size: 1.35rem; }
"""
_PRUNER = st.components.v2.component(
    "lottery_pruner",
    html=_HTML,
    css=_CSS,
    js=(Path(__file__).parent / "pruner.js").read_text(),
)


def pruner(points: Sequence[Point], chart: str, key: str, begin: int) -> int:
    """Sparsity, weights left and accuracy at the slider; moves the last trace of the plot whose
    key is `chart`. Which point it is let go at, to begin with `begin`."""
    result = _PRUNER(
        data={
            "points": [[point.sparsity, point.kept, point.accuracy] for point in points],
            "chart": chart,
            "begin": begin,
        },
        key=key,
        on_at_change=lambda: None,
    )
    # A forged client may send anything.
    return result.at if isinstance(result.at, int) and 0 <= result.at < len(points) else begin
