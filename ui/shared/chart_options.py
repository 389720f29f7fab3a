"""How charts are drawn, where the visitor has a say."""

from __future__ import annotations

import streamlit as st

from ui.shared.frame import one_of

AXES = {"whole": "Everything", "near": "Near the dense network"}
BANDS = {"range": "Least to greatest", "interval": "95\u202f% interval of the mean"}


def choose_axis(key: str, axis: str = "") -> str:
    """Which accuracies the axis spans: "whole" or "near"."""
    return one_of("Accuracy axis", key, AXES, axis)


def choose_bands(label: str, key: str, kind: str = "") -> str:
    """What the bands over several seeds show, one of `replicates.KINDS`."""
    return one_of(label, key, BANDS, kind)


def say_one_seed() -> None:
    """Why there are no bands where there is but one seed."""
    st.caption("One seed: no band can say how far others would lie from it.")
