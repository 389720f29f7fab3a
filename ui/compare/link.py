"""The view between the link, the session and the widgets (see `ui.shared.link`)."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from lottery_core.findings.lines import Line, seeds_asked, usual_lines
from lottery_core.findings.view import View, read_view, write_view
from ui.compare.states import is_finished
from ui.shared.link import Link

LINK = Link("compare")


def follow_url(known: dict[str, Line]) -> list[str]:
    """Take the view from the URL when it is not the one written last; returns what was wrong with
    it."""
    state = st.session_state
    if not LINK.follow() and "compare" in state:
        return state.compare_problems[0]
    view, problems = read_view(LINK.asked, known)
    if not view.lines:
        done = {n for n, line in known.items() if is_finished(line)}
        lines = usual_lines(known, done)
        seeds = view.seeds or (seeds_asked(known[lines[0]]) if lines else ())
        view = replace(view, lines=lines, seeds=seeds)
    offer(view)
    state.compare_problems = (problems, view)
    return problems


def offer(view: View) -> None:
    """Show `view` in new widgets."""
    st.session_state.compare = view
    LINK.renew()


def change_view(**changes: object) -> View:
    """The view with these changes, from now on."""
    st.session_state.compare = replace(st.session_state.compare, **changes)
    return st.session_state.compare


def widget_key(name: str, options: object = "") -> str:
    """A key for a widget that shows the view last offered."""
    # A widget whose options changed would otherwise come back with its first one.
    return LINK.widget_key(f"compare_{name}_{abs(hash(str(options))):x}")


def write_url() -> None:
    """Say in the URL what is shown, once all widgets have been."""
    LINK.write(write_view(st.session_state.compare))
