"""The torch loop on a CUDA device: is it right, and what a step takes there.

    python -m benchmarks.cuda [--dataset NAME] [--json FILE]

For each network, first whether it is right: the weights after a few steps beside those of the same
steps in float64, on the CPU, and on the device with cuDNN and without; pruned weights are 0; two
trainings give the same weights bit for bit. Then the time of a step, all ways in turns: recorded as
a CUDA graph, as the app does it; started kernel by kernel; a bare loop that does the same
operations and nothing else; and the recorded one with channels in their other order, and with
cuDNN's rounding to 10 bits (TF32) and any order of sums allowed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from benchmarks.training_overhead import ticket
from lottery_core.data import Data, load_data, own
from lottery_core.method.masks import Arrays
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.store import CACHE, Store, processor
from lottery_core.training.augmentation import Moves, moved
from lottery_core.training.base import Training, batch_order
from lottery_core.training.models import build, load, tensors
from lottery_core.training.optimisers import Optimiser
from lottery_core.training.recorded import exact
from lottery_core.training.torch_loop import TorchNetwork

NETWORKS = ("notebook", "paper", "lenet-5", "conv-2", "conv-6", "resnet-20", "vgg-16")
_CHECKED = 6  # steps; more part any two float32 programs
_TIMED, _TURNS = 100, 5


def recipe_of(name: str, dataset: str) -> Recipe:
    """The preset's, on the data set asked for where it is one of convolutions on colours."""
    choice = PRESETS[name].choice
    if choice.dataset == "cifar-10":
        choice = replace(choice, dataset=dataset)
    return choice.recipe()


class Bare:
    """The same operations as one would write them by hand, the data set on the device as numbers;
    in float32, or in float64 for what is right."""

    def __init__(self, training: Training, data: Data, device: str, dtype: torch.dtype):
        recipe = training.recipe
        self.recipe, self.device = recipe, device
        self.model = build(recipe, device)
        load(self.model, training.weights)
        self.model.to(dtype)
        self.images = torch.from_numpy(data.images[:]).to(device)
        self.labels = torch.from_numpy(data.labels).to(device)
        self.black = torch.from_numpy(data.images.values.reshape(-1, 256)[:, 0]).to(device, dtype)
        order = data.train_index[batch_order(recipe, 0)]
        self.order = torch.from_numpy(order).to(device)
        moves = Moves.of(recipe, 0)
        self.moves = moves.on(device) if moves else ()
        options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
        if recipe.optimiser == "sgd":
            options["momentum"] = recipe.momentum
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[recipe.optimiser]
        self.optimiser = kind(self.model.parameters(), **options)
        masks = {name: torch.from_numpy(kept) for name, kept in training.mask.items()}
        self.masked = [self.model.get_parameter(name).data for name in masks]
        self.masks = [
            torch.empty_like(where).copy_(kept)
            for where, kept in zip(self.masked, masks.values(), strict=True)
        ]
        self.dtype = dtype

    def steps(self, epoch: int, batch: int, losses: np.ndarray) -> None:
        """As `Network.steps`, within epoch 0."""
        size = self.recipe.batch_size
        rates = self.recipe.learning_rates(batch, batch + len(losses))
        for n, rate in enumerate(rates.tolist()):
            self.optimiser.param_groups[0]["lr"] = rate
            at = slice((batch + n) * size, (batch + n + 1) * size)
            chosen = self.order[at]
            images = self.images[chosen].to(self.dtype)
            if self.moves:
                images = images.reshape(-1, *self.recipe.net.input)
                images = moved(images, *(part[at] for part in self.moves), self.black)
            loss = F.cross_entropy(self.model(images), self.labels[chosen])
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            torch._foreach_mul_(self.masked, self.masks)

    def weights(self) -> Arrays:
        """As `Network.weights`."""
        return {k: value.detach().cpu().numpy() for k, value in tensors(self.model).items()}


def after(network: TorchNetwork | Bare, steps: int) -> Arrays:
    """Its weights after so many steps."""
    network.steps(0, 0, np.zeros(steps, np.float32))
    return network.weights()


def apart(found: Arrays, right: Arrays, start: Arrays) -> float:
    """How far the weights are from the right ones, as a share of how far these went."""
    far = sum(float(((found[k].astype(float) - right[k]) ** 2).sum()) for k in right)
    went = sum(float(((start[k].astype(float) - right[k]) ** 2).sum()) for k in right)
    return (far / went) ** 0.5


def checked(training: Training, data: Data) -> dict[str, float | bool]:
    """What has to be so whatever it takes; by SGD, as Adam makes a whole step of a gradient that
    is 0 but for rounding."""
    recipe = replace(training.recipe, optimiser="sgd", momentum=0.9, learning_rate=0.01)
    training = replace(training, recipe=recipe)
    right = after(Bare(training, data, "cpu", torch.float64), _CHECKED)
    there = after(TorchNetwork(training, data, "cuda"), _CHECKED)
    by_hand = after(Bare(training, data, "cuda", torch.float32), _CHECKED)
    with torch.backends.cudnn.flags(enabled=False):
        plain = after(Bare(training, data, "cuda", torch.float32), _CHECKED)
    once, again = (after(TorchNetwork(training, data, "cuda"), 50) for _ in range(2))
    return {
        "off_on_cpu": apart(after(TorchNetwork(training, data), _CHECKED), right, training.weights),
        "off": apart(there, right, training.weights),
        "off_by_hand": apart(by_hand, right, training.weights),
        "off_without_cudnn": apart(plain, right, training.weights),
        "pruned_are_zero": not any(once[k][~kept].any() for k, kept in training.mask.items()),
        "repeats": all(np.array_equal(once[k], again[k]) for k in once),
    }


def _other_layout(network: TorchNetwork) -> TorchNetwork:
    model = network._model
    last = model.layout == torch.channels_last
    model.layout = torch.contiguous_format if last else torch.channels_last
    model.to(memory_format=model.layout)
    network._optimiser = Optimiser(model.parameters(), network._recipe, "cuda")
    return network


def _unrecorded(network: TorchNetwork) -> TorchNetwork:
    network._step = network._take
    return network


def ways(training: Training, data: Data) -> dict[str, tuple[object, bool]]:
    """Each way of a step, and whether it computes as the app does (see `exact`)."""

    def ours() -> TorchNetwork:
        return TorchNetwork(training, data, "cuda")

    found = {
        "ours": (ours(), True),
        "kernel by kernel": (_unrecorded(ours()), True),
        "bare": (Bare(training, data, "cuda", torch.float32), True),
        "TF32, any order": (ours(), False),
    }
    if training.recipe.net.is_convolutional:
        found["other layout"] = (_other_layout(ours()), True)
    return found


def timed(training: Training, data: Data) -> dict[str, float]:
    """Milliseconds of a step, the median of each way's turns."""
    found: dict[str, list[float]] = {}
    networks = ways(training, data)
    losses = np.zeros(_TIMED, np.float32)
    for turn in range(_TURNS + 1):
        for name, (network, is_exact) in list(networks.items())[:: -1 if turn % 2 else 1]:
            with exact("cuda") if is_exact else nullcontext():
                torch.cuda.synchronize()
                began = time.perf_counter()
                network.steps(0, 0, losses)
                torch.cuda.synchronize()
            if turn:  # the first one warms up and records
                milliseconds = 1e3 * (time.perf_counter() - began) / _TIMED
                found.setdefault(name, []).append(milliseconds)
    return {name: statistics.median(times) for name, times in found.items()}


def guarded(make: Callable[[], dict]) -> dict:
    with exact("cuda"):
        return make()


def main() -> int:
    """Print a row a network; 1 where something is not right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="cifar-10", help="CIFAR-10 under another name")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="PRESET")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here")
    store = Store(args.cache)
    own.register(store.datasets)
    device = torch.cuda.get_device_name()
    print(f"{device}, {processor()}, torch {torch.__version__}", flush=True)
    rows, right = [], True
    for name in args.networks:
        recipe = recipe_of(name, args.dataset)
        training = Training(recipe, *ticket(recipe))
        data = load_data(recipe, store.datasets)
        found = guarded(lambda training=training, data=data: checked(training, data))
        # A float32 program is off by what rounding gives, here as on the CPU; but cuDNN's own ways
        # to a convolution's gradient round more, whoever asks for them.
        is_right = (
            found["pruned_are_zero"]
            and found["off"] < 2 * found["off_by_hand"] + 1e-6
            and found["off_without_cudnn"] < 10 * found["off_on_cpu"] + 1e-6
        )
        right &= is_right
        times = timed(training, data)
        rows.append({"network": name, "right": is_right, **found, "ms": times})
        print(
            f"{name:10} {'right' if is_right else 'WRONG':5} off {found['off']:.1e} (CPU "
            f"{found['off_on_cpu']:.1e}, without cuDNN {found['off_without_cudnn']:.1e}) "
            f"repeats {found['repeats']!s:5} "
            + "  ".join(f"{way} {ms:.3f} ms" for way, ms in times.items())
            + f"  ours/bare {times['ours'] / times['bare']:.2f}",
            flush=True,
        )
    if args.json:
        about = {"device": device, "torch": torch.__version__}
        args.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
