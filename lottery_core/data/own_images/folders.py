"""A folder of class folders -> which file is an image of which class, and what is left out."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lottery_core.data.own_images.decoding import ENDINGS, begins_as_image
from lottery_core.data.own_images.wording import JOINERS, counted, few, shown
from lottery_core.spec.checks import InvalidValue

MAX_IMAGES = 1_000_000
MAX_CLASSES = 100
_MAX_NAME = 100  # characters of a class's name
_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")  # the first that is there is taken
_JUNK = ("__MACOSX", "@eaDir")  # what archives and file servers leave behind
_ONE_EACH = "put each class's images into a folder of its own, as CLASS/* or train/CLASS/*"


class Found(NamedTuple):
    """A file that ought to be an image: `path` opens it, `name` tells of it."""

    path: str
    name: str
    label: int
    is_test: bool


@dataclass(frozen=True)
class Folder:
    """The images of a source, by class and name, so that no file system gives another order.
    Where it `is_split`, each is a training or a test image. `bad` are (name, reason) of folders
    that can't be read."""

    class_names: tuple[str, ...]
    is_split: bool
    files: list[Found]
    notes: list[str]
    bad: list[tuple[str, str]]


def look_through(source: Path, check: Callable[[], None]) -> Folder:
    """Which image files lie below `source`, and in which classes; none is decoded.

    Raises `InvalidValue` where the folders can't be understood as classes of images.
    """
    tree = Tree(source, check)
    parts = _parts(tree)
    classes = [{folder: _class_name(tree, folder) for folder in tree.below(part)} for part in parts]
    _check_classes(tree, parts, classes)
    names = tuple(sorted(classes[0].values()))
    files, loose = [], 0
    for name, path in tree.files:
        part, *rest = name.split("/") if parts[0] else ("", *name.split("/"))
        if part in parts and len(rest) > 1:
            is_test = part != parts[0]
            label = names.index(classes[is_test][rest[0]])
            files.append(Found(path, name, label, is_test))
        elif part in parts or not rest:
            loose += 1
    files.sort(key=lambda file: (file.is_test, file.label, _order(file.name)))
    notes = _notes(tree, parts)
    if loose:
        notes.append(f"{counted(loose, 'image')} in no class's folder: left out.")
    notes += tree.notes()
    _check_filled(tree, parts, files, notes)
    return Folder(names, len(parts) == 2, files, notes, tree.bad)


def _order(name: str) -> tuple[str, bytes]:
    return unicodedata.normalize("NFC", name), os.fsencode(name)


def _path(*names: str) -> str:
    return "/".join(name for name in names if name)


# What is there


class Tree:
    """Every folder and image file below a source, by names with "/"; hidden ones, files that are
    no images, and links to folders or out of the source are only counted."""

    def __init__(self, source: Path, check: Callable[[], None]):
        self.source = source
        self.root = Path(os.path.realpath(source))
        self.files: list[tuple[str, str]] = []  # name, and the path to open
        self.folders: list[str] = []
        self.bad: list[tuple[str, str]] = []
        self._left: Counter[str] = Counter()
        self._endings: Counter[str] = Counter()
        self._links: list[str] = []
        waiting = [""]
        while waiting:
            check()
            folder = waiting.pop()
            inner = self._list(folder)
            self.folders += inner
            waiting += inner

    def refused(self, rule: str) -> InvalidValue:
        return InvalidValue("source", str(self.source), rule)

    def below(self, folder: str) -> list[str]:
        """The names of the folders that lie directly in `folder`."""
        start = f"{folder}/" if folder else ""
        rest = (name[len(start) :] for name in self.folders if name.startswith(start))
        return sorted((name for name in rest if "/" not in name), key=_order)

    def has_images(self, folder: str) -> bool:
        """Whether images lie directly in `folder`."""
        return any(name.rpartition("/")[0] == folder for name, _ in self.files)

    def notes(self) -> list[str]:
        """What was left out, and why."""
        endings = ", ".join(
            f"{ending} {count:,}" for ending, count in self._endings.most_common(10)
        )
        counts = {
            "hidden": "{} left out: hidden.",
            "special": "{} left out: neither files nor folders.",
        }
        told = [
            words.format(counted(self._left[kind], "name"))
            for kind, words in counts.items()
            if self._left[kind]
        ]
        if self._endings:
            total = counted(self._endings.total(), "file")
            told.append(f"{total} left out: no images by the ending of the name ({endings}).")
        if self._links:
            told.append(
                f"{counted(len(self._links), 'link')} left out, to folders, out of the source or "
                f"to nothing: {few(sorted(self._links))}; put the files themselves there."
            )
        return told

    def _list(self, folder: str) -> list[str]:
        """Take in one folder; returns the folders in it."""
        inner = []
        try:
            with os.scandir(self.root / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith(".") or entry.name in _JUNK:
                        self._left["hidden"] += 1
                    elif entry.is_symlink():
                        self._follow(name, entry.path)
                    elif entry.is_dir():
                        inner.append(name)
                    elif entry.is_file():
                        self._take(name, entry.path)
                    else:
                        self._left["special"] += 1
        except OSError as error:
            if not folder:
                raise self.refused(f"can't be listed: {error.strerror}") from None
            self.bad.append((f"{shown(folder)}/", f"can't be listed: {error.strerror}"))
        return inner

    def _follow(self, name: str, path: str) -> None:
        target = Path(os.path.realpath(path))
        if target.is_relative_to(self.root) and target.is_file():
            self._take(name, os.fspath(target))
        else:
            self._links.append(shown(name))

    def _take(self, name: str, path: str) -> None:
        ending = Path(name).suffix.lower()
        if ending not in ENDINGS and (ending or not begins_as_image(path)):
            self._endings[shown(ending) or "none"] += 1
        elif len(self.files) == MAX_IMAGES:
            raise self.refused(f"holds more than {MAX_IMAGES:,} images; choose fewer")
        else:
            self.files.append((name, path))


# What it means


def _parts(tree: Tree) -> list[str]:
    """The folders of training and, if there are any, test images; [""] where the classes lie at
    the top."""
    tops = tree.below("")
    trains = [top for top in tops if top.casefold() in _TRAIN]
    tests = sorted(
        (top for top in tops if top.casefold() in _TEST),
        key=lambda top: _TEST.index(top.casefold()),
    )
    # A class may be called train; then its images lie in it.
    train = next((top for top in trains if tree.below(top) and not tree.has_images(top)), None)
    if train is not None:
        return [train, *tests[:1]]
    if tops and len(tops) == len(trains) + len(tests):
        names = few(f"{shown(top)}/" for top in tops)
        raise tree.refused(f"holds {names} but no train/CLASS/*; {_ONE_EACH}")
    return [""]


def _notes(tree: Tree, parts: list[str]) -> list[str]:
    """Which folders were taken for what, where that is not plain from their names."""
    notes = []
    if len(parts) == 2 and parts[1].casefold() not in ("test", "testing"):
        notes.append(f"The images in {shown(parts[1])}/ are the test images.")
    rest = [f"{shown(top)}/" for top in tree.below("") if top not in parts]
    if parts[0] and rest:
        notes.append(f"Left out beside {' and '.join(f'{part}/' for part in parts)}: {few(rest)}.")
    return notes


def _class_name(tree: Tree, folder: str) -> str:
    """A class's name from its folder's: Unicode in its composed form (NFC)."""
    name = unicodedata.normalize("NFC", folder).strip()
    is_odd = any(
        unicodedata.category(sign) in ("Cc", "Cf", "Cs") and sign not in JOINERS for sign in name
    )
    if is_odd or not name or len(name) > _MAX_NAME:
        raise tree.refused(
            f"has a class folder {shown(folder)!r}; give it a name of 1 to {_MAX_NAME} visible "
            "characters in UTF-8"
        )
    return name


def _check_classes(tree: Tree, parts: list[str], classes: list[dict[str, str]]) -> None:
    """Raise `InvalidValue` unless all parts have the same 2 to 100 classes, told apart by eye."""
    _check_alike(tree, parts, classes)
    for i, part in enumerate(parts):
        only = {*classes[i].values()} - {*classes[-1 - i].values()}
        if only:
            raise tree.refused(
                f"has classes in {shown(part)}/ that {shown(parts[-1 - i])}/ lacks: "
                f"{few(sorted(only))}; every class needs images in both"
            )
    folders = [*classes[0]]
    if not folders:
        raise tree.refused(f"holds no folders of images; {_ONE_EACH}")
    if len(folders) == 1:
        only = _path(parts[0], folders[0])
        inner = f", or name {shown(only)} itself if they lie in there"
        raise tree.refused(
            f"holds one class, {shown(only)}/; add folders of other classes"
            + (inner if len(tree.below(only)) > 1 else "")
        )
    if len(folders) > MAX_CLASSES:
        raise tree.refused(f"holds {len(folders):,} classes; choose at most {MAX_CLASSES}")


def _check_alike(tree: Tree, parts: list[str], classes: list[dict[str, str]]) -> None:
    seen: dict[str, tuple[str, str]] = {}  # a name as the eye reads it -> the name, and its folder
    for part, named in zip(parts, classes, strict=True):
        here = set()
        for folder, name in named.items():
            path = _path(part, folder)
            alike = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
            before, where = seen.setdefault(alike, (name, path))
            if alike in here or before != name:
                raise tree.refused(
                    f"has {shown(where)}/ and {shown(path)}/, whose names differ only by case, "
                    "spaces or the form of a letter; join them or rename one"
                )
            here.add(alike)


def _check_filled(tree: Tree, parts: list[str], files: list[Found], notes: list[str]) -> None:
    """Raise `InvalidValue` if there is a class without an image file."""
    depth = 2 if parts[0] else 1
    filled = {"/".join(file.name.split("/")[:depth]) for file in files}
    folders = [_path(part, folder) for part in parts for folder in tree.below(part)]
    empty = [f"{shown(folder)}/" for folder in folders if folder not in filled]
    if empty:
        why = " ".join(["", *notes, *(f"{name} {reason}." for name, reason in tree.bad)])
        raise tree.refused(
            f"has no images in {few(empty)}; put some there or remove the folder.{why}"
        )
