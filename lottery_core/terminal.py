"""What is printed, on whatever it is printed to."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from contextlib import suppress

from rich.console import Console
from rich.table import Table

_PIPED = 300  # columns of a table that goes into a file or another program


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    # The narrow space before a per cent sign is a space; of what has no such form, "?" is left.
    plain = (unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode() for c in unknown)
    return "".join(c or "?" for c in plain), error.end


codecs.register_error("plainly", _plainly)


def print_anything() -> None:
    """From here on a character that a terminal or file has no code for ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plainly")


def give_up_printing() -> None:
    """After standard output refused something: what is still to be written is dropped, or Python
    would try it once more at its end."""
    with suppress(AttributeError, OSError):  # there is no such stream, or none of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """For what has been computed: as wide as need be where nobody looks."""
    found = Console(highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = _PIPED
    return found


def table(*columns: str) -> Table:
    """A table of text without lines."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        found.add_column(column, overflow="fold")
    return found
