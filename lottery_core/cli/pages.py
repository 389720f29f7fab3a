"""`lottery app`: the pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from lottery_core.store.places import APP

# What this command does not know is Streamlit's.
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def start_app(
    context: typer.Context,
    cache: Annotated[Path | None, typer.Option(help="Where results are kept and found.")] = None,
) -> None:
    """Start the pages; other options are Streamlit's: --server.port 8502."""
    if cache is not None:
        os.environ["LOTTERY_CACHE"] = str(cache)
    command = [sys.executable, "-m", "streamlit", "run", str(APP), *context.args]
    if os.name == "posix":  # in this process's place, so that who ends it ends the server
        os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted
    sys.exit(subprocess.call(command))
