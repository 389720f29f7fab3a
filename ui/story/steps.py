"""The six steps of the Story page: what each is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ui.shared.text import plain
from ui.shared.words import say, show_words
from ui.story.own_numbers import (
    show_again,
    show_catch,
    show_matter,
    show_prune,
    show_rewind,
    show_train,
)
from ui.story.run import LINK, StoryRun


@dataclass(frozen=True)
class Step:
    """A part of the story; `show` fills its two columns. `words` are those of its chart that the
    text has not."""

    short: str
    title: str
    text: str
    show: Callable[[StoryRun, DeltaGenerator, DeltaGenerator], None]
    words: str = ""


STEPS = {
    1: Step(
        "Train",
        "Train a network",
        "A neural network turns an image into an answer with the help of many numbers, its "
        "**weights**. They start out random. Training shows it images with the right answers and "
        "corrects the weights a little each time. For a reason that comes later, we keep a copy "
        "of the random weights it began with.",
        show_train,
        "iteration",
    ),
    2: Step(
        "Prune",
        "Prune it, and leave it alone",
        "To **prune** a weight is to set it to zero for good. The smallest go first, as they "
        "matter least. **Sparsity** is the share of weights that is gone; a network that has them "
        "all is **dense**.",
        show_prune,
    ),
    3: Step(
        "Rewind",
        "Not so fast: rewind and train again",
        "Pruning alone ends there. But now the weights that are left **rewind**: each goes back "
        "to the random value it began with, from the copy. Then they train once more, as "
        "before; what is pruned stays zero.",
        show_rewind,
        "iteration, sparsity",
    ),
    4: Step(
        "Again",
        "Again and again",
        "Prune a part of what is left, rewind, train; and so on. A small network found "
        "like this that reads as well as the whole one, after no more training, is called a "
        "**winning ticket**: the whole network is a pile of lottery tickets, and this one won.",
        show_again,
        "dense",
    ),
    5: Step(
        "Start",
        "Where it starts matters",
        "Is it the places of the weights that won, or the values they began with? Keep the "
        "places that are left after the last round, draw new random weights for them, and train.",
        show_matter,
        "iteration",
    ),
    6: Step(
        "Catch",
        "The catch",
        "A zero is a number too. A program that keeps the pruned weights as zeros (masked dense "
        "tensors) multiplies by every one of them, and saves no time at all. The program here (a "
        "compiled loop) can leave them out. "
        "What is that worth? It is timed on your machine, by the **epoch**: one pass over all "
        "training images.",
        show_catch,
    ),
}


def choose_step() -> int:
    """Which step to show, 0 for all of them; in the URL."""
    asked = LINK.params.get("step", "0")
    known = ["0", *map(str, STEPS)]
    if asked not in known:
        st.warning(f"In the link: there is no step {plain(repr(asked[:20]))}. All are shown.")
        asked = "0"
    key = f"story_step_{asked}"  # a link to another step makes another widget, set to it

    def go() -> None:
        _go(st.session_state[key])

    st.segmented_control(
        "Step",
        known,
        key=key,
        default=asked,
        required=True,
        width="content",
        format_func=lambda n: f"{n} {STEPS[int(n)].short}" if n != "0" else "All",
        on_change=go,
    )
    return int(asked)


def _go(step: str) -> None:
    LINK.change(step=None if step == "0" else step)


def show_step(run: StoryRun, n: int) -> None:
    """A step: what it is about, your numbers, a figure, and something to try."""
    step = STEPS[n]
    st.header(f"{n}. {step.title}", anchor=f"step-{n}")
    words, picture = st.columns([4, 5], gap="medium")
    with words:
        say(step.text)
        show_words(step.words)
    step.show(run, words, picture)


def show_neighbours(run: StoryRun, n: int) -> None:
    """From a step alone to the ones beside it."""
    with st.container(horizontal=True):
        for other, icon in ((n - 1, ":material/arrow_back:"), (n + 1, ":material/arrow_forward:")):
            if other in STEPS:
                st.button(
                    f"{other}. {STEPS[other].title}", icon=icon, on_click=_go, args=(str(other),),
                    key=f"story_to_{other}",
                )  # fmt: skip
