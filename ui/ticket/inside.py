"""What a ticket looks like inside: its layers, and the values of its weights; then its units."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lottery_core.findings import anatomy, values
from lottery_core.report import ticket_figures, weight_figures
from lottery_core.report.network_figure import network_figure
from lottery_core.spec.networks import Network
from lottery_core.store import Level
from ui.shared.frame import wrapping
from ui.shared.layers import one_layer
from ui.shared.plot import plot
from ui.shared.reading import whole
from ui.shared.text import capital
from ui.shared.words import show_words
from ui.ticket.subject import GONE, Subject
from ui.ticket.units import show_units


def show_inside(subject: Subject) -> None:
    """Layers, then values, then units."""
    level, dense = whole(subject.key), whole(subject.dense_key)
    if level is None or dense is None:
        st.warning(GONE)
        return
    _layers(level, subject.experiment.recipe.net)
    _values(subject, level, dense)
    show_units(subject, level)


def _layers(level: Level, network: Network) -> None:
    st.header("Layers")
    table = anatomy.layers(level, network)
    st.markdown(f"{capital(network.in_words)}. {anatomy.in_words(table)}")
    kept = {name: int(mask.sum()) for name, mask in level.mask.items()}
    plot(network_figure(network, kept), "plot_ticket_network")
    per_pixel = anatomy.kept_per_pixel(level.mask, network.input)
    figure = ticket_figures.layers_figure(table, 320)
    if per_pixel is None:
        plot(figure, "plot_ticket_layers")
    else:
        left, right = wrapping("ticket_layers").columns([3, 2])
        with left:
            plot(figure, "plot_ticket_layers")
        with right:
            units = int(table["units"].iloc[0])
            plot(weight_figures.pixels_figure(per_pixel, units, 320), "plot_ticket_pixels")
    _table(table)
    st.caption(
        "Norms are Euclidean, of the kept weights. Biases are neither pruned nor counted"
        + (", nor is batch norm" if network.buffers else "")
        + ". A dead unit may still pass on its bias, the same for every image."
        + (" A unit of a convolution is a channel." if network.is_convolutional else "")
    )


def _table(table: pd.DataFrame) -> None:
    kernels = {
        "kernels kept": [
            f"{row.kernels_kept:,} of {row.kernels:,}" if row.kernels else "-"
            for row in table.itertuples()
        ]
    }
    shown = pd.DataFrame(
        {
            "layer": table["layer"],
            "kept": table["kept"],
            "pruned": table["pruned"],
            "density, %": 100 * table["density"],
            **(kernels if table["kernels"].any() else {}),
            "norm at restart": table["norm_restart"],
            "norm trained": table["norm_trained"],
            "a unit reads": [_range(row, "fan_in") for row in table.itertuples()],
            "an input is read by": [_range(row, "fan_out") for row in table.itertuples()],
            "dead units": table["dead_units"],
            "unread inputs": table["unread_inputs"],
        }
    )
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        column_config={
            "kept": number(format="localized"),
            "pruned": number(format="localized"),
            "density, %": number(format="%.2f"),
            "kernels kept": text(help="Kernels that have a weight left."),
            "norm at restart": number(format="%.2f"),
            "norm trained": number(format="%.2f"),
            "a unit reads": text(help="Kept weights per unit: mean (least to greatest)."),
            "an input is read by": text(help="Kept weights per input: mean (least to greatest)."),
            "dead units": number(
                help="On no path from a pixel to an answer: they read nothing that depends on "
                "the image, or nothing reads them."
            ),
        },
    )


def _range(row, what: str) -> str:
    mean, least, greatest = (getattr(row, f"{what}_{of}") for of in ("mean", "least", "greatest"))
    return f"{mean:.1f} ({least} to {greatest})"


def _values(subject: Subject, level: Level, dense: Level) -> None:
    st.header("Values")
    words = {"all": "All layers"} | {name: anatomy.short(name) for name in level.mask}
    chosen = one_layer("Of", "values_of", words)
    names = list(level.mask) if chosen == "all" else [chosen]
    left, middle, right = wrapping("ticket_values").columns(3)
    initial = values.initial_values(dense, level, names)
    training = values.restart_values(level, names)
    moved = values.distances(dense, level, names)
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
    show_words("dense, pruned")  # in the charts
    if subject.experiment.supermask(subject.n):
        st.markdown("No weight moved while this level's mask was learned.")
    else:
        st.markdown(values.moves_in_words(values.moves(level, names)))
    if not subject.n:
        st.caption("Level 0 keeps every weight: all of them are survivors.")
    else:
        st.caption(
            "After appendix F of the paper. Shares are of each group, in the same bins; the "
            "thousandth part that lies beyond the ends is counted in the outermost bins."
        )
