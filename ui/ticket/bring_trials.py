"""What came of trainings of a ticket that was brought along."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lottery_core.findings.lines import line_id
from lottery_core.findings.replicates import band
from lottery_core.spec.arms import ARMS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import as_percent
from lottery_core.spec.terms import OPTIMISERS
from lottery_core.store import LevelInfo
from lottery_core.tickets import transfer
from lottery_core.tickets.transfer import Trial
from ui.shared.jobs import finished_keys, show_jobs
from ui.shared.reading import infos
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.shared.trouble import asking, live

_TICK, _IDLE = 0.7, 3.0  # seconds between two looks at the trainings


def show_trials(ticket: str) -> None:
    """How far the trainings of a ticket are, and what came of each."""
    found = transfer.trials(ticket, runtime().store.jobs())
    if not found:
        return
    active = any(_active(trial) for trial in found)
    title, button = st.columns([4, 1], vertical_alignment="bottom")
    title.header("Does it hold, and does it transfer?")
    if active:
        button.button(
            "Stop", icon=":material/stop:", on_click=_stop, args=(found,), width="stretch",
            key="bring_stop",
        )  # fmt: skip
    shown = _signature(found)

    @live(_TICK if active else _IDLE)
    def progress() -> None:
        now = transfer.trials(ticket, runtime().store.jobs())
        if _signature(now) != shown:
            st.rerun()
        for trial in now:
            show_jobs(_rows(trial))

    with st.container():
        progress()
    table = _table(found)
    if len(table):
        st.dataframe(
            table,
            hide_index=True,
            width="stretch",
            column_config={
                name: st.column_config.TextColumn(help="Mean test accuracy (least to greatest).")
                for name in table.columns[4:-1]
            },
        )
    for n, trial in enumerate(found):
        _show_outcome(n, trial)


def _show_outcome(n: int, trial: Trial) -> None:
    """What came of one trial in words, and where to look at it; nothing until a seed is done."""
    runs = {name: _complete(arm) for name, arm in trial.arms.items()}
    if not runs["main"]:
        return
    with st.container(border=True, key=f"trial_{n}"):
        st.markdown(f"**{_title(trial)}.** {plain(transfer.in_words(runs))}")
        with st.container(horizontal=True):
            st.page_link(
                "pages/compare.py",
                label="Compare in detail",
                icon=":material/compare_arrows:",
                query_params={
                    "lines": ",".join(line_id(arm[0]) for arm in trial.arms.values()),
                    "seeds": ",".join(str(one.recipe.seed) for one in trial.arms["main"]),
                },
            )
            st.page_link(
                "pages/ticket.py",
                label="Look inside",
                icon=":material/search:",
                query_params={"key": trial.main.key, "level": "1", "view": "inside"},
            )


@asking
def _stop(found: list[Trial]) -> None:
    for trial in found:
        for one in _experiments(trial):
            runtime().queue.cancel(one.key)


def _experiments(trial: Trial) -> list[Experiment]:
    return [one for arm in trial.arms.values() for one in arm]


def _active(trial: Trial) -> bool:
    jobs = (runtime().store.job(one.key) for one in _experiments(trial))
    return any(job is not None and job.active for job in jobs)


def _signature(found: list[Trial]) -> tuple:
    return tuple(
        (trial.main.key, _active(trial), finished_keys(_experiments(trial))) for trial in found
    )


def _rows(trial: Trial):
    for name, arm in trial.arms.items():
        for one in arm:
            job = runtime().store.job(one.key)
            if job is not None and job.state != "done":
                what = "Ticket" if name == "main" else ARMS[name].title.capitalize()
                yield one, job, f"{what}, seed {one.recipe.seed}: "


def _complete(arm: tuple[Experiment, ...]) -> dict[int, list[LevelInfo]]:
    return {seed: levels for seed, levels in infos(arm).items() if len(levels) > 1}


def _title(trial: Trial) -> str:
    recipe = trial.main.recipe
    start = "its own weights" if trial.main.rounds[0].restart == "ticket" else "initial weights"
    return (
        f"On {recipe.data_title}, {OPTIMISERS[recipe.optimiser].title} at "
        f"{recipe.learning_rate:g}, {recipe.iterations:,} iterations, from {start}"
    )


def _table(found: list[Trial]) -> pd.DataFrame:
    rows = []
    for trial in found:
        runs = {name: _complete(arm) for name, arm in trial.arms.items()}
        if not runs["main"]:
            continue
        recipe = trial.main.recipe
        accuracies = {
            "dense": [levels[0].test_accuracy for levels in runs["main"].values()],
            "ticket": [levels[1].test_accuracy for levels in runs["main"].values()],
        } | {
            ARMS[name].title: [levels[1].test_accuracy for levels in runs.get(name, {}).values()]
            for name in transfer.CONTROLS
        }
        rows.append(
            {
                "data set": recipe.data_title,
                "optimiser": f"{OPTIMISERS[recipe.optimiser].title}, {recipe.learning_rate:g}",
                "iterations": recipe.iterations,
                "from": "own" if trial.main.rounds[0].restart == "ticket" else "initial",
            }
            | {name: _spread(values) for name, values in accuracies.items()}
            | {"seeds": len(runs["main"])}
        )
    return pd.DataFrame(rows)


def _spread(values: list[float]) -> str:
    if not values:
        return "not run"
    found = band(values, "range")
    words = as_percent(found.mean, 2)
    return (
        f"{words} ({as_percent(found.low, 2)} to {as_percent(found.high, 2)})"
        if found.n > 1
        else words
    )
