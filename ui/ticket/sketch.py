"""A small canvas to draw a digit on, by mouse, pen or finger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from lottery_core.findings.drawing import SIDE, read_drawing
from lottery_core.spec.checks import InvalidValue

_HTML = """
<div class="lottery-sketch">
  <canvas role="img" aria-label="Draw a digit here"></canvas>
  <button type="button">Clear</button>
</div>
"""
_CSS = """
.lottery-sketch { display: flex; flex-direction: column; gap: 0.5rem; width: min(280px, 100%); }
.lottery-sketch canvas {
  width: 100%; aspect-ratio: 1; background: #000; cursor: crosshair; touch-action: none;
  border: 1px solid var(--st-border-color); border-radius: 0.5rem;
}
.lottery-sketch button {
  min-height: 2.5rem; cursor: pointer; font: inherit; font-family: var(--st-font); color: inherit;
  background: var(--st-background-color); color: var(--st-text-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.lottery-sketch button:hover { border-color: var(--st-primary-color); }
.lottery-sketch button:focus-visible { outline: 2px solid var(--st-primary-color); }
"""
_SKETCH = st.components.v2.component(
    "lottery_sketch",
    html=_HTML,
    css=_CSS,
    js=(Path(__file__).parent / "sketch.js").read_text(),
)


def sketch(key: str) -> np.ndarray | None:
    """What is drawn, uint8 (SIDE, SIDE) with 255 for ink; None while the canvas is empty."""
    result = _SKETCH(data={"side": SIDE}, key=key, on_ink_change=lambda: None)
    if not result.ink:
        return None
    try:
        return read_drawing(result.ink)
    except InvalidValue:  # a forged client may send anything
        return None
