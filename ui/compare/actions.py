"""What can be started: the controls, more seeds, Stop and Resume; and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from lottery_core.findings.additions import check_work, controls_of, more_seeds, params_for
from lottery_core.findings.lines import MAX_LINES, Line, line_id, of_arm
from lottery_core.findings.view import View
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_REPLICATES
from lottery_core.spec.links import write_choice
from lottery_core.spec.presets import PRESETS
from ui.compare.chosen import Compared
from ui.compare.link import offer
from ui.compare.states import is_complete, is_running
from ui.shared.jobs import plan_of, rest_in_words, show_jobs, show_stop
from ui.shared.runtime import runtime
from ui.shared.text import many, seeds_in_words
from ui.shared.trouble import asking, show_refused

_FIRST_SEEDS = 3  # of the run that an empty cache is offered


def show_empty() -> None:
    """Nothing to compare yet: what to do about it."""
    st.info(
        "Nothing has been run yet, so there is nothing to compare. Choose an experiment in the "
        f"Explorer, or start one here: the Quick preset over {_FIRST_SEEDS} seeds, with its "
        "controls.",
        icon=":material/compare_arrows:",
    )
    choice = replace(PRESETS["quick"].choice, replicates=_FIRST_SEEDS)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Start the Quick preset",
            icon=":material/play_arrow:",
            type="primary",
            key="start_quick",
            on_click=_start_quick,
            args=(choice,),
        )
        st.page_link("app.py", label="To the Explorer", icon=":material/explore:")
    st.caption(_cost(choice.experiments()))
    show_refused()


def _start_quick(choice) -> None:
    def start() -> View:
        params = write_choice("quick", choice)
        runtime().queue.submit_all(choice.experiments(), params=params)
        return View(tuple(line_id(arm[0]) for arm in choice.arms().values()))

    _ask(start)


def show_actions(compared: Compared) -> None:
    """Add the controls, more seeds, Stop or Resume; what they cost."""
    if not compared.lines:
        st.info("Pick at least one run above.", icon=":material/compare_arrows:")
        return
    store = runtime().store
    main = next((line for line in compared.lines if line.arm == "ticket"), compared.lines[0])
    arms = controls_of(main)
    missing = [name for name, arm in arms.items() if not _shown_whole(compared, arm)]
    active = any(map(is_running, compared.lines))
    begun = [e for e in compared.experiments if store.job(e.key) and not is_complete(e)]
    if len(compared.lines) == 1:
        st.info(
            "One line alone: pick another above, or add its controls to see what the mask and "
            "the initial weights are each worth.",
            icon=":material/compare_arrows:",
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if missing:
            st.button(
                "Add the controls",
                icon=":material/add:",
                type="primary" if len(compared.lines) == 1 else "secondary",
                on_click=_add_controls,
                args=(main, compared.view.lines),
                key="add_controls",
            )
        n = st.number_input("More seeds", 1, MAX_REPLICATES, 1, key="more_seeds", width=120)
        st.button(
            f"Add {seeds_in_words(n)} to each" if n > 1 else "Add a seed to each",
            on_click=_add_seeds,
            args=(compared.lines, n),
            key="add_seeds",
        )
        if active:
            show_stop(compared.experiments)
        elif begun:
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                on_click=_resume,
                args=(begun,),
                key="resume",
            )
    if missing:
        titles = ", ".join(ARMS[name].title for name in missing)
        cost = _cost([experiment for name in missing for experiment in arms[name]])
        st.caption(f"The controls ({titles}) with the same seeds: {cost}")
    show_refused()


def _shown_whole(compared: Compared, arm: tuple[Experiment, ...]) -> bool:
    shown = set(compared.experiments)
    jobs = (runtime().store.job(experiment.key) for experiment in arm)
    return shown.issuperset(arm) and all(
        is_complete(experiment) or (job is not None and job.active)
        for experiment, job in zip(arm, jobs, strict=True)
    )


def _cost(experiments: list[Experiment]) -> str:
    todo = plan_of(experiments)
    return f"{many(todo.trainings, 'training')}{rest_in_words(todo)}"


@asking
def _ask(start: Callable[[], View]) -> None:
    """Ask the queue for something, and show what `start` returns."""
    offer(start())


def _submit(line: Line, experiments: list[Experiment], params: dict[str, str]) -> None:
    options = {"device": line.device, "loop": line.loop, "params": params}
    runtime().queue.submit_all(experiments, **options)


def _add_controls(line: Line, shown: tuple[str, ...]) -> None:
    def start() -> View:
        arms = controls_of(line)
        params = params_for(line, line.seeds, tuple(arms))
        names = tuple(dict.fromkeys((*shown, *(of_arm(arm, params).id for arm in arms.values()))))
        if len(names) > MAX_LINES:
            raise InvalidValue(
                "lines",
                len(names),
                f"are more than the {MAX_LINES} that are shown at once; take some away",
            )
        store = runtime().store
        experiments = [
            experiment
            for arm in arms.values()
            for experiment in arm
            if not is_complete(experiment) or store.job(experiment.key) is None
        ]
        check_work(experiments)
        _submit(line, experiments, params)
        return replace(st.session_state.compare, lines=names)

    _ask(start)


def _add_seeds(lines: tuple[Line, ...], n: int) -> None:
    def start() -> View:
        together = {seed for line in lines for seed in line.seeds}
        for line, experiments in more_seeds(lines, n):
            seeds = {*line.seeds, *(experiment.recipe.seed for experiment in experiments)}
            together |= seeds
            _submit(line, experiments, params_for(line, sorted(seeds)))
        return replace(st.session_state.compare, seeds=tuple(sorted(together)))

    _ask(start)


@asking
def _resume(experiments: list[Experiment]) -> None:
    for experiment in experiments:
        job = runtime().store.job(experiment.key)
        if job is not None:
            options = {"device": job.device, "loop": job.loop, "params": job.params}
            runtime().queue.submit(experiment, **options)


def is_active(compared: Compared) -> bool:
    """Whether any of what is compared is queued or running."""
    return any(map(is_running, compared.lines))


def show_progress(compared: Compared) -> None:
    """A bar for each experiment that is running, and how many wait."""
    show_jobs(
        (experiment, runtime().store.job(experiment.key), _name(compared, line, experiment))
        for line in compared.lines
        for experiment in line.experiments
    )


def _name(compared: Compared, line: Line, experiment: Experiment) -> str:
    return f"{compared.title(line)}, seed {experiment.recipe.seed}: "
