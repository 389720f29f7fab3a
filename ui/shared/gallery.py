"""Units or filters as buttons with a picture or a bar each; press one to look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from lottery_core.report.pixels import png_of

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


@dataclass(frozen=True)
class Entry:
    """A button: the number it stands for, its name, a note below, what it says in full, the part
    of its bar that is full (drawn where there are no pictures), and whether it is dead."""

    number: int
    name: str
    note: str
    words: str
    part: float
    dead: bool = False


def gallery(
    entries: Sequence[Entry], label: str, key: str, *, sprite: str = "", wanted: int | None = None
) -> int:
    """The number that is chosen, `wanted` or the first until one is. `sprite` has a picture for
    each entry in their order (see `sprite_of`), or is empty."""
    numbers = [entry.number for entry in entries]
    first = wanted if wanted in numbers else numbers[0]
    kept = st.session_state.get(key, {}).get("chosen")
    result = _GALLERY(
        data={
            "label": label,
            "entries": [astuple(entry) for entry in entries],
            "sprite": sprite,
            "across": _ACROSS,
            "chosen": kept if kept in numbers else first,
        },
        key=key,
        on_chosen_change=lambda: None,
    )
    return result.chosen if result.chosen in numbers else first


def sprite_of(pictures: np.ndarray) -> str:
    """One PNG in base64 of square pictures, uint8 (n, side, side, 4)."""
    count, side = pictures.shape[:2]
    rows = -(-count // _ACROSS)
    sheet = np.zeros((rows * _ACROSS, side, side, 4), np.uint8)
    sheet[:count] = pictures
    sheet = sheet.reshape(rows, _ACROSS, side, side, 4).swapaxes(1, 2)
    return png_of(sheet.reshape(rows * side, _ACROSS * side, 4))
