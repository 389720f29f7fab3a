"""A data set's name and content -> its prepared file, made from whatever source there is."""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
from filelock import FileLock

from lottery_core.data import originals
from lottery_core.data.fetching import DataUnavailable, download
from lottery_core.data.files import Originals, named
from lottery_core.data.prepared import header_of, holds, is_whole, prepared, write
from lottery_core.data.prepared import read_part as prepared_part
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.datasets import DATASETS, title_of
from lottery_core.store.places import ARCHIVES

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_prepared(name: str, root: Path, content: str = "") -> bool:
    """Whether the data set, or that content of it, can be had without network or folder."""
    there = holds(name, prepared(name, root, content), content)
    return there or bool(not content and archives(name, root))


def archives(name: str, root: Path) -> list[Path]:
    """The published archives, below `root` or as they come with the project."""
    for place in (root, ARCHIVES):  # MNIST comes along, wherever results are kept
        raw = place / DATASETS[name].folder / "raw"
        found = [raw / file for file in sorted(DATASETS[name].archives)]
        if found and all(path.is_file() for path in found):
            return found
    return []


def read_part(name: str, root: Path, part: str, content: str = "") -> Iterator[np.ndarray]:
    """One of `PARTS` in pieces, uint8 (n, rows, columns), (n, channels, rows, columns) or (n,);
    prepares nothing.

    Raises `DataUnavailable` where the data set was never fetched.
    """
    path = prepared(name, root, content)
    header = header_of(name, path)
    if header is not None and holds(name, path, content):
        return prepared_part(name, path, header, part)
    if content or not (found := archives(name, root)):
        raise DataUnavailable(f"{title_of(name, content)} is not in this cache; train on it first")
    return originals.read_part(name, originals.find(name, found[0].parent), part)


def prepare(
    name: str,
    root: Path,
    *,
    content: str = "",
    folder: Path | str | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Make the `prepared` file of a data set: of what was published, or of other files of it
    whose digest is `content`.

    Sources, first found: `folder`, the original files under `root` (MNIST comes with the
    project), the network. A folder that is named is looked at even where nothing is to be made.
    Any number of processes may ask at once; one prepares. `check` is called while waiting and
    may raise to stop. Raises `InvalidValue` and `DataUnavailable`.
    """
    check_known("dataset", name, DATASETS)
    if folder is not None:
        found = originals.identify(name, folder)
        if found != content:
            raise InvalidValue(
                "dataset_folder",
                str(folder),
                f"holds {title_of(name, found)}, but {title_of(name, content)} is asked for; "
                f"name another folder, or say content={found or 'none'}",
            )
    if _is_there(name, root, content):
        return
    # In a thread, so that a stalled download can be cancelled; what it has fetched so far
    # lies in a temporary folder that it removes itself.
    stopped = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prepare-data")
    work = pool.submit(_prepare, name, root, content, folder, stopped.is_set)
    pool.shutdown(wait=False)
    try:
        while not wait([work], timeout=0.2).done:
            check()
    finally:
        stopped.set()
    work.result()


def _is_there(name: str, root: Path, content: str) -> bool:
    path = prepared(name, root, content)
    header = header_of(name, path)
    if not is_whole(name, path):
        return False
    if holds(name, path, content):
        return True
    if header and header.content is None and not DATASETS[name].digest:
        return False  # made by a version that did not ask what it was given: made anew
    raise DataUnavailable(
        f"{path} holds other files than {title_of(name, content)}; move it away, and start again"
    )


def _prepare(
    name: str,
    root: Path,
    content: str,
    folder: Path | str | None,
    stopped: Callable[[], bool],
) -> None:
    target, title = prepared(name, root, content), title_of(name, content)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if _is_there(name, root, content):
                return
            with tempfile.TemporaryDirectory(dir=root, prefix=".preparing-") as temporary:
                source = _source(name, root, content, folder, Path(temporary), stopped)
                part = Path(temporary) / "arrays"
                shapes = DATASETS[name].shapes
                found = write(shapes, part, originals.read(name, source), published=not content)
                wanted = content or DATASETS[name].digest
                if wanted and found != wanted:
                    raise DataUnavailable(
                        f"the files of {title} changed while they were read; start again"
                    )
                part.replace(target)
    except OSError as error:
        raise _unwritten(title, DATASETS[name].size, root, error) from error


def _source(
    name: str,
    root: Path,
    content: str,
    folder: Path | str | None,
    temporary: Path,
    stopped: Callable[[], bool],
) -> Originals:
    if folder is not None:
        return originals.find(name, named(folder))
    if DATASETS[name].is_own:
        raise DataUnavailable(
            f"the images of {name} are damaged or gone; remove it and add it again: "
            f"python -m lottery_core data remove {name}"
        )
    if content:
        raise DataUnavailable(
            f"{title_of(name, content)} is not in this cache; name the folder that holds these "
            "files (--dataset-folder, or in the Explorer the field under the data set)"
        )
    if published := archives(name, root):
        found = originals.find(name, published[0].parent)
        if originals.is_published(name, found):
            return found
    download(name, temporary, stopped)
    return originals.find(name, temporary)


def _unwritten(title: str, size: int, root: Path, error: OSError) -> DataUnavailable:
    if error.errno in _FULL:
        there = next(path for path in (root, *root.parents) if path.exists())
        free = shutil.disk_usage(there).free
        return DataUnavailable(
            f"no space to prepare {title}: it needs {size / 1e6:,.0f} MB in {root}, and room for "
            f"what is downloaded; {free / 1e6:,.0f} MB are free. Make room, or keep results "
            "elsewhere (LOTTERY_CACHE, --cache)"
        )
    return DataUnavailable(
        f"{title} can't be prepared in {root} ({error.strerror or error}); choose a folder that "
        "can be written (LOTTERY_CACHE, --cache)"
    )
