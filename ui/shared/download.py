"""A button that hands out a file."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from lottery_core.findings.handout.asked import slug


def download(
    label: str, name: str, data: bytes | Callable[[], bytes], *, disabled: bool = False
) -> None:
    """A button with that label for a file of that name. What makes its content is called when it
    is pressed, on another thread without a session."""
    st.download_button(
        label,
        data,
        name,
        on_click="ignore",
        icon=":material/download:",
        key=f"download_{slug(label)}",
        disabled=disabled,
    )
