"""Commands about what is in the cache: `show`, `export` and `verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lottery_core.cli import terminal
from lottery_core.cli.options import Cache, NetworkOfFile
from lottery_core.cli.places import from_home, open_cache, read_file, write_file
from lottery_core.findings.lines import SHORTEST, find
from lottery_core.findings.shelf import Shelf
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import as_percent, bytes_in_words, size_in_words
from lottery_core.store import CACHE, LevelInfo, Store
from lottery_core.tickets import card, files
from lottery_core.tickets.verify import verify, verify_in_words

Key = Annotated[str, typer.Argument(help=f"A level's key, or its first {SHORTEST} or more.")]


def export(
    key: Key,
    format: Annotated[
        str, typer.Option(help="One of " + ", ".join(files.FORMATS) + ".")
    ] = "ticket",
    out: Annotated[
        str | None,
        typer.Option(help="File to write, - for standard output; default: a name of its own here."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    cache: Cache = CACHE,
) -> None:
    """Write a level as a file to take away."""
    store = open_cache(cache)
    try:
        whole = find(store, key)
        name = files.file_name(store.info(whole) or files.read(store, whole).info, format)
        path = from_home("out", Path(out or name))
        if out != "-" and path.exists() and not force:
            raise InvalidValue(
                "out", str(path), "is there already; choose another --out, or add --force"
            )
        content = files.export(store, whole, format)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    if out == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        write_file(path, content)
    except OSError as error:
        raise typer.BadParameter(f"out={str(path)!r} can't be written: {error.strerror}") from error
    terminal.console().print(f"{path}: {files.FORMATS[format].summary}, {len(content):,} bytes")


def show(key: Key, cache: Cache = CACHE) -> None:
    """Show a level: its card, the runs it is of, and the keys of the levels before it."""
    store = open_cache(cache)
    try:
        whole = find(store, key)
        level = files.read(store, whole)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    console = terminal.console()
    console.print(card.card(card.gather(store, level)), soft_wrap=True)
    runs = terminal.table("run", "state", "size", "name", "note")
    for run in Shelf(store).look().runs:
        if whole in run.levels:
            size = bytes_in_words(run.size)
            runs.add_row(run.key[:8], run.state, size, run.label.in_words(), run.label.note)
    if runs.row_count:
        console.print("Runs that it is a level of:\n")
        console.print(runs)
    table = terminal.table("level", "key", "weights left", "test accuracy")
    for info in _chain(store, level.info):
        table.add_row(str(info.level), info.key[:8], *facts_in_words(info))
    console.print("\nLevels of this experiment that are kept:\n")
    console.print(table)


def verify_file(
    file: Annotated[Path, typer.Argument(help="A .safetensors or .npz file of a mask or ticket.")],
    network: NetworkOfFile = "",
    cache: Cache = CACHE,
) -> None:
    """Verify a file against itself and against the cache; fails if anything differs."""
    try:
        upload = read_file(file, network)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    findings = verify(upload, open_cache(cache))
    table = terminal.table("verdict", "what", "claimed", "found")
    for finding in findings:
        table.add_row(finding.verdict, finding.what, finding.claimed, finding.found)
    console = terminal.console()
    for line in upload.reading.in_lines():
        console.print(line, soft_wrap=True)
    console.print(table)
    console.print(verify_in_words(findings), soft_wrap=True)
    if any(finding.verdict == "differs" for finding in findings):
        raise typer.Exit(1)


def facts_in_words(info: LevelInfo) -> tuple[str, str]:
    """How many weights are left, and the accuracy on the test images at the end."""
    left = f"{info.weights_kept:,} ({size_in_words(info.percent_remaining)})"
    return left, as_percent(info.test_accuracy, 2)


def _chain(store: Store, info: LevelInfo) -> list[LevelInfo]:
    experiment = Experiment.known(info.experiment)
    keys = experiment.keys if experiment and info.key in experiment.keys else [info.key]
    return [*store.infos(keys).values()]
