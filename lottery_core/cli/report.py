"""`python -m lottery_core report`: a run or a comparison as a file to hand out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lottery_core.cli import terminal
from lottery_core.cli.options import Cache
from lottery_core.cli.places import from_home, open_cache, write_file
from lottery_core.findings.handout.asked import asked_for
from lottery_core.findings.handout.compared import FILES, lines_of
from lottery_core.findings.handout.paper import archive
from lottery_core.findings.handout.run_page import run_page
from lottery_core.findings.lines import find
from lottery_core.findings.view import read_seeds
from lottery_core.spec.checks import InvalidValue
from lottery_core.store import CACHE, Store
from lottery_core.tickets.repeat import command_of


def report(
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY",
            help="A level of the run, by its key or the first six characters or more of it; of "
            "several runs, a comparison with the first.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="File to write: .html, one page that opens without a network, or .zip, tables for "
            "a paper in LaTeX, Markdown and CSV."
        ),
    ] = Path("report.html"),
    seeds: Annotated[
        str, typer.Option(help="Of a comparison: the seeds, as in 0,1; default: as asked for.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    cache: Cache = CACHE,
) -> None:
    """Write a run, with its controls and seeds, as a file to hand out."""
    store = open_cache(cache)
    try:
        path = from_home("out", out)
        if path.suffix not in FILES:
            raise InvalidValue("out", str(out), f"must end in {' or '.join(FILES)}")
        if path.exists() and not force:
            rule = "is there already; choose another --out, or add --force"
            raise InvalidValue("out", str(path), rule)
        if len(keys) == 1 and not seeds:
            content = _run(store, find(store, keys[0]), path.suffix)
        else:
            lines = lines_of(store, keys, read_seeds(seeds) if seeds else ())
            content = FILES[path.suffix](store, lines)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    try:
        write_file(path, content)
    except OSError as error:
        raise typer.BadParameter(f"out={str(path)!r} can't be written: {error.strerror}") from error
    terminal.console().print(f"{path}: {len(content):,} bytes", soft_wrap=True)


def _run(store: Store, key: str, kind: str) -> bytes:
    asked = asked_for(store, key)
    if not asked.command:
        asked = replace(asked, command=command_of(asked.main) or "")
    return run_page(store, asked) if kind == ".html" else archive(store, asked)
