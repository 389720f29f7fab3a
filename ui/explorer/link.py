"""The choice between the link, the session and the widgets (see `ui.shared.link`)."""

from __future__ import annotations

import streamlit as st

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.links import read_choice, write_choice
from ui.shared.link import Link

LINK = Link("explorer")
# What a link says besides the choice: how it is looked at.
VIEW = ("curve", "axis", "bands", "weights", "colours", "steps", "at")


def follow_url() -> list[str]:
    """Take the choice from the URL when it is not the one written last; returns problems."""
    if not LINK.follow():
        return []
    said = {name: text for name, text in LINK.asked.items() if name not in VIEW}
    preset, choice, problems = _read(said)
    offer(preset, choice)
    return problems


def offer(preset: str, choice: Choice) -> None:
    """Show `choice` in new widgets."""
    state = st.session_state
    state.preset, state.base, state.choice = preset, choice, choice
    LINK.renew()


def keep(choice: Choice) -> None:
    """What is chosen now, for this session and as a link."""
    st.session_state.choice = choice
    view = {name: text for name, text in LINK.params.items() if name in VIEW}
    LINK.write(write_choice(st.session_state.preset, choice) | view)


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
    return LINK.widget_key(field)
