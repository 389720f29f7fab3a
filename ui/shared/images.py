"""Images to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st


def show_images(
    images: np.ndarray, captions: Sequence[str], width: int = 64, *, ink: bool = False
) -> None:
    """Images beside each other, each with its caption: uint8 (n, rows, columns), or (n, channels,
    rows, columns) with 1 or 3 channels. With `ink` what is bright is drawn dark on light."""
    if images.ndim == 4:
        images = np.moveaxis(images, 1, -1) if images.shape[1] == 3 else images[:, 0]
    times = max(1, -(-width // images.shape[2]))
    # Enlarged here: the browser would smooth them.
    larger = np.repeat(np.repeat(255 - images if ink else images, times, 1), times, 2)
    st.image(
        list(larger),
        caption=list(captions),
        width=width,
        alt=[f"An image: {words}" for words in captions],
    )
