"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lottery_core.training.base import LOOPS


def one_of(known) -> str:
    """What help says of a choice among names."""
    return "One of " + ", ".join(known) + "."


Cache = Annotated[Path, typer.Option(help="Where results are kept and found.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]
Loop = Annotated[str, typer.Option(help=one_of(LOOPS))]
DatasetFolder = Annotated[
    Path | None, typer.Option(help="Folder with the data set's original idx files.")
]
