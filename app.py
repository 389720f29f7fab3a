"""Explorer: choose a schedule, watch the ticket being found, take its mask away."""

from pathlib import Path

import streamlit as st

from ui.explorer import results
from ui.explorer.charts import show_screen
from ui.explorer.class_board import show_class
from ui.explorer.classroom import has_changed
from ui.explorer.lives import show_life
from ui.explorer.reach import reach_start
from ui.explorer.sidebar import choose
from ui.explorer.status import show_ends, show_refusals, show_watched, signature, state_of, watch
from ui.explorer.steps import show_button, show_now, show_stage
from ui.shared.frame import page
from ui.shared.plot import preload
from ui.shared.trouble import live

TICK = 0.6  # seconds between two looks at how far a run is
DRAW = 1.0  # seconds between two drawings: on a laptop the browser competes with the training
IDLE = 2.0  # while nothing runs here: somebody else may start the same experiment

with page("Explorer"):
    st.html(Path(__file__).parent / "ui/explorer/explorer.css")
    selection = choose()

    # Before anything is drawn from it: what changes meanwhile is noticed by the next look.
    state = state_of(selection)
    shown = signature(selection, state)
    watch(selection, state)
    begun = state.active or state.finished > 0
    looked = [state]  # for the first drawing, which comes at once

    @live(TICK if state.active or shown[-1] else IDLE)
    def live_progress() -> None:
        """The bar; and a new look at the whole page when more than it has changed."""
        now = looked.pop() if looked else state_of(selection)
        if signature(selection, now) != shown or has_changed(selection.seat):
            st.rerun()
        show_now(selection, now)

    @live(DRAW if state.active else None)
    def live_screen() -> None:
        """The curves and the weights."""
        show_screen(selection, state.active)

    # Each part in a container of its own: what comes and goes in one (bars, the result) must not
    # move the next, whose charts would be made anew.
    with st.container(key="explorer"):
        with st.container():
            results.show_title(selection, begun)
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
            show_stage(selection, state)
        with st.container():
            show_refusals(selection, state)
            show_watched(selection)
            show_ends(selection, state)
        if selection.experiments:
            with st.container():
                if not state.active:
                    results.show_sentence(selection)
                    if begun:
                        results.show_words_of_charts(selection)
            if begun:
                with st.container():
                    live_screen()
                with st.container():  # above the charts there is no room while it trains
                    if state.active:
                        results.show_words_of_charts(selection)
                results.show_results(selection)
                show_life()
            else:
                results.show_what_will_happen()
                preload()
