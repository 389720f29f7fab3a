"""`python -m lottery_core data`: images of one's own as data sets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lottery_core.cli import kept, terminal
from lottery_core.cli.options import Cache
from lottery_core.data import own
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS
from lottery_core.store import CACHE

app = typer.Typer(no_args_is_help=True)


@app.callback()
def main() -> None:
    """Train on your own images: add, list and remove data sets."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it, in --dataset and on the pages.")],
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with train/CLASS/* and test/CLASS/*, or CLASS/* alone, or an .npz with "
            "x_train, y_train, x_test, y_test."
        ),
    ],
    size: Annotated[int, typer.Option(help="Pixels of a side, 8 to 64.")] = 32,
    grey: Annotated[bool, typer.Option("--grey", help="One channel instead of three.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that can't be read.")
    ] = False,
    cache: Cache = CACHE,
) -> None:
    """Make a data set of a folder of images or an .npz."""
    store = kept.open_cache(cache, make=True)
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("reading images", total=None)
            facts, notes = own.add(
                name, kept.from_home("source", source), store.datasets, size=size, grey=grey,
                skip_bad=skip_bad,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )  # fmt: skip
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    for note in notes:
        console.print(note)
    console.print(f"{name}: {_in_words(facts)}")


@app.command("list")
def list_added(cache: Cache = CACHE) -> None:
    """List the data sets one can train on."""
    kept.open_cache(cache)
    table = terminal.table("name", "what")
    for name, facts in DATASETS.items():
        table.add_row(name, _in_words(facts))
    terminal.console().print(table)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A data set that was added.")], cache: Cache = CACHE
) -> None:
    """Forget a data set that was added; what was trained on it is kept."""
    store = kept.open_cache(cache)
    try:
        own.remove(name, store.datasets)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    terminal.console().print(f"{name} is removed; what was trained on it is kept")


def _in_words(facts) -> str:
    channels, rows, columns = facts.image
    kind = "colour" if channels == 3 else "grey"
    classes = f"{facts.classes} classes"
    if facts.class_names:
        few = ", ".join(facts.class_names[:5])
        classes += f" ({few}{', ...' if facts.classes > 5 else ''})"
    return (
        f"{facts.train_size:,} training and {facts.test_size:,} test images, {kind}, "
        f"{rows}x{columns}, {classes}"
    )
