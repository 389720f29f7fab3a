"""What one unit of a network reads."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lottery_core.findings import anatomy
from lottery_core.findings.flow import reads_pixels, sources
from lottery_core.report import ticket_figures, weight_figures
from lottery_core.spec.networks import Network
from ui.shared.plot import plot

STRONGEST = 15  # links of a unit that are drawn


def word_of(network: Network, name: str) -> str:
    """What a unit of a layer is called."""
    return "Channel" if network.shapes[name][2:] else "Unit"


def show_reads(
    network: Network,
    name: str,
    number: int,
    reads: np.ndarray,
    key: str,
    *,
    styled: bool = False,
) -> None:
    """What a unit reads, weights in the shape of `read_shape`, NaN where pruned: an image, kernels,
    or its strongest links."""
    kept = int(np.isfinite(reads).sum())
    title = f"{word_of(network, name)} {number} of {anatomy.short(name)} reads {kept:,} of "
    title += f"{reads.size:,}"
    of_image = reads_pixels(network, name)
    if reads.ndim == 1:
        before = sources(network, name)
        label = anatomy.short(before[0]) if len(before) == 1 else "channel"
        links = [(f"{label} {i}", w) for i, w in anatomy.strongest(reads, STRONGEST)]
        figure = ticket_figures.links_figure(links, title, "It reads nothing.")
    elif of_image and len(reads) == 3:
        scale = float(np.abs(np.nan_to_num(reads)).max()) or 1.0
        figure = weight_figures.colours_figure(reads[None], title, scale, "filter", 380)
    else:
        figure = weight_figures.maps_figure(reads, title, "pixel" if of_image else "channel")
    plot(figure, key, styled=styled)
    if reads.ndim == 1 and kept > STRONGEST:
        st.caption(f"The {STRONGEST} strongest are drawn.")
