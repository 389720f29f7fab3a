"""Which layer to look at, where a network has too many to show them all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import streamlit as st

from lottery_core.findings.anatomy import short
from lottery_core.spec.networks import Network, Shape
from ui.shared.frame import one_of
from ui.shared.gallery import Entry, gallery

SHOWN = 6  # layers that are all drawn; of more one is chosen


def choose_layer(network: Network, kept: Mapping[str, int], key: str) -> str:
    """The name of a weight, from a row of buttons with a bar each for what the layer keeps."""
    names = list(network.shapes)
    entries = []
    for n, name in enumerate(names):
        weights = math.prod(network.shapes[name])
        part = kept[name] / weights
        words = f"{short(name)}, {shape_in_words(network.shapes[name])}: {kept[name]:,} of "
        words += f"{weights:,} weights kept"
        entries.append(Entry(n, short(name), f"{part:.1%}", words, part))
    return names[gallery(entries, "Layers, with what they keep", key)]


def one_layer(label: str, key: str, names: Mapping[str, str]) -> str:
    """One of a few layers by a row of buttons, of many by a list."""
    if len(names) <= SHOWN + 1:
        return one_of(label, key, dict(names))
    return st.selectbox(label, list(names), key=key, format_func=names.__getitem__, width=260)


def shape_in_words(shape: Shape) -> str:
    """A layer's weights: "16x6 kernels of 5x5", "10 units, 84 inputs"."""
    outputs, inputs, *kernel = shape
    if not kernel:
        return f"{outputs} units, {inputs} inputs"
    return f"{outputs}x{inputs} kernels of {kernel[0]}x{kernel[1]}"
