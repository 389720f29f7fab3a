"""Images, and original files of a data set, made up for a test."""

import gzip
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lottery_core.data import Data, Images
from lottery_core.spec.datasets import DATASETS


def images_of(numbers: np.ndarray) -> Images:
    """Images (n, 784) of at most 256 different numbers, as networks are to read them."""
    values, pixels = np.unique(numbers.astype(np.float32), return_inverse=True)
    assert len(values) <= 256
    values = np.concatenate([values, np.zeros(256 - len(values), np.float32)])
    pixels = pixels.reshape(numbers.shape).astype(np.uint8)
    return Images(pixels, values, np.ones(len(pixels), np.float32))


def judged_on(data: Data, count: int) -> Data:
    """The same, but with so many images held out and to test on: most of what a short training
    takes would go into judging it."""
    some = slice(count)
    return replace(
        data,
        validation_index=data.validation_index[some],
        test_images=data.test_images.take(some),
        test_labels=data.test_labels[some],
    )


@contextmanager
def judged_on_few() -> Iterator[None]:
    """Inside, levels that this process trains, and what it measures of their copies, are judged on
    500 images held out and 500 to test on."""
    from lottery_core.running import engine, instability  # not where nothing is trained: torch

    load = engine.load_data
    with pytest.MonkeyPatch.context() as patch:
        for module in (engine, instability):
            patch.setattr(module, "load_data", lambda *of, **how: judged_on(load(*of, **how), 500))
        yield


def unreadable(images: Images, index=slice(None)) -> Images:
    """The same, but that networks read those at `index` as NaN."""
    lengths = images.lengths.copy()
    lengths[index] = np.nan
    return Images(images.pixels, images.values, lengths)


def contents_of(name: str, grey: int = 0) -> Iterator[tuple[str, bytes]]:
    """The four files of a data set, by name and whole but for their content: all of one grey."""
    facts = DATASETS[name]
    for part, file in facts.idx.items():
        shape = facts.shape(part)
        numbers = 2051 if part.endswith("images") else 2049, *shape
        header = b"".join(number.to_bytes(4, "big") for number in numbers)
        pixel = grey if part.endswith("images") else 0
        yield file, header + bytes([pixel]) * int(np.prod(shape))


def write_files(folder: Path, name: str = "kmnist", grey: int = 0) -> Path:
    """These files, packed, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents_of(name, grey):
        (folder / f"{file}.gz").write_bytes(gzip.compress(content, 1, mtime=0))
    return folder


def draw_classes(folder: Path, names: Iterable[str], n: int, side: int = 16) -> Path:
    """A folder of `n` colour images a class; each class has a bar of its own to be told by."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 120, (side, side, 3), np.uint8)
            pixels[2 * c : 2 * c + 2, :, c % 3] += 120
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder
