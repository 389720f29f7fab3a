"""Compare: experiments and arms side by side, at equal density and seed by seed."""

import streamlit as st

from ui.compare.actions import is_active, show_actions, show_empty, show_progress
from ui.compare.charts import show_overview, show_training
from ui.compare.chosen import choose
from ui.compare.downloads import show_downloads
from ui.compare.link import write_url
from ui.compare.options import choose_level, show_view_options
from ui.compare.states import signature
from ui.compare.words import show_differences, show_sentences, show_verdict
from ui.shared.frame import page
from ui.shared.trouble import live
from ui.shared.words import say

TICK = 0.6  # seconds between two looks at how far the runs are
IDLE = 2.0  # while nothing runs here: somebody else may start one of them
DRAW = 1.5  # seconds between two drawings

with page("Compare"):
    st.title("Compare")
    say(
        "Is it the mask, the initial weights, or luck? Put a ticket beside its controls, or any "
        "experiments beside each other, over the same seeds."
    )
    compared = choose()
    if compared is None:
        show_empty()
        st.stop()
    show_actions(compared)
    active = is_active(compared)

    @live(TICK if active else IDLE)
    def live_progress() -> None:
        """The bars; and a new look at the whole page when more than they have changed."""
        if signature(compared.lines) != compared.signature:
            st.rerun()
        show_progress(compared)

    @live(DRAW if active else None)
    def live_training() -> None:
        """The chart that grows while a level trains."""
        show_training(compared)

    # Each part in a container of its own: what comes and goes in one must not move the next, whose
    # charts would be made anew.
    if compared.lines:
        with st.container():
            live_progress()
        verdict = st.container()
        with st.container():
            compared = show_view_options(compared)
        with verdict:
            show_verdict(compared)
        if any(compared.runs.values()):
            with st.container():
                show_overview(compared)
            st.header("At one size")
            with st.container():
                compared = choose_level(compared)
            left, right = st.columns(2)
            with left:
                live_training()
            with right:
                show_sentences(compared)
            with st.container():
                show_differences(compared)
            show_downloads(compared)
    write_url()
