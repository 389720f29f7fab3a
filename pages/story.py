"""Story: the notebook's walk in six steps, computed live on the reader's own machine."""

import streamlit as st

from ui.shared.frame import page
from ui.shared.plot import preload
from ui.shared.trouble import live
from ui.story.controls import show_controls
from ui.story.live import is_live, signature
from ui.story.run import active, read
from ui.story.steps import STEPS, choose_step, show_neighbours, show_step

TICK = 0.6  # seconds between two looks at how far it is
DRAW = 1.0  # seconds between two drawings of a step that is being computed
IDLE = 2.0  # while nothing runs here: somebody else may start the same
# Words and picture below each other where they would be squeezed beside each other.
NARROW = '<style>[class*="st-key-story_step"] .stColumn { min-width: 19rem; }</style>'

with page("Story"):
    st.title("Story")
    st.markdown(
        "In 2018 Jonathan Frankle and Michael Carbin found that a large neural network that "
        "learns well has a small one inside that would have learned as well alone. Find one "
        "yourself, in six steps. Every number is of networks trained on this machine: while you "
        "read, or before by whoever asked for the same."
    )
    run = read()
    step = choose_step()
    shown, busy = signature(run), active(run)

    @live(TICK if busy else IDLE)
    def controls() -> None:
        """The button or the bar; and a new look at the whole page when more has changed."""
        if signature(run) != shown:
            st.rerun()
        show_controls(run, step)

    with st.container(key="controls"):
        controls()
    st.html(NARROW)
    # Each step in a container of its own: what comes and goes in one must not move the next.
    for n in [step] if step else STEPS:
        with st.container(key=f"story_step{n}", border=True):
            every = DRAW if is_live(run, n) else None
            live(every)(show_step)(run, n)
    if step:
        show_neighbours(run, step)
    if not any(shown[0]):
        preload()
