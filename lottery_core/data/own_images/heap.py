"""Images of equal size on disk, while it is not known yet which are trained on."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np


class Heap:
    """Images of equal size on disk, in the order in which they came. The file has no name, so
    that nothing is left of it however the process ends."""

    def __init__(self, folder: Path, bytes_each: int):
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self.folder = folder
        self.bytes_each = bytes_each
        self.marks: list[bytes] = []  # equal for equal images

    def __enter__(self) -> Heap:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self.marks)

    def add(self, image: bytes) -> None:
        self.marks.append(hashlib.blake2b(image, digest_size=16).digest())
        self._file.write(image)

    def take(self, chosen: np.ndarray) -> Iterator[np.ndarray]:
        """The chosen images, one after the other, uint8 (bytes_each,)."""
        for i in chosen:
            self._file.seek(int(i) * self.bytes_each)
            yield np.frombuffer(self._file.read(self.bytes_each), np.uint8)
