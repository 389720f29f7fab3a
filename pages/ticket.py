"""Ticket: look inside one, try it, take it away, bring it back."""

import streamlit as st

from ui.shared.frame import page
from ui.shared.words import say
from ui.ticket.bring import show_bring
from ui.ticket.by_hand import show_by_hand
from ui.ticket.inside import show_inside
from ui.ticket.subject import (
    LINK,
    asked_ticket,
    choose,
    choose_view,
    show_empty,
    show_numbers,
    write_url,
)
from ui.ticket.survival import show_survival
from ui.ticket.takeaway import show_takeaway
from ui.ticket.trial import show_trial

SHOWN = {
    "inside": show_inside,
    "survival": show_survival,
    "try": show_trial,
    "hand": show_by_hand,
    "take": show_takeaway,
}

with page("Ticket"):
    st.title("Ticket")
    say(
        "Look inside one trained network: its mask, its weights, and how it answers. Take it away "
        "as a ticket in a file, or bring one back."
    )
    LINK.follow()
    view, ticket = choose_view(), asked_ticket()
    subject = None
    if view == "bring":
        ticket = show_bring(ticket)
    elif (subject := choose()) is not None:
        show_numbers(subject)
        SHOWN[view](subject)
    else:
        show_empty()
    write_url(subject, view, ticket)
