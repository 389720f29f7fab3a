"""Choose a level by slider, follow the newest one, or play them all."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_HTML = """
<div class="lottery-scrubber">
  <button type="button" class="play">Play</button>
  <input type="range" min="0" step="1" aria-label="Level">
  <output></output>
  <button type="button" class="follow">Follow the training</button>
</div>
"""
_CSS = """
.lottery-scrubber {
  display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center; min-height: 2.6rem;
  color: var(--st-text-color); font-family: var(--st-font);
}
.lottery-scrubber input { flex: 1 1 8rem; accent-color: var(--st-primary-color); height: 1.5rem; }
.lottery-scrubber output { min-width: 7em; font-variant-numeric: tabular-nums; }
.lottery-scrubber button {
  min-width: 4.6rem; min-height: 2.5rem; padding: 0 0.75rem; cursor: pointer; font: inherit;
  color: inherit; background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.lottery-scrubber button:hover:enabled { border-color: var(--st-primary-color); }
.lottery-scrubber button:disabled { opacity: 0.5; cursor: default; }
.lottery-scrubber button[hidden] { display: none; }
"""
_SCRUBBER = st.components.v2.component(
    "lottery_scrubber",
    html=_HTML,
    css=_CSS,
    js=(Path(__file__).parent / "scrubber.js").read_text(),
)


def scrubber(
    newest: int,
    last: int,
    active: bool,
    key: str,
    wanted: int | None = None,
    what: str = "Level",
) -> int:
    """The level to show, at most `newest` of `last`; `wanted`, or the newest, until another is
    chosen. `what` it is that is chosen: levels or rounds."""
    chosen = st.session_state.get(key, {}).get("chosen", wanted)
    result = _SCRUBBER(
        data={
            "newest": newest,
            "last": last,
            "active": active,
            "chosen": chosen,
            "what": what,
        },
        key=key,
        on_chosen_change=lambda: None,
    )
    # A forged client may send anything.
    if isinstance(result.chosen, int) and 0 <= result.chosen <= newest:
        return result.chosen
    return newest if wanted is None else wanted
