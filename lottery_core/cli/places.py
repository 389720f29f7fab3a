"""Caches and files that are named on the command line."""

from __future__ import annotations

from pathlib import Path

import typer

from lottery_core.data import own
from lottery_core.spec.checks import InvalidValue
from lottery_core.store import Store, StoreUnavailable
from lottery_core.store.files import place, write
from lottery_core.tickets.incoming import Upload, read_upload
from lottery_core.tickets.unpacking import MAX_FILE


def open_cache(cache: Path, *, make: bool = False) -> Store:
    """The store in a folder that was named, made if `make`; the data sets that were added to it
    are known from then on. Raises `typer.BadParameter` where it can be none."""
    try:
        store = Store(cache)
        if make:
            store.make()
    except StoreUnavailable as error:
        raise typer.BadParameter(str(error), param_hint="--cache") from error
    own.register(store.datasets)
    return store


def from_home(name: str, path: Path) -> Path:
    """A path as it was typed, with "~" read as the home. Raises `InvalidValue`."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InvalidValue(name, str(path), "names the home of nobody here") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises `OSError`."""
    path = path.resolve()
    if path.is_file() or (path.parent.is_dir() and not path.exists()):
        place(path, lambda new: write(new, content))
    else:  # a device, say, or nothing that can be written to
        path.write_bytes(content)


def read_file(file: Path, network: str = "") -> Upload:
    """A file that is brought along, of the network that is named, if any. Raises `InvalidValue`."""
    file = from_home("file", file)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidValue("file", str(file), f"can't be read: {error.strerror}") from error
    return read_upload(file.name, content, network)
