"""A data set's name -> its images and labels, normalised once.

torchvision fetches, verifies and unpacks a data set the first time it is asked for, in a
temporary folder; what remains is one file of uint8 arrays with its checksum, which appears
whole or not at all. From then on torchvision is not imported.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.machinery
import importlib.util
import math
import os
import shutil
import socket
import tempfile
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
from filelock import FileLock

from lottery_core.method.seeds import seed_of
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.datasets import DATASETS, PIXELS
from lottery_core.spec.experiment import Recipe
from lottery_core.store.tensors import load, metadata, save

# MNIST comes with the project, wherever results are kept.
_EMBEDDED = Path(__file__).resolve().parent.parent / "cache" / "datasets"
_DOWNLOAD_TIMEOUT = 20  # seconds without a byte

# `_digest` of the published files, where we have seen them.
_KNOWN_CONTENT = {
    "mnist": "87ea53c66e633545fe169d7df5839f90c413c874610a6d3fb39f9685ab74186b",
    "fashion-mnist": "f637f44247cd73bdfa995c3d2d93b582ceb958b1426023a03de3f689acf70215",
}


class DataUnavailable(RuntimeError):
    """A data set is neither here nor could it be fetched; the message says both ways."""


@dataclass(frozen=True)
class Data:
    """What one recipe trains and is judged on.

    `images` (n, 784) float32 and `labels` (n,) int64 are all training images, of which
    `train_index` are trained on and `validation_index` held out; `test_images` and
    `test_labels` only report. `digest` names the bytes they came from.
    """

    images: np.ndarray
    labels: np.ndarray
    train_index: np.ndarray
    validation_index: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    digest: str


def load_data(
    recipe: Recipe,
    root: Path,
    *,
    folder: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> Data:
    """The recipe's data from `root` (cache/datasets), fetched first if it is not there.

    `folder` holds the original idx files, for when there is no network; `check` is called
    while waiting and may raise to stop. Raises `DataUnavailable`.
    """
    prepare(recipe.dataset, root, folder=folder, check=check)
    images, labels, test_images, test_labels, digest = _normalised(
        recipe.dataset, recipe.normalisation, root
    )
    order = np.random.default_rng(seed_of(recipe.seed, "validation")).permutation(len(images))
    held_out = np.sort(order[: recipe.validation_size])
    kept = np.sort(order[recipe.validation_size :])
    return Data(images, labels, kept, held_out, test_images, test_labels, digest)


@lru_cache(maxsize=1)
def _normalised(name: str, normalisation: str, root: Path):
    arrays = _read(prepared(name, root))
    if arrays is None:
        raise DataUnavailable(f"{DATASETS[name].title} vanished from the cache; run again")
    # A pixel has 256 values: what becomes of each is worked out once, and looked up.
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    if normalisation == "dataset":
        # In parts: bincount makes eight bytes of each.
        parts = np.array_split(arrays["train_images"].reshape(-1), 600)
        count = sum(np.bincount(part, minlength=256) for part in parts)
        mean = np.average(values.astype(np.float64), weights=count)
        deviation = np.sqrt(np.average((values - mean) ** 2, weights=count))
        values = (values - np.float32(mean)) / np.float32(deviation)
    elif normalisation == "half":
        values = (values - np.float32(0.5)) / np.float32(0.5)
    train, test = (
        values[arrays[f"{part}_images"].reshape(-1, PIXELS)] for part in ("train", "test")
    )
    if normalisation == "unit":
        make_unit(train)
        make_unit(test)
    labels, test_labels = (
        arrays[part].astype(np.int64) for part in ("train_labels", "test_labels")
    )
    return train, labels, test, test_labels, _digest(arrays)


def make_unit(images: np.ndarray) -> np.ndarray:
    """Divide each row by its Euclidean norm, in place; a row of zeros stays one."""
    norms = np.linalg.norm(images, axis=1, keepdims=True)
    images /= np.maximum(norms, np.finfo(np.float32).tiny)
    return images


def prepared(name: str, root: Path) -> Path:
    """Where `prepare` puts a data set: one file of uint8 arrays."""
    return root / f"{name}.safetensors"


def is_prepared(name: str, root: Path) -> bool:
    """Whether the data set can be had without network or folder."""
    return prepared(name, root).exists() or bool(originals(name, root))


def originals(name: str, root: Path) -> list[Path]:
    """The published archives, below `root` or as they come with the project."""
    for place in (root, _EMBEDDED):
        found = sorted((place / DATASETS[name].source / "raw").glob("*.gz"))
        if found:
            return found
    return []


def prepare(
    name: str,
    root: Path,
    *,
    folder: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Make `<root>/<name>.safetensors`: uint8 images (n, 28, 28), labels (n,), and a checksum.

    Sources, first found: the original files under `root` (MNIST comes with the project),
    `folder`, the network. Any number of processes may ask at once; one prepares.
    """
    check_known("dataset", name, DATASETS)
    target = prepared(name, root)
    if target.exists() and _checked_once(target, target.stat().st_mtime_ns):
        return
    root.mkdir(parents=True, exist_ok=True)
    # In a thread, so that a stalled download can be cancelled; what it has fetched so far
    # lies in a temporary folder that it removes itself.
    pool = ThreadPoolExecutor(1, thread_name_prefix="prepare-data")
    work = pool.submit(_prepare, name, root, folder)
    pool.shutdown(wait=False)
    while True:
        check()
        try:
            work.result(timeout=0.2)
            return
        except TimeoutError:
            if work.done():
                raise


def _prepare(name: str, root: Path, folder: Path | None) -> None:
    target = prepared(name, root)
    with FileLock(target.with_suffix(".lock")):
        if _read(target) is not None:
            return
        with tempfile.TemporaryDirectory(dir=root, prefix=".preparing-") as temporary:
            arrays = _from_torchvision(name, Path(temporary), root, folder)
            _check_contents(name, arrays)
            part = Path(temporary) / "arrays"
            with part.open("wb") as file:
                file.write(save(arrays, metadata={"sha256": _digest(arrays)}))
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)


def _from_torchvision(
    name: str, temporary: Path, root: Path, folder: Path | None
) -> dict[str, np.ndarray]:
    source = getattr(import_torchvision("datasets"), DATASETS[name].source)
    options = {"split": "digits"} if name == "emnist-digits" else {}
    raw = temporary / DATASETS[name].source / "raw"
    raw.mkdir(parents=True)
    # torchvision finds these archives, verifies their checksums and unpacks them.
    for file in originals(name, root):
        shutil.copy(file, raw)
    if folder is not None:
        if not folder.is_dir():
            raise InvalidValue("dataset_folder", str(folder), "is not a folder on this machine")
        _unpack(name, folder, raw)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    try:
        parts = {
            part: source(temporary, train=part == "train", download=True, **options)
            for part in ("train", "test")
        }
    except Exception as error:  # torchvision, urllib and gzip name no list of what they raise
        raise DataUnavailable(
            f"{DATASETS[name].title} could not be downloaded ({_first_line(error)}). Either start "
            "again when the network allows it, or name a folder that holds "
            f"{', '.join(f'{file}.gz' for file in _idx_files(name))}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    arrays = {}
    for part, dataset in parts.items():
        images = dataset.data.numpy()
        # EMNIST's files hold every image transposed.
        upright = images.transpose(0, 2, 1) if name == "emnist-digits" else images
        arrays[f"{part}_images"] = np.ascontiguousarray(upright)
        arrays[f"{part}_labels"] = dataset.targets.numpy().astype(np.uint8)
    return arrays


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _idx_files(name: str) -> dict[str, tuple[bytes, int]]:
    """The four original files, unpacked: name -> (how it begins, size in bytes)."""
    facts = DATASETS[name]
    prefix = "emnist-digits-" if name == "emnist-digits" else ""
    test = "test" if name == "emnist-digits" else "t10k"
    files = {}
    for part, size in (("train", facts.train_size), (test, facts.test_size)):
        for kind, numbers in (("images-idx3", (2051, size, 28, 28)), ("labels-idx1", (2049, size))):
            header = b"".join(number.to_bytes(4, "big") for number in numbers)
            files[f"{prefix}{part}-{kind}-ubyte"] = header, len(header) + math.prod(numbers[1:])
    return files


def _unpack(name: str, folder: Path, raw: Path) -> None:
    """Copy the four idx files from `folder`, packed or not, to `raw`, unpacked."""
    for file, (header, size) in _idx_files(name).items():
        packed, plain = folder / f"{file}.gz", folder / file
        if not packed.is_file() and not plain.is_file():
            raise InvalidValue("dataset_folder", str(folder), f"lacks {file}.gz (or {file})")
        try:
            with gzip.open(packed) if packed.is_file() else plain.open("rb") as source:
                content = source.read(size + 1)  # no further, whatever an archive unpacks to
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidValue(
                "dataset_folder", str(folder), f"has a damaged {file}: {_first_line(error)}"
            ) from error
        if len(content) != size or not content.startswith(header):
            raise InvalidValue(
                "dataset_folder",
                str(folder),
                f"has a {file} that is not {size:,} bytes long and an idx file; "
                "fetch the original again",
            )
        (raw / file).write_bytes(content)


def _check_contents(name: str, arrays: dict[str, np.ndarray]) -> None:
    facts = DATASETS[name]
    for part, size in (("train", facts.train_size), ("test", facts.test_size)):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.shape != (size, 28, 28) or labels.shape != (size,) or labels.max() > 9:
            raise DataUnavailable(
                f"{facts.title}: the {part} files hold {images.shape} images and labels up to "
                f"{labels.max()}, not {size:,} images of 28x28 with labels 0 to 9; "
                "fetch the originals again"
            )
    # The four-file sets have files of the same names and sizes: only the content tells them apart.
    found = _digest(arrays)
    if found != _KNOWN_CONTENT.get(name, found):
        raise DataUnavailable(f"these files are not {facts.title}'s; fetch the originals again")
    for other, digest in _KNOWN_CONTENT.items():
        if found == digest and other != name:
            raise DataUnavailable(
                f"these files are {DATASETS[other].title}'s, not {facts.title}'s; "
                "name the right folder"
            )


def _digest(arrays: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].shape} ".encode())
        total.update(np.ascontiguousarray(arrays[name]).data)
    return total.hexdigest()


@lru_cache(maxsize=8)
def _checked_once(path: Path, changed: int) -> bool:
    return _read(path) is not None


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a prepared data set; None, with a warning, if the file is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        arrays = load(content)
        if metadata(content)["sha256"] == _digest(arrays):
            return arrays
    except Exception:  # noqa: BLE001, S110 - whatever is wrong with the bytes, the remedy is one
        pass
    warnings.warn(f"{path.name} is damaged and is made anew from its source", stacklevel=2)
    return None


def import_torchvision(module: str) -> ModuleType:
    """`torchvision.<module>`, also where its compiled library does not fit the torch build.

    torchvision from the package index beside a CPU-only torch can't load that library, and
    importing it fails on two operators it then lacks; with their schemas defined, the parts
    used here (pure Python) work. Where the library loads, nothing is defined.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise DataUnavailable("torchvision is not installed; install requirements.txt")
    finder = importlib.machinery.FileFinder(
        str(Path(spec.origin).parent),
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    )
    compiled = finder.find_spec("_C")
    try:
        torch.ops.load_library(compiled.origin if compiled else "")
    except OSError:
        if not _STAND_INS:
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _STAND_INS.append(library)
    return importlib.import_module(f"torchvision.{module}")


_STAND_INS: list = []  # a Library takes its definitions along when it is collected
