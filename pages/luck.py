"""Anatomy of luck: what of a ticket can be changed, and what loses it."""

import streamlit as st

from ui.luck import choose, show_controls, show_found
from ui.shared.frame import page
from ui.shared.jobs import any_active, signature
from ui.shared.trouble import live
from ui.shared.words import say

TICK = 0.7  # seconds between two looks at how far the trainings are
IDLE = 3.0  # while none of them runs: somebody else may start one

with page("Luck"):
    st.title("Anatomy of luck")
    say(
        "What makes a ticket: which weights it keeps, their signs, their magnitudes, or the order "
        "in which it sees the images? Change one at a time, or several at once, train again over "
        "the same seeds, and see what loses its accuracy (Frankle and Carbin 2018, "
        "[arXiv 1803.03635](https://arxiv.org/abs/1803.03635); Zhou et al. 2019, "
        "[arXiv 1905.01067](https://arxiv.org/abs/1905.01067); masks matched to other weights: "
        "Adnan et al. 2025, [arXiv 2505.05143](https://arxiv.org/abs/2505.05143))."
    )
    asked = choose()

    @live(TICK if any_active(asked.experiments) else IDLE)
    def controls() -> None:
        """Train or Stop, and how far it is; the whole page again when more has changed."""
        if signature(asked.experiments) != asked.signature:
            st.rerun()
        show_controls(asked)

    with st.container(key="controls"):
        controls()
    with st.container():
        show_found(asked)
