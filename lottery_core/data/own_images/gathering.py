"""From a folder or an archive of images to a data set, in order: look, read, split, write."""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from lottery_core.data.own_images.archives import read_archive
from lottery_core.data.own_images.decoding import TRAITS, Unreadable, decode, middle, square
from lottery_core.data.own_images.folders import Found, look_through
from lottery_core.data.own_images.heap import Heap
from lottery_core.data.own_images.wording import counted, few, shown
from lottery_core.spec.checks import InvalidValue, check_integer
from lottery_core.spec.datasets import PARTS

MIN_SIZE, MAX_SIZE = 8, 64
MIN_TRAINING = 10  # images, of all classes together
_SEED = 0  # of the test set, where it has to be drawn, and of the order
_WORKERS = 2
_AHEAD = 32  # files that may be read before their turn comes
_BETWEEN = 0.1  # seconds between two checks


class Bad(NamedTuple):
    """A file, by its name below the source, that yields no image."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


@dataclass(frozen=True)
class Form:
    """What every image becomes: a square of `size` pixels a side, 8 to 64, with three channels or,
    if `grey`, one (ITU-R 601 luma)."""

    size: int = 32
    grey: bool = False

    @property
    def image(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return (1 if self.grey else 3, self.size, self.size)


@dataclass(frozen=True)
class Gathered:
    """What was made of somebody's own images. Label i is `class_names[i]`. `notes` are sentences
    on what was guessed, converted, split or left out, and on files that were skipped."""

    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    heap: Heap
    labels: np.ndarray
    train: np.ndarray
    test: np.ndarray

    def pieces(self) -> Iterator[tuple[str, np.ndarray]]:
        """The parts of the data set in their order, images one by one: uint8 (bytes of an image,)
        and all labels of a part at once, uint8 (n,)."""
        for part in PARTS:
            chosen = self.train if part.startswith("train") else self.test
            if part.endswith("labels"):
                yield part, self.labels[chosen]
            else:
                yield from ((part, image) for image in self.heap.take(chosen))


@dataclass
class _Read:
    """What was read of a source, image by image as in the heap. `is_test` is None where the
    source has no test images."""

    class_names: tuple[str, ...]
    labels: np.ndarray
    is_test: np.ndarray | None
    notes: list[str]
    bad: list[Bad] = field(default_factory=list)


@contextmanager
def gather(
    source: Path,
    folder: Path,
    form: Form,
    *,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Gathered]:
    """The images of `source` as a data set, on a heap in `folder` of which nothing is left.

    `source` is a folder with train/CLASS/* and test/CLASS/*, or with CLASS/* alone, or an .npz
    file with x_train, y_train and perhaps x_test, y_test. Without test images a fifth of each
    class, drawn with seed 0, becomes the test set. Images are cropped to the middle square and
    get that `form`. A folder's images are shuffled; an archive's keep their order. The same
    source gives the same images in the same order.

    `progress` is told how many of how many images are read; `check` is called often and may
    raise to stop. Raises `InvalidValue` for what can't be used, with the rule and the remedy;
    unreadable files are such a case unless `skip_bad`.
    """
    check_integer("size", form.size, MIN_SIZE, MAX_SIZE)
    _check_source(source)
    pace = _Pace(progress, check)
    check()
    with warnings.catch_warnings(), Heap(folder, math.prod(form.image)) as heap:
        # What is wrong with an image is told here, in one place and by name.
        warnings.filterwarnings("ignore", module=r"PIL\b")
        is_folder = source.is_dir()
        found = (_read_folder if is_folder else _read_archive)(source, heap, form, pace)
        if not skip_bad:
            _check_bad(source, found)
        train, test = _split(source, found)
        if is_folder:
            train, test = (_shuffled(part, i) for i, part in enumerate((train, test)))
        notes = (*found.notes, *_twins(heap, train, test))
        yield Gathered(found.class_names, notes, heap, found.labels, train, test)


def _check_source(source: Path) -> None:
    if not source.exists():
        raise InvalidValue("source", str(source), "is not there; name a folder or an .npz file")
    if not source.is_dir() and source.suffix.lower() != ".npz":
        raise InvalidValue(
            "source",
            str(source),
            "is neither a folder nor an .npz file; unpack an archive of images first, and name "
            "its folder",
        )


class _Pace:
    """Asks and tells from time to time, however fast the images come."""

    def __init__(self, progress: Callable[[int, int], None], check: Callable[[], None]):
        self._progress, self.check = progress, check
        self._last = -_BETWEEN

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _BETWEEN or done == total:
            self._last = now
            self.check()
            self._progress(done, total)


# Reading


def _read_folder(source: Path, heap: Heap, form: Form, pace: _Pace) -> _Read:
    folder = look_through(source, pace.check)
    _check_space(heap, len(folder.files))
    bad = [Bad(*names) for names in folder.bad]
    taken: list[Found] = []
    traits: Counter[str] = Counter()
    shapes: set[tuple[int, int]] = set()
    colourful = 0
    with closing(_decoded(folder.files, form)) as images:
        for done, (file, image) in enumerate(images):
            pace(done, len(folder.files))
            try:
                picture = image.result()
            except Unreadable as reason:
                bad.append(Bad(shown(file.name), str(reason)))
                continue
            heap.add(picture.pixels)
            taken.append(file)
            traits.update(picture.traits)
            shapes.add(picture.shape)
            colourful += picture.is_colourful
    pace(len(folder.files), len(folder.files))
    labels = np.array([file.label for file in taken], np.uint8)
    is_test = np.array([file.is_test for file in taken], bool) if folder.is_split else None
    notes = [*folder.notes]
    if bad:
        notes.append(f"Skipped {counted(len(bad), 'unreadable file')}: {few(map(str, bad))}.")
    notes += [
        TRAITS[name].format(counted(traits[name], "image")) for name in TRAITS if traits[name]
    ]
    notes += _colours(len(taken), colourful, form)
    return _Read(folder.class_names, labels, is_test, notes, bad)


def _decoded(files: list[Found], form: Form) -> Iterator[tuple[Found, Future]]:
    """Each file with its picture to come, in order; not many are read ahead."""
    Image.init()  # before two threads ask for it at once
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="read-images")
    waiting: deque[tuple[Found, Future]] = deque()
    try:
        for file in files:
            waiting.append((file, pool.submit(decode, file.path, form.size, form.grey)))
            if len(waiting) == _AHEAD:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(cancel_futures=True)


def _read_archive(source: Path, heap: Heap, form: Form, pace: _Pace) -> _Read:
    archive = read_archive(source, pace.check)
    parts = (
        [archive.labels] if archive.test_labels is None else [archive.labels, archive.test_labels]
    )
    labels = np.concatenate(parts)
    _check_space(heap, len(labels))
    colourful = 0
    for part in archive.images():
        for values in part:
            image = Image.fromarray(values if values.shape[2] == 3 else values[:, :, 0])
            pixels, is_colourful = square(middle(image), form.size, form.grey)
            heap.add(pixels)
            colourful += is_colourful
            pace(len(heap), len(labels))
    height, width = archive.shape
    notes = [*archive.notes]
    every = counted(len(labels), "image")
    notes += [TRAITS["cropped"].format(every)] if height != width else []
    notes += [TRAITS["enlarged"].format(every)] if min(height, width) < form.size else []
    notes += _colours(len(labels), colourful, form)
    is_test = np.arange(len(labels)) >= len(archive.labels) if len(parts) == 2 else None
    return _Read(archive.class_names, labels, is_test, notes)


def _colours(total: int, colourful: int, form: Form) -> list[str]:
    if form.grey and colourful:
        return [f"{counted(colourful, 'image')} in colour: made grey (ITU-R 601 luma)."]
    if not form.grey and not colourful:
        return ["No image has colour: as grey images they would take a third of the space."]
    if not form.grey and colourful < total:
        return [f"{counted(total - colourful, 'image')} without colour: three equal channels."]
    return []


def _check_space(heap: Heap, images: int) -> None:
    need = 2 * images * heap.bytes_each  # in the heap and in the file
    free = shutil.disk_usage(heap.folder).free
    if need > free:
        raise InvalidValue(
            "target",
            str(heap.folder),
            f"has {free / 2**20:,.0f} MiB of free space, and {need / 2**20:,.0f} MiB are needed; "
            "make room or choose a smaller size",
        )


def _check_bad(source: Path, found: _Read) -> None:
    if found.bad:
        raise InvalidValue(
            "source",
            str(source),
            f"holds {counted(len(found.bad), 'unreadable file')}: {few(map(str, found.bad))}. "
            "Repair or remove them, or skip them with --skip-bad",
        )


# Splitting


def _split(source: Path, found: _Read) -> tuple[np.ndarray, np.ndarray]:
    """Which images are trained on and which tested on, in the order they were read."""
    each = np.bincount(found.labels, minlength=len(found.class_names))
    is_test = found.is_test
    if is_test is None:
        short = [shown(name) for name, n in zip(found.class_names, each, strict=True) if n < 2]
        if short:
            raise InvalidValue(
                "source",
                str(source),
                f"has fewer than 2 readable images in {few(short)}, and one of a class is tested "
                "on; add images, or remove the class",
            )
        is_test = _fifth(found.labels, len(found.class_names))
        found.notes.append(
            f"There are no test images of their own: {counted(is_test.sum(), 'image')} of "
            f"{len(is_test):,}, a fifth of each class drawn with seed {_SEED}, became the test set."
        )
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    for words, part in (("training", train), ("test", test)):
        counts = np.bincount(found.labels[part], minlength=len(found.class_names))
        empty = [shown(name) for name, n in zip(found.class_names, counts, strict=True) if not n]
        if empty:
            raise InvalidValue(
                "source",
                str(source),
                f"has no readable {words} images of {few(empty)}; add some, or remove the class",
            )
    if len(train) < MIN_TRAINING:
        raise InvalidValue(
            "source",
            str(source),
            f"has {counted(len(train), 'training image')}; add some, at least {MIN_TRAINING} are "
            "needed",
        )
    return train, test


def _fifth(labels: np.ndarray, classes: int) -> np.ndarray:
    """True for a fifth of each class, rounded, but at least one."""
    chosen = np.zeros(len(labels), bool)
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng([_SEED, label]).permutation(len(members))
        chosen[members[order[: max(1, round(len(members) / 5))]]] = True
    return chosen


def _shuffled(part: np.ndarray, which: int) -> np.ndarray:
    """Files come class by class; so the first hundred images show more than one class."""
    return np.random.default_rng([_SEED, len(part), which]).permutation(part)


def _twins(heap: Heap, train: np.ndarray, test: np.ndarray) -> list[str]:
    """A warning of test images that are training images too."""
    known = {heap.marks[i] for i in train}
    count = sum(heap.marks[i] in known for i in test)
    if not count:
        return []
    return [
        f"{counted(count, 'test image')} equal to a training image, pixel by pixel: test accuracy "
        "is flattered by them."
    ]
