"""Train a lottery ticket again, with torch, torchvision and numpy alone.

TITLE

    python train-ticket.py

trains the ticket that lies beside this script and prints its accuracy. --seed 1 takes another
order of the data, --from trained only judges the trained weights in the file, --data names where
the data set is, --threads 4 goes faster and rounds otherwise. Another ticket's file can be named,
which says itself which network it is:

    python train-ticket.py other.safetensors --data /where/it/is

With the recipe's own seed it repeats the training that made the file: the same images held out,
batches in the same order, the same steps, so that what differs is rounding. Of a mask that changed
in training it knows the last alone, and trains that; under one that was learned of untrained
weights it trains the weights. The data set is downloaded into --data unless
it is there, as torchvision keeps it: data/MNIST/raw/*.gz. Where the recipe names a content, other
files than the published ones, it takes them from there alone; a data set of somebody's own images
is read from data/NAME.safetensors, as it lies in cache/datasets.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.tickets.ticket_data import Data, load_data, read_tensors, remedy, seed_of

TICKET = "ticket.safetensors"  # beside this script
# Controls whose masks were learned, of weights that stayed untrained.
LEARNED = ("edge-popup", "edge-popup-signs", "learned-mask", "learned-mask-signs")
MAX_SHIFT = 4  # pixels by which images are shifted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    beside = Path(__file__).resolve().with_name(TICKET)
    parser.add_argument("ticket", nargs="?", type=Path, default=beside, help=f"default: {TICKET}")
    parser.add_argument("--data", type=Path, default=Path("data"), help="default: ./data")
    parser.add_argument("--seed", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1, help="default: 1, as in the recipe's run")
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

    torch.set_num_threads(max(1, given.threads))
    header, parts = read_tensors(given.ticket)
    if "network" not in header:
        parser.error(f"{given.ticket} does not say which network it is; export the ticket again")
    network = json.loads(header["network"])
    experiment, results = json.loads(header["experiment"]), json.loads(header["results"])
    recipe, mask = experiment["recipe"], parts["mask"]
    if given.seed is not None:
        recipe["seed"] = given.seed
    kept, total = sum(int(m.sum()) for m in mask.values()), sum(m.size for m in mask.values())
    print(
        f"Ticket {header['key'][:8]}, level {header['level']}: {kept:,} of {total:,} weights "
        f"({kept / total:.2%}), seed {recipe['seed']}"
    )
    if results.get("explored") is not None:
        print(
            "Its mask changed while it trained, which this script does not repeat: it trains the "
            "mask that it ended with. What came into it later begins at 0."
        )
    if learned_mask_of(experiment):
        print(
            "Its mask was learned and no weight was trained, which this script does not repeat: it "
            "learns no mask, and trains the weights under this one."
        )
    if results.get("explored") is not None or learned_mask_of(experiment):
        print("The ticket's card has the command that does, and so has the script made for it.")
    try:
        data, test_images, test_labels = load_data(recipe, given.data, header.get("data", ""))
    except (OSError, RuntimeError) as error:
        sys.exit(f"The data set is not to be had: {error}\n{remedy(recipe, given.data)}")
    trained = accuracy(build(network, parts["trained"]), test_images, test_labels)
    recorded = results["test_accuracy"]
    print(f"The trained weights in the file: {trained:.2%} on the test images")
    if given.start == "restart":
        model = build(network, parts["restart"])
        schedule, first = schedule_of(experiment)
        train(model, mask, schedule, first, data)
        print(
            "Trained now, from the weights it restarts from: "
            f"{accuracy(model, test_images, test_labels):.2%} on the test images"
        )
    print(f"Recorded when the file was made: {recorded:.2%}")


class Network(nn.Module):
    """(batch, ...) images -> (batch, classes), operation by operation as the ticket's header lists
    them: each reads results by their numbers, where 0 are the images."""

    def __init__(self, network: dict, weights: dict[str, np.ndarray]):
        super().__init__()
        self.image, self.operations = network["input"], network["operations"]
        # As where it was trained: faster for convolutions, and rounded otherwise.
        convolutions = [at for at in self.operations if at["kind"] == "conv"]
        self.convolutional = bool(convolutions)
        # torch's gradient of those is wrong then: github.com/uxlfoundation/oneDNN/issues/6035
        narrow = any(at["kernel"] == 1 < at["stride"] and weights[f"{at['name']}.weight"].shape[1]
                     < 16 for at in convolutions)  # fmt: skip
        is_last = self.convolutional and not narrow
        self.layout = torch.channels_last if is_last else torch.contiguous_format
        last_read = {read: n for n, at in enumerate(self.operations) for read in at["reads"]}
        # What nobody reads any more is let go: a thousand images' results would fill the memory.
        self.done = [[r for r in at["reads"] if last_read[r] == n]
                     for n, at in enumerate(self.operations)]  # fmt: skip
        for at in self.operations:
            if "name" in at:
                self.add_module(at["name"], layer(at, weights))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        results = [images.reshape(-1, *self.image).contiguous(memory_format=self.layout)]
        for at, done in zip(self.operations, self.done, strict=True):
            compute = getattr(self, at["name"]) if "name" in at else PLAIN[at["kind"]]
            results.append(compute(*[results[read] for read in at["reads"]]))
            for read in done:
                results[read] = None
        return results[-1]


PLAIN = {
    "relu": F.relu,
    "pool": lambda images: F.max_pool2d(images, 2),
    "mean": lambda images: images.mean(dim=(2, 3)),
    "flat": lambda images: images.flatten(1),
    "add": torch.add,
}


def layer(at: dict, weights: dict[str, np.ndarray]) -> nn.Module:
    """The operation that has parameters, with any values."""
    shape, has_bias = weights[f"{at['name']}.weight"].shape, f"{at['name']}.bias" in weights
    if at["kind"] == "fc":
        return nn.Linear(shape[1], shape[0])
    if at["kind"] == "conv":
        options = {"stride": at["stride"], "padding": at["padding"], "bias": has_bias}
        return nn.Conv2d(shape[1], shape[0], at["kernel"], **options)
    norm = nn.BatchNorm2d(shape[0])
    norm.num_batches_tracked = None  # a count that nothing asks for
    return norm


def build(network: dict, weights: dict[str, np.ndarray]) -> nn.Module:
    """The network with these weights."""
    model = Network(network, weights)
    model.to(memory_format=model.layout)
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name in own.keys() | weights.keys():  # the same names, or it is another network's file
            own[name].copy_(torch.tensor(weights[name]))
    return model


def learned_mask_of(experiment: dict) -> bool:
    """Whether the file's mask was learned, of weights that stayed untrained."""
    rounds, control = experiment["rounds"], experiment.get("control")
    if not rounds:
        return False
    return bool(rounds[-1].get("supermask")) or control in LEARNED


def schedule_of(experiment: dict) -> tuple[dict, int]:
    """(recipe, first iteration) of the level that the file holds; the recipe with the data's
    "order", if it has another than the dense network."""
    recipe, rounds, control = experiment["recipe"], experiment["rounds"], experiment.get("control")
    if not rounds:  # level 0, the dense network
        return recipe, 0
    recipe = recipe | {"order": 1 if control == "new-order" else rounds[-1].get("order", 0)}
    restart, first = rounds[-1]["restart"], rounds[-1]["rewind_iteration"]
    if control in ("reinit", "reshuffled-reinit", "signs"):
        restart, first = "reinit", 0  # level n beside its trunk's, which may have rewound
    elif control in ("new-magnitudes", "new-signs", "transplanted", "permuted"):
        restart = "rewind"  # whatever its trunk's does
    elif control in (
        "set", "set-long", "rigl", "rigl-long", "gradual", "early-bird", *LEARNED,
    ):  # fmt: skip
        restart, first = "rewind", 0
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
    model: nn.Module, mask: dict[str, np.ndarray], recipe: dict, first: int, data: Data
) -> None:
    """From iteration `first` on; after every step the pruned weights are exactly 0."""
    images, labels, black = data
    parameters = dict(model.named_parameters())
    masked = [(parameters[name], torch.tensor(kept)) for name, kept in mask.items()]
    optimiser, order, epoch_of_order = make_optimiser(model, recipe), None, None
    size, steps = recipe["batch_size"], recipe["iterations"]
    per_epoch = -(-len(images) // size)
    for iteration in range(first, steps):
        epoch, batch = divmod(iteration, per_epoch)
        if epoch != epoch_of_order:
            order, epoch_of_order = batch_order(recipe, epoch, len(images)), epoch
            moved = moves(recipe, epoch, len(images), model.image)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, iteration)
        at = slice(batch * size, (batch + 1) * size)
        chosen = order[at]
        shown = images[chosen]
        if moved:
            shown = show(shown.reshape(-1, *model.image), [part[at] for part in moved], black)
        loss = F.cross_entropy(model(shown), labels[chosen])
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


def batch_order(recipe: dict, epoch: int, count: int) -> torch.Tensor:
    return torch.from_numpy(chance(recipe, "order", epoch).permutation(count))


def chance(recipe: dict, purpose: str, epoch: int) -> np.random.Generator:
    order = [recipe["order"]] if recipe.get("order") else []
    return np.random.default_rng(seed_of(recipe["seed"], purpose, epoch, *order))


def moves(
    recipe: dict, epoch: int, count: int, image: list[int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """For each of an epoch's images, in its order, which rows and columns of the image with
    `MAX_SHIFT` black pixels around it become its own; None where images are shown as they are."""
    kind = recipe.get("augmentation", "none")
    if kind == "none":
        return None
    generator = chance(recipe, "augmentation", epoch)
    is_mirrored = generator.integers(0, 2, (count, 1), dtype=bool)
    shifts = generator.integers(0, 2 * MAX_SHIFT + 1, (2, count, 1))
    if "shift" not in kind:
        shifts = np.full_like(shifts, MAX_SHIFT)
    _, rows, columns = image
    across = np.arange(columns)
    if "flip" in kind:
        across = np.where(is_mirrored, across[::-1], across)
    return shifts[0] + np.arange(rows), shifts[1] + across


def show(images: torch.Tensor, moved: list[np.ndarray], black: torch.Tensor) -> torch.Tensor:
    """A batch of images (n, channels, rows, columns), mirrored and shifted."""
    padded = F.pad(images - black[:, None, None], [MAX_SHIFT] * 4) + black[:, None, None]
    rows, columns = (torch.from_numpy(part) for part in moved)
    each = torch.arange(len(images))[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.inference_mode()
def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    model.eval()  # batch norm by its running statistics
    size = 100 if model.convolutional else 1_000
    right = sum(
        int((model(some).argmax(1) == answers).sum())
        for some, answers in zip(images.split(size), labels.split(size), strict=True)
    )
    return right / len(labels)


if __name__ == "__main__":
    main()
