"""Speed: what sparse training and sparse answers cost on the reader's own machine."""

import streamlit as st

from ui.shared.frame import page
from ui.shared.tasks import choose, is_active, runs, show_controls
from ui.shared.trouble import live
from ui.shared.words import say
from ui.speed import LINK, plan_in_words, show_limits, show_measured, why_not

with page("Speed"):
    st.title("Speed")
    say(
        "The notebook ends on a catch: a pruned network kept as dense tensors full of zeros "
        "trains no faster than a dense one. The compiled loop here leaves the zeros out. Measure "
        "what that is worth on your machine."
    )
    known = runs()
    experiment, params, _ = known[choose(known, LINK)]
    active = is_active("measure", experiment)

    @live(0.7 if active else None)
    def controls() -> None:
        """The button or the bar; and the whole page again when a measurement begins or ends."""
        if is_active("measure", experiment) != active:
            st.rerun()
        show_controls("measure", experiment, params, plan_in_words(experiment), "level")

    with st.container(key="controls"):
        if why := why_not(experiment):
            st.info(why, icon=":material/timer_off:")
        else:
            controls()
    with st.container():
        if not why:
            show_measured(experiment, params)
    show_limits()
