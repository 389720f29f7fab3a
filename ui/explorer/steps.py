"""Step by step: what happens to the weights at each stage of a round, and the button to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import streamlit as st

from lottery_core.findings import steps
from lottery_core.findings.anatomy import short
from lottery_core.findings.answers import answers, reader, unseen_images
from lottery_core.findings.recipe_words import units_in_words
from lottery_core.findings.steps import RoundSteps
from lottery_core.method.criteria import CRITERIA
from lottery_core.method.masks import Arrays
from lottery_core.report.figures import Figure
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.rounds import Round
from lottery_core.spec.sizes import as_percent, size_in_words
from ui.explorer import status
from ui.explorer.sidebar import RESTARTS, Selection, restart_of
from ui.explorer.status import State, ask_for
from ui.explorer.stepping import STAGES, Place, go_to
from ui.shared.layers import one_layer
from ui.shared.plot import drawn, plot
from ui.shared.reading import summary, whole
from ui.shared.runtime import has_level, runtime
from ui.shared.text import many
from ui.shared.trouble import asking
from ui.shared.words import say

_ROW = 3  # layers beside each other; of more, one is looked at
_MOST = 4 * 10**9  # multiply-adds: a second, about


def show_stage(selection: Selection, state: State) -> None:
    """Where one is and what happens there, in a sentence and a chart a layer."""
    place = selection.place
    if place is None:
        return
    main = selection.main
    if state.active or not has_level(main.keys[place.n - (place.stage != "train")]):
        return
    with st.container(key="steps"):
        if place.stage == "train":
            _show_charts(main, place, partial(_trained, main, place.n), [*main.recipe.shapes])
        elif not steps.why_not(main.round(place.n)):
            found = _steps(main, place.n)
            shown = [*found.layers]
            if place.stage == "rank":  # of an output layer no unit goes
                shown = [name for name in shown if found.layers[name].ranked]
            _show_charts(main, place, partial(_stage, found, place.stage), shown)


def show_now(selection: Selection, state: State) -> None:
    """As `status.show_now`; where one goes step by step, what has happened at this stage."""
    if selection.place and not state.active:
        say(stage_in_words(selection))
    else:
        status.show_now(selection, state)


def stage_in_words(selection: Selection) -> str:
    """What has just happened, or what the button will do first."""
    place, main = selection.place, selection.main
    where = f"**Round {place.n} of {len(main.rounds)}, {place.stage}.** " if place.n else ""
    if place.stage == "train":
        level = summary(main.keys[place.n])
        if level is None:
            return f"{where}The {'dense ' * (not place.n)}network is to be trained."
        words = (
            f"{where}With {size_in_words(level.info.percent_remaining)} of its weights "
            f"the trained network names {as_percent(level.info.test_accuracy, 2)} of the test "
            "images rightly."
        )
        if place.n == len(main.rounds):
            words += " That was the last round. Turn Step by step off to read what came of it."
        return words
    step = main.round(place.n)
    if why := steps.why_not(step):
        return f"{where}{why} What was pruned can be seen once level {place.n} is trained."
    found = _steps(main, place.n)
    if place.stage == "rank":
        return f"{where}{_ranking(found, step)}"
    if place.stage == "cut":
        words = f"{where}{_cut(found)}"
        if found.accuracy is not None:
            words += (
                f" Not trained again, the network names {as_percent(found.accuracy, 2)} of the "
            )
            words += "test images rightly."
        return words
    restart = RESTARTS[restart_of(selection.choice)]
    begin = f"{where}The {many(found.after, 'weight')} that stay restart from"
    return f"{begin} {restart[:1].lower()}{restart[1:]}."


def _ranking(found: RoundSteps, step: Round) -> str:
    which = CRITERIA[step.criterion].summary.partition(". ")[0]
    if not found.units:
        return f"{which}: {found.before:,} weights are ranked."
    ranked = _and(f"{before:,} {what}" for what, (before, _) in found.units.items())
    return f"{which}: {ranked} are ranked. {units_in_words(step.scope)}"


def _cut(found: RoundSteps) -> str:
    pruned = found.before - found.after
    if not found.units:
        return f"{pruned:,} of {found.before:,} weights go, {found.after:,} stay."
    units = found.units.items()
    gone = _and(f"{before - after:,} of {before:,} {what}" for what, (before, after) in units)
    return (
        f"{gone} go, and with them {pruned:,} of {found.before:,} weights, those that make them "
        f"and those that read them; {found.after:,} weights stay."
    )


def _and(parts: Iterable[str]) -> str:
    return " and ".join(parts)


def show_button(selection: Selection, state: State) -> None:
    """As `status.show_button`; where one goes step by step, back and on to the next stage."""
    if selection.place is None or state.active:
        status.show_button(selection, state)
        return
    with st.container(horizontal=True, gap="small"):
        if selection.place.number:
            before = selection.place.before
            st.button("Back", on_click=go_to, args=(before,), key="back_a_step")
        _show_next(selection)


def _show_next(selection: Selection) -> None:
    place, main = selection.place, selection.main
    is_trained = has_level(main.keys[place.n])
    if place.stage == "train" and not is_trained:
        label = "Start: train" if not place.n else f"Train level {place.n}"
        on = partial(_train, selection, place)
    elif place.number == len(STAGES) * len(main.rounds):
        label = ""
    else:
        label, on = f"Go on: {place.next.stage}", partial(_go_on, selection)
    if label:
        st.button(
            label, icon=":material/play_arrow:", type="primary", on_click=on, key="start",
            width="stretch",
        )  # fmt: skip


@asking
def _go_on(selection: Selection) -> None:
    there = selection.place.next
    go_to(there)
    if there.stage == "train" and not has_level(selection.main.keys[there.n]):
        ask_for(selection, there.levels)


@asking
def _train(selection: Selection, place: Place) -> None:
    ask_for(selection, place.levels)


def _steps(experiment: Experiment, n: int) -> RoundSteps | None:
    """What round `n` does, made once for all visitors."""
    return runtime().tables.get(("steps", experiment.keys[n]), partial(_made, experiment, n))


def _made(experiment: Experiment, n: int) -> RoundSteps | None:
    store = runtime().store
    dense, previous = (store.read(experiment.keys[k]) for k in (0, n - 1))
    if dense is None or previous is None:
        return None
    return steps.steps_of(experiment, n, dense, previous, partial(_judge, experiment))


def _judge(experiment: Experiment, weights: Arrays) -> float | None:
    """Test accuracy, where that is soon found."""
    recipe, root = experiment.recipe, runtime().store.datasets
    images, labels = unseen_images(recipe.dataset, root, content=recipe.content)
    if recipe.net.multiply_adds() * len(images) > _MOST:
        return None
    read = reader(recipe, root)(images)
    return float(np.mean(answers(recipe, weights, read) == labels))


def _show_charts(
    experiment: Experiment, place: Place, make: Callable[[str], Figure], names: Sequence[str]
) -> None:
    """A chart of each layer, or of the one that is chosen."""
    if len(names) > _ROW:
        names = [one_layer("Layer", "step_layer", {name: short(name) for name in names})]
    for column, name in zip(st.columns(len(names), gap="small"), names, strict=True):
        with column:
            what = ("steps", experiment.keys[place.n], place.stage, name)
            plot(drawn(what, partial(make, name)), f"plot_step_{short(name)}")


def _trained(experiment: Experiment, n: int, name: str) -> Figure:
    level = whole(experiment.keys[n])
    return steps.trained_figure(short(name), level.end[name][level.mask[name]])


def _stage(found: RoundSteps, stage: str, name: str) -> Figure:
    return steps.figure(stage, short(name), found.layers[name])
