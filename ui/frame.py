"""What every page begins with."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_ICON = Path(__file__).resolve().parent.parent / "static" / "ticket.svg"
PAGES = (
    ("app.py", "Explorer", ":material/explore:"),
    ("pages/runs.py", "Runs", ":material/history:"),
)


def begin(title: str) -> None:
    """Set the page up, and list the pages in the sidebar."""
    st.set_page_config(
        page_title=f"{title} · Lottery Ticket Explorer",
        # A file: icons by name are fetched from elsewhere.
        page_icon=str(_ICON),
        layout="wide",
    )
    with st.sidebar:
        for path, label, icon in PAGES:
            st.page_link(path, label=label, icon=icon)
