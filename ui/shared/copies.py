"""Buttons that copy: the page's own link, and texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

_COPIES = st.components.v2.component(
    "lottery_copies",
    html='<div class="lottery-copies" role="group" aria-label="Copy"></div>',
    css="""
.lottery-copies { display: flex; flex-wrap: wrap; gap: 0.5rem; font-family: var(--st-font); }
.lottery-copies button {
  min-height: 2.5rem; padding: 0 0.75rem; cursor: pointer; font: inherit; font-size: 1rem;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.lottery-copies button:hover { border-color: var(--st-primary-color); }
.lottery-copies button:focus-visible { outline: 2px solid var(--st-primary-color); }
.lottery-copies span { position: absolute; left: -100vw; }
""",
    js=(Path(__file__).parent / "copies.js").read_text(),
)


def copies(texts: Mapping[str, str], key: str) -> None:
    """A button that copies the page's link, which says all that is chosen, and one for each of
    `texts`, by what it is called: "Copy command"."""
    _COPIES(data={"texts": dict(texts)}, key=key)
