"""A prepared data set: one safetensors file of uint8 arrays, which processes map and share.

The file names its content: the SHA-256 of its arrays, and whether they are the published ones.
It appears whole or not at all, and is verified by each process that opens it.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from lottery_core.data.idx import Pieces, Shapes, digest_of
from lottery_core.spec.datasets import DATASETS, PARTS

_PIECE = 2_000  # images or labels at once
_LONGEST = 2**20  # bytes of a header


@dataclass(frozen=True)
class Header:
    """What a prepared file says of itself: the digest of its arrays, its `content` as in
    `Recipe` (None if made by a version that did not ask), each array's shape and where it begins,
    and what else is kept in it."""

    digest: str
    content: str | None
    shapes: Shapes
    begins: dict[str, int]
    about: str = ""


def prepared(name: str, root: Path, content: str = "") -> Path:
    """Where `prepare` puts a data set, or other files than the published ones of it."""
    return root / (f"{name}-{content[:16]}.safetensors" if content else f"{name}.safetensors")


def header_of(name: str, path: Path) -> Header | None:
    """What the file of a data set says of itself; None if it is not there or another's."""
    header = read_header(path)
    return header if header and header.shapes == DATASETS[name].shapes else None


def read_header(path: Path) -> Header | None:
    """What any prepared file says of itself; None if it is not there or none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _LONGEST)))
        told, shapes, begins = header["__metadata__"], {}, {}
        for part in PARTS:
            shapes[part], (begin, end) = tuple(header[part]["shape"]), header[part]["data_offsets"]
            begins[part] = 8 + length + begin
            if header[part]["dtype"] != "U8" or end - begin != math.prod(shapes[part]):
                return None
            if begins[part] + end - begin > path.stat().st_size:
                return None
        content, about = told.get("content"), str(told.get("about", ""))
        return Header(str(told["sha256"]), content, shapes, begins, about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def holds(name: str, path: Path, content: str) -> bool:
    """Whether a file says that it holds what was published, or if there is one, that content."""
    header = header_of(name, path)
    if header is None:
        return False
    wanted = content or DATASETS[name].digest
    return header.digest == wanted if wanted else header.content == ""


def write(
    shapes: Shapes, path: Path, pieces: Pieces, *, published: bool = True, about: str = ""
) -> str:
    """Write a prepared file from the parts of a data set of these shapes, in order and in pieces;
    its digest. `about` is kept in it as it is."""
    begins = np.cumsum([0, *(math.prod(shapes[part]) for part in PARTS)]).tolist()
    layout = {
        part: {"dtype": "U8", "shape": shapes[part], "data_offsets": [first, end]}
        for part, first, end in zip(PARTS, begins, begins[1:], strict=False)
    }

    def header(digest: str) -> bytes:
        told = {"sha256": digest, "content": "" if published else digest}
        told |= {"about": about} if about else {}
        text = json.dumps({"__metadata__": told, **layout}).encode()
        return text + b" " * (-len(text) % 8)  # the arrays begin at a multiple of eight

    def written() -> Pieces:
        for part, piece in pieces:
            file.write(piece.data)
            yield part, piece

    with path.open("wb") as file:
        space = header("0" * 64)  # as long as the one with the digest, known in the end
        file.write(len(space).to_bytes(8, "little") + space)
        digest = digest_of(shapes, written())
        file.seek(8)
        file.write(header(digest))
        file.flush()
        os.fsync(file.fileno())
    return digest


def is_whole(name: str, path: Path) -> bool:
    """Whether the arrays of a file are those it names; if not, and it is there, with a warning."""
    try:
        stamp = path.stat()
    except OSError:
        return False
    return _is_whole(name, path, stamp.st_size, stamp.st_mtime_ns)


@lru_cache(maxsize=8)
def _is_whole(name: str, path: Path, size: int, changed: int) -> bool:
    header = header_of(name, path)
    if header is not None:
        pieces = ((part, piece) for part in PARTS for piece in read_part(name, path, header, part))
        if digest_of(DATASETS[name].shapes, pieces) == header.digest:
            return True
    warnings.warn(f"{path.name} is damaged and is made anew from its source", stacklevel=4)
    return False


def read_part(name: str, path: Path, header: Header, part: str) -> Iterator[np.ndarray]:
    """One of `PARTS` of a file in pieces, uint8 (n, 28, 28) or (n,). Raises `OSError`."""
    # Read, not mapped: pages that are only added up need not count as this process's memory.
    shape = DATASETS[name].shape(part)
    each = math.prod(shape[1:])
    with path.open("rb") as file:
        file.seek(header.begins[part])
        for first in range(0, shape[0], _PIECE):
            content = file.read(min(_PIECE, shape[0] - first) * each)
            yield np.frombuffer(content, np.uint8).reshape(-1, *shape[1:])


def mapped(name: str, path: Path, header: Header) -> dict[str, np.ndarray]:
    """The arrays of a file in the memory that all processes share, uint8. Raises `OSError`."""
    # Mode "c", not "r": torch warns of tensors that can't be written. What somebody writes all
    # the same stays in this process.
    return {
        part: np.memmap(path, np.uint8, "c", begin, DATASETS[name].shape(part)).view(np.ndarray)
        for part, begin in header.begins.items()
    }
