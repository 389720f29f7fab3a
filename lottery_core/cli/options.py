"""Options that several commands have."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lottery_core.data import identify
from lottery_core.spec import limits
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import unverified_in_words
from lottery_core.training.base import LOOPS


def one_of(known) -> str:
    """What help says of a choice among names."""
    return "One of " + ", ".join(known) + "."


def content_of(dataset: str, asked: str, folder: Path | None) -> str:
    """The content of a named folder, which is looked at whether it is needed or not; without
    one, what is asked for. Raises `InvalidValue`."""
    if folder is None:
        return asked
    found = identify(dataset, folder)
    if asked not in ("", found):
        raise InvalidValue("content", asked, f"is not what {folder} holds; leave it out")
    return found


def tell_unverified(console: Console, dataset: str, content: str) -> None:
    """Say so where files can't be verified as the published ones."""
    if content:
        console.print(f"{unverified_in_words(dataset, content)} Its SHA-256 is {content}.")


@dataclass(frozen=True)
class Option:
    """What an option's text is read as, what `--help` says of it, and its value if left out."""

    kind: type
    words: str
    default: object = None


def with_options(command: Callable[..., None], options: Mapping[str, Option]) -> Callable:
    """A command that takes `**given`, as one with these options behind its own first parameter."""
    own = inspect.signature(command).parameters
    made = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[option.kind | None, typer.Option(help=option.words)],
        )
        for name, option in options.items()
    ]
    first, *rest = (one for one in own.values() if one.kind is not one.VAR_KEYWORD)
    parameters = [first, *made, *rest]
    command.__signature__ = inspect.Signature(
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    )
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


NO_LIMITS = {"limits": Option(bool, "Or a thousand times as much of all that is limited.", True)}


def lift_limits(console: Console) -> None:
    """Start the same command once more, in this process's place, without limits, which are known
    when the program is imported; returns where that was done."""
    if limits.LIFTED:
        words = "No limits: whether memory and time are enough is yours to see to."
        console.print(words, style="bold")
        return
    os.environ[limits.NO_LIMITS] = "1"
    sys.stdout.flush()
    if os.name == "nt":  # which has no way to take a process's place
        sys.exit(subprocess.run(sys.orig_argv).returncode)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the command that was typed


Cache = Annotated[Path, typer.Option(help="Where results are kept and found.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]
Loop = Annotated[str, typer.Option(help=one_of(LOOPS))]
DatasetFolder = Annotated[
    Path | None, typer.Option(help="Folder with the data set's original files, packed or not.")
]
NetworkOfFile = Annotated[
    str,
    typer.Option(
        help="The file's network, as a name or a text, where shapes of convolutions leave open "
        "where it pools."
    ),
]
