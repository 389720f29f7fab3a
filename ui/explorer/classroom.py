"""The class that a link names (`?class=physics-10b`), and this visitor's seat in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lottery_core.running import classroom
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.presets import DEFAULT_PRESET
from lottery_core.store import Class
from ui.explorer.link import LINK, VIEW, offer
from ui.shared.link import COMMON
from ui.shared.runtime import runtime
from ui.shared.trouble import asking
from ui.shared.visitor import visitor


@dataclass(frozen=True)
class Seat:
    """A visitor's place in a class: the class as it was `found`, their `seed`, and whether they
    teach it."""

    found: Class
    seed: int
    teaches: bool

    @property
    def locked(self) -> bool:
        """Whether this visitor may choose nothing."""
        return self.found.locked and not self.teaches

    def asked(self) -> tuple[str, Choice]:
        """The preset and the choice that the class trains, with this visitor's seed."""
        return classroom.choice_of(self.found, self.seed)


def take_seat() -> Seat | None:
    """This visitor's seat in the class that the link names, or named when the page was left; the
    choices follow the class's. None where there is no class, of which `problem` says why."""
    state, store = st.session_state, runtime().store
    state.class_problem = ""
    name = _named()
    if not name:
        return None
    try:
        if word := st.query_params.pop("teach", ""):  # no longer to be read in the address
            classroom.become_teacher(store, name, visitor(), word)
    except InvalidValue as error:
        state.class_problem = str(error)
    try:
        found = classroom.take_seat(store, name, visitor())
    except InvalidValue as error:
        state.class_problem = str(error)
        return None
    if found is None:
        return None
    st.query_params["class"] = found.name
    seat = Seat(found, found.seed_of(visitor()), visitor() in found.teachers)
    _follow_recipe(seat)
    return seat


def named() -> str:
    """The class that the link named, whether there is one or not; empty without."""
    return st.session_state.get("class_name", "")


def problem() -> str:
    """Why this visitor has no seat, or does not teach, where that is not that there is none."""
    return st.session_state.get("class_problem", "")


def has_changed(seat: Seat | None) -> bool:
    """Whether the page has to be drawn anew: the lock or the recipe of its class is another now,
    or there is a class, or none any more."""
    if not named() or problem():
        return False
    return _told(classroom.find(runtime().store, named())) != _told(seat and seat.found)


def _told(found: Class | None) -> object:
    return found and (found.locked, found.recipe)


@asking
def open_class(name: str, preset: str, choice: Choice) -> None:
    """Open a class of that choice, with this visitor as its teacher."""
    word = classroom.open_class(runtime().store, name, visitor(), preset, choice)
    st.session_state.class_word = word
    st.query_params["class"] = classroom.check_name(name)


def leave() -> None:
    """Look at the Explorer without the class from now on; the seat is kept."""
    st.query_params.pop("class", None)
    _forget()


def take_recipe(seat: Seat) -> None:
    """Choose what the class trains."""
    offer(*seat.asked())


def _named() -> str:
    state, url = st.session_state, st.query_params
    if "class" in url:
        state.class_name = url["class"]
    elif any(name not in COMMON for name in url):  # a link to a run that is shown by itself
        _forget()
    return named()


def _forget() -> None:
    for name in ("class_name", "class_given", "class_word"):
        st.session_state.pop(name, None)


def _follow_recipe(seat: Seat) -> None:
    """Offer the class's recipe to who may choose nothing, who comes without choices of their own,
    and who had the recipe that was the class's before; all others keep what they chose."""
    state = st.session_state
    now = (seat.found.name, dict(seat.found.recipe))
    before = state.get("class_given")
    wanted = state.preset, replace(state.choice, seed=seat.seed, replicates=1)
    if seat.locked or (before != now and _follows(seat, before, wanted[1])):
        wanted = seat.asked()
    state.class_given = now
    if wanted != (state.preset, state.choice):
        offer(*wanted)


def _follows(seat: Seat, before: tuple[str, dict] | None, choice: Choice) -> bool:
    if before is None or before[0] != seat.found.name:
        own = {name: text for name, text in LINK.asked.items() if name not in VIEW}
        return own in ({}, {"preset": DEFAULT_PRESET})  # what stands there while one waits
    earlier = replace(seat.found, recipe=before[1])
    return classroom.choice_of(earlier, seat.seed)[1] == choice
