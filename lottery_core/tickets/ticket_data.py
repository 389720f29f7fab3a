"""The files that `train_ticket` reads: the ticket, and the images and labels it is trained on.

The downloaded script has both in one file (`script`).
"""

import functools
import gzip
import hashlib
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import torch

TYPES = {"BOOL": np.bool_, "F32": np.dtype("<f4"), "U8": np.uint8}
SOURCES = {  # names in torchvision.datasets
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "emnist-digits": "EMNIST",
    "cifar-10": "CIFAR10",
    "cifar-100": "CIFAR100",
}
Data = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # images, labels, black by channel


def read_tensors(path: Path) -> tuple[dict, dict[str, dict[str, np.ndarray]]]:
    """(header, part -> name -> array) of a .safetensors file, where mask/fc1.weight is part mask,
    and a name without a part is a part with one array, "": 8 bytes that say how long the JSON
    after them is, the JSON, and the arrays."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8:begin])
    header, parts = tensors.pop("__metadata__"), {}
    for name, facts in tensors.items():
        part, _, weight = name.partition("/")
        start, end = (begin + offset for offset in facts["data_offsets"])
        values = np.frombuffer(content[start:end], TYPES[facts["dtype"]]).reshape(facts["shape"])
        parts.setdefault(part, {})[weight] = values
    return header, parts


def load_data(
    recipe: dict, folder: Path, digest: str = ""
) -> tuple[Data, torch.Tensor, torch.Tensor]:
    """What to train on, and images (n, pixels), normalised, and labels to test on. `digest` is
    the SHA-256 of the data that the ticket was trained on, where its file says so."""
    arrays = published(recipe, folder) if recipe["dataset"] in SOURCES else own(recipe, folder)
    found, content = digest_of(arrays), recipe.get("content") or ""
    if recipe["dataset"] not in SOURCES:  # the name says nothing of what it holds
        content = digest
    if content and found != content:
        raise RuntimeError(
            f"the ticket was trained on files whose SHA-256 is {content}, and that of these is "
            f"{found}"
        )
    pixels = {
        part: images.reshape(len(images), images.shape[1] if images.ndim == 4 else 1, -1)
        for part, images in arrays.items()
        if part.endswith("images")
    }
    values = values_of(recipe["normalisation"], pixels["train_images"])
    kept = training_images(recipe, len(pixels["train_images"]))
    is_scaled = recipe["normalisation"] == "unit"
    train = looked_up(values, pixels["train_images"][kept], is_scaled)
    test = looked_up(values, pixels["test_images"], is_scaled)
    labels = {
        part: torch.from_numpy(arrays[f"{part}_labels"].astype(np.int64))
        for part in ("train", "test")
    }
    black = torch.from_numpy(values[:, 0].copy())
    return (train, labels["train"][kept], black), test, labels["test"]


def published(recipe: dict, folder: Path) -> dict[str, np.ndarray]:
    """Images and labels as bytes, by torchvision: (n, rows, columns) or (n, channels, rows,
    columns), and (n,)."""
    name, content = recipe["dataset"], recipe.get("content", "")
    source = getattr(import_datasets(), SOURCES[name])
    options = {"split": "digits"} if name == "emnist-digits" else {}
    raw = folder / SOURCES[name] / "raw"
    # torchvision looks for EMNIST's in one big archive, and knows no other files than published.
    for packed in raw.glob("*.gz" if content else "emnist-digits-*.gz"):
        if not packed.with_suffix("").exists():
            with gzip.open(packed) as file, packed.with_suffix("").open("wb") as plain:
                shutil.copyfileobj(file, plain)
    arrays = {}
    for part in ("test", "train"):
        dataset = source(folder, train=part == "train", download=not content, **options)
        pixels = np.asarray(dataset.data)
        if name == "emnist-digits":  # whose files hold every image transposed
            pixels = pixels.transpose(0, 2, 1)
        if pixels.ndim == 4:  # channels come last there
            pixels = pixels.transpose(0, 3, 1, 2)
        arrays[f"{part}_images"] = np.ascontiguousarray(pixels)
        arrays[f"{part}_labels"] = np.asarray(dataset.targets).astype(np.uint8)
    return arrays


def own(recipe: dict, folder: Path) -> dict[str, np.ndarray]:
    """The same of somebody's own images, from the file that was made of them."""
    arrays = read_tensors(folder / f"{recipe['dataset']}.safetensors")[1]
    return {part: values[""] for part, values in arrays.items()}


def digest_of(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for part, values in sorted(arrays.items()):
        digest.update(f"{part} {values.shape} ".encode() + values.tobytes())
    return digest.hexdigest()


def remedy(recipe: dict, folder: Path) -> str:
    """What to do where the data set is not there."""
    name = recipe["dataset"]
    if name not in SOURCES:
        return (
            f"It was made of somebody's own images: put {name}.safetensors, from the folder "
            f"datasets in the cache where it was added, into {folder}"
        )
    if name.startswith("cifar"):
        return f"Put {name}-python.tar.gz into {folder}, or start again with a network"
    again = "" if recipe.get("content") else ", or start again with a network"
    return f"Put its idx .gz files into {folder / SOURCES[name] / 'raw'}{again}"


def values_of(how: str, pixels: np.ndarray) -> np.ndarray:
    """What becomes of each of a pixel's 256 values, (channels, 256), as the recipe normalises
    them; `pixels` (n, channels, pixels) are the training images, those held out included."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    means = deviations = np.full(pixels.shape[1], 0.5)
    if how == "dataset":
        found = [mean_and_deviation(pixels[:, n], values) for n in range(pixels.shape[1])]
        means, deviations = np.array(found).T
    if how == "unit":
        means, deviations = np.zeros_like(means), np.ones_like(means)
    means, deviations = means.astype(np.float32), deviations.astype(np.float32)
    return (values - means[:, None]) / np.where(deviations, deviations, np.float32(1))[:, None]


def mean_and_deviation(pixels: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    counts = np.zeros(256, np.int64)
    for some in np.array_split(pixels, -(-len(pixels) // 2_000)):  # each pixel takes 8 bytes there
        counts += np.bincount(some.reshape(-1), minlength=256)
    values = values.astype(np.float64)
    mean = np.average(values, weights=counts)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=counts))


def looked_up(values: np.ndarray, pixels: np.ndarray, is_scaled: bool) -> torch.Tensor:
    """Images (n, pixels), one channel after another; with `is_scaled` each of length 1."""
    images = np.empty(pixels.shape, np.float32)
    for n, row in enumerate(values):
        images[:, n] = row[pixels[:, n]]
    images = images.reshape(len(images), -1)
    if is_scaled:
        lengths = np.linalg.norm(images, axis=1, keepdims=True)
        images /= np.maximum(lengths, np.finfo(np.float32).tiny)  # a black image stays one
    return torch.from_numpy(images)


def training_images(recipe: dict, count: int) -> np.ndarray:
    """Which of the images are trained on; the others are held out."""
    order = np.random.default_rng(seed_of(recipe["seed"], "validation")).permutation(count)
    return np.sort(order[recipe["validation_size"] :])


@functools.cache
def import_datasets():
    """torchvision.datasets, also where torchvision's compiled library does not fit this torch.

    So it is with torchvision from the package index beside a CPU-only torch: the import stops
    at two operators that the library would bring. They are not needed here, so that naming
    them is enough; where the library loads, nothing is changed.
    """
    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    compiled = next((path for path in folder.glob("_C*") if path.suffix in (".so", ".pyd")), "")
    try:
        torch.ops.load_library(str(compiled))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_datasets.library = library  # which takes its definitions along when it goes
    from torchvision import datasets

    return datasets


def seed_of(seed: int, *purpose: str | int) -> int:
    """One stream of random numbers a purpose."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
