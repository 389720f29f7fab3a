"""Start within reach: the first stop of the Tab key, and on a phone below the choices."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.explorer.sidebar import Selection
from ui.explorer.status import State, can_start, start

_REACH = st.components.v2.component(
    "lottery_reach",
    html="<span hidden></span>",
    js=(Path(__file__).parent / "reach.js").read_text(),
    isolate_styles=False,
)


def reach_start(selection: Selection, state: State) -> None:
    """A link to Start at the very beginning of the page; Start below the choices too, which close
    when it is pressed."""
    _REACH(key="reach")
    _show_start_in_choices(selection, state)


def _show_start_in_choices(selection: Selection, state: State) -> None:
    """Start at the foot of the choices, which the style sheet shows on a phone alone: there they
    lie over the page's own."""
    if can_start(selection, state) and not selection.place:
        st.sidebar.button(
            "Start with these choices",
            icon=":material/play_arrow:",
            type="primary",
            on_click=start,
            args=(selection,),
            width="stretch",
            key="start_in_choices",
        )
