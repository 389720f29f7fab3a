"""What a ticket looks like inside: layers, values, units, and what died when."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from lottery_core.findings import anatomy
from lottery_core.report import ticket_figures, weight_figures
from lottery_core.spec.datasets import PIXELS
from lottery_core.store import Level
from ui.frame import one_of, wrapping
from ui.gallery import gallery, sprite_of
from ui.plot import plot
from ui.reading import whole
from ui.scrubber import scrubber
from ui.ticket import Subject

_STRONGEST = 15  # links of a unit that are drawn
_GONE = "A level of this experiment could not be read; it is computed again when it is asked for."


def show_inside(subject: Subject) -> None:
    """Layers, then values, then units."""
    level, dense = whole(subject.key), whole(subject.dense_key)
    if level is None or dense is None:
        st.warning(_GONE)
        return
    _layers(level)
    _values(subject, level, dense)
    _units(subject, level)


def _layers(level: Level) -> None:
    st.subheader("Layers")
    table = anatomy.layers(level)
    st.markdown(anatomy.in_words(table))
    per_pixel = anatomy.kept_per_pixel(level.mask)
    left, right = wrapping("ticket_layers").columns([3, 2])
    with left:
        plot(ticket_figures.layers_figure(table, 320), "plot_ticket_layers")
    with right:
        if per_pixel is not None:
            units = int(table["units"].iloc[0])
            plot(weight_figures.pixels_figure(per_pixel, units, 320), "plot_ticket_pixels")
    shown = pd.DataFrame(
        {
            "layer": table["layer"],
            "kept": table["kept"],
            "pruned": table["pruned"],
            "density, %": 100 * table["density"],
            "norm at restart": table["norm_restart"],
            "norm trained": table["norm_trained"],
            "a unit reads": [_range(row, "fan_in") for row in table.itertuples()],
            "an input is read by": [_range(row, "fan_out") for row in table.itertuples()],
            "dead units": table["dead_units"],
            "unread inputs": table["unread_inputs"],
        }
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        column_config={
            "kept": number(format="localized"),
            "pruned": number(format="localized"),
            "density, %": number(format="%.2f"),
            "norm at restart": number(format="%.2f"),
            "norm trained": number(format="%.2f"),
            "a unit reads": st.column_config.TextColumn(
                help="Kept weights per unit: mean (least to greatest)."
            ),
            "an input is read by": st.column_config.TextColumn(
                help="Kept weights per input: mean (least to greatest)."
            ),
            "dead units": number(
                help="On no path from a pixel to an answer: they read nothing that depends on "
                "the image, or nothing reads them."
            ),
        },
    )
    st.caption(
        "Norms are Euclidean, of the kept weights. Biases are neither pruned nor counted. "
        "A dead unit may still pass on its bias, the same for every image."
    )


def _range(row, what: str) -> str:
    mean, least, greatest = (getattr(row, f"{what}_{of}") for of in ("mean", "least", "greatest"))
    return f"{mean:.1f} ({least} to {greatest})"


def _names(level: Level) -> dict[str, str]:
    return {name: anatomy.short(name) for name in level.mask}


def _values(subject: Subject, level: Level, dense: Level) -> None:
    st.subheader("Values")
    words = {"all": "All layers"} | _names(level)
    chosen = one_of("Of", "values_of", words)
    names = list(level.mask) if chosen == "all" else [chosen]
    left, middle, right = wrapping("ticket_values").columns(3)
    initial = anatomy.initial_values(dense, level, names)
    training = anatomy.restart_values(level, names)
    moved = anatomy.distances(dense, level, names)
    for column, found, title, axis in (
        (left, initial, "Initial values: were the survivors large?", "initial value"),
        (middle, training, "Survivors before and after training", "value"),
        (right, moved, "How far weights moved, dense training", "|after - before|"),
    ):
        with column:
            figure = ticket_figures.histogram_figure(
                found.edges, dict(found.shares), dict(found.counts), title, axis
            )
            plot(figure, f"plot_ticket_{axis.split()[-1].strip('|')}_{title[0]}")
    st.markdown(anatomy.moves_in_words(anatomy.moves(level, names)))
    if not subject.n:
        st.caption("Level 0 keeps every weight: all of them are survivors.")
    else:
        st.caption(
            "After appendix F of the paper. Shares are of each group, in the same bins; the "
            "thousandth part that lies beyond the ends is counted in the outermost bins."
        )


def _units(subject: Subject, level: Level) -> None:
    st.subheader("Units")
    names = _names(level)
    name = one_of("Layer", "units_of", names)
    table = anatomy.units(level, name)
    inputs = level.mask[name].shape[1]
    pixels = name == next(iter(names)) and inputs == PIXELS
    chooser, reads, read_by = wrapping("ticket_units").columns([5, 4, 4])
    with chooser:
        st.caption("Those with most kept weights first; dashed ones are dead. Press one.")
        key = f"units_{subject.key}_{names[name]}"
        number = gallery(table, _sprite(subject.key, name) if pixels else "", inputs, key, None)
    found = anatomy.unit(level, name, number)
    row = table[table["unit"] == number].iloc[0]
    title = f"Unit {number} of {names[name]} reads {row['reads']:,} of {inputs:,}"
    with reads:
        if pixels:
            figure = ticket_figures.unit_pixels_figure(found.reads, title)
        else:
            before = list(names.values())[list(names).index(name) - 1]
            links = [(f"{before} {i}", w) for i, w in anatomy.strongest(found.reads, _STRONGEST)]
            figure = ticket_figures.links_figure(links, title, "It reads nothing.")
        plot(figure, "plot_unit_reads")
    with read_by:
        if found.read_by is None:
            st.info(f"This is the answer for class {number}: nothing reads it.")
            return
        after = list(names.values())[list(names).index(name) + 1]
        kind = "answer" if after == list(names.values())[-1] else after
        links = [(f"{kind} {i}", w) for i, w in anatomy.strongest(found.read_by, _STRONGEST)]
        title = f"It is read by {row['read_by']:,} of {len(found.read_by):,}"
        plot(ticket_figures.links_figure(links, title, "Nothing reads it."), "plot_unit_read_by")
        if max(row["read_by"], 0 if pixels else row["reads"]) > _STRONGEST:
            st.caption(f"The {_STRONGEST} strongest are drawn.")


@st.cache_data(show_spinner=False, max_entries=8)
def _sprite(key: str, name: str) -> str:
    level = whole(key)
    trained = np.where(level.mask[name], level.end[name], np.float32(np.nan))
    return sprite_of(trained[anatomy.units(level, name)["unit"].to_numpy()])


# What died when


@st.cache_resource(show_spinner=False, max_entries=4)
def _deaths(keys: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    levels = (whole(key) for key in keys)
    masks = [level.mask if level else None for level in levels]
    return None if None in masks else anatomy.deaths(masks)


def show_survival(subject: Subject) -> None:
    """For each weight the round in which it died, with the rounds to scrub through."""
    keys = anatomy.chain(subject.experiment, subject.n)
    died = _deaths(keys)
    if died is None:
        _deaths.clear(keys)
        st.warning(_GONE)
        return
    st.subheader("Which weights died in which round")
    if not subject.n:
        st.info("Level 0 is the dense network: nothing has died yet. Move the level up.")
        return
    n = scrubber(subject.n, subject.n, False, f"survival_{subject.key}", None, "Round")
    names = list(died)
    layer = {name: anatomy.short(name) for name in names}
    first, *others = names

    def draw(name: str, height: int) -> None:
        shown = anatomy.deaths_until(died[name], n)
        figure = ticket_figures.survival_figure(shown, layer[name], n, subject.n, height)
        plot(figure, f"plot_survival_{layer[name]}")

    mask = {name: anatomy.deaths_until(rounds, n) == 0 for name, rounds in died.items()}
    per_pixel = anatomy.kept_per_pixel(mask)
    wide, narrow = wrapping("ticket_survival").columns([2, 1])
    with wide:
        draw(first, 400)
    with narrow:
        if per_pixel is not None:
            units = len(died[first])
            plot(weight_figures.pixels_figure(per_pixel, units, 400), "plot_survival_pixels")
    for pair in (others[i : i + 2] for i in range(0, len(others), 2)):
        for column, name in zip(st.columns(len(pair)), pair, strict=True):
            with column:
                draw(name, 320)
    if per_pixel is not None:
        _one_unit(mask, died, n, subject)


def _one_unit(mask: dict, died: dict, n: int, subject: Subject) -> None:
    name = next(iter(died))
    units = len(died[name])
    left, right = st.columns(2, vertical_alignment="center")
    with left:
        number = st.number_input(
            f"A hidden unit of {anatomy.short(name)}, 0 to {units - 1}",
            0,
            units - 1,
            int(mask[name].sum(axis=1).argmax()),
            key=f"survival_unit_{subject.key}",
        )
        kept = int(mask[name][number].sum())
        st.markdown(f"After round {n} it reads **{kept:,}** of {PIXELS} pixels.")
    with right:
        rounds = anatomy.deaths_until(died[name][number], n).reshape(28, 28)
        figure = ticket_figures.survival_figure(
            rounds, f"Unit {number}", n, subject.n, 320, square=True
        )
        plot(figure, "plot_survival_unit")
