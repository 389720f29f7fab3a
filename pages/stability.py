"""Stability: whether the order of the data decides which network is found."""

import streamlit as st

from ui import barriers
from ui.early import show_early
from ui.shared.frame import page
from ui.shared.tasks import choose, is_active, runs, show_controls
from ui.shared.trouble import live
from ui.shared.words import say
from ui.stability import LINK, TASK, plan_in_words, show_measured

with page("Stability"):
    st.title("Stability")
    say(
        "Train two copies of a network from the same weights, in different data orders, and walk "
        "in a straight line from one result to the other. If the error rises on the way, the order "
        "of the data decided which valley each fell into: the network was not yet stable where "
        "they parted. Tickets are found by rewinding to where it is (Frankle et al. 2020, "
        "[arXiv 1912.05671](https://arxiv.org/abs/1912.05671))."
    )
    known = runs()
    experiment, params, _ = known[choose(known, LINK)]
    active = is_active(TASK, experiment)

    @live(0.7 if active else None)
    def controls() -> None:
        """The button or the bar; and the whole page again when a measurement begins or ends."""
        if is_active(TASK, experiment) != active:
            st.rerun()
        plan = plan_in_words(experiment)
        show_controls(TASK, experiment, params, plan, "start", again=False)

    with st.container(key="controls"):
        controls()
    with st.container():
        show_measured(experiment)
    with st.container():
        show_early(experiment, params, LINK)
    between = barriers.choose(experiment, params, LINK)
    if between:
        known_of = between.signature

        @live(0.7 if between.active else None)
        def between_controls() -> None:
            """The same for what lies between a ticket and others."""
            if between.signature != known_of:
                st.rerun()
            barriers.show_controls(between)

        with st.container(key="between_controls"):
            between_controls()
        with st.container():
            barriers.show_found(between)
