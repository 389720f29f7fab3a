"""Runs: every request this cache knows of, and a way back to it."""

import time

import streamlit as st

from lottery_core.running.time_left import in_words
from ui.runs import link_of, requests, state_in_words, title
from ui.shared.frame import page
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.shared.trouble import live

with page("Runs"):
    st.title("Runs")
    if not runtime().store.jobs():
        st.info("Nothing has been run yet. Choose an experiment in the Explorer and press Start.")
        st.page_link("app.py", label="To the Explorer", icon=":material/explore:")

    @live(2)
    def table() -> None:
        """A card a request, newest first."""
        for jobs in requests():
            first = jobs[0]
            with st.container(border=True, key=f"run_{first.key}"):
                what, how, link = st.columns([4, 3, 1.2], vertical_alignment="center")
                what.markdown(title(jobs))
                ago = in_words(max(1.0, time.time() - first.submitted))
                how.markdown(f"{state_in_words(jobs)}, asked {ago} ago")
                for message in dict.fromkeys(job.message for job in jobs if job.message):
                    how.caption(plain(message))
                page, params = link_of(first)
                if params:
                    link.page_link(page, label="Open", query_params=params)

    table()
