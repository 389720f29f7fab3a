"""Units as buttons, those with most kept weights first; press one to look at it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image, ImageColor

from lottery_core.report.figures import DIVERGING, PRUNED

_HTML = '<div class="lottery-gallery" role="radiogroup"></div>'
_CSS = """
.lottery-gallery {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(5.2rem, 1fr)); gap: 0.4rem;
  max-height: 24rem; overflow-y: auto; padding: 2px;
  color: var(--st-text-color); font-family: var(--st-font);
}
.lottery-gallery button {
  display: flex; flex-direction: column; align-items: center; gap: 0.15rem; padding: 0.35rem;
  cursor: pointer; font: inherit; font-size: 0.78rem; line-height: 1.2; color: inherit;
  background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: 0.5rem;
}
.lottery-gallery button:hover { border-color: var(--st-primary-color); }
.lottery-gallery button:focus-visible { outline: 2px solid var(--st-primary-color); }
.lottery-gallery button[aria-checked="true"] {
  border-color: var(--st-primary-color); box-shadow: 0 0 0 1px var(--st-primary-color);
}
.lottery-gallery button.dead { opacity: 0.6; border-style: dashed; }
.lottery-gallery .picture { width: 56px; height: 56px; image-rendering: pixelated; }
.lottery-gallery .bar { width: 100%; height: 6px; background: var(--st-border-color); }
.lottery-gallery .bar span { display: block; height: 100%; background: var(--st-primary-color); }
"""
_GALLERY = st.components.v2.component(
    "lottery_gallery",
    html=_HTML,
    css=_CSS,
    js=(Path(__file__).parent / "gallery.js").read_text(),
)
_ACROSS = 16  # pictures in a row of the sprite


def gallery(units: pd.DataFrame, sprite: str, inputs: int, key: str, wanted: int | None) -> int:
    """The unit that is chosen, `wanted` or the first until one is. `units` as
    `anatomy.units`; `sprite` has a picture each in that order, or is empty."""
    numbers = units["unit"].tolist()
    first = wanted if wanted in numbers else numbers[0]
    kept = st.session_state.get(key, {}).get("chosen")
    result = _GALLERY(
        data={
            "units": units[["unit", "reads", "read_by", "alive"]].to_numpy(int).tolist(),
            "inputs": inputs,
            "sprite": sprite,
            "across": _ACROSS,
            "chosen": kept if kept in numbers else first,
        },
        key=key,
        on_chosen_change=lambda: None,
    )
    return result.chosen if result.chosen in numbers else first


def sprite_of(weights: np.ndarray) -> str:
    """A PNG in base64: one picture of 28x28 a unit, from (units, 784), NaN where pruned;
    each unit has a colour scale of its own."""
    count = len(weights)
    kept = np.isfinite(weights)
    largest = np.abs(np.where(kept, weights, 0)).max(axis=1, keepdims=True)
    part = (np.where(kept, weights, 0) / np.where(largest > 0, largest, 1) + 1) / 2
    stops = [stop for stop, _ in DIVERGING]
    colours = np.array([ImageColor.getrgb(colour) for _, colour in DIVERGING], float)
    rgb = np.stack([np.interp(part, stops, colours[:, k]) for k in range(3)], axis=-1)
    rgb[~kept] = ImageColor.getrgb(PRUNED)
    rows = -(-count // _ACROSS)
    sheet = np.zeros((rows * _ACROSS, 28, 28, 3), np.uint8)
    sheet[:count] = np.rint(rgb).reshape(count, 28, 28, 3)
    sheet = sheet.reshape(rows, _ACROSS, 28, 28, 3).swapaxes(1, 2)
    buffer = io.BytesIO()
    Image.fromarray(sheet.reshape(rows * 28, _ACROSS * 28, 3)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
