"""The Luck page's parts: which ticket, what is trained of it, and what its alterations lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from lottery_core.findings import luck
from lottery_core.findings.additions import check_work
from lottery_core.findings.lines import with_seed
from lottery_core.findings.luck import Effect
from lottery_core.report import compared_figures, figures
from lottery_core.spec.arms import has_ticket, title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_REPLICATES
from ui.shared.jobs import any_active, plan_of, rest_in_words, show_jobs, show_stop, signature
from ui.shared.link import Link
from ui.shared.plot import plot
from ui.shared.reading import summary
from ui.shared.runtime import has_level, runtime
from ui.shared.tasks import choose as choose_run
from ui.shared.tasks import choose_part, choose_seeds, line_and_levels, runs
from ui.shared.text import capital, many
from ui.shared.trouble import asking, show_refused
from ui.shared.words import say_verdict, show_words

LINK = Link("luck")
_SEEDS = 3  # the fewest that are offered: fewer say next to nothing


@dataclass(frozen=True)
class Asked:
    """What is looked at: the ticket and then its alterations, each over all seeds, by arm; how they
    are trained; and what was known of them before they were read (see `ui.shared.jobs.signature`).
    """

    arms: Mapping[str, tuple[Experiment, ...]]
    options: Mapping[str, object]
    signature: tuple

    @property
    def experiments(self) -> list[Experiment]:
        """All of them, in the order in which they are trained."""
        return [experiment for arm in self.arms.values() for experiment in arm]

    @property
    def missing(self) -> list[Experiment]:
        """Those whose level is not there yet."""
        return [one for one in self.experiments if not has_level(one.key)]


def choose() -> Asked:
    """Which run, which of its levels, and over how many seeds."""
    known = {key: run for key, run in runs().items() if has_ticket(run[0])}
    experiment, params, _ = known[choose_run(known, LINK)]
    line, names, usual = line_and_levels(experiment)
    left, right = st.columns([3, 1])
    with left:
        n = 1 + choose_part("Level", names, usual, experiment, LINK)
    with right:
        usual = min(max(_SEEDS, len(line.seeds)), MAX_REPLICATES)
        count = choose_seeds(experiment, usual, LINK)
    each = [
        luck.altered(with_seed(experiment, seed), n) for seed in luck.seeds_of(line.seeds, count)
    ]
    arms = {arm: tuple(of_seed[arm] for of_seed in each) for arm in luck.ALTERATIONS}
    options = {"device": line.device, "loop": line.loop, "params": line.params or params}
    return Asked(arms, options, signature([one for arm in arms.values() for one in arm]))


def show_controls(asked: Asked) -> None:
    """Train what is missing, or Stop, and how far it is."""
    show_jobs((one, runtime().store.job(one.key), _name(one)) for one in asked.experiments)
    if any_active(asked.experiments):
        show_stop(asked.experiments)
    elif missing := asked.missing:
        todo = plan_of(missing)
        words, button = st.columns([3, 1], vertical_alignment="center")
        words.markdown(
            f"**{many(todo.trainings, 'training')}** of the ticket and its alterations"
            f"{rest_in_words(todo)}"
        )
        button.button(
            "Train what is missing",
            icon=":material/play_arrow:",
            type="primary",
            on_click=_train,
            args=(missing, asked.options),
            width="stretch",
            key="train",
        )
    show_refused()


def _name(experiment: Experiment) -> str:
    return f"{capital(title_of(experiment))}, seed {experiment.recipe.seed}: "


@asking
def _train(missing: list[Experiment], options: Mapping[str, object]) -> None:
    check_work(missing)
    runtime().queue.submit_all(missing, **options)


def show_found(asked: Asked) -> None:
    """The sentence, the chart and the table, of what is there."""
    accuracies = _accuracies(asked)
    found = luck.effects(accuracies)
    say_verdict(luck.in_words(accuracies))
    show_words("magnitude", "mask", "seed")  # in the chart
    title = "Accuracy beside the ticket's, by what is changed"
    rows = [_drawn(effect) for effect in found]
    plot(compared_figures.differences_figure(rows, luck.SLIGHT, title=title), "plot_luck")
    st.table(luck.table(found), border="horizontal", hide_index=True)
    st.caption(
        "Differences are points of accuracy, taken seed by seed: a dot is their mean, a bar its "
        f"95\u202f% interval (Student's t), the band {100 * luck.SLIGHT:g} points either way. Of "
        "twenty such intervals one misses by chance. Test images select nothing here."
    )


def _accuracies(asked: Asked) -> dict[str, dict[int, float]]:
    levels = {arm: [summary(one.key) for one in seeds] for arm, seeds in asked.arms.items()}
    return {
        arm: {level.info.seed: level.info.test_accuracy for level in found if level}
        for arm, found in levels.items()
    }


def _drawn(effect: Effect) -> figures.Curve:
    one = effect.difference
    style = figures.STYLES["main" if effect.arm == "ticket" else effect.arm]
    is_there = bool(one.n)
    return figures.Curve(
        effect.changed, [], [one.mean] * is_there, style, [one.low], [one.high], one.n
    )
