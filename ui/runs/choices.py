"""Which runs are shown and how, between the link, the session and the widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from lottery_core.findings.shelf import Run
from lottery_core.findings.shelf_filter import ASPECTS, Filter, options
from lottery_core.spec.arms import ARMS
from ui.shared.link import Link
from ui.shared.text import plain

LINK = Link("runs")
_LABELS = {"dataset": "Data set", "network": "Network", "criterion": "Criterion", "arm": "Arm",
           "state": "State", "tag": "Tag"}  # fmt: skip
_APART = "|"  # in no name and no tag
_ARMS = {name: arm.title for name, arm in ARMS.items()} | {"ticket": "rewound ticket"}


def choose(runs: Sequence[Run], is_all: bool) -> tuple[Filter, bool]:
    """Show the choices among runs, which may not be all yet; says which are asked for and whether
    their seeds are folded."""
    LINK.follow()
    known = options(runs)
    with st.container(horizontal=True, vertical_alignment="bottom", key="runs_choices"):
        found = Filter(**{name: _choose(name, known[name], is_all) for name in ASPECTS})
        words = st.text_input(
            "Search",
            LINK.asked.get("words", ""),
            max_chars=100,
            key=LINK.widget_key("runs_words"),
            placeholder="name, note, key, ...",
            width=168,
        )
        folded = st.toggle(
            "Fold seeds",
            LINK.asked.get("seeds") != "each",
            key=LINK.widget_key("runs_folded"),
            help="One row for all seeds of a run, judged over all of them; or a row for each.",
        )
    LINK.change(words=words or None, seeds=None if folded else "each")
    return replace(found, words=words), folded


def _choose(aspect: str, there: list[str], is_all: bool) -> tuple[str, ...]:
    # What is chosen now: other options, as runs come and go, are another widget.
    asked = [name for name in LINK.params.get(aspect, "").split(_APART) if name]
    missing = [name for name in asked if name not in there]
    if missing and is_all:
        st.warning(f"{_LABELS[aspect]}: no run here is of {plain(', '.join(missing))}.")
    known = sorted({*there, *asked})
    chosen: list[str] = []
    if len(known) > 1 or asked or aspect == "state":
        chosen = st.multiselect(
            _LABELS[aspect],
            known,
            asked,
            key=LINK.widget_key(f"runs_{aspect}_{_APART.join(known)}"),
            format_func=lambda name: _ARMS.get(name, name) if aspect == "arm" else name,
            placeholder="all",
            width=168,
        )
    LINK.change(**{aspect: _APART.join(chosen) or None})
    return tuple(chosen)
