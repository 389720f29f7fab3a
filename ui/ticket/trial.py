"""Try a ticket: a drawing or a test image, answered by it and by the dense network."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lottery_core.data import DataUnavailable
from lottery_core.findings import answers, features
from lottery_core.findings.answers import Judged
from lottery_core.findings.drawing import as_digit, as_image
from lottery_core.method.masks import Arrays
from lottery_core.report import answer_figures
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.sizes import as_percent
from ui.shared.frame import one_of, wrapping
from ui.shared.images import show_images
from ui.shared.plot import plot
from ui.shared.reading import names_of, whole
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.ticket.maps import CHANNELS, show_maps
from ui.ticket.sketch import sketch
from ui.ticket.subject import Subject

_FEW = 24  # images of a grid
_SHORT = 10  # letters of a class's name that have room below a small image
_PATIENCE = 2.0  # seconds in which both networks look at as many test images as they can
_DIGITS = ("mnist", "emnist-digits")


@st.cache_resource(show_spinner="The two networks look at the test images")
def _judged(dense_key: str, key: str, _recipe: Recipe) -> Judged | None:
    dense, ticket = whole(dense_key), whole(key)
    if dense is None or ticket is None:
        return None
    return answers.judge(_recipe, dense.end, ticket.end, runtime().store.datasets, _PATIENCE)


@st.cache_resource(show_spinner=False, max_entries=2)
def _images(dataset: str, content: str) -> tuple[np.ndarray, np.ndarray]:
    return answers.unseen_images(dataset, runtime().store.datasets, content=content)


@st.cache_resource(show_spinner=False, max_entries=4)
def _reader(recipe: Recipe):
    return answers.reader(recipe, runtime().store.datasets)


def show_trial(subject: Subject) -> None:
    """An image, what both say of it and make of it; where they disagree; what each confuses."""
    recipe = subject.experiment.recipe
    try:
        judged = _judged(subject.dense_key, subject.key, recipe)
        images, labels = _images(recipe.dataset, recipe.content)
    except DataUnavailable as error:
        st.warning(plain(str(error)))
        return
    if judged is None:
        _judged.clear(subject.dense_key, subject.key, recipe)
        st.warning("One of the two networks could not be read; choose another level.")
        return
    read = _one(subject, recipe, judged, images, labels)
    with st.container():
        if read is not None and recipe.net.is_convolutional:
            _maps(subject, recipe, read)
    _disagreements(subject, judged, images)
    _confusions(subject, judged)


def _is_ink(recipe: Recipe) -> bool:
    """Whether images are bright strokes on black, as all published ones here, and are shown as
    ink on paper."""
    return recipe.net.input[0] == 1 and not DATASETS[recipe.dataset].is_own


def _one(
    subject: Subject, recipe: Recipe, judged: Judged, images: np.ndarray, labels: np.ndarray
) -> np.ndarray | None:
    """An image of the reader's choice and both answers; the image as networks read it."""
    st.header("Ask both")
    ways, digits = {"pick": "Test images"}, recipe.dataset in _DIGITS
    if recipe.net.input == (1, 28, 28):
        ways = {"draw": "Draw a digit" if digits else "Draw"} | ways
    way = one_of("Ask about", "trial_way", ways) if len(ways) > 1 else "pick"
    left, middle, right = wrapping("trial_row", 10).columns([3, 2, 4])
    names = names_of(recipe)
    if way == "draw":
        with left:
            what = "a large digit" if digits else f"one of: {plain(', '.join(names[:12]))}"
            st.caption(f"Draw {what}, with the mouse or a finger.")
            ink = sketch("trial_sketch")
        image = None if ink is None else (as_digit if digits else as_image)(ink)
        label = None
    else:
        with left:
            chosen = _pick(judged, len(images))
        image, label = images[chosen], int(labels[chosen])
    if image is None:
        with right:
            st.info("Both networks answer as soon as you lift the pen.", icon=":material/draw:")
        return None
    read = _reader(recipe)(image[None])
    given = {
        "dense": _confidence(recipe, whole(subject.dense_key).end, read),
        _name(subject): _confidence(recipe, whole(subject.key).end, read),
    }
    with middle:
        what = "what they see" if label is None else _class(names, label)
        show_images(image[None], [what], 140, ink=_is_ink(recipe))
        if label is None and digits:
            st.caption("Scaled to 20x20 and centred by its mass, as MNIST's digits were.")
        elif label is None:
            st.caption("Scaled to the whole of 28x28, as the data set's images are.")
    with right:
        st.markdown(_answers_in_words(given, names, label))
        plot(answer_figures.confidence_figure(given, names, 280), "plot_confidence")
    return read


def _class(names: tuple[str, ...], label: int) -> str:
    named = names[label]
    return f"class {named}" if named == str(label) else plain(named)


def _answers_in_words(
    given: dict[str, np.ndarray], names: tuple[str, ...], label: int | None
) -> str:
    told = [int(p.argmax()) for p in given.values()]
    parts = [
        f"{name} says **{plain(names[said])}** ({as_percent(p.max(), 0)})"
        for (name, p), said in zip(given.items(), told, strict=True)
    ]
    agree = "They agree" if told[0] == told[1] else "They disagree"
    words = f"{agree}: {' and '.join(parts)}."
    if label is not None:
        right_ones = [n for n, t in zip(given, told, strict=True) if t == label]
        words += {0: " Both are wrong.", 2: " Both are right."}.get(
            len(right_ones), f" Right: {', '.join(right_ones)}."
        )
    return words


def _maps(subject: Subject, recipe: Recipe, read: np.ndarray) -> None:
    dense, ticket = whole(subject.dense_key), whole(subject.key)
    image = read.reshape(recipe.net.input)
    found = features.stages(recipe.net, dense.end, ticket.end, ticket.mask, image, CHANNELS)
    show_maps(list(found), _name(subject).capitalize(), recipe.shapes)


def _name(subject: Subject) -> str:
    return f"level {subject.n}" if subject.n else "level 0 (dense too)"


def _confidence(recipe: Recipe, weights: Arrays, read: np.ndarray) -> np.ndarray:
    return answers.confidences(answers.logits(recipe, weights, read))[0]


def _pick(judged: Judged, count: int) -> int:
    """Position of the test image to ask about."""
    differ = judged.disagree

    def jump(candidates: np.ndarray) -> None:
        st.session_state.trial_image = int(np.random.default_rng().choice(candidates))

    number = st.number_input(
        f"Test image, 0 to {count - 1:,}", 0, count - 1, 0, key="trial_image", step=1
    )
    st.button(
        "Any other", on_click=jump, args=(np.arange(count),), icon=":material/shuffle:",
        width="stretch", key="trial_any",
    )  # fmt: skip
    st.button(
        f"One of {len(differ):,} they disagree on", on_click=jump, args=(differ,),
        disabled=not len(differ), icon=":material/compare_arrows:", width="stretch",
        key="trial_differ",
    )  # fmt: skip
    return int(number)


def _disagreements(subject: Subject, judged: Judged, images: np.ndarray) -> None:
    st.header("Where they disagree")
    recipe = subject.experiment.recipe
    differ, names = judged.disagree, answer_figures.cut_to_fit(names_of(recipe))
    if not len(differ):
        st.markdown(f"On {judged.images_in_words} they name the same class.")
        return
    dense, ticket = judged.dense.argmax(axis=1), judged.ticket.argmax(axis=1)
    labels = judged.labels
    sides = {
        "all": ("All", differ),
        "dense": ("Dense is right", differ[dense[differ] == labels[differ]]),
        "ticket": ("The ticket is right", differ[ticket[differ] == labels[differ]]),
        "none": (
            "Neither is",
            differ[(dense[differ] != labels[differ]) & (ticket[differ] != labels[differ])],
        ),
    }
    st.markdown(
        f"They name different classes for **{len(differ):,}** of {judged.images_in_words}: dense "
        f"is right in {len(sides['dense'][1]):,} of them, level {subject.n} in "
        f"{len(sides['ticket'][1]):,}, neither in {len(sides['none'][1]):,}."
    )
    words = {name: f"{title} ({len(which):,})" for name, (title, which) in sides.items()}
    side = one_of("Show", "trial_side", words)
    shown = sides[side][1][:_FEW]
    if not len(shown):
        st.caption("There are none.")
        return
    said = [[plain(names[one[i]]) for one in (labels, dense, ticket)] for i in shown]
    captions = [f"is {label}: {one}, {other}" for label, one, other in said]
    st.caption("What it is: what dense says, what the ticket says.")
    width = 84 if max(map(len, names)) <= _SHORT else 150
    show_images(images[shown], captions, width, ink=_is_ink(recipe))
    if len(sides[side][1]) > _FEW:
        st.caption(f"The first {_FEW} of {len(sides[side][1]):,}.")


def _confusions(subject: Subject, judged: Judged) -> None:
    st.header("What each confuses")
    recipe = subject.experiment.recipe
    which = judged.images_in_words
    st.caption(f"{which[0].upper()}{which[1:]} of {recipe.data_title}; colours are logarithmic.")
    names = names_of(recipe)
    for column, which, name in zip(
        wrapping("trial_confusion").columns(2),
        ("dense", "ticket"),
        ("Dense", f"Level {subject.n}"),
        strict=True,
    ):
        with column:
            named = getattr(judged, which).argmax(axis=1)
            counts = answers.confusion(judged.labels, named, len(names))
            plot(answer_figures.confusion_figure(counts, name, names), f"plot_confusion_{which}")
