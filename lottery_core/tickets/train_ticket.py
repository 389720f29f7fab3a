"""Train a lottery ticket again, with torch, torchvision and numpy alone.

TITLE

    python train-ticket.py

trains the ticket that lies beside this script and prints its accuracy. --seed 1 takes another
order of the data, --from trained only judges the trained weights in the file, --data names where
the data set is. Another ticket's file can be named:

    python train-ticket.py other.safetensors --data /where/it/is

With the recipe's own seed it repeats the training that made the file: the same images held out,
batches in the same order, the same steps, so that what differs is rounding. The data set is
downloaded into --data unless it is there, as torchvision keeps it: data/MNIST/raw/*.gz. Where the
recipe names a content, other files than the published ones, it takes them from there alone.
"""

import argparse
import functools
import gzip
import hashlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

TICKET = "ticket.safetensors"  # beside this script
TYPES = {"BOOL": np.bool_, "F32": np.dtype("<f4")}
SOURCES = {  # names in torchvision.datasets
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "emnist-digits": "EMNIST",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    beside = Path(__file__).resolve().with_name(TICKET)
    parser.add_argument("ticket", nargs="?", type=Path, default=beside, help=f"default: {TICKET}")
    parser.add_argument("--data", type=Path, default=Path("data"), help="default: ./data")
    parser.add_argument("--seed", type=int, help="default: the recipe's")
    parser.add_argument(
        "--from",
        dest="start",
        choices=["restart", "trained"],
        default="restart",
        help="train from the weights it restarts from, or only judge the trained ones",
    )
    given = parser.parse_args()
    if not given.ticket.is_file():
        parser.error(f"{given.ticket} is not there; download the ticket too, or name its file")

    torch.set_num_threads(1)  # as where it was trained; a network so small gains little by more
    header, parts = read_ticket(given.ticket)
    experiment, results = json.loads(header["experiment"]), json.loads(header["results"])
    recipe, mask = experiment["recipe"], parts["mask"]
    if given.seed is not None:
        recipe["seed"] = given.seed
    kept, total = sum(int(m.sum()) for m in mask.values()), sum(m.size for m in mask.values())
    print(
        f"Ticket {header['key'][:8]}, level {header['level']}: {kept:,} of {total:,} weights "
        f"({kept / total:.2%}), seed {recipe['seed']}"
    )
    try:
        images, labels, test_images, test_labels = load_data(recipe, given.data)
    except (OSError, RuntimeError) as error:
        folder = given.data / SOURCES[recipe["dataset"]] / "raw"
        sys.exit(
            f"The data set is not to be had: {error}\nPut its idx .gz files into {folder}"
            + (", or start again with a network" if not recipe.get("content") else "")
        )
    trained = accuracy(build(parts["trained"]), test_images, test_labels)
    recorded = results["test_accuracy"]
    print(f"The trained weights in the file: {trained:.2%} on the test images")
    if given.start == "restart":
        model = build(parts["restart"])
        schedule, first = schedule_of(experiment)
        train(model, mask, schedule, first, images, labels)
        print(
            "Trained now, from the weights it restarts from: "
            f"{accuracy(model, test_images, test_labels):.2%} on the test images"
        )
    print(f"Recorded when the file was made: {recorded:.2%}")


def read_ticket(path: Path) -> tuple[dict, dict[str, dict[str, np.ndarray]]]:
    """(header, part -> name -> array) of a .safetensors file: 8 bytes that say how long the JSON
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


def build(weights: dict[str, np.ndarray]) -> nn.Module:
    """The fully connected ReLU network with these weights: (batch, 784) -> (batch, 10)."""
    model, layers = nn.Sequential(), sum(name.endswith(".weight") for name in weights)
    for n in range(1, layers + 1):
        outputs, inputs = weights[f"fc{n}.weight"].shape
        model.add_module(f"fc{n}", nn.Linear(inputs, outputs))
        if n < layers:
            model.add_module(f"relu{n}", nn.ReLU())
    model.load_state_dict({name: torch.tensor(values) for name, values in weights.items()})
    return model


def schedule_of(experiment: dict) -> tuple[dict, int]:
    """(recipe, first iteration) of the level that the file holds."""
    recipe, rounds = experiment["recipe"], experiment["rounds"]
    if not rounds:  # level 0, the dense network
        return recipe, 0
    restart, first = rounds[-1]["restart"], rounds[-1]["rewind_iteration"]
    if experiment.get("control") in ("reinit", "reshuffled-reinit"):  # level n beside its trunk's
        restart, first = "reinit", 0
    if restart == "keep":  # fine-tuning goes on at the rate the training ended with
        rate = learning_rate(recipe, recipe["iterations"] - 1)
        return recipe | {"learning_rate": rate, "warmup": 0, "decay_at": []}, first
    return recipe, first


def learning_rate(recipe: dict, iteration: int) -> float:
    rate = recipe["learning_rate"]
    if recipe["warmup"]:
        rate *= min(1.0, (iteration + 1) / recipe["warmup"])
    return rate * recipe["decay_factor"] ** sum(step <= iteration for step in recipe["decay_at"])


def train(
    model: nn.Module,
    mask: dict[str, np.ndarray],
    recipe: dict,
    first: int,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    """From iteration `first` on; after every step the pruned weights are exactly 0."""
    parameters = dict(model.named_parameters())
    masked = [(parameters[name], torch.tensor(kept)) for name, kept in mask.items()]
    optimiser, order, epoch_of_order = make_optimiser(model, recipe), None, None
    size, steps = recipe["batch_size"], recipe["iterations"]
    per_epoch = -(-len(images) // size)
    for iteration in range(first, steps):
        epoch, batch = divmod(iteration, per_epoch)
        if epoch != epoch_of_order:
            order, epoch_of_order = batch_order(recipe["seed"], epoch, len(images)), epoch
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, iteration)
        chosen = order[batch * size : (batch + 1) * size]
        loss = F.cross_entropy(model(images[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for weight, kept in masked:
                weight.mul_(kept)
        if (iteration + 1) % 500 == 0 or iteration + 1 == steps:
            print(f"iteration {iteration + 1:,} of {steps:,}: loss {loss.item():.3f}", flush=True)


def make_optimiser(model: nn.Module, recipe: dict) -> torch.optim.Optimizer:
    kind, options = torch.optim.Adam, {"weight_decay": recipe["weight_decay"]}
    if recipe["optimiser"] == "sgd":
        kind, options = torch.optim.SGD, options | {"momentum": recipe["momentum"]}
    try:  # the same arithmetic in one go: what the file was made with, where torch knows it
        return kind(model.parameters(), lr=recipe["learning_rate"], fused=True, **options)
    except (RuntimeError, TypeError):
        return kind(model.parameters(), lr=recipe["learning_rate"], **options)


def seed_of(seed: int, *purpose: str | int) -> int:
    """One stream of random numbers a purpose."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def batch_order(seed: int, epoch: int, count: int) -> torch.Tensor:
    generator = np.random.default_rng(seed_of(seed, "order", epoch))
    return torch.from_numpy(generator.permutation(count))


@torch.inference_mode()
def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    right = sum(
        int((model(some).argmax(1) == answers).sum())
        for some, answers in zip(images.split(1_000), labels.split(1_000), strict=True)
    )
    return right / len(labels)


def load_data(recipe: dict, folder: Path) -> tuple[torch.Tensor, ...]:
    """Images (n, 784), normalised, and labels: to train on, and to test on."""
    name = recipe["dataset"]
    source = getattr(import_datasets(), SOURCES[name])
    options = {"split": "digits"} if name == "emnist-digits" else {}
    raw = folder / SOURCES[name] / "raw"
    # torchvision looks for EMNIST's in one big archive, and knows no other files than published.
    content = recipe.get("content", "")
    for packed in raw.glob("*.gz" if content else "emnist-digits-*.gz"):
        if not packed.with_suffix("").exists():
            with gzip.open(packed) as file, packed.with_suffix("").open("wb") as plain:
                shutil.copyfileobj(file, plain)
    images, labels, digest = {}, {}, hashlib.sha256()
    for part in ("test", "train"):
        dataset = source(folder, train=part == "train", download=not content, **options)
        pixels, answers = dataset.data.numpy(), dataset.targets.numpy()
        if name == "emnist-digits":  # whose files hold every image transposed
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))
        for kind, values in (("images", pixels), ("labels", answers.astype(np.uint8))):
            digest.update(f"{part}_{kind} {values.shape} ".encode() + values.tobytes())
        images[part] = pixels.reshape(-1, 28 * 28).astype(np.float32) / np.float32(255)
        labels[part] = answers.astype(np.int64)
    if content and digest.hexdigest() != content:
        raise RuntimeError(
            f"the ticket was trained on files whose SHA-256 is {content}, and that of these is "
            f"{digest.hexdigest()}"
        )
    train, test = normalise(recipe["normalisation"], images["train"], images["test"])
    kept = training_images(recipe, len(train))
    arrays = train[kept], labels["train"][kept], test, labels["test"]
    return tuple(torch.from_numpy(values) for values in arrays)


def normalise(how: str, *images: np.ndarray) -> list[np.ndarray]:
    """Training and test images, pixels from 0 to 1, as the recipe normalises them."""
    if how == "unit":  # each image by its own length
        tiny = np.finfo(np.float32).tiny
        return [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), tiny) for x in images]
    mean, deviation = np.float32(0.5), np.float32(0.5)
    if how == "dataset":  # of the training images, those held out included
        mean = images[0].mean(dtype=np.float64).astype(np.float32)
        deviation = images[0].std(dtype=np.float64).astype(np.float32)
    return [(x - mean) / deviation for x in images]


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


if __name__ == "__main__":
    main()
