"""Which layer to look at, where a network has too many to show them all."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from ui.shared.frame import one_of

SHOWN = 6  # layers that are all drawn; of more one is chosen


def one_layer(label: str, key: str, names: Mapping[str, str]) -> str:
    """One of a few layers by a row of buttons, of many by a list."""
    if len(names) <= SHOWN + 1:
        return one_of(label, key, dict(names))
    return st.selectbox(label, list(names), key=key, format_func=names.__getitem__, width=260)
