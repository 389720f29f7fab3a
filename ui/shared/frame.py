"""What every page begins with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lottery_core.data import own
from lottery_core.spec.checks import InvalidValue
from lottery_core.store import StoreUnavailable
from ui.shared.plot import send_plotly
from ui.shared.queue_line import show_queue_line
from ui.shared.runtime import runtime
from ui.shared.scripts import send_scripts
from ui.shared.trouble import told
from ui.shared.turns import drawing

_STYLE = Path(__file__).parent / "frame.css"
_LARGE = "Text and charts for a projector. Each chart's own bar has a button for the full screen."
_LARGER = """<style>
html { font-size: 21px; }
/* What can be chosen is as wide as it is large. */
.stApp [data-testid="stSidebar"][data-collapsed="false"] { min-width: 20rem; }
</style>"""
_ICON = Path(__file__).resolve().parents[2] / "static" / "ticket.svg"
PAGES = (
    ("app.py", "Explorer", ":material/explore:"),
    ("pages/story.py", "Story", ":material/auto_stories:"),
    ("pages/compare.py", "Compare", ":material/compare_arrows:"),
    ("pages/ticket.py", "Ticket", ":material/confirmation_number:"),
    ("pages/luck.py", "Luck", ":material/casino:"),
    ("pages/stability.py", "Stability", ":material/landscape:"),
    ("pages/speed.py", "Speed", ":material/speed:"),
    ("pages/runs.py", "Runs", ":material/history:"),
)


@contextmanager
def page(title: str) -> Iterator[None]:
    """A page: its frame, a row of all pages at its top, and inside what it shows, or what is in
    the way of it."""
    with drawing.taken():
        _show_frame(title)
        with told():
            with suppress(StoreUnavailable, InvalidValue):  # what the page asks for says so itself
                own.register(runtime().store.datasets)
            yield


def _show_frame(title: str) -> None:
    st.set_page_config(
        page_title=f"{title} · Lottery Ticket Explorer",
        # A file: icons by name are fetched from elsewhere.
        page_icon=str(_ICON),
        layout="wide",
    )
    st.html(_STYLE)
    with st.container(horizontal=True, gap=None, key="pages"):
        for path, label, icon in PAGES:
            st.page_link(path, label=label, icon=icon)
        _choose_large()
        with suppress(StoreUnavailable, InvalidValue):  # the page says so below
            show_queue_line()
    with st.container(key="scripts"):  # which the style sheet gives no room
        send_plotly()
        send_scripts()


def _choose_large() -> None:
    """Whether everything is written large, for a projector: on all pages, and in their links."""
    state, url = st.session_state, st.query_params
    if "large" not in state:
        state.large = url.get("large") == "1"

    def choose() -> None:
        state.large = state.large_switch

    st.toggle("Large", state.large, key="large_switch", on_change=choose, help=_LARGE)
    if state.large:
        st.html(_LARGER)
        if url.get("large") != "1":
            url["large"] = "1"
    elif "large" in url:
        del url["large"]


def one_of(label: str, key: str, words: dict[str, str], default: str = "", **options) -> str:
    """A row of buttons of which one is always pressed, to begin with the first or `default`;
    `options` as of `st.segmented_control`."""
    names = list(words)
    return st.segmented_control(
        label,
        names,
        key=key,
        default=default or names[0],
        required=True,
        width="content",
        format_func=lambda name: words[name],
        persist_state="session",  # it is there again when one comes back
        **options,
    )


def wrapping(key: str, least: int = 18) -> DeltaGenerator:
    """A container whose columns stand below each other where they would be narrower than so many
    rem."""
    st.html(f"<style>.st-key-{key} .stColumn {{ min-width: min({least}rem, 100%); }}</style>")
    return st.container(key=key)
