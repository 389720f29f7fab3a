"""Original files on disk, in whatever they are packed, and the sums that say what they hold."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lottery_core.spec.checks import InvalidValue

_BLOCK = 2**20  # bytes at once

Pieces = Iterable[tuple[str, np.ndarray]]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Original:
    """An idx file, by itself or as the member of a zip archive."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """What the file itself is called."""
        return self.member.rpartition("/")[2] or self.path.name

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Its content, unpacked, whatever its name says of that."""
        if self.member:
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(self.member) as file,
                _unpacked(file) as content,
            ):
                yield content
        else:
            with self.path.open("rb") as file, _unpacked(file) as content:
                yield content


@contextmanager
def _unpacked(file: BinaryIO) -> Iterator[BinaryIO]:
    begins = file.read(2)
    file.seek(0)
    if begins == b"\x1f\x8b":
        with gzip.open(file) as content:
            yield content
    else:
        yield file


@dataclass(frozen=True)
class Originals:
    """The files of a data set, in the order in which its form reads them, and the `folder` that
    was named."""

    folder: Path
    files: tuple[Original, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files on disk that they come from."""
        return tuple(dict.fromkeys(original.path for original in self.files))


def named(folder: Path | str) -> Path:
    """The folder that somebody named; `~` is their home. Raises `InvalidValue`."""
    try:
        path = Path(folder).expanduser()
        if path.is_dir():
            return path
    except (OSError, RuntimeError):  # no permission to look; the home of nobody
        pass
    raise InvalidValue(
        "dataset_folder",
        str(folder),
        "is not a folder on this machine; name one that holds the data set's original files",
    )


def unreadable(folder: Path | str, error: OSError) -> InvalidValue:
    """Why a folder that was named can't be read."""
    rule = f"can't be read ({error.strerror}); choose one that you may read"
    return InvalidValue("dataset_folder", str(folder), rule)


def md5_of(path: Path) -> str:
    """The MD5 sum of a file."""
    total = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def digest_of(shapes: Shapes, pieces: Pieces) -> str:
    """SHA-256 over the `PARTS` of a data set, each its name, its shape and its bytes; they come
    in this order, in pieces."""
    total, before = hashlib.sha256(), ""
    for part, piece in pieces:
        if part != before:
            total.update(f"{part} {shapes[part]} ".encode())
            before = part
        total.update(piece.data)
    return total.hexdigest()


def first_line(error: Exception) -> str:
    """What an error says, or else what it is called."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
