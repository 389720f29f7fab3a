"""Which of a ticket's weights died in which round."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lottery_core.findings import anatomy
from lottery_core.findings.flow import read_shape
from lottery_core.report import ticket_figures, weight_figures
from lottery_core.spec.networks import Network
from ui.shared.frame import wrapping
from ui.shared.layers import SHOWN
from ui.shared.network import choose_part
from ui.shared.plot import plot
from ui.shared.reading import deaths, whole
from ui.ticket.subject import GONE, Subject

Rounds = dict[str, np.ndarray]


def show_survival(subject: Subject) -> None:
    """For each weight the round in which it died, up to the level that is looked at."""
    keys = anatomy.chain(subject.experiment, subject.n)
    died = deaths(keys)
    if died is None:
        st.warning(GONE)
        return
    st.header("Which weights died in which round")
    st.caption("Each round leads to the next level: press Play above to see them die.")
    if not _is_nested(keys):
        st.caption(
            "This mask keeps weights that the ticket had lost before: they count as alive. Of the "
            "others it is the round in which the ticket lost them, or else the last."
        )
    network = subject.experiment.recipe.net
    if network.is_convolutional:
        _convolutional(subject, network, died)
    else:
        _fully_connected(subject, network, died)


def _is_nested(keys: tuple[str, ...]) -> bool:
    """Whether the last of these levels keeps nothing that the one before had lost."""
    levels = [level for key in keys[-2:] if (level := whole(key))]
    if len(levels) < 2:
        return True
    before, last = (level.mask for level in levels)
    return not any((kept & ~before[name]).any() for name, kept in last.items())


def _draw(subject: Subject, died: Rounds, name: str, height: int) -> None:
    layer, last = anatomy.short(name), len(subject.experiment.rounds)
    figure = ticket_figures.survival_figure(died[name], layer, subject.n, last, height)
    plot(figure, f"plot_survival_{layer}")


def _pairs(subject: Subject, died: Rounds, names: list[str], height: int) -> None:
    for pair in (names[i : i + 2] for i in range(0, len(names), 2)):
        for column, name in zip(st.columns(len(pair)), pair, strict=True):
            with column:
                _draw(subject, died, name, height)


def _convolutional(subject: Subject, network: Network, died: Rounds) -> None:
    if len(died) <= SHOWN:
        _pairs(subject, died, list(died), 400)
        return
    kept = {name: int((rounds == 0).sum()) for name, rounds in died.items()}
    key = f"survival_layer_{subject.experiment.key}"
    name, _ = choose_part(network, kept, key, always=True, units=False)
    _draw(subject, died, name, 460)
    if died[name].ndim == 4 and ticket_figures.coarse(died[name])[0].ndim == 2:
        _one_unit(subject, network, died, name)


def _fully_connected(subject: Subject, network: Network, died: Rounds) -> None:
    first, *others = died
    mask = {name: rounds == 0 for name, rounds in died.items()}
    per_pixel = anatomy.kept_per_pixel(mask, network.input)
    wide, narrow = wrapping("ticket_survival").columns([2, 1])
    with wide:
        _draw(subject, died, first, 400)
    with narrow:
        if per_pixel is not None:
            units = len(died[first])
            plot(weight_figures.pixels_figure(per_pixel, units, 400), "plot_survival_pixels")
    _pairs(subject, died, others, 320)
    _one_unit(subject, network, died, first)


def _one_unit(subject: Subject, network: Network, died: Rounds, name: str) -> None:
    rounds, last = died[name], len(subject.experiment.rounds)
    units, word = len(rounds), "An output channel" if rounds.ndim == 4 else "A hidden unit"
    kept = (rounds == 0).reshape(units, -1).sum(axis=1)
    left, right = st.columns(2, vertical_alignment="center")
    with left:
        number = st.number_input(
            f"{word} of {anatomy.short(name)}, 0 to {units - 1}",
            0,
            units - 1,
            int(kept.argmax()),
            key=f"survival_unit_{subject.experiment.key}_{name}",
        )
        what = "pixels" if rounds.ndim == 2 else "weights"
        st.markdown(
            f"After round {subject.n} it reads **{kept[number]:,}** of "
            f"{rounds[number].size:,} {what}."
        )
    with right:
        maps = rounds[number].reshape(read_shape(network, name))
        title = f"{'Channel' if rounds.ndim == 4 else 'Unit'} {number}"
        figure = ticket_figures.survival_figure(
            maps[:, None], title, subject.n, last, 320, bare=True
        )
        plot(figure, "plot_survival_unit")
