"""Ticket: look inside one, try it, take it away, bring it back."""

import streamlit as st

from ui.frame import begin
from ui.inside import show_inside, show_survival
from ui.ticket import choose, choose_view, follow_url, show_empty, show_numbers, write_url
from ui.trial import show_trial

begin("Ticket")
st.title("Ticket")
st.markdown(
    "One level of one experiment as a thing: its mask, its weights, and how it answers. Take it "
    "away as a file, or bring one back."
)
follow_url()
subject = choose()
if subject is None:
    show_empty()
else:
    show_numbers(subject)
view = choose_view()
if subject is not None:
    {"inside": show_inside, "survival": show_survival, "try": show_trial}.get(view, lambda s: None)(
        subject
    )
write_url(subject, view)
