"""Texts in which words that a newcomer can't know are explained: pointed at, touched, or reached
with the Tab key."""

from __future__ import annotations

import re
from html import escape

import streamlit as st

from lottery_core.spec.glossary import WORDS, places
from ui.shared.text import capital

_VERDICTS = {
    True: ("verdict_won", "confirmation_number"),
    False: ("verdict_open", "balance"),
    None: ("verdict_other", "landscape"),
}


def say(text: str) -> None:
    """As `st.markdown`, with its words explained."""
    st.markdown(explained(text), unsafe_allow_html=True)


def say_small(text: str) -> None:
    """As `st.caption`, with its words explained."""
    st.caption(explained(text), unsafe_allow_html=True)


def say_verdict(text: str, *, won: bool | None = None, of: str = "") -> None:
    """What came of a run, with its words explained: in a box that is green where there is a winning
    ticket; with neither (None), what came of something else. One `of` several on a page has a name
    of its own."""
    key, icon = _VERDICTS[won]
    with st.container(key=f"{key}_{of}" if of else key):
        say(f":material/{icon}: {text}")


def meaning(*names: str) -> str:
    """What these words mean, for a place that has a button for its explanation."""
    return "  \n".join(f"**{capital(name)}**: {WORDS[name].meaning}" for name in names)


def show_words(*texts: str) -> None:
    """The words in these texts, which stand where nothing can be explained, in a line."""
    found = dict.fromkeys(name for text in texts for *_, name in places(text))
    if found:
        marked = [_marked(name, name) for name in found]
        st.caption(f"Words: {', '.join(marked)}", unsafe_allow_html=True)


def explained(text: str) -> str:
    """Markdown with the first place of each word marked in HTML; other HTML in it is shown as it
    is."""
    # What a backslash stands before is harmless already.
    safe = re.sub(r"(?<!\\)<", "&lt;", text)
    # Links can hold nothing that takes the focus, and code has no words.
    hidden = re.sub(r"\[[^\]]*\]\([^)]*\)|`[^`]*`|&\w+;", lambda found: "\0" * len(found[0]), safe)
    parts, end = [], 0
    for begin, until, name in places(hidden):
        parts += [safe[end:begin], _marked(safe[begin:until], name)]
        end = until
    return "".join([*parts, safe[end:]])


def _marked(text: str, name: str) -> str:
    # Hidden by itself: the style sheet may come a moment after the words.
    meaning = escape(WORDS[name].meaning)
    return (
        f'<span class="word" tabindex="0">{text}'
        f'<span class="meaning" role="tooltip" hidden>{meaning}</span></span>'
    )
