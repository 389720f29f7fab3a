"""idx files of images and labels: found under the names people have them by, read in pieces.

An idx file is a header and bytes (LeCun et al., The MNIST database of handwritten digits): here
it may be packed by gzip, and lie in a zip archive. Pieces keep memory small: EMNIST's images are
188 MB, and there is no need to hold them.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lottery_core.data.files import Original, Originals, first_line
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, PARTS

_PIECE = 2_000  # images at once
_MOST_NAMES = 1_000  # of a folder, looked at to find similar ones
_LOOKED_FOR = ("train_images", "train_labels", "test_images", "test_labels")


def find(name: str, folder: Path) -> Originals:
    """The originals in a folder, or in those inside it where torchvision and archives put them.

    Raises `InvalidValue`, which names what is missing and what has a similar name, and `OSError`.
    """
    archive = next(iter(DATASETS[name].archives))
    most: dict[str, Original] = {}
    for place in _places(name, folder):
        found = _in_zip(name, place / archive) or _in_place(name, place)
        if len(found) == len(PARTS):
            return Originals(folder, tuple(found[part] for part in PARTS))
        most = max(most, found, key=len)
    missing = DATASETS[name].idx[next(part for part in _LOOKED_FOR if part not in most)]
    raise InvalidValue("dataset_folder", str(folder), _lacks(name, missing, folder))


def _places(name: str, folder: Path) -> Iterator[Path]:
    own = folder / DATASETS[name].folder
    # The data set's own folder first: the one above may hold another's files of the same names.
    for place in (own / "raw", own, folder, folder / "raw"):
        yield place
        yield place / "gzip"  # into which EMNIST's archive unpacks


def _in_zip(name: str, path: Path) -> dict[str, Original]:
    if path.suffix != ".zip" or not path.is_file():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.rpartition("/")[2]: member for member in archive.namelist()}
    except zipfile.BadZipFile:
        return {}
    wanted = {part: f"{file}.gz" for part, file in DATASETS[name].idx.items()}
    return {part: Original(path, members[file]) for part, file in wanted.items() if file in members}


def _in_place(name: str, place: Path) -> dict[str, Original]:
    if not place.is_dir():
        return {}
    files = {part: _file(place, file) for part, file in DATASETS[name].idx.items()}
    return {part: Original(path) for part, path in files.items() if path}


def _file(place: Path, file: str) -> Path | None:
    # Some programs unpack to a dot before "idx", some to a folder of the file's own name.
    names = [f"{stem}{end}" for stem in (file, file.replace("-idx", ".idx")) for end in (".gz", "")]
    inside = [f"{outer}/{inner}" for outer in names for inner in names]
    paths = (place / path for path in (*names, *inside))
    return next((path for path in paths if path.is_file()), None)


def _lacks(name: str, missing: str, folder: Path) -> str:
    names = {
        str(path.relative_to(folder))
        for place in _places(name, folder)
        if place.is_dir()
        for path in islice(place.iterdir(), _MOST_NAMES)
        if not path.is_dir()
    }
    short = {path.rpartition("/")[2]: path for path in sorted(names)}
    similar = [short[match] for match in get_close_matches(f"{missing}.gz", short, 3, 0.75)]
    archive = next(iter(DATASETS[name].archives))
    instead = f" or {archive}" if archive.endswith(".zip") else ""
    rule = f"lacks {missing}.gz{instead}; name the folder that holds {DATASETS[name].title}'s files"
    return f"{rule} (similar names there: {', '.join(similar)})" if similar else rule


def read_part(name: str, found: Originals, part: str) -> Iterator[np.ndarray]:
    """One of `PARTS` in pieces, uint8 (n, 28, 28) or (n,), images upright.

    Raises `InvalidValue` for a file that is damaged or no such idx file.
    """
    shape, original = DATASETS[name].shape(part), found.files[PARTS.index(part)]
    turned = DATASETS[name].transposed and len(shape) > 1
    kind = {"images": 2051, "labels": 2049}[part.partition("_")[2]]
    header = b"".join(number.to_bytes(4, "big") for number in (kind, *shape))
    each = int(np.prod(shape[1:], dtype=int))

    def refuse(problem: str) -> InvalidValue:
        return InvalidValue("dataset_folder", str(found.folder), problem)

    wrong = refuse(
        f"has a {original.name} that is not {len(header) + shape[0] * each:,} bytes long and an "
        "idx file; fetch the original again"
    )
    try:
        with original.open() as file:
            if _exactly(file, len(header)) != header:
                raise wrong
            for first in range(0, shape[0], _PIECE):
                count = min(_PIECE, shape[0] - first)
                content = _exactly(file, count * each)
                if len(content) != count * each:
                    raise wrong
                piece = np.frombuffer(content, np.uint8).reshape(count, *shape[1:])
                if len(shape) == 1 and piece.max() > 9:
                    rule = f"has a {original.name} with labels up to {piece.max()}, not 9"
                    raise refuse(f"{rule}; fetch the original again")
                yield np.ascontiguousarray(piece.transpose(0, 2, 1)) if turned else piece
            if file.read(1):  # no further, whatever an archive unpacks to
                raise wrong
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        problem = f"has a damaged {original.name}: {first_line(error)}"
        raise refuse(f"{problem}; fetch the original again") from error


def _exactly(file: BinaryIO, count: int) -> bytes:
    # A read may give less than it was asked for, and there be more.
    content = b""
    while len(content) < count and (more := file.read(count - len(content))):
        content += more
    return content
