"""The reader's own numbers in each step: in words, as a figure, and something to try."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from lottery_core.findings import speed as catch
from lottery_core.findings import walk
from lottery_core.findings.answers import unseen_images
from lottery_core.findings.outcome import chance_of, sizes_of
from lottery_core.findings.verdict import level_to_show
from lottery_core.report import figures, story_figures, time_figures
from lottery_core.running.time_left import in_words
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_SEED
from lottery_core.spec.sizes import as_percent, size_in_words
from ui.shared.frame import PAGES, one_of
from ui.shared.images import show_images
from ui.shared.plot import plot
from ui.shared.reading import finished, history_so_far, summary, training_now
from ui.shared.runtime import runtime
from ui.shared.text import many, plain
from ui.story.falling import FEW, Fall, fall_of
from ui.story.pruner import pruner
from ui.story.run import LINK, StoryRun, active, begin_word, is_asked, measured_of, seconds_left

_DENSE = figures.Style(figures.GREY, "dash", "circle")


def show_train(run: StoryRun, words, picture) -> None:
    """How it learns, and what it reads."""
    level, history = summary(run.main.keys[0]), _progress(run.main, 0)
    total, waiting = run.main.recipe.iterations, ""
    with words:
        if level:
            _say(walk.trained(level.info))
        elif history is None:
            waiting = _wait(run, "its first answers will stand here", None)
        else:
            now = history.iloc[-1]
            st.info(
                f"Iteration {int(now['iteration']):,}: it reads {as_percent(now['test_accuracy'])} "
                f"of the digits. All {total:,} in about {in_words(seconds_left(run, 0) or 1)}.",
                icon=":material/hourglass_top:",
            )
        _try(
            "Look below at what it gets wrong. Or begin with other random weights: all chance in "
            "a run follows from one number, its **seed**."
        )
        if st.button("Another seed", icon=":material/casino:", key="story_seed"):
            seed = (run.main.recipe.seed + 1) % (MAX_SEED + 1)
            LINK.change(seed=str(seed))
            st.rerun()  # all of the page, not this step alone
    with picture:
        curves = _learning("all weights", history, figures.STYLES["main"])
        _draw(
            story_figures.learning_figure(curves, total, "Learning to read"), "story_learn", waiting
        )
    _show_digits(run, bool(level))


@st.cache_resource(show_spinner=False)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    return unseen_images("mnist", runtime().store.datasets, FEW)


@st.cache_resource(show_spinner=False)
def _averages() -> walk.Averages:
    return walk.averages(runtime().store.datasets)


def _show_digits(run: StoryRun, trained: bool) -> None:
    fall = fall_of(run) if trained else None
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
        f"it is nearest to, without any network, reads {as_percent(plainly.accuracy)} correctly."
    )
    show_images(plainly.images, [str(digit) for digit in range(10)], ink=True)


def show_prune(run: StoryRun, words, picture) -> None:
    """What pruning alone does, with a slider."""
    level = summary(run.main.keys[0])
    fall = fall_of(run) if level else Fall()
    points, waiting = list(fall.points), ""
    with words:
        if fall.problem:
            st.error(f"This could not be computed: {plain(fall.problem)}")
        elif level is None:
            waiting = _wait(run, "you can prune your own network here", 0)
        elif not fall.done:
            of = len(walk.sparsities_of(run.main))
            st.info(f"Pruning it {of} times, {len(points)} done: a few seconds.")
        else:
            _say(walk.pruned_alone(points))
        _try("Drag the slider to where your network breaks.")
    with picture:
        axes = [point.sparsity for point in points], [point.accuracy for point in points]
        _draw(story_figures.falling_figure(*axes), "story_fall", waiting)
        with st.container(height=128, border=False):
            if fall.done and points:
                _choose_pruned(points, run)


def _choose_pruned(points: Sequence[walk.Point], run: StoryRun) -> None:
    """The slider, at the sparsity in percent that the link names, or at its beginning."""
    percents = [f"{100 * point.sparsity:.4g}" for point in points]
    asked = LINK.asked.get("pruned")
    begin = percents.index(asked) if asked in percents else 0
    n = pruner(points, "story_fall", LINK.widget_key(f"story_pruner_{run.main.keys[0]}"), begin)
    LINK.change(pruned=percents[n] if n else None)


def _choose_round(key: str, names: dict[str, str], n: str) -> str:
    return one_of("Sparsity", f"{key}_{len(names)}", names, n)


def show_rewind(run: StoryRun, words, picture) -> None:
    """What training again does to one round."""
    rounds = run.main.rounds
    with words:
        names = {str(n): size_in_words(100 * step.sparsity) for n, step in enumerate(rounds, 1)}
        n = int(LINK.option("round", names, lambda key, n: _choose_round(key, names, n)))
        dense, level = summary(run.main.keys[0]), summary(run.main.keys[n])
        waiting = ""
        if dense and level:
            _say(walk.retrained(dense.info, level.info))
        else:
            waiting = _wait(run, "you see here what training again does", n)
        _try("Choose another sparsity: the more is gone, the more there is to win back.")
    with picture:
        history = _progress(run.main, n)
        curves = _learning("rewound, trained again", history, figures.STYLES["main"])
        total = run.main.recipe.iterations
        if dense:
            curves += _learning("all weights", dense.history, _DENSE)
        if level:
            alone = level.info.test_accuracy_dense_pruned
            style = figures.STYLES["dense pruned"]
            ends = [0, total], [alone, alone]
            curves.append(figures.Curve("pruned, left alone", *ends, style))
        title = f"Training again at {size_in_words(100 * rounds[n - 1].sparsity)} sparsity"
        _draw(story_figures.learning_figure(curves, total, title), "story_rewind", waiting)


def show_again(run: StoryRun, words, picture) -> None:
    """All rounds."""
    levels = [level.info for level in finished(run.main)]
    rounds, waiting = len(run.main.rounds), ""
    with words:
        if len(levels) > 1:
            _say(walk.again(levels, rounds))
        if len(levels) <= rounds:
            waiting = _wait(
                run, f"{many(rounds, 'round')} of pruning will have been trained", rounds
            )
        _try("Hold a dot's two numbers against each other: how little is left, how much it reads.")
        st.page_link(
            "app.py", label="Look at every weight in the Explorer", icon=":material/explore:",
            query_params=run.params,
        )  # fmt: skip
    with picture:
        curves = [
            figures.Curve(
                name,
                sizes_of(run.main)[: len(levels)],
                [levels[0].test_accuracy, *(getattr(info, field) for info in levels[1:])],
                figures.STYLES[style],
            )
            for name, field, style in (
                ("rewound, trained again", "test_accuracy", "main"),
                ("pruned in one go, left alone", "test_accuracy_dense_pruned", "dense pruned"),
            )
            if levels
        ]
        dense = levels[0].test_accuracy if levels else None
        figure = figures.accuracy_figure(
            curves, dense, sizes=sizes_of(run.main), chance=chance_of(run.main), height=400
        )
        _draw(figure, "story_again", "" if levels else waiting)


def show_matter(run: StoryRun, words, picture) -> None:
    """The ticket beside new random weights."""
    last = len(run.main.rounds)
    ticket, reinit = summary(run.main.keys[last]), summary(run.reinit.keys[last])
    dense, waiting = summary(run.main.keys[0]), ""
    with words:
        if ticket and reinit:
            _say(walk.new_weights(ticket, reinit))
        else:
            waiting = _wait(run, "both stand side by side here", last, "reinit")
        _try("One seed may be chance. Run three, and see whether the gap stays:")
        more = run.params | {"replicates": "3"}
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
            "its own initial weights", _progress(run.main, last), figures.STYLES["main"]
        )
        curves += _learning(
            "new random weights", _progress(run.reinit, last), figures.STYLES["reinit"]
        )
        if curves and dense:
            curves += _learning("all weights", dense.history, _DENSE)
        total = run.main.recipe.iterations
        left = 1 - run.main.rounds[-1].sparsity
        figure = story_figures.learning_figure(
            curves, total, f"The same {size_in_words(100 * left)} of the weights"
        )
        _draw(figure, "story_matter", "" if curves else waiting)


def show_catch(run: StoryRun, words, picture) -> None:
    """What leaving the zeros out is worth."""
    measured, waiting = measured_of(run), ""
    with words:
        if measured:
            rows = measured.levels
            found = level_to_show({run.main.recipe.seed: [one.info for one in finished(run.main)]})
            _say("  \n".join(catch.in_words(measured, rows[min(found, len(rows) - 1)])))
            beside = " Something else ran meanwhile and may have slowed it." if (
                measured.beside
            ) else ""  # fmt: skip
            st.caption(
                f"One machine, this one ({plain(measured.machine.processor)}), one thread, "
                f"one seed.{beside}"
            )
        else:
            left = seconds_left(run, len(run.main.rounds))
            ahead = "when the trainings are done, " if left and active(run) else ""
            waiting = _wait(
                run, f"{ahead}your machine's own times will stand here", None, "measure"
            )
        _try("Measure again, or see how fast one small network answers:")
        st.page_link(
            "pages/speed.py", label="To the Speed page", icon=":material/speed:",
            query_params={"key": run.main.key},
        )  # fmt: skip
    with picture:
        curves = catch.epochs(measured) if measured else []
        figure = time_figures.epoch_figure(curves, 400)
        if not curves:
            figure.update_yaxes(range=[-2, 1], autorange=False)
        _draw(figure, "story_epochs", waiting)


def _say(sentence: str) -> None:
    st.success(sentence, icon=":material/auto_stories:")


def _wait(run: StoryRun, what: str, n: int | None, need: str = "main") -> str:
    """What is missing yet and when it will be there; n is the level it waits for."""
    if not is_asked(run, need):
        first = "When what runs now is done, press" if active(run) else "Press"
        st.caption(f"{first} [{begin_word(run)}](#story) at the top of the page, and {what}.")
        return "not computed yet"
    left = None if n is None else seconds_left(run, n)
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
    live = training_now(experiment, n)
    return history_so_far(live) if live and live.history else None


def _learning(name: str, history: pd.DataFrame | None, style: figures.Style) -> list:
    if history is None:
        return []
    columns = (history[column].tolist() for column in ("iteration", "test_accuracy"))
    return [figures.Curve(name, *columns, style)]


def _draw(figure, key: str, waiting: str = "") -> None:
    plot(story_figures.awaited(figure, waiting) if waiting else figure, key)
