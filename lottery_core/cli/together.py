"""Many experiments at once on the command line: one bar over all of them, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lottery_core.running.crew import Crew
from lottery_core.running.many import Asked, run_all
from lottery_core.store import Store

STOPPED = "Stopped; the same command goes on after the last whole level."


def train_all(
    console: Console,
    store: Store,
    crew: Crew,
    asked: Sequence[Asked],
    *,
    device: str,
    loop: str,
    folder: Path | None,
) -> bool:
    """Have a crew train what is missing of these; whether all of it is there in the end."""
    standings = run_all(store, crew, asked, device=device, loop=loop, folder=folder)
    columns = (TextColumn("levels"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=console, disable=not console.is_terminal)
    standing, told = None, ""
    try:
        with closing(standings), shown:
            for standing in standings:
                if not shown.tasks:
                    shown.add_task("", total=standing.of, completed=standing.done)
                shown.update(shown.task_ids[0], completed=standing.done, total=standing.of)
                if standing.problem not in ("", told):
                    console.print(standing.problem, markup=False)
                told = standing.problem
    except KeyboardInterrupt:
        console.print(STOPPED)
        return False
    for key, job in standing.failed.items():
        console.print(f"{key[:8]} {job.state}: {job.message or 'it was stopped'}", markup=False)
    console.print(f"{standing.done:,} of {standing.of:,} levels are finished.")
    return standing.is_over
