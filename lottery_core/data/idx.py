"""The original files of a data set: found under the names people have them by, read in pieces.

An idx file is a header and bytes (LeCun et al., The MNIST database of handwritten digits): here
it may be packed by gzip, and lie in a zip archive. Pieces keep memory small: EMNIST's images are
188 MB, and there is no need to hold them.
"""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.datasets import DATASETS, PARTS

_PIECE = 2_000  # images at once
_BLOCK = 2**20  # bytes at once
_MOST_NAMES = 1_000  # of a folder, looked at to find similar ones
_LOOKED_FOR = ("train_images", "train_labels", "test_images", "test_labels")

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
    """The files of a data set in the order of `PARTS`, and the `folder` that was named."""

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


def find(name: str, folder: Path) -> Originals:
    """The originals in a folder, or in those inside it where torchvision and archives put them.

    Raises `InvalidValue`, which names what is missing and what has a similar name.
    """
    try:
        archive = next(iter(DATASETS[name].archives))
        most: dict[str, Original] = {}
        for place in _places(name, folder):
            found = _in_zip(name, place / archive) or _in_place(name, place)
            if len(found) == len(PARTS):
                return Originals(folder, tuple(found[part] for part in PARTS))
            most = max(most, found, key=len)
        missing = DATASETS[name].idx[next(part for part in _LOOKED_FOR if part not in most)]
        raise InvalidValue("dataset_folder", str(folder), _lacks(name, missing, folder))
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path | str, error: OSError) -> InvalidValue:
    rule = f"can't be read ({error.strerror}); choose one that you may read"
    return InvalidValue("dataset_folder", str(folder), rule)


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


# What they are


def identify(name: str, folder: Path | str) -> str:
    """Which content of a data set a folder holds: "" for what was published, else its digest.

    It is what was published if the archives have their MD5 sums, or images and labels their
    digest. Raises `InvalidValue` for a folder without the files, with damaged ones, with
    another data set's, or with other content where the published digest is known.
    """
    check_known("dataset", name, DATASETS)
    found = find(name, named(folder))
    try:
        stamps = tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in found.paths)
    except OSError as error:
        raise _unreadable(folder, error) from error
    content = _content(name, found, stamps)
    for other, facts in DATASETS.items():
        if content and content == facts.digest and other != name:
            rule = (
                f"holds {facts.title}'s files, not {DATASETS[name].title}'s; name the right folder"
            )
            raise InvalidValue("dataset_folder", str(folder), rule)
    if content and DATASETS[name].digest:
        rule = f"holds files that are not {DATASETS[name].title}'s; fetch the originals again"
        raise InvalidValue("dataset_folder", str(folder), rule)
    return content


@lru_cache(maxsize=32)
def _content(name: str, found: Originals, stamps: tuple) -> str:
    """The digest of other files than the published ones; once for the same sizes and times."""
    if is_published(name, found):
        return ""
    content = digest_of(DATASETS[name].shapes, read(name, found))
    return "" if content == DATASETS[name].digest else content


def is_published(name: str, found: Originals) -> bool:
    """Whether the files are the published archives, by their MD5 sums."""
    sums = DATASETS[name].archives
    there = {path.name: path for path in found.paths}
    try:
        return there.keys() == sums.keys() and all(
            md5_of(there[file]) == md5 for file, md5 in sums.items()
        )
    except OSError:  # reading them says so in words
        return False


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


def read(name: str, found: Originals) -> Iterator[tuple[str, np.ndarray]]:
    """All parts in order and in pieces, uint8 (n, 28, 28) and (n,), images upright.

    Raises `InvalidValue` for a file that is damaged or no such idx file.
    """
    for part in PARTS:
        for piece in read_part(name, found, part):
            yield part, piece


def read_part(name: str, found: Originals, part: str) -> Iterator[np.ndarray]:
    """One of `PARTS` in pieces; otherwise as `read`."""
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


def first_line(error: Exception) -> str:
    """What an error says, or else what it is called."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
