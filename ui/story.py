"""The six steps of the Story page: what each is about, and the reader's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lottery_core.findings import speed as catch
from lottery_core.findings import walk as story
from lottery_core.findings.answers import unseen_images
from lottery_core.findings.tables import smallest_within
from lottery_core.report import figures, story_figures, time_figures
from lottery_core.running.time_left import in_words
from lottery_core.spec.experiment import MAX_SEED, Experiment
from ui.frame import PAGES, one_of
from ui.images import show_images
from ui.plot import plot
from ui.pruner import pruner
from ui.reading import finished, summary
from ui.runtime import runtime
from ui.tale import FEW, Fall, Tale, active, fall_of, is_asked, measured_of, seconds_left
from ui.text import plain

_DENSE = figures.Style(figures.GREY, "dash", "circle")


def choose_step() -> int:
    """Which step to show, 0 for all of them; in the URL."""
    asked = st.query_params.get("step", "0")
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
    if step == "0":
        st.query_params.pop("step", None)
    else:
        st.query_params["step"] = step


def show_step(tale: Tale, n: int) -> None:
    """A step: what it is about, your numbers, a figure, and something to try."""
    step = STEPS[n]
    st.subheader(f"{n}. {step.title}", anchor=f"step-{n}")
    words, picture = st.columns([4, 5], gap="medium")
    with words:
        st.markdown(step.text)
    step.show(tale, words, picture)


def show_neighbours(tale: Tale, n: int) -> None:
    """From a step alone to the ones beside it."""
    with st.container(horizontal=True):
        for other, icon in ((n - 1, ":material/arrow_back:"), (n + 1, ":material/arrow_forward:")):
            if other in STEPS:
                st.button(
                    f"{other}. {STEPS[other].title}", icon=icon, on_click=_go, args=(str(other),),
                    key=f"story_to_{other}",
                )  # fmt: skip


def _say(sentence: str) -> None:
    st.success(sentence, icon=":material/auto_stories:")


def _wait(tale: Tale, what: str, n: int | None, need: str = "main") -> str:
    """What is missing yet and when it will be there; n is the level it waits for."""
    if not is_asked(tale, need):
        first = "When what runs now is done, press" if active(tale) else "Press"
        st.caption(f"{first} the button above, and {what}.")
        return "not computed yet"
    left = None if n is None else seconds_left(tale, n)
    when = f"in about {in_words(left)}" if left else "soon"
    st.info(f"{when[0].upper()}{when[1:]}, {what}.", icon=":material/hourglass_top:")
    return when


def _try(words: str) -> None:
    st.markdown(f"**Try it.** {words}")


def _progress(experiment: Experiment, n: int) -> pd.DataFrame | None:
    """The evaluations of a level so far: of the finished one, or of the one that trains."""
    level = summary(experiment.keys[n])
    if level is not None:
        return level.history
    progress = runtime().store.read_progress(experiment.keys[n])
    if progress is None or not progress[0].get("history"):
        return None
    return pd.DataFrame(progress[0]["history"])


def _learning(name: str, history: pd.DataFrame | None, style: figures.Style) -> list:
    if history is None:
        return []
    columns = (history[column].tolist() for column in ("iteration", "test_accuracy"))
    return [figures.Curve(name, *columns, style)]


def _draw(figure, key: str, waiting: str = "") -> None:
    plot(story_figures.awaited(figure, waiting) if waiting else figure, key)


def _train(tale: Tale, words, picture) -> None:
    level, history = summary(tale.main.keys[0]), _progress(tale.main, 0)
    total, waiting = tale.main.recipe.iterations, ""
    with words:
        if level:
            _say(story.trained(level.info))
        elif history is None:
            waiting = _wait(tale, "its first answers will stand here", None)
        else:
            now = history.iloc[-1]
            st.info(
                f"Iteration {int(now['iteration']):,}: it reads {now['test_accuracy']:.1%} of the "
                f"digits. All {total:,} in about {in_words(seconds_left(tale, 0) or 1)}.",
                icon=":material/hourglass_top:",
            )
        _try(
            "Look below at what it gets wrong. Or begin with other random weights: all chance in "
            "a run follows from one number, its **seed**."
        )
        st.button(
            "Another seed", icon=":material/casino:", on_click=_another_seed, args=(tale,),
            key="story_seed",
        )  # fmt: skip
    with picture:
        curves = _learning("all weights", history, figures.STYLES["main"])
        _draw(
            story_figures.learning_figure(curves, total, "Learning to read"), "story_learn", waiting
        )
    _show_digits(tale, bool(level))


def _another_seed(tale: Tale) -> None:
    st.query_params["seed"] = str((tale.main.recipe.seed + 1) % (MAX_SEED + 1))


@st.cache_resource(show_spinner=False)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    return unseen_images("mnist", runtime().store.datasets, FEW)


@st.cache_resource(show_spinner=False)
def _averages() -> story.Averages:
    return story.averages(runtime().store.datasets)


def _show_digits(tale: Tale, trained: bool) -> None:
    fall = fall_of(tale) if trained else None
    images, labels = _digits()
    if fall is None or fall.answers is None:
        st.caption("Some of the digits that it has to read, with what they are:")
        read = labels
    elif one_of("Digits", "story_digits", {"all": "The first ones", "no": "Misread"}) == "all":
        st.caption("What your network reads in the first of them:")
        read = fall.answers
    else:
        st.caption(f"{fall.misread:,} of 10,000 are misread, among them:")
        images, labels, read = fall.wrong, fall.wrong_labels, fall.wrong_answers
    captions = [
        f"{said}" if said == label else f"{said}, is {label}"
        for said, label in zip(read, labels, strict=True)
    ]
    show_images(images, captions, ink=True)
    plainly = _averages()
    st.caption(
        "What it has to beat: the averages of 10,000 other digits. Taking each image for the one "
        f"it is nearest to, without any network, reads {plainly.accuracy:.1%} correctly."
    )
    show_images(plainly.images, [str(digit) for digit in range(10)], ink=True)


def _prune(tale: Tale, words, picture) -> None:
    level = summary(tale.main.keys[0])
    fall = fall_of(tale) if level else Fall()
    points, waiting = list(fall.points), ""
    with words:
        if fall.problem:
            st.error(f"This could not be computed: {plain(fall.problem)}")
        elif level is None:
            waiting = _wait(tale, "you can prune your own network here", 0)
        elif not fall.done:
            of = len(story.sparsities_of(tale.main))
            st.info(f"Pruning it {of} times, {len(points)} done: a few seconds.")
        else:
            _say(story.pruned_alone(points))
        _try("Drag the slider to where your network breaks.")
    with picture:
        axes = [point.sparsity for point in points], [point.accuracy for point in points]
        _draw(story_figures.falling_figure(*axes), "story_fall", waiting)
        with st.container(height=128, border=False):
            if fall.done and points:
                pruner(points, "story_fall", f"story_pruner_{tale.main.keys[0]}")


def _rewind(tale: Tale, words, picture) -> None:
    rounds = tale.main.rounds
    with words:
        names = {str(n): f"{step.sparsity:.0%}" for n, step in enumerate(rounds, 1)}
        n = int(one_of("Sparsity", f"story_round_{len(rounds)}", names))
        dense, level = summary(tale.main.keys[0]), summary(tale.main.keys[n])
        waiting = ""
        if dense and level:
            _say(story.retrained(dense.info, level.info))
        else:
            waiting = _wait(tale, "you see here what training again does", n)
        _try("Choose another sparsity: the more is gone, the more there is to win back.")
    with picture:
        history = _progress(tale.main, n)
        curves = _learning("rewound, trained again", history, figures.STYLES["main"])
        total = tale.main.recipe.iterations
        if dense:
            curves += _learning("all weights", dense.history, _DENSE)
        if level:
            alone = level.info["test_accuracy_dense_pruned"]
            style = figures.STYLES["dense pruned"]
            ends = [0, total], [alone, alone]
            curves.append(figures.Curve("pruned, left alone", *ends, style))
        title = f"Training again at {rounds[n - 1].sparsity:.1%} sparsity"
        _draw(story_figures.learning_figure(curves, total, title), "story_rewind", waiting)


def _again(tale: Tale, words, picture) -> None:
    levels = [level.info for level in finished(tale.main)]
    rounds, waiting = len(tale.main.rounds), ""
    with words:
        if len(levels) > 1:
            _say(story.again(levels, rounds))
        if len(levels) <= rounds:
            waiting = _wait(tale, f"{rounds} rounds of pruning will have been trained", rounds)
        _try("Hold a dot's two numbers against each other: how little is left, how much it reads.")
        st.page_link(
            "app.py", label="Look at every weight in the Explorer", icon=":material/explore:",
            query_params=tale.params,
        )  # fmt: skip
    with picture:
        share = [100 * (1 - step.sparsity) for step in tale.main.rounds]
        curves = [
            figures.Curve(
                name,
                [100, *share][: len(levels)],
                [levels[0]["test_accuracy"], *(info[field] for info in levels[1:])],
                figures.STYLES[style],
            )
            for name, field, style in (
                ("rewound, trained again", "test_accuracy", "main"),
                ("pruned in one go, left alone", "test_accuracy_dense_pruned", "dense pruned"),
            )
            if levels
        ]
        dense = levels[0]["test_accuracy"] if levels else None
        figure = figures.accuracy_figure(curves, dense, height=400)
        _draw(figure, "story_again", "" if levels else waiting)


def _matter(tale: Tale, words, picture) -> None:
    last = len(tale.main.rounds)
    ticket, reinit = summary(tale.main.keys[last]), summary(tale.reinit.keys[last])
    dense, waiting = summary(tale.main.keys[0]), ""
    with words:
        if ticket and reinit:
            _say(story.new_weights(ticket, reinit))
        else:
            waiting = _wait(tale, "both stand side by side here", last, "reinit")
        _try("One seed may be chance. Run three, and see whether the gap stays:")
        more = tale.params | {"replicates": "3"}
        st.page_link(
            "app.py", label="Three seeds in the Explorer", icon=":material/explore:",
            query_params=more,
        )  # fmt: skip
        if any(path == "pages/compare.py" for path, _, _ in PAGES):
            st.page_link(
                "pages/compare.py", label="Compare runs side by side",
                icon=":material/compare_arrows:",
            )  # fmt: skip
    with picture:
        curves = _learning(
            "its own initial weights", _progress(tale.main, last), figures.STYLES["main"]
        )
        curves += _learning(
            "new random weights", _progress(tale.reinit, last), figures.STYLES["reinit"]
        )
        if curves and dense:
            curves += _learning("all weights", dense.history, _DENSE)
        total = tale.main.recipe.iterations
        left = 1 - tale.main.rounds[-1].sparsity
        figure = story_figures.learning_figure(curves, total, f"The same {left:.1%} of the weights")
        _draw(figure, "story_matter", "" if curves else waiting)


def _catch(tale: Tale, words, picture) -> None:
    measured, waiting = measured_of(tale), ""
    with words:
        if measured:
            rows = measured["levels"]
            found = smallest_within([level.info for level in finished(tale.main)])
            _say("  \n".join(catch.in_words(measured, rows[found["level"] if found else -1])))
            beside = " Something else ran meanwhile and may have slowed it." if (
                measured["beside"]
            ) else ""  # fmt: skip
            st.caption(
                f"One machine, this one ({plain(measured['machine']['processor'])}), one thread, "
                f"one seed.{beside}"
            )
        else:
            left = seconds_left(tale, len(tale.main.rounds))
            ahead = "when the trainings are done, " if left and active(tale) else ""
            waiting = _wait(
                tale, f"{ahead}your machine's own times will stand here", None, "measure"
            )
        _try("Measure again, or see how fast one small network answers:")
        st.page_link(
            "pages/speed.py", label="To the Speed page", icon=":material/speed:",
            query_params={"key": tale.main.key},
        )  # fmt: skip
    with picture:
        curves = catch.epochs(measured) if measured else []
        figure = time_figures.epoch_figure(curves, 400)
        if not curves:
            figure.update_yaxes(range=[-2, 1], autorange=False)
        _draw(figure, "story_epochs", waiting)


@dataclass(frozen=True)
class Step:
    """A part of the story; `show` fills its two columns."""

    short: str
    title: str
    text: str
    show: Callable[[Tale, DeltaGenerator, DeltaGenerator], None]


STEPS = {
    1: Step(
        "Train",
        "Train a network",
        "A neural network turns an image into an answer with the help of many numbers, its "
        "**weights**. They start out random. Training shows it images with the right answers and "
        "corrects the weights a little each time. For a reason that comes later, we keep a copy "
        "of the random weights it began with.",
        _train,
    ),
    2: Step(
        "Prune",
        "Prune it, and leave it alone",
        "To **prune** a weight is to set it to zero for good. The smallest go first, as they "
        "matter least. **Sparsity** is the share of weights that is gone; a network that has them "
        "all is **dense**.",
        _prune,
    ),
    3: Step(
        "Rewind",
        "Not so fast: rewind and train again",
        "Pruning alone ends there. But now the weights that are left **rewind**: each goes back "
        "to the random value it began with, from the copy. Then they train once more, as "
        "before; what is pruned stays zero.",
        _rewind,
    ),
    4: Step(
        "Again",
        "Again and again",
        "Prune a part of what is left, rewind, train; and so on. A small network found "
        "like this that reads as well as the whole one, after no more training, is called a "
        "**winning ticket**: the whole network is a pile of lottery tickets, and this one won.",
        _again,
    ),
    5: Step(
        "Start",
        "Where it starts matters",
        "Is it the places of the weights that won, or the values they began with? Keep the "
        "places that are left after the last round, draw new random weights for them, and train.",
        _matter,
    ),
    6: Step(
        "Catch",
        "The catch",
        "A zero is a number too. A program that keeps the pruned weights as zeros (masked dense "
        "tensors) multiplies by every one of them, and saves no time at all. The program here (a "
        "compiled loop) can leave them out. "
        "What is that worth? It is timed on your machine, by the **epoch**: one pass over all "
        "training images.",
        _catch,
    ),
}
