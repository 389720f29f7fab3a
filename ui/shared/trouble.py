"""What is in the way, in a sentence where the visitor looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lottery_core.data import DataUnavailable
from lottery_core.spec.checks import InvalidValue
from lottery_core.store import StoreUnavailable
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.shared.turns import drawing, looking

_EXPECTED = (StoreUnavailable, DataUnavailable, InvalidValue)


@contextmanager
def told() -> Iterator[None]:
    """Inside, what the cache, the data or a setting won't allow is shown in place of the rest.

    Also a decorator, `@told()`.
    """
    try:
        yield
    except _EXPECTED as error:
        st.error(plain(str(error)), icon=":material/report:")


def live(every: float | None, *, first: bool = False) -> Callable:
    """A decorator: a part of the page that is drawn again every so many seconds, if any; less
    often where many look (see `Crowd`), unless it goes `first`."""

    pace = 1 if first else looking.pace()

    def decorated(part: Callable) -> Callable:
        @wraps(part)
        def drawn(*args: object) -> None:
            context = get_script_run_ctx()
            if every and context:
                looking.look(context.session_id)
                if not first and context.fragment_ids_this_run and looking.is_off(pace):
                    st.rerun()
            with drawing.taken(), told():
                part(*args)

        return st.fragment(run_every=every and every * pace)(drawn)

    return decorated


def asking(ask: Callable[..., None]) -> Callable[..., None]:
    """A decorator for what a button does: why it was refused is shown by `show_refused`."""

    @wraps(ask)
    def asked(*args: object) -> None:
        try:
            ask(*args)
        except _EXPECTED as error:
            st.session_state.refused = str(error)

    return asked


def show_refused() -> None:
    """Why the button just pressed did nothing, if so, and what keeps the queue from its work."""
    with st.container():
        if refused := st.session_state.pop("refused", None):
            st.error(plain(refused))


def show_problem() -> None:
    """What keeps the queue from its work right now, if anything does."""
    with st.container():
        if problem := runtime().queue.problem:
            st.error(plain(problem), icon=":material/report:")
