"""Data sets that a person added: prepared files like any other, which say what they are."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lottery_core.data.own_images import Form, gather
from lottery_core.data.prepared import Header, prepared, read_header, write
from lottery_core.data.prepared import read_part as read_prepared
from lottery_core.spec import datasets
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, Dataset

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Added:
    """A data set that was added: what it is, and sentences on what was guessed, converted, split
    or left out."""

    facts: Dataset
    notes: tuple[str, ...]


def add(
    name: str,
    source: Path,
    root: Path,
    form: Form,
    *,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
    check: Callable[[], None] = lambda: None,
) -> Added:
    """Make a data set of a folder of images or an .npz file, under `root` (cache/datasets), and
    have this process know it; see `own_images.gather`.

    Nothing is left of one that fails. Raises `InvalidValue`.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue("name", name, "must be small letters, digits and -, at most 40 of them")
    if name in DATASETS or prepared(name, root).exists():
        raise InvalidValue("name", name, "is taken; choose another, or remove that one first")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".adding-") as temporary:
        part = Path(temporary) / "arrays"
        options = {"skip_bad": skip_bad, "progress": progress, "check": check}
        with gather(source, Path(temporary), form, **options) as found:
            shapes = {}
            for which, chosen in (("test", found.test), ("train", found.train)):
                shapes[f"{which}_images"] = (len(chosen), *form.image)
                shapes[f"{which}_labels"] = (len(chosen),)
            told = {"class_names": found.class_names, "notes": found.notes}
            write(shapes, part, found.pieces(), about=json.dumps(told))
        part.replace(prepared(name, root))
    added = read(name, root)
    if added is None:
        raise InvalidValue("name", name, "was removed by somebody else meanwhile; add it again")
    datasets.register(name, added.facts)
    return added


def remove(name: str, root: Path) -> None:
    """Forget a data set that was added; what was trained on it stays. Raises `InvalidValue`."""
    if read(name, root) is None:
        known = ", ".join(there(root)) or "none"
        raise InvalidValue("name", name, f"is no data set that was added (added: {known})")
    prepared(name, root).unlink(missing_ok=True)
    datasets.register(name, None)


def put_in(name: str, content: bytes, root: Path) -> None:
    """Keep a data set that was added on another machine, as its file there says. Raises
    `InvalidValue` for a name that is taken, and ValueError for what is no such file."""
    if not _NAME.fullmatch(name) or name in DATASETS or prepared(name, root).exists():
        raise InvalidValue("name", name, "is taken; remove or rename that data set there")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".adding-") as temporary:
        part = Path(temporary) / f"{name}.safetensors"
        part.write_bytes(content)
        if read(name, Path(temporary)) is None:
            raise ValueError(f"data set {name} arrived damaged")
        part.replace(prepared(name, root))


def there(root: Path) -> dict[str, Added]:
    """All data sets that were added under `root`, by name and in that order."""
    found = {path.stem: read(path.stem, root) for path in sorted(root.glob("*.safetensors"))}
    return {name: added for name, added in found.items() if added}


def register(root: Path) -> None:
    """Have this process know all data sets that were added under `root`, and no others."""
    known = there(root)
    for name in [name for name, one in DATASETS.items() if one.is_own and name not in known]:
        datasets.register(name, None)
    for name, added in known.items():
        datasets.register(name, added.facts)


def counts(name: str, root: Path) -> dict[str, tuple[int, int]]:
    """Training and test images of each class, by its name."""
    added = read(name, root)
    header = read_header(prepared(name, root))
    if added is None or header is None:
        return {}
    found = []
    for part in ("train_labels", "test_labels"):
        labels = np.concatenate([*read_prepared(name, prepared(name, root), header, part)])
        found.append(np.bincount(labels, minlength=added.facts.classes).tolist())
    return dict(zip(added.facts.class_names, zip(*found, strict=True), strict=True))


def read(name: str, root: Path) -> Added | None:
    """One of `there`; None if there is none of that name."""
    header = read_header(prepared(name, root))
    if header is None or not header.about or not _NAME.fullmatch(name):
        return None
    try:
        told = json.loads(header.about)
        return Added(_facts(name, header, tuple(told["class_names"])), tuple(told["notes"]))
    except (ValueError, KeyError, TypeError):
        return None


def _facts(name: str, header: Header, class_names: tuple[str, ...]) -> Dataset:
    train, *image = header.shapes["train_images"]
    return Dataset(
        title=name,
        folder="",
        train_size=train,
        test_size=header.shapes["test_images"][0],
        archives={},
        addresses=(),
        digest=header.digest,
        image=tuple(image),
        classes=len(class_names),
        class_names=class_names,
    )
