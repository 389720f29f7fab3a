"""Runs: every experiment this cache knows of, and a way back to it."""

import time

import streamlit as st

from lottery_core.experiment import Experiment
from lottery_core.speed import in_words
from ui.frame import begin
from ui.runtime import runtime
from ui.text import plain

begin("Runs")
st.title("Runs")
jobs = runtime().store.jobs()
if not jobs:
    st.info("Nothing has been run yet. Choose an experiment in the Explorer and press Start.")
    st.page_link("app.py", label="To the Explorer", icon=":material/explore:")


@st.fragment(run_every=2)
def table() -> None:
    """A card a run, newest request first."""
    store = runtime().store
    for job in store.jobs():
        experiment = Experiment.from_dict(job.experiment)
        recipe, last = experiment.recipe, experiment.rounds[-1]
        done = sum(store.has(key) for key in experiment.keys)
        with st.container(border=True, key=f"run_{job.key}"):
            what, how, link = st.columns([4, 3, 1.2], vertical_alignment="center")
            sizes = "-".join(map(str, (784, *recipe.hidden, 10)))
            restart = {"rewind": "rewound", "keep": "not rewound", "reinit": "new weights"}
            what.markdown(
                f"**{sizes}** on {recipe.dataset}, {recipe.iterations:,} iterations, "
                f"{len(experiment.rounds)} rounds to {last.sparsity:.1%} sparsity, "
                f"{restart[last.restart]}, seed {recipe.seed}"
            )
            ago = in_words(max(1.0, time.time() - job.submitted))
            how.markdown(f"{job.state}, {done} of {len(experiment.keys)} levels, asked {ago} ago")
            if job.message:
                how.caption(plain(job.message))
            if job.params:
                link.page_link("app.py", label="Open", query_params=job.params)


table()
