"""A level as files to take away."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from lottery_core.spec.checks import InvalidValue
from lottery_core.tickets import files
from lottery_core.tickets.repeat import why_script_differs
from lottery_core.tickets.smaller import smaller
from ui.shared.reading import network_of, whole
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.shared.words import say
from ui.ticket.subject import Subject

# What belongs together, and what to say of it.
_GROUPS = {
    "For this app, and for NumPy": ("ticket", "mask", "mask-npz"),
    "For torch and other runtimes": ("pt", "pt-trained", "onnx"),
    "For people": ("card", "script", "bundle"),
}

# Where the window is narrow its lines break: what scrolls by itself no keyboard reaches.
_FITTING = """<style>
.st-key-ticket_card :is(p, li, code, th, td) { overflow-wrap: anywhere; }
.st-key-ticket_card pre, .st-key-ticket_card pre code { white-space: pre-wrap !important; }
</style>"""


def show_takeaway(subject: Subject) -> None:
    """A button a format, with what it holds; then the card itself."""
    st.header(f"Level {subject.n} as a file")
    for column, (title, names) in zip(st.columns(3), _GROUPS.items(), strict=True):
        with column.container(border=True):
            st.markdown(f"**{title}**")
            for name in names:
                _show_button(subject, name)
    st.caption(
        "A ticket is a mask with the weights its survivors restart from; the trained weights are "
        "what came of them. Files for torch take a few seconds to be made."
    )
    if why := why_script_differs(subject.level.info.experiment):
        st.info(
            f"{why} The card below has the command that repeats it, under \u201cRepeat it\u201d.",
            icon=":material/info:",
        )
    _show_smaller(subject)
    st.header("The same from the command line")
    st.code(
        f"python -m lottery_core export {subject.key[:10]} --format ticket",
        language="bash",
        wrap_lines=True,
    )
    st.header("The ticket card")
    st.html(_FITTING)
    try:
        with st.container(border=True, key="ticket_card"):
            st.markdown(_card(subject.key, finished_count()))
    except InvalidValue as error:
        st.warning(plain(str(error)))


def _show_button(subject: Subject, name: str) -> None:
    form = files.FORMATS[name]
    st.download_button(
        form.title,
        _made(subject.key, name),
        files.file_name(subject.level.info, name),
        on_click="ignore",
        icon=":material/download:",
        width="stretch",
        key=f"take_{name}",
    )
    st.caption(plain(form.summary))


def _show_smaller(subject: Subject) -> None:
    """The smaller dense network, of a level of which whole units are gone."""
    words = "" if subject.experiment.recipe.net.is_own else _smaller_in_words(subject.key)
    if not words:
        return
    st.header("As a smaller dense network")
    say(
        "Some units of this level are read by nothing. Without them the network is smaller and "
        f"answers the same: {words}"
    )
    for column, name in zip(st.columns(3), files.OF_SMALLER, strict=True):
        with column.container(border=True):
            _show_button(subject, name)


@st.cache_data(show_spinner=False, max_entries=32)
def _smaller_in_words(key: str) -> str:
    """What is left of a level of which whole units are gone; empty of another."""
    level = whole(key)
    found = level and smaller(network_of(level), level.mask)
    return found.in_words() if found and found.is_smaller else ""


def finished_count() -> int:
    """How many levels there are: a card tells of other seeds and controls too."""
    return len(runtime().store.keys())


@st.cache_data(show_spinner=False, max_entries=32)
def _card(key: str, levels: int) -> str:
    text = files.export(runtime().store, key, "card").decode()
    # Headings of the page come above those of the card.
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in text.splitlines())


# Made when the button is pressed, on another thread without a session: bound to a key alone.
def _made(key: str, name: str) -> Callable[[], bytes]:
    store = runtime().store
    # Torch, and a library that few ask for, stay out of this process.
    form = files.FORMATS[name]
    apart = form.needs_torch or form.suffix == ".onnx"
    make = files.export_in_subprocess if apart else files.export
    return lambda: make(store, key, name)
