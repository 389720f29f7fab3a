"""Explorer: choose a schedule, watch the ticket being found, take its mask away."""

from pathlib import Path

import streamlit as st

from ui.explorer.charts import show_screen
from ui.explorer.class_board import show_class
from ui.explorer.classroom import has_changed
from ui.explorer.reach import reach_start
from ui.explorer.results import show_results, show_sentence, show_title, show_what_will_happen
from ui.explorer.sidebar import choose
from ui.explorer.status import (
    show_button,
    show_ends,
    show_now,
    show_refusals,
    show_watched,
    state_of,
    watch,
    watched,
)
from ui.shared.frame import page
from ui.shared.jobs import finished_keys
from ui.shared.plot import preload
from ui.shared.trouble import live

TICK = 0.6  # seconds between two looks at how far a run is
DRAW = 1.0  # seconds between two drawings: on a laptop the browser competes with the training
IDLE = 2.0  # while nothing runs here: somebody else may start the same experiment

with page("Explorer"):
    st.html(Path(__file__).parent / "ui/explorer/explorer.css")
    selection = choose()

    def signature() -> tuple:
        """What, when it changes, changes more of the page than its live parts."""
        now = state_of(selection)
        others, states = len(watched(selection)), tuple(job and job.state for job in now.jobs)
        return states, now.complete, others, finished_keys(selection.experiments)

    # Before anything is drawn from it: what changes meanwhile is noticed by the next look.
    shown = signature()
    state = state_of(selection)
    watch(selection, state)
    begun = state.active or bool(shown[-1])

    @live(TICK if state.active or shown[-2] else IDLE)
    def live_progress() -> None:
        """The bar; and a new look at the whole page when more than it has changed."""
        if signature() != shown or has_changed(selection.seat):
            st.rerun()
        show_now(selection, state_of(selection))

    @live(DRAW if state.active else None)
    def live_screen() -> None:
        """The curves and the weights."""
        show_screen(selection, state.active)

    # Each part in a container of its own: what comes and goes in one (bars, the result) must not
    # move the next, whose charts would be made anew.
    with st.container(key="explorer"):
        with st.container():
            show_title(selection, begun)
        with st.container():
            show_class(selection)
        with st.container(key="now"):
            left, right = st.columns([4, 1], vertical_alignment="center", gap="small")
            with left:
                live_progress()
            with right:
                show_button(selection, state)
        reach_start(selection, state)
        with st.container():
            show_refusals(selection, state)
            show_watched(selection)
            show_ends(selection, state)
        if selection.experiments:
            with st.container():
                if not state.active:
                    show_sentence(selection)
            if begun:
                with st.container():
                    live_screen()
                show_results(selection)
            else:
                show_what_will_happen()
                preload()
