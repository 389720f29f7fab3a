"""Options that several commands have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lottery_core.data import identify
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
