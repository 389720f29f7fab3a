"""The original files of a data set in a folder that somebody named: what they are, and their parts.

Which form they have is the data set's: idx files, or the batches of CIFAR.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from lottery_core.data import cifar, idx
from lottery_core.data.files import Originals, digest_of, md5_of, named, unreadable
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.datasets import DATASETS, PARTS


def find(name: str, folder: Path) -> Originals:
    """The originals in a folder, or in those inside it where torchvision and archives put them.

    Raises `InvalidValue`, which names what is missing.
    """
    try:
        return _form(name).find(name, folder)
    except OSError as error:
        raise unreadable(folder, error) from error


def read_part(name: str, found: Originals, part: str) -> Iterator[np.ndarray]:
    """One of `PARTS` in pieces, uint8 (n, 28, 28), (n, channels, rows, columns) or (n,), images
    upright. Raises `InvalidValue` for a file that is damaged or none of that form."""
    return _form(name).read_part(name, found, part)


def read(name: str, found: Originals) -> Iterator[tuple[str, np.ndarray]]:
    """All parts in order and in pieces, as `read_part` gives them.

    Raises `InvalidValue`.
    """
    for part in PARTS:
        for piece in read_part(name, found, part):
            yield part, piece


def _form(name: str):
    return cifar if DATASETS[name].batches else idx


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
        raise unreadable(folder, error) from error
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
    """Whether the files are the published archives, or the batches in them, by MD5 sums."""
    there = {path.name: path for path in found.paths}
    try:
        return any(
            there.keys() == sums.keys()
            and all(md5_of(there[file]) == md5 for file, md5 in sums.items())
            for sums in (DATASETS[name].archives, DATASETS[name].batches)
        )
    except OSError:  # reading them says so in words
        return False
