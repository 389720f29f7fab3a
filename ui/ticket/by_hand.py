"""A level that is pruned by hand, beside magnitude and chance with as many weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st

from lottery_core.findings import by_hand
from lottery_core.findings.anatomy import short
from lottery_core.findings.by_hand import Sample, Stroke
from lottery_core.method.masks import Arrays
from lottery_core.report import ticket_figures
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Level
from lottery_core.tickets import files
from ui.shared.frame import wrapping
from ui.shared.layers import one_layer
from ui.shared.plot import plot
from ui.shared.reading import look, whole
from ui.shared.runtime import runtime
from ui.shared.trouble import live
from ui.shared.words import say
from ui.ticket.rubber import rubber
from ui.ticket.subject import GONE, Subject, show_number

_WHO = {"by hand": "By hand", "magnitude": "By magnitude", "random": "At random"}


@st.cache_resource(show_spinner=False, max_entries=2)
def _sample(recipe: Recipe) -> Sample:
    return by_hand.sample(recipe, runtime().store.datasets)


def show_by_hand(subject: Subject) -> None:
    """A layer to rub weights out of, and what the network still gets right."""
    st.header("Prune by hand")
    say(
        "Rub weights out of a layer, or whole units of it. Beside it as many weights of the same "
        "layers are taken by magnitude, the smallest of those that were left, and at random, in "
        "one draw. Nothing is trained again."
    )
    _rubbing(subject)
    st.caption(
        "These are test images: a mask that was chosen by looking at them is no longer judged "
        "fairly by them."
    )


@live(None)
def _rubbing(subject: Subject) -> None:
    level, drawn = whole(subject.key), look(subject.key, "end")
    if level is None or drawn is None:
        st.warning(GONE)
        return
    name = one_layer("Layer", "hand_layer", {name: short(name) for name in level.mask})
    wide, narrow = wrapping("ticket_hand", 22).columns([5, 3], gap="medium")
    with wide:
        shapes = {name: kept.shape for name, kept in level.mask.items()}
        strokes = rubber(drawn, shapes, name, f"hand_{subject.key}")
    left = by_hand.rub_out(level.mask, strokes)
    with narrow:
        _counts(level, left, name)
        _accuracies(subject, level, left, strokes)
        st.download_button(
            "The mask as a file, .npz",
            _made(level, left),
            f"by-hand-{files.file_name(level.info, 'mask-npz')}",
            on_click="ignore",
            disabled=not strokes,
            icon=":material/download:",
            key="hand_mask",
        )


def _made(level: Level, left: Arrays) -> Callable[[], bytes]:
    return lambda: files.mask_npz(replace(level, mask=left))


def _counts(level: Level, left: Arrays, name: str) -> None:
    with st.container(horizontal=True):
        for where, of in ((short(name), [name]), ("all layers", list(left))):
            now, before = (by_hand.count(mask, of) for mask in (left, level.mask))
            show_number(f"Weights left, {where}", f"{now:,}", f"of {before:,}")


def _accuracies(subject: Subject, level: Level, left: Arrays, strokes: Sequence[Stroke]) -> None:
    """Those of now, the hand's first, and those that were found on the way here."""
    recipe = subject.experiment.recipe
    sample, known = _sample(recipe), st.session_state.setdefault("hand_found", {})
    path = _path(subject.key, strokes)
    now = known.setdefault(path[-1], {})
    with st.container(horizontal=True):
        for who, title in _WHO.items():
            if who not in now:
                mask = left if who == "by hand" else _as_many(who, level, left)
                now[who] = by_hand.accuracy(recipe, level.end, mask, sample)
            show_number(title, f"{now[who]:.2%}", sample.in_words)
    now["removed"] = by_hand.count(level.mask, left) - by_hand.count(left, left)
    points = [known[step] for step in path if "removed" in known.get(step, {})]
    figure = ticket_figures.by_hand_figure(
        [point["removed"] for point in points],
        {who: [point[who] for point in points] for who in _WHO},
    )
    plot(figure, "plot_by_hand")


def _as_many(criterion: str, level: Level, left: Arrays) -> Arrays:
    return by_hand.as_many(criterion, level.end, level.mask, left)


def _path(key: str, strokes: Sequence[Stroke]) -> list[str]:
    """A name for each state on the way from the whole level to all strokes."""
    found, so_far = [key], hashlib.blake2b(key.encode(), digest_size=16)
    for stroke in strokes:
        so_far.update(stroke.layer.encode() + stroke.cells.tobytes() + b"/")
        found.append(so_far.hexdigest())
    return found
