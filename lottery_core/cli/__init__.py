"""The same job without a browser: `lottery run --preset notebook --out results`, or from a checkout
`python -m lottery_core run ...`."""

from __future__ import annotations

import signal
import sys

import typer

from lottery_core.cli import cached, data, pages, shelf, terminal
from lottery_core.cli.report import report
from lottery_core.cli.run import run
from lottery_core.cli.sweep import sweep
from lottery_core.cli.train import train
from lottery_core.store import StoreUnavailable

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def main() -> None:
    """Find lottery tickets: train, prune, rewind, retrain."""


app.command("app", context_settings=pages.SETTINGS)(pages.start_app)
app.command()(run)
app.command()(sweep)
app.command()(train)
app.command("list")(shelf.list_runs)
app.command()(cached.show)
app.command()(shelf.tag)
app.command()(shelf.remove)
app.command("gc")(shelf.collect)
app.command()(cached.export)
app.command()(report)
app.command("verify")(cached.verify_file)
app.add_typer(data.commands, name="data")


def start() -> None:
    """The command line as it is called: whatever the system or the terminal refuses is told in a
    sentence, with exit code 1."""
    terminal.print_anything()
    # As Ctrl+C: what was begun is recorded as stopped, and processes and locks are cleared up.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except StoreUnavailable as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        terminal.give_up_printing()
        sys.exit(f"Error: {error.filename or 'the output'} can't be used: {error.strerror}")
    finally:
        signal.signal(signal.SIGTERM, before)
