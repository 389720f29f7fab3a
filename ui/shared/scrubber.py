"""Choose a level by slider, follow the newest one, play them all, or replay their training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from ui.shared.scripts import brought

_HTML = """
<div class="lottery-scrubber">
  <button type="button" class="play">Play</button>
  <button type="button" class="step">Step</button>
  <select class="speed" aria-label="Speed of the replay">
    <option value="1">1×</option><option value="4">4×</option><option value="16">16×</option>
  </select>
  <input type="range" min="0" step="1" aria-label="Level">
  <output></output>
  <button type="button" class="follow">Follow the training</button>
</div>
"""
_CSS = """
.lottery-scrubber {
  display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; min-height: 2.6rem;
  color: var(--st-text-color); font-family: var(--st-font);
}
.lottery-scrubber input {
  flex: 1 1 4rem; min-width: 4rem; height: 1.5rem; accent-color: var(--st-primary-color);
}
/* Beside the other a browser makes the rest of the slider white, on a dark page too. */
@media (prefers-color-scheme: dark) { .lottery-scrubber input { accent-color: #7db4ec; } }
.lottery-scrubber output { min-width: 7em; font-variant-numeric: tabular-nums; }
.lottery-scrubber button, .lottery-scrubber select {
  min-width: 4.6rem; min-height: 2.5rem; padding: 0 0.6rem; cursor: pointer; font: inherit;
  color: inherit; background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.lottery-scrubber button:hover:enabled { border-color: var(--st-primary-color); }
.lottery-scrubber button:disabled { opacity: 0.5; cursor: default; }
.lottery-scrubber .replay { border-color: var(--st-primary-color); font-weight: 600; }
.lottery-scrubber .step { min-width: 0; }
.lottery-scrubber select { min-width: 0; padding: 0 0.3rem; }
.lottery-scrubber [hidden] { display: none; }
"""
_FOLDER = Path(__file__).parent
_SCRUBBER = st.components.v2.component(
    "lottery_scrubber",
    html=_HTML,
    css=_CSS,
    js=brought("scrubber", _FOLDER / "replay.js", _FOLDER / "scrubber.js"),
)


def scrubber(
    newest: int,
    last: int,
    active: bool,
    key: str,
    wanted: int | None = None,
    what: str = "Level",
    *,
    spans: Sequence[tuple[int, int]] = (),
) -> int:
    """The level to show, at most `newest` of `last`; until another is chosen `wanted`, which may
    change, or else the newest. `what` it is that is chosen: levels or rounds.

    With the `spans` of iterations that each level of a finished run was trained for, charts on the
    page replay it (see `replay.js`): drawn in the browser, one request a level.
    """
    chosen = st.session_state.get(key, {}).get("chosen")
    result = _SCRUBBER(
        data={
            "newest": newest,
            "last": last,
            "active": active,
            "chosen": chosen,
            "wanted": wanted,
            "what": what,
            "spans": [list(span) for span in spans] or None,
        },
        key=key,
        on_chosen_change=lambda: None,
    )
    # A forged client may send anything.
    if isinstance(result.chosen, int) and 0 <= result.chosen <= newest:
        return result.chosen
    return newest if wanted is None else wanted
