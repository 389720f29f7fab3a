"""Data sets that a person added: their images as a prepared file, what they are in a record beside.

<root>/<name>.safetensors    the images and labels, as of any data set
<root>/<name>.json           title, image shape, classes by name, sizes, digest, notes
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from lottery_core.data import own_images
from lottery_core.data.prepared import prepared
from lottery_core.spec import datasets
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, Dataset

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def add(
    name: str,
    source: Path,
    root: Path,
    *,
    size: int = 32,
    grey: bool = False,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
    check: Callable[[], None] = lambda: None,
) -> tuple[Dataset, tuple[str, ...]]:
    """Make a data set of a folder of images or an .npz, under `root` (cache/datasets).

    Returns it, known to this process, and what is to be told of it. Nothing is left of one that
    fails. Raises `InvalidValue`; see `own_images.gather` for the rest.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue("name", name, "must be small letters, digits and -, at most 40 of them")
    if name in DATASETS or _record(name, root).exists():
        raise InvalidValue("name", name, "is taken; choose another, or remove that one first")
    root.mkdir(parents=True, exist_ok=True)
    options = {"size": size, "grey": grey, "skip_bad": skip_bad}
    target = prepared(name, root)
    found = own_images.gather(source, target, **options, progress=progress, check=check)
    facts = Dataset(
        title=name,
        folder="",
        train_size=len(found.train_labels),
        test_size=len(found.test_labels),
        archives={},
        addresses=(),
        idx={},
        digest=found.digest,
        image=found.train_images.shape[1:],
        classes=len(found.class_names),
        class_names=found.class_names,
    )
    record = asdict(facts) | {"notes": list(found.notes)}
    try:
        _record(name, root).write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    datasets.register(name, facts)
    return facts, found.notes


def remove(name: str, root: Path) -> None:
    """Forget a data set that was added; what was trained on it stays. Raises `InvalidValue`."""
    if not (_record(name, root).exists() or name in DATASETS) or not _NAME.fullmatch(name):
        raise InvalidValue("name", name, "is no data set that was added; `data list` shows them")
    datasets.register(name, None)
    for path in (_record(name, root), prepared(name, root)):
        path.unlink(missing_ok=True)


def register(root: Path) -> None:
    """Have this process know all data sets that were added under `root`, and no others."""
    there = {}
    for path in sorted(root.glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, InvalidValue):
            if _NAME.fullmatch(path.stem) and prepared(path.stem, root).is_file():
                there[path.stem] = _read(path)
    for name in [name for name, one in DATASETS.items() if one.is_own and name not in there]:
        datasets.register(name, None)
    for name, one in there.items():
        datasets.register(name, one)


def _record(name: str, root: Path) -> Path:
    return root / f"{name}.json"


def _read(path: Path) -> Dataset:
    told = json.loads(path.read_text("utf-8"))
    told.pop("notes", None)
    for field in ("addresses", "image", "class_names"):
        told[field] = tuple(told[field])
    return Dataset(**told)
