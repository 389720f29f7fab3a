"""What every page begins with."""

from __future__ import annotations

import streamlit as st

PAGES = (
    ("app.py", "Explorer", ":material/explore:"),
    ("pages/runs.py", "Runs", ":material/history:"),
)


def begin(title: str) -> None:
    """Set the page up, and list the pages in the sidebar."""
    st.set_page_config(
        page_title=f"{title} · Lottery Ticket Explorer",
        page_icon=":material/confirmation_number:",
        layout="wide",
    )
    with st.sidebar:
        for path, label, icon in PAGES:
            st.page_link(path, label=label, icon=icon)
