"""The choice between the link, the session and the widgets.

Widgets are never set from here once they are mounted: what the browser sends at that moment would
overwrite it. A new choice from outside makes a new generation of widgets instead, with
`state.base` for their defaults.
"""

from __future__ import annotations

import streamlit as st

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.links import read_choice, write_choice


def follow_url() -> list[str]:
    """Take the choice from the URL when it is not the one written last; returns problems."""
    state, url = st.session_state, dict(st.query_params)
    if "choice" in state and (url == state.url or not url):
        if not url:  # back from another page, which has no parameters
            offer(state.preset, state.choice)
            state.url = url
        return []
    preset, choice, problems = _read(url)
    offer(preset, choice)
    state.url = url
    return problems


def offer(preset: str, choice: Choice) -> None:
    """Show `choice` in new widgets."""
    state = st.session_state
    state.preset, state.base, state.choice = preset, choice, choice
    state.generation = state.get("generation", 0) + 1


def keep(choice: Choice) -> None:
    """What is chosen now, for this session and as a link."""
    state = st.session_state
    state.choice = choice
    params = write_choice(state.preset, choice)
    if params != state.url:
        st.query_params.from_dict(params)
        state.url = params


def _read(url: dict[str, str]) -> tuple[str, Choice, list[str]]:
    """As `read_choice`, but one bad value spoils only itself."""
    good, problems = {}, []
    for name, text in sorted(url.items(), key=lambda item: item[0] != "preset"):
        try:
            read_choice({**good, name: text})
        except InvalidValue as error:
            problems.append(str(error))
        else:
            good[name] = text
    return *read_choice(good), problems


def widget_key(field: str) -> str:
    """A key for a widget that shows the choice last offered."""
    return f"{field}_{st.session_state.generation}"
