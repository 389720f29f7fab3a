"""Commands about what is kept: `python -m lottery_core list`, `show`, `export` and `verify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lottery_core.arms import title_of
from lottery_core.comparison import Line, in_common, kept
from lottery_core.experiment import Experiment, InvalidValue
from lottery_core.store import CACHE, Store
from lottery_core.tables import percent_remaining, smallest_within, weights_kept
from lottery_core.tickets import card, files
from lottery_core.tickets.incoming import Upload, read_upload
from lottery_core.tickets.unpacking import MAX_FILE
from lottery_core.tickets.verify import verify, verify_in_words

_SHORTEST = 6  # characters of a key
_PIPED = 300  # columns of a table that goes into a file or another program

Cache = Annotated[Path, typer.Option(help="Where results are kept and found.")]
Key = Annotated[str, typer.Argument(help=f"A level's key, or its first {_SHORTEST} or more.")]


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
    store = Store(cache)
    try:
        whole = find(store, key)
        name = files.file_name(store.info(whole) or files.read(store, whole).info, format)
        path = Path(out or name)
        if out != "-" and path.exists() and not force:
            raise InvalidValue(
                "out", str(path), "is there already; choose another --out, or add --force"
            )
        content = files.export(store, whole, format)
        if out == "-":
            sys.stdout.buffer.write(content)
            return
        path.write_bytes(content)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise typer.BadParameter(f"out={str(path)!r} can't be written: {error}") from error
    _console().print(f"{path}: {files.FORMATS[format].summary}, {len(content):,} bytes")


def list_experiments(
    levels: Annotated[bool, typer.Option("--levels", help="Every level instead.")] = False,
    cache: Cache = CACHE,
) -> None:
    """List the experiments in the cache, newest first, with the best ticket of each."""
    store = Store(cache)
    table = _table("when", "key", "state", "levels", "best ticket", "what")
    if levels:
        table = _table("when", "key", "level", "weights left", "test accuracy", "what")
    rows = _level_rows(store) if levels else _experiment_rows(store)
    for row in sorted(rows, key=lambda row: -row.time):
        table.add_row(f"{datetime.fromtimestamp(row.time).astimezone():%Y-%m-%d %H:%M}", *row.cells)
    if table.row_count:
        _console().print(table)
    else:
        _console().print(f"Nothing is kept in {store.root} yet; `python -m lottery_core run`")


def show(key: Key, cache: Cache = CACHE) -> None:
    """Show a level: its card, and the keys of the levels before it."""
    store = Store(cache)
    try:
        whole = find(store, key)
        level = files.read(store, whole)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    console = _console()
    console.print(card.card(card.gather(store, level)), soft_wrap=True)
    chain = [info for info in _chain(store, level.info) if info]
    table = _table("level", "key", "weights left", "test accuracy")
    for info in chain:
        table.add_row(str(info["level"]), info["key"][:8], *_facts(info))
    console.print("Levels of this experiment that are kept:\n")
    console.print(table)


def verify_file(
    file: Annotated[Path, typer.Argument(help="A .safetensors or .npz file of a mask or ticket.")],
    cache: Cache = CACHE,
) -> None:
    """Verify a file against itself and against the cache; fails if anything differs."""
    try:
        upload = read_file(file)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    findings = verify(upload, Store(cache))
    table = _table("verdict", "what", "claimed", "found")
    for finding in findings:
        table.add_row(finding.verdict, finding.what, finding.claimed, finding.found)
    console = _console()
    for line in upload.reading.in_lines():
        console.print(line, soft_wrap=True)
    console.print(table)
    console.print(verify_in_words(findings), soft_wrap=True)
    if any(finding.verdict == "differs" for finding in findings):
        raise typer.Exit(1)


def read_file(file: Path) -> Upload:
    """A file that is brought along. Raises `InvalidValue`."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidValue("file", str(file), f"can't be read: {error.strerror}") from error
    return read_upload(file.name, content)


def find(store: Store, prefix: str) -> str:
    """The key of the level that begins so. Raises `InvalidValue` unless there is exactly one."""
    if len(prefix) < _SHORTEST:
        raise InvalidValue("key", prefix, f"is too short; give at least {_SHORTEST} characters")
    found = list(filter(lambda key: key.startswith(prefix), store.keys()))
    if not found:
        raise InvalidValue(
            "key",
            prefix,
            f"is of no level in {store.root}; `python -m lottery_core list` shows what is there",
        )
    if len(found) > 1:
        raise InvalidValue("key", prefix, f"begins {len(found)} keys; give more characters")
    return found[0]


@dataclass(frozen=True)
class _Row:
    time: float
    cells: tuple[str, ...]


def _experiment_rows(store: Store) -> Iterable[_Row]:
    """One an experiment; when it was asked for or, where nobody did, computed."""
    for key, (experiment, job) in kept(store).items():
        time = job.submitted if job else _time(store, key)
        yield _Row(time, _experiment_cells(store, experiment, job.state if job else "kept"))


def _experiment_cells(store: Store, experiment: Experiment, state: str) -> tuple[str, ...]:
    infos = []
    for key in experiment.keys:
        info = store.info(key)
        if info is None:
            break
        infos.append(info)
    best = smallest_within(infos) if infos else None
    return (
        infos[-1]["key"][:8] if infos else "",
        state,
        f"{len(infos)} of {len(experiment.keys)}",
        f"{best['key'][:8]}: {', '.join(_facts(best))}" if best else "",
        _what(experiment),
    )


def _level_rows(store: Store) -> Iterable[_Row]:
    for info in filter(None, map(store.info, store.keys())):
        experiment = Experiment.known(info["experiment"])
        what = _what(experiment) if experiment else "of another version"
        cells = info["key"][:8], str(info["level"]), *_facts(info), what
        yield _Row(_time(store, info["key"]), cells)


def _facts(info: dict) -> tuple[str, str]:
    left = f"{weights_kept(info):,} ({percent_remaining(info):.4g} %)"
    return left, f"{info['test_accuracy']:.2%}"


def _what(experiment: Experiment) -> str:
    line = Line("", (experiment,))
    return f"{title_of(experiment)}, seed {experiment.recipe.seed}, {in_common([line])}"


def _chain(store: Store, info: dict) -> list[dict | None]:
    experiment = Experiment.known(info["experiment"])
    keys = experiment.keys if experiment and info["key"] in experiment.keys else [info["key"]]
    return [store.info(key) for key in keys]


def _time(store: Store, key: str) -> float:
    return (store.root / "levels" / key).stat().st_mtime


def _console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED
    return console


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
