"""Commands about data sets: `python -m lottery_core data add`, `list` and `remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lottery_core.cli import terminal
from lottery_core.cli.options import Cache
from lottery_core.cli.places import from_home, open_cache
from lottery_core.data import is_prepared, own
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS
from lottery_core.store import CACHE

commands = typer.Typer(no_args_is_help=True, help="Data sets: add your own images, list, remove.")

Name = Annotated[str, typer.Argument(help="What it is called: small letters, digits and -.")]
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


@commands.command()
def add(
    name: Name,
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with train/CLASS/* and test/CLASS/*, or with CLASS/* alone; or an .npz "
            "file with x_train, y_train, x_test, y_test."
        ),
    ],
    size: Annotated[int, typer.Option(help="Pixels a side, 8 to 64.")] = 32,
    grey: Annotated[bool, typer.Option("--grey", help="One channel instead of three.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave unreadable images out.")
    ] = False,
    cache: Cache = CACHE,
) -> None:
    """Make a data set of your own images, for the Explorer's list and for --dataset."""
    store = open_cache(cache, make=True)
    console = terminal.console()
    try:
        source = from_home("source", source)
        with Progress(*_COLUMNS, console=console, transient=True) as bar:
            task = bar.add_task("reading images", total=None)

            def progress(done: int, of: int) -> None:
                bar.update(task, completed=done, total=of)

            form = own.Form(size, grey)
            options = {"skip_bad": skip_bad, "progress": progress}
            added = own.add(name, source, store.datasets, form, **options)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    table = terminal.table("class", "training images", "test images")
    for class_name, (train, test) in own.counts(name, store.datasets).items():
        table.add_row(class_name, f"{train:,}", f"{test:,}")
    console.print(table)
    for note in added.notes:
        console.print(note, soft_wrap=True)
    console.print(
        f"{name}: {_what(name)}. Train on it with python -m lottery_core run --dataset {name}",
        soft_wrap=True,
    )


@commands.command("list")
def list_data(cache: Cache = CACHE) -> None:
    """List the data sets that can be named, and which of them are on this machine."""
    store = open_cache(cache)
    table = terminal.table("name", "what", "where")
    for name, facts in DATASETS.items():
        where = "here" if is_prepared(name, store.datasets) else "fetched when it is asked for"
        table.add_row(name, _what(name), "added here" if facts.is_own else where)
    terminal.console().print(table)


@commands.command()
def remove(name: Name, cache: Cache = CACHE) -> None:
    """Remove a data set that was added. What was trained on it stays."""
    store = open_cache(cache)
    try:
        own.remove(name, store.datasets)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    terminal.console().print(f"{name} is removed; what was trained on it stays.")


def _what(name: str) -> str:
    facts = DATASETS[name]
    channels, rows, columns = facts.image
    kind = "grey" if channels == 1 else "colour"
    return (
        f"{facts.train_size:,} training and {facts.test_size:,} test images of {rows}x{columns}, "
        f"{kind}, {facts.classes} classes"
    )
