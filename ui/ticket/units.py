"""A ticket's units one by one: what each reads, and what reads it."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from lottery_core.findings import anatomy
from lottery_core.findings.flow import read_shape, reads_pixels
from lottery_core.report import pixels, ticket_figures
from lottery_core.spec.networks import Network
from lottery_core.store import Level
from ui.shared.frame import wrapping
from ui.shared.gallery import Entry, gallery, sprite_of
from ui.shared.layers import one_layer
from ui.shared.plot import plot
from ui.shared.reading import names_of, network_of, whole
from ui.shared.reads import STRONGEST, show_reads, word_of
from ui.ticket.subject import Subject

_SIDES = {256: 56, 2**31: 28}  # up to so many units: pixels of a picture of one


def show_units(subject: Subject, level: Level) -> None:
    """The units of a layer to choose from, and the one that is chosen."""
    network = subject.experiment.recipe.net
    st.header("Channels and units" if network.is_convolutional else "Units")
    names = {name: anatomy.short(name) for name in level.mask}
    name = one_layer("Layer", "units_of", names)
    chooser, reads, read_by = wrapping("ticket_units").columns([5, 4, 4])
    with chooser:
        st.caption("Those with most kept weights first; dashed ones are dead. Press one.")
        number = _choose(subject, level, network, name)
    found = anatomy.unit(level, network, name, number)
    with reads:
        show_reads(network, name, number, found.reads, "plot_unit_reads")
    with read_by:
        if found.read_by:
            _show_read_by(network, found)
        else:
            answer = names_of(subject.experiment.recipe)[number]
            st.info(f"This is the answer for class {answer}: nothing reads it.")


def _choose(subject: Subject, level: Level, network: Network, name: str) -> int:
    inputs, word = math.prod(network.shapes[name][1:]), word_of(network, name)
    entries = [
        Entry(
            row.unit,
            str(row.unit),
            f"reads {row.reads}",
            f"{word} {row.unit} reads {row.reads} of {inputs}, is read by {row.read_by}"
            + ("" if row.alive else "; dead"),
            row.reads / inputs,
            not row.alive,
        )
        for row in anatomy.units(level, network, name).itertuples()
    ]
    sprite = _sprite(subject.key, name) if len(read_shape(network, name)) == 3 else ""
    label = "Units, those with most kept weights first"
    key = f"units_{subject.key}_{anatomy.short(name)}"
    return gallery(entries, label, key, sprite=sprite)


@st.cache_data(show_spinner=False, max_entries=8)
def _sprite(key: str, name: str) -> str:
    level = whole(key)
    network = network_of(level)
    order = anatomy.units(level, network, name)["unit"].to_numpy()
    maps = anatomy.shown(level, name)[order].reshape(-1, *read_shape(network, name))
    side = next(side for most, side in _SIDES.items() if len(maps) <= most)
    return sprite_of(pixels.thumbnails(maps, colours=reads_pixels(network, name), side=side))


def _show_read_by(network: Network, found: anatomy.Unit) -> None:
    arrays = found.read_by.values()
    single = all(weights.shape[1] == 1 for weights in arrays)
    links = []
    for reader, weights in found.read_by.items():
        label = "answer" if reader == network.output else anatomy.short(reader)
        strengths = weights[:, 0] if single else anatomy.strengths(weights)
        links += [(f"{label} {i}", w) for i, w in anatomy.strongest(strengths, len(strengths))]
    links.sort(key=lambda link: -abs(link[1]))
    kept = sum(int(np.isfinite(weights).sum()) for weights in arrays)
    title = f"It is read by {kept:,} of {sum(weights.size for weights in arrays):,}"
    axis = "weight" if single else "norm of the weights"
    figure = ticket_figures.links_figure(links[:STRONGEST], title, "Nothing reads it.", axis)
    plot(figure, "plot_unit_read_by")
    if len(links) > STRONGEST:
        st.caption(f"The {STRONGEST} strongest are drawn.")
