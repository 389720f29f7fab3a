"""Where and by which loop to train: no part of the choice, as it changes no result."""

from __future__ import annotations

import streamlit as st

from lottery_core.training.base import LOOPS
from ui.shared.runtime import machine_facts
from ui.shared.text import capital


def _devices() -> list[str]:
    return machine_facts().get("devices", ["cpu"])


def device() -> str:
    """Where to train: what was chosen last, unfolded or not."""
    chosen, devices = st.session_state.get("device"), _devices()
    return chosen if chosen in devices else devices[0]


def loop() -> str:
    """By which loop to train, as `device`."""
    return st.session_state.get("loop", next(iter(LOOPS)))


def ask_device(locked: bool) -> None:
    """Ask where, if there is a choice."""
    devices = _devices()
    if len(devices) > 1:
        st.selectbox(
            "Device",
            devices,
            key="device",
            help="Does not change what is computed.",
            disabled=locked,
            persist_state="session",
        )


def ask_loop(locked: bool) -> None:
    """Ask by which loop."""
    st.selectbox(
        "Training loop",
        list(LOOPS),
        key="loop",
        format_func=lambda name: capital(LOOPS[name]),
        help="Does not change what is computed, only how long it takes.",
        disabled=locked,
        persist_state="session",
    )
