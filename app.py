"""Explorer: choose a schedule, watch the ticket being found, take its mask away."""

import streamlit as st

from ui.explorer.charts import show_charts
from ui.explorer.heatmaps import show_heatmaps
from ui.explorer.results import show_results, show_sentence, show_what_will_happen
from ui.explorer.sidebar import choose
from ui.explorer.status import show_controls, show_progress, state_of
from ui.shared.frame import page
from ui.shared.jobs import finished_keys
from ui.shared.plot import preload
from ui.shared.trouble import live

TICK = 0.6  # seconds between two looks at how far a run is
DRAW = 1.0  # seconds between two drawings: on a laptop the browser competes with the training
IDLE = 2.0  # while nothing runs here: somebody else may start the same experiment

with page("Explorer"):
    st.title("Lottery Ticket Explorer")
    st.markdown(
        "Inside a dense network that trains well sits a sparse one that, restarted from its own "
        "initial weights, trains just as well. Choose how to look for it in the sidebar, press "
        "Start, and watch."
    )
    selection = choose()

    def signature() -> tuple:
        """What, when it changes, changes more of the page than its live parts."""
        now = state_of(selection)
        levels = finished_keys(selection.experiments)
        return tuple(job and job.state for job in now.jobs), now.complete, levels

    # Before anything is drawn from it: what changes meanwhile is noticed by the next look.
    shown = signature()
    state = state_of(selection)
    show_controls(selection, state)

    @live(TICK if state.active else IDLE)
    def live_progress() -> None:
        """The bars; and a new look at the whole page when more than they have changed."""
        if signature() != shown:
            st.rerun()
        show_progress(selection, state_of(selection))

    @live(DRAW if state.active else None)
    def live_charts() -> None:
        """The curves and the weights."""
        show_charts(selection)
        show_heatmaps(selection.main, state.active)

    # Each part in a container of its own: what comes and goes in one (bars, the result) must not
    # move the next, whose charts would be made anew.
    if selection.experiments:
        with st.container():
            live_progress()
        with st.container():
            show_sentence(selection)
        if state.active or shown[-1]:
            with st.container():
                live_charts()
            show_results(selection)
        else:
            show_what_will_happen()
            preload()
