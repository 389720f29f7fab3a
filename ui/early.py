"""The Stability page's part on early birds: when the mask stands still in dense training."""

from __future__ import annotations

import streamlit as st

from lottery_core.findings import early
from lottery_core.report.early_figures import distance_figure, settled_figure
from lottery_core.running.looks import evaluations_of, looks_of, watching
from lottery_core.running.time_left import in_words
from lottery_core.spec.experiment import Experiment
from ui.shared.link import Link
from ui.shared.plot import plot
from ui.shared.runtime import has_level, runtime
from ui.shared.tasks import choose_part, is_active, measured_of, show_controls
from ui.shared.text import missing_in_words
from ui.shared.trouble import live
from ui.shared.words import say, say_verdict

TASK = "early"


def plan_in_words(experiment: Experiment) -> str:
    """What Measure would do, or that it would find the same."""
    if measured_of(TASK, experiment):
        return "Measured. The same training would draw the same masks again."
    missing = sum(not has_level(key) for key in experiment.keys)
    before = f"Trains {missing_in_words(missing)}, then t" if missing else "T"
    every, shown = len(evaluations_of(experiment)), len(looks_of(experiment))
    some = f"{shown} of its {every}" if shown < every else f"each of its {every}"
    words = f"{before}rains the dense network once more and draws masks at {some} evaluations"
    seconds = None if missing else watching(runtime().store, experiment)
    return f"{words}: about {in_words(seconds)}." if seconds else f"{words}."


def show_early(experiment: Experiment, params: dict[str, str], link: Link) -> None:
    """The heading, the button or the bar, and what was measured."""
    st.header("Early birds")
    say(
        "Pruned at each evaluation of its training, as if it were done, the dense network would be "
        "given a mask each time. Once these hardly differ any more, the ticket can be told, long "
        "before the training ends: an early bird (You et al. 2020, "
        '[arXiv 1909.11957](https://arxiv.org/abs/1909.11957)). The arm "early bird" in the '
        "Explorer cuts it there and trains on."
    )
    active = is_active(TASK, experiment)

    @live(0.7 if active else None)
    def controls() -> None:
        """The button or the bar; and the whole page again when a measurement begins or ends."""
        if is_active(TASK, experiment) != active:
            st.rerun()
        plan = plan_in_words(experiment)
        show_controls(TASK, experiment, params, plan, "look", again=False, name="_early")

    with st.container(key="early_controls"):
        controls()
    with st.container():
        _show_measured(experiment, link)


def _show_measured(experiment: Experiment, link: Link) -> None:
    measured = measured_of(TASK, experiment)
    if measured is None:
        begin = "It is being measured." if is_active(TASK, experiment) else "Not measured yet."
        st.info(
            f"{begin} A picture will show how far apart the masks are that any two evaluations "
            "would give, for each level's size.",
            icon=":material/nest_eco_leaf:",
        )
        return
    say_verdict(early.in_words(measured), of=TASK)
    if not measured.levels:
        return
    total = measured.total
    names = [early.name(one, total) for one in measured.levels]
    n = choose_part("Masks of the size of", names, 0, experiment, link, name="size")
    one = measured.levels[n]
    left, right = st.columns(2)
    with left:
        figure = distance_figure(
            measured.looks,
            early.matrix(one, total),
            one.settled,
            title=f"Distance between masks: {names[n]}",
        )
        plot(figure, "plot_distances")
        if one.settled is not None:
            st.caption("Dashed: the iteration at which masks of this size had settled.")
    with right:
        percents, iterations = early.settled_by_size(measured)
        plot(settled_figure(percents, iterations, measured.looks[-1]), "plot_settled")
