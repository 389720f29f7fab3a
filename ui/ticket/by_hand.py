"""A level that is pruned by hand, beside magnitude and chance with as many weights."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import streamlit as st

from lottery_core.findings import by_hand
from lottery_core.findings.anatomy import short
from lottery_core.findings.by_hand import Right, Sample, Stroke
from lottery_core.findings.rubbed import Rubbed
from lottery_core.method.masks import Arrays, apply
from lottery_core.report import ticket_figures
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.sizes import as_percent
from lottery_core.store import Level
from lottery_core.tickets import files
from ui.shared.again import again
from ui.shared.frame import wrapping
from ui.shared.layers import one_layer
from ui.shared.plot import plot
from ui.shared.reading import look, whole
from ui.shared.runtime import runtime
from ui.shared.trouble import live
from ui.shared.words import say
from ui.ticket.rubber import rubber
from ui.ticket.subject import GONE, Subject, show_number

MORE = 0.3  # seconds between two moments in which more images are answered
MOST = 0.2  # seconds of such a moment, after which whoever is not done waits for the next
_WHO = {"by hand": "By hand", "magnitude": "By magnitude", "random": "At random"}


@st.cache_resource(show_spinner=False, max_entries=2)
def _sample(recipe: Recipe) -> Sample:
    return by_hand.sample(recipe, runtime().store.datasets)


@st.cache_resource(show_spinner=False, max_entries=2)
def _rubbed(key: str, first: int, _recipe: Recipe, _level: Level) -> Rubbed:
    return by_hand.rubbed(_recipe.net, _level.end, _sample(_recipe), first)


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
        "fairly by them. A large network answers some of them first and more while you look; the "
        "range after their number is the 95\u202f% interval for all."
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
        answering = _answering(subject, level, left, strokes, name)
        _show_answers(answering)
        answering.show_way()
        st.download_button(
            "The mask as a file, .npz",
            _made(level, left),
            f"by-hand-{files.file_name(level.info, 'mask-npz')}",
            on_click="ignore",
            disabled=not strokes,
            icon=":material/download:",
            key="hand_mask",
        )
    if not answering.is_whole:  # a rub between two moments comes first
        again(MORE, answering.so_far, "hand_more")


def _made(level: Level, left: Arrays) -> Callable[[], bytes]:
    return lambda: files.mask_npz(replace(level, mask=left))


def _counts(level: Level, left: Arrays, name: str) -> None:
    with st.container(horizontal=True):
        for where, of in ((short(name), [name]), ("all layers", list(left))):
            now, before = (by_hand.count(mask, of) for mask in (left, level.mask))
            show_number(f"Weights left, {where}", f"{now:,}", f"of {before:,}")


def _show_answers(answering: _Answering) -> None:
    """The numbers that are known, and those of now, each as soon as it is there."""
    with st.container(horizontal=True):
        places = {who: st.empty() for who in _WHO}

    def show(who: str) -> None:
        found = answering.found.get(who)
        number = as_percent(found.accuracy, 2) if found else "..."  # the page does not jump
        with places[who]:
            show_number(_WHO[who], number, found.in_words if found else "being counted")

    for who in _WHO:
        show(who)
    for who in answering.go_on():
        show(who)


def _answering(
    subject: Subject, level: Level, left: Arrays, strokes: Sequence[Stroke], name: str
) -> _Answering:
    """Where the three are; one that was begun for the same strokes goes on."""
    begun, path = st.session_state.get("hand_answering"), _path(subject.key, strokes)
    if begun is None or begun.path != path:
        begun = _Answering(subject, level, left, path, name)
        st.session_state["hand_answering"] = begun
    return begun


class _Answering:
    """What the three still get right: by hand first, of as many images as are quick, then the
    others of the same; and of all of the sample, a moment at a time."""

    def __init__(self, subject: Subject, level: Level, left: Arrays, path: list[str], name: str):
        recipe = subject.experiment.recipe
        self._level, self._left, self._sample = level, left, _sample(recipe)
        self.path = path
        self._removed = by_hand.count(level.mask, left) - by_hand.count(left, left)
        # Of whole samples alone: how many weights were rubbed out, and what each gets right.
        self._known: dict[str, tuple[int, dict[str, Right]]]
        self._known = st.session_state.setdefault("hand_found", {})
        _, self.found = self._known.get(path[-1], (0, {}))
        first = by_hand.first_touched(recipe.net, level.mask, left, name)
        self._way = _rubbed(subject.key, first, recipe, level)
        self._ways: dict[str, Iterator[Right]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether all three have answered the whole sample."""
        return all(map(self._has_all, _WHO))

    @property
    def so_far(self) -> str:
        """What they answer, and how many images each has answered."""
        return " ".join([self.path[-1], *(str(self._of(who)) for who in _WHO)])

    def show_way(self) -> None:
        """The accuracies of whole samples that were found on the way here."""
        whole = [self._known[step] for step in self.path if step in self._known]
        if whole:
            figure = ticket_figures.by_hand_figure(
                [removed for removed, _ in whole],
                {who: [found[who].accuracy for _, found in whole] for who in _WHO},
            )
            plot(figure, "plot_by_hand")

    def _has_all(self, who: str) -> bool:
        return self._of(who) == len(self._sample.labels)

    def _of(self, who: str) -> int:
        return self.found[who].of if who in self.found else 0

    def go_on(self) -> Iterator[str]:
        """Answer more images, for a moment; who has, each as soon as that is so. Who is behind
        comes first. A rub waits for the end of a moment, so a slow machine ends it early."""
        begun = time.perf_counter()
        first = begun + by_hand.FIRST
        behind = [who for who in _WHO if self._of(who) < self._of("by hand")]
        for who in behind or [who for who in _WHO if not self._has_all(who)]:
            if who == "by hand":
                self._count(who, lambda found: time.perf_counter() >= first)
            elif not self._removed:
                self.found[who] = self.found["by hand"]
            else:  # the same images
                self._count(who, lambda found: found.of >= self.found["by hand"].of)
            yield who
            # Where nothing is rubbed out yet, all three are one network, with one number.
            if self._removed and time.perf_counter() >= begun + MOST:
                break
        if self.is_whole:
            self._known[self.path[-1]] = self._removed, self.found

    def _count(self, who: str, until: Callable[[Right], bool]) -> None:
        if who not in self._ways:
            level, left = self._level, self._left
            if who != "by hand":
                left = by_hand.as_many(who, level.end, level.mask, left)
            self._ways[who] = by_hand.counted(self._way, apply(level.end, left), self._sample)
        self.found[who] = by_hand.go_on(self._ways[who], until)


def _path(key: str, strokes: Sequence[Stroke]) -> list[str]:
    """A name for each state on the way from the whole level to all strokes."""
    found, so_far = [key], hashlib.blake2b(key.encode(), digest_size=16)
    for stroke in strokes:
        so_far.update(stroke.layer.encode() + stroke.cells.tobytes() + b"/")
        found.append(so_far.hexdigest())
    return found
