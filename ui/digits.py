"""Digits to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st


def show_digits(images: np.ndarray, captions: Sequence[str], width: int = 64) -> None:
    """Images, uint8 (n, 28, 28), dark on light beside each other, each with its caption."""
    times = max(1, -(-width // 28))
    # Enlarged here: the browser would smooth them.
    enlarged = [np.repeat(np.repeat(255 - image, times, 0), times, 1) for image in images]
    st.image(
        enlarged,
        caption=list(captions),
        width=width,
        alt=[f"A digit: {words}" for words in captions],
    )
