"""The table of runs, and which of its rows are marked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import streamlit as st

from lottery_core.findings.shelf import Row
from ui.runs.choices import LINK
from ui.shared.text import many

_MARKED = "runs_marked"
_COLUMNS = {
    "name": st.column_config.TextColumn("Name", width=130),
    "network": st.column_config.TextColumn("Network", width=110),
    "dataset": st.column_config.TextColumn("Data set", width=90),
    "arm": st.column_config.TextColumn("Arm", width=140),
    "criterion": st.column_config.TextColumn("Criterion", width=90),
    "seeds": st.column_config.TextColumn("Seeds", width=70),
    "state": st.column_config.TextColumn("State", width=150),
    "levels": st.column_config.TextColumn("Levels", width=110),
    "result": st.column_config.TextColumn(
        "Result", width=150, help="By the verdict over all seeds of the row."
    ),
    "percent": st.column_config.NumberColumn(
        "Weights left, %", format="%.3g", width=105, help="Of the smallest level that wins."
    ),
    "accuracy": st.column_config.NumberColumn(
        "Accuracy, %", format="%.2f", width=90, help="That level's, on the test images at the "
        "early stop, or at the end where no images were held out; a mean over the seeds."
    ),
    "gap": st.column_config.NumberColumn(
        "Against dense, points", format="%+.2f", width=140, help="That accuracy less the dense "
        "network's."
    ),
    "size": st.column_config.NumberColumn(
        "On disk", format="bytes", width=80, help="Levels that it shares with others included."
    ),
    "when": st.column_config.DatetimeColumn("When", format="YYYY-MM-DD HH:mm", width=125),
    "seconds": st.column_config.NumberColumn(
        "Training", format="duration", width=90, help="The time that all its levels took."
    ),
    "schedule": st.column_config.TextColumn("Schedule", width=270),
    "tags": st.column_config.ListColumn("Tags", width=100),
    "key": st.column_config.TextColumn("Key", width=80),
}  # fmt: skip


def show_table(rows: Sequence[Row], folded: bool) -> list[Row]:
    """The rows as a table; returns the marked ones."""
    ids = [_id(row, folded) for row in rows]
    marked = set(st.session_state.get(_MARKED, ()))
    chosen = st.dataframe(
        frame_of(rows),
        column_config=_COLUMNS,
        hide_index=True,
        placeholder="",
        height=min(35 * len(rows) + 38, 430),
        on_select="rerun",
        selection_mode="multi-row",
        # Other rows are another table, which begins with those marked that are still there.
        selection_default={
            "selection": {"rows": [n for n, one in enumerate(ids) if one in marked]}
        },
        key=LINK.widget_key(f"runs_table_{hash(tuple(ids)):x}"),
        alt=f"{many(len(rows), 'row')}: what was run, its state, its result, its size",
    )
    found = [rows[n] for n in chosen.selection.rows if n < len(rows)]
    st.session_state[_MARKED] = tuple(_id(row, folded) for row in found)
    return found


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    """A row of the table each, in their order."""
    return pd.DataFrame([_cells(row) for row in rows], columns=list(_COLUMNS)).astype(
        {"percent": float, "accuracy": float, "gap": float, "seconds": float}
    )


def _cells(row: Row) -> dict[str, object]:
    facts, result = row.facts, row.result
    won = result is not None and result.percent is not None
    return {
        "name": row.label.name,
        "network": facts.network,
        "dataset": facts.data_title,
        "arm": facts.title.removesuffix(f", {facts.criterion} criterion"),
        "criterion": facts.criterion,
        "seeds": _seeds(row),
        "state": _states(row),
        "levels": f"{sum(len(run.levels) for run in row.runs)} of "
        f"{'' if all(run.has_ended for run in row.runs) else 'at most '}"
        f"{sum(len(run.facts.levels) for run in row.runs)}",
        "result": "..." if result is None else result.in_words(),
        "percent": result.percent if won else None,
        "accuracy": 100 * result.accuracy if won else None,
        "gap": 100 * (result.accuracy - result.dense) if won else None,
        "size": row.size,
        "when": datetime.fromtimestamp(row.when),  # noqa: DTZ006 - as a clock on the wall has it
        "seconds": None if result is None else result.seconds,
        "schedule": row.schedule,
        "tags": list(row.label.tags),
        "key": facts.key[:8],
    }


def _id(row: Row, folded: bool) -> str:
    return row.facts.line if folded else row.facts.key


def _seeds(row: Row) -> str:
    seeds = [run.facts.seed for run in row.runs]
    if len(seeds) > 1 and seeds == [*range(seeds[0], seeds[-1] + 1)]:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _states(row: Row) -> str:
    if len(row.states) == 1:
        return next(iter(row.states))
    return ", ".join(f"{count} {state}" for state, count in row.states.items())
