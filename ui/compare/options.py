"""How charts are drawn, and which size is looked at."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from lottery_core.findings.comparison import at_density, same_density
from lottery_core.findings.naming import in_common, what_differs
from lottery_core.findings.verdict import picked
from lottery_core.spec.sizes import size_in_words
from ui.compare.charts import GROUP
from ui.compare.chosen import Compared
from ui.compare.curves import level_curves, level_frames
from ui.compare.link import change_view, widget_key
from ui.shared.chart_options import choose_axis, choose_bands, say_one_seed
from ui.shared.frame import one_of
from ui.shared.plot import legend
from ui.shared.text import plain
from ui.shared.words import say_small

_CURVES = {"accuracy": "Test accuracy", "loss": "Validation loss"}


def show_view_options(compared: Compared) -> Compared:
    """The legend of all charts, and how they are drawn."""
    view = compared.view
    together = in_common(compared.lines)
    say_small(f"{'All: ' if len(compared.lines) > 1 else ''}{plain(together)}.")
    if differing := what_differs(compared.lines):
        st.caption(f"What differs besides the arm: {plain('; '.join(differing))}.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        axis = choose_axis(widget_key("axis"), view.axis)
        bands = view.bands
        if compared.seeds > 1:
            bands = choose_bands("Bands over the seeds", widget_key("bands"), bands)
        names = list(view.lines)
        reference = st.selectbox(
            "Compare with",
            names,
            names.index(compared.reference.id),
            key=widget_key("reference", (names, list(compared.words.values()))),
            format_func=compared.words.__getitem__,
            width=340,
        )
    if compared.seeds == 1:
        say_one_seed()
    named = "" if reference == names[0] else reference
    found = _change(compared, axis=axis, bands=bands, reference=named)
    legend(level_curves(found, "test_accuracy"), "compare_legend", GROUP)
    return found


def _change(compared: Compared, **changes) -> Compared:
    return replace(compared, view=change_view(**changes))


def choose_level(compared: Compared) -> Compared:
    """Which size and which curve to look at, among those that any line has."""
    options = _percents(compared)
    usual = _usual_percent(compared, options)
    asked = compared.view.percent
    value = min(options, key=lambda percent: abs(percent - (usual if asked is None else asked)))
    if asked is not None and not same_density(value, asked):
        st.warning(
            f"No run here has a network with {size_in_words(asked)} of the weights; the nearest is "
            "shown."
        )
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        if len(options) > 1:
            value = st.select_slider(
                "Weights remaining",
                options,
                value,
                key=widget_key("percent", (options, usual)),
                format_func=size_in_words,
            )
    with right:
        curve = one_of("Training curve", widget_key("curve"), _CURVES, compared.view.curve)
    found = _change(compared, percent=None if value == usual else value, curve=curve)
    return replace(found, percent=value)


def _percents(compared: Compared) -> list[float]:
    """All densities that any line has, each once."""
    frames = level_frames(compared, "test_accuracy").values()
    found: list[float] = []
    for percent in sorted({p for frame in frames for p in frame["percent"]}, reverse=True):
        if not found or not same_density(percent, found[-1]):
            found.append(round(percent, 2 if percent > 1 else 4))
    return found or [100.0]


def _usual_percent(compared: Compared, options: list[float]) -> float:
    """The reference's level that every page begins with, or the smallest network that all have."""
    found = picked(compared.runs[compared.reference.id])
    shared = options
    for frame in level_frames(compared, "test_accuracy").values():
        if len(frame):
            shared = [p for p in shared if any(at_density(frame, p))] or shared
    won = [p for p in options if found and same_density(found.percent, p)]
    return (won or shared)[-1]
