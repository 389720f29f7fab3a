"""Where a data set comes from: what was published, a folder, or files that a link names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lottery_core.data import identify, is_prepared
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.datasets import DATASETS, unverified_in_words
from ui.explorer.link import offer, widget_key
from ui.shared.runtime import runtime
from ui.shared.text import plain


@dataclass(frozen=True)
class Source:
    """A folder with a data set's files, where one is named, the content of these files as in
    `Recipe`, and what is wrong."""

    folder: str | None = None
    content: str = ""
    problem: str = ""


def choose_source(dataset: str, base: Choice, fixed: bool) -> Source:
    """Where a folder can matter, ask for it, unless all is `fixed`, and say at once what it
    holds."""
    linked = base.content if dataset == base.dataset else ""
    is_there = is_prepared(dataset, runtime().store.datasets)
    if is_there and DATASETS[dataset].digest and not linked:
        return Source()
    if fixed:
        return _linked(dataset, linked, fixed)
    text = st.text_input(
        "Folder with its original files",
        key="dataset_folder",
        placeholder="not needed" if is_there or linked else "downloaded if left empty",
        help="A folder of the machine that runs this app: of use where there is no network, or "
        "for other files than the published ones.",
    ).strip()
    if not text:
        return _linked(dataset, linked, fixed)
    try:
        with st.spinner("Looking at the files"):
            content = identify(dataset, text)
    except InvalidValue as error:
        st.error(plain(str(error)))
        return Source(problem=str(error))
    if content:
        st.caption(unverified_in_words(dataset, content))
    return Source(text, content)


def _linked(dataset: str, content: str, fixed: bool) -> Source:
    """The content that a link names, and the way back to what was published."""
    if not content:
        return Source()
    problem = ""
    if is_prepared(dataset, runtime().store.datasets, content):
        st.caption(unverified_in_words(dataset, content))
    else:
        problem = f"content={content[:8]}... is not in this cache; name the folder with its files"
        st.error(plain(problem))
    if not fixed:
        st.button(
            "Use the published files", key=widget_key("use_published"), on_click=_use_published
        )
    return Source(content=content, problem=problem)


def _use_published() -> None:
    state = st.session_state
    offer(state.preset, replace(state.choice, content=""))
