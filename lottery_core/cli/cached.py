"""Commands about what is in the cache: `list`, `show`, `export` and `verify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from lottery_core.cli import terminal
from lottery_core.cli.options import Cache, NetworkOfFile
from lottery_core.cli.places import from_home, open_cache, read_file, write_file
from lottery_core.findings.lines import Line, asked_with, known_experiments
from lottery_core.findings.naming import in_common
from lottery_core.findings.verdict import has_won, picked
from lottery_core.spec.arms import title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.store import CACHE, Job, LevelInfo, Store
from lottery_core.tickets import card, files
from lottery_core.tickets.verify import verify, verify_in_words

_SHORTEST = 6  # characters of a key

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


def list_experiments(
    levels: Annotated[bool, typer.Option("--levels", help="Every level instead.")] = False,
    cache: Cache = CACHE,
) -> None:
    """List the experiments in the cache, newest first, with the smallest ticket that wins."""
    store = open_cache(cache)
    table = terminal.table("when", "key", "state", "levels", "ticket", "what")
    if levels:
        table = terminal.table("when", "key", "level", "weights left", "test accuracy", "what")
    rows = _level_rows(store) if levels else _experiment_rows(store)
    for row in sorted(rows, key=lambda row: -row.time):
        table.add_row(f"{datetime.fromtimestamp(row.time).astimezone():%Y-%m-%d %H:%M}", *row.cells)
    console, closed = terminal.console(), len(store.unreadable())
    if table.row_count:
        console.print(table)
    elif not closed:
        console.print(f"Nothing is kept in {store.root} yet; `python -m lottery_core run`")
    if closed:
        console.print(
            f"{closed} level{'s' if closed > 1 else ''} in {store.root} "
            f"{'are' if closed > 1 else 'is'} not yours to read: ask the owner for read permission "
            f"(chmod -R g+rX {store.root})",
            soft_wrap=True,
        )


def show(key: Key, cache: Cache = CACHE) -> None:
    """Show a level: its card, and the keys of the levels before it."""
    store = open_cache(cache)
    try:
        whole = find(store, key)
        level = files.read(store, whole)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    console = terminal.console()
    console.print(card.card(card.gather(store, level)), soft_wrap=True)
    table = terminal.table("level", "key", "weights left", "test accuracy")
    for info in _chain(store, level.info):
        table.add_row(str(info.level), info.key[:8], *_facts(info))
    console.print("Levels of this experiment that are kept:\n")
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
    for experiment, job in known_experiments(store).values():
        time = job.submitted if job else max(map(store.computed, experiment.keys))
        yield _Row(time, _experiment_cells(store, experiment, job))


def _experiment_cells(store: Store, experiment: Experiment, job: Job | None) -> tuple[str, ...]:
    asked = {one.recipe.seed: _infos(store, one) for one in asked_with(experiment, job)}
    infos, found = asked[experiment.recipe.seed], picked(asked)
    ticket = "none wins" if len(infos) == len(experiment.keys) > 1 else ""
    if found and found.level < len(infos):
        best = infos[found.level]
        ticket = f"{best.key[:8]}: {', '.join(_facts(best))}"
        ticket += "" if has_won(asked) else ", not by the test images"
    return (
        infos[-1].key[:8] if infos else "",
        job.state if job else "kept",
        f"{len(infos)} of {len(experiment.keys)}",
        ticket,
        _what(experiment),
    )


def _infos(store: Store, experiment: Experiment) -> list[LevelInfo]:
    known = store.infos(experiment.keys)
    return [known[key] for key in takewhile(known.__contains__, experiment.keys)]


def _level_rows(store: Store) -> Iterable[_Row]:
    for info in store.infos(store.keys()).values():
        experiment = Experiment.known(info.experiment)
        what = _what(experiment) if experiment else "of another version"
        cells = info.key[:8], str(info.level), *_facts(info), what
        yield _Row(store.computed(info.key), cells)


def _facts(info: LevelInfo) -> tuple[str, str]:
    left = f"{info.weights_kept:,} ({info.percent_remaining:.4g} %)"
    return left, f"{info.test_accuracy:.2%}"


def _what(experiment: Experiment) -> str:
    line = Line("", (experiment,))
    return f"{title_of(experiment)}, seed {experiment.recipe.seed}, {in_common([line])}"


def _chain(store: Store, info: LevelInfo) -> list[LevelInfo]:
    experiment = Experiment.known(info.experiment)
    keys = experiment.keys if experiment and info.key in experiment.keys else [info.key]
    return [*store.infos(keys).values()]
