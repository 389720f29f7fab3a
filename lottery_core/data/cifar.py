"""CIFAR-10 and CIFAR-100 as published: batches of images as Python pickles (Krizhevsky 2009,
Learning Multiple Layers of Features from Tiny Images).

A pickle can run code, so one is read only after its MD5 sum, or its archive's, was found to be the
published one; and even then it may name nothing but arrays.
"""

from __future__ import annotations

import pickle
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lottery_core.data.files import Original, Originals, first_line, md5_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS

# What a pickled array of bytes is made of.
_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"names {module}.{name}, which is no array") from None


def find(name: str, folder: Path) -> Originals:
    """The archive in a folder, or else its batches unpacked. Raises `InvalidValue`."""
    facts = DATASETS[name]
    (archive,) = facts.archives
    for place in (folder / facts.folder / "raw", folder, folder / "raw"):
        if (place / archive).is_file():
            return Originals(folder, (Original(place / archive),))
        for inside in (place, place / archive.replace("-python.tar.gz", "-batches-py"),
                       place / archive.replace(".tar.gz", "")):  # fmt: skip
            if all((inside / batch).is_file() for batch in facts.batches):
                return Originals(folder, tuple(Original(inside / b) for b in facts.batches))
    raise InvalidValue(
        "dataset_folder",
        str(folder),
        f"lacks {archive}; name the folder that holds it, or what it unpacks to",
    )


def read_part(name: str, found: Originals, part: str) -> Iterator[np.ndarray]:
    """One of `PARTS`, a piece a batch: images uint8 (n, 3, 32, 32), labels uint8 (n,).

    Raises `InvalidValue` for files that are not the published ones, unread.
    """
    facts = DATASETS[name]
    sums = facts.archives | facts.batches
    for path in found.paths:
        if (md5 := md5_of(path)) != sums[path.name]:
            raise InvalidValue(
                "dataset_folder",
                str(found.folder),
                f"has a {path.name} that is not the published one (MD5 {md5}); such files are not "
                "read, fetch the original again",
            )
    which, kind = part.split("_")
    for batch in facts.batches:
        if batch.startswith("test") == (which == "test"):
            yield _checked(name, _unpickled(found, batch), batch, found)[kind]


def _unpickled(found: Originals, batch: str) -> Mapping[bytes, object]:
    path = next((path for path in found.paths if path.name == batch), None)
    if path is not None:
        with path.open("rb") as file:
            return _load(file, batch, found)
    try:
        with tarfile.open(found.paths[0]) as archive:
            for member in archive:
                if member.isfile() and member.name.rpartition("/")[2] == batch:
                    return _load(archive.extractfile(member), batch, found)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _damaged(batch, found, first_line(error)) from error
    raise _damaged(batch, found, "it is not in the archive")


def _load(file: BinaryIO, batch: str, found: Originals) -> Mapping[bytes, object]:
    try:
        return dict(_Arrays(file, encoding="bytes").load())
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError) as error:
        raise _damaged(batch, found, first_line(error)) from error


def _checked(name: str, content: Mapping[bytes, object], batch: str, found: Originals) -> dict:
    """Images and labels of a batch, by these names."""
    facts = DATASETS[name]
    images = content.get(b"data")
    given = content.get(b"fine_labels", content.get(b"labels"))
    labels = np.asarray(given if isinstance(given, list) else [])
    pixels = int(np.prod(facts.image))
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise _damaged(batch, found, "it holds no images as bytes")
    if images.shape != (len(labels), pixels) or labels.dtype.kind != "i":
        raise _damaged(batch, found, f"it holds {images.shape} images and {len(labels)} labels")
    if len(labels) and not 0 <= labels.min() <= labels.max() < facts.classes:
        raise _damaged(batch, found, f"its labels reach from {labels.min()} to {labels.max()}")
    return {
        "images": np.ascontiguousarray(images).reshape(-1, *facts.image),
        "labels": labels.astype(np.uint8),
    }


def _damaged(batch: str, found: Originals, problem: str) -> InvalidValue:
    return InvalidValue(
        "dataset_folder",
        str(found.folder),
        f"has a damaged {batch}: {problem}; fetch the original again",
    )
