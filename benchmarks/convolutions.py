"""What the compiled loop saves where networks have convolutions, against torch's dense training.

    python -m benchmarks.convolutions [--turns 5] [--only NAME ...] [--json FILE]

All that a row compares runs in one process on one core, one right after the other and in turns, in
pieces of a tenth of a second or so, that a busy machine hits alike; a row is the median of these
turns, with their range. torch has its faster memory format in each row.
Masks are drawn by chance, images made up: neither changes what a step takes. One convolution's
forward and backward are its result, the gradient of its weights and the derivative by its input,
without bias and ReLU. Exits with 1 when a row misses its target. Compiling happens
before any clock starts.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import Row, ratios
from benchmarks.training_overhead import processor
from lottery_core.data import Data, Images
from lottery_core.method.masks import apply, dense_mask
from lottery_core.spec.networks import Network, network
from lottery_core.spec.recipe import Recipe
from lottery_core.training import base
from lottery_core.training.calibration import in_turns
from lottery_core.training.convolution.loop import ConvolutionalNetwork
from lottery_core.training.models import build, initial_weights, load
from lottery_core.training.sparse_loop import one_blas_thread
from lottery_core.training.torch_loop import TorchNetwork, one_torch_thread
from lottery_core.training.yardsticks import forward_ticket

_FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
_COUNT = 512  # images that stand for all
# A turn is made of so many pieces in turns, of so many seconds or at least a step: a machine is
# disturbed for longer than a piece, and what disturbs one way then disturbs all.
_PIECES, _SECONDS = 3, 0.2

Steps = Callable[[int], object]

ADAM = {"optimiser": "adam", "momentum": 0.0, "validation_size": 0}
CIFAR = {"dataset": "cifar-10", **ADAM, "batch_size": 60}
RESNET = Recipe(network="resnet-20", dataset="cifar-10", validation_size=0, batch_size=128,
                weight_decay=1e-4)  # fmt: skip


@dataclass(frozen=True)
class Alone:
    """What of a recipe a network needs that is only timed: images of any size."""

    net: Network
    batch_size: int
    optimiser: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0


def step_times(
    ways: dict[str, Steps], turns: int, most: int | None = None
) -> dict[str, list[float]]:
    """Seconds of one step of each way, in every turn."""
    with one_torch_thread(), one_blas_thread():
        pieces = in_turns(
            ways, repeats=turns * _PIECES, seconds=_SECONDS, most=most, check=lambda: None
        )
    return {
        name: np.reshape(all_, (turns, _PIECES)).mean(1).tolist() for name, all_ in pieces.items()
    }


def times(ways: dict[str, Steps], turns: int, most: int | None = None) -> dict[str, list[float]]:
    """The same, and torch's faster way as "torch"."""
    found = step_times(ways, turns, most)
    formats = [name for name in found if name in _FORMATS]
    found["torch"] = min((found[name] for name in formats), key=np.median)
    return found


def rows_of(
    name: str, title: str, found: dict[str, list[float]], targets: dict[float, float]
) -> Iterator[Row]:
    """One row a density with a target: how many times as fast as torch."""
    torchs = "channels last" if found["torch"] is found["channels last"] else "contiguous"
    for density, target in targets.items():
        ours, dense = found[str(density)], found["torch"]
        note = f"{1e3 * np.median(dense):.3g} ms ({torchs}) and {1e3 * np.median(ours):.3g} ms"
        yield Row(
            f"{name}-{density:g}",
            f"{title}, {100 * density:g} %",
            ratios(dense, ours),
            target,
            note=note,
            seconds={"torch": dense, "ours": ours},
        )


def masked(recipe: Recipe | Alone, density: float) -> dict[str, np.ndarray]:
    """A mask drawn by chance."""
    draw = np.random.default_rng(0)
    return {name: draw.random(shape) < density for name, shape in recipe.net.shapes.items()}


def data_for(recipe: Recipe) -> Data:
    """Images and labels made up."""
    draw = np.random.default_rng(0)
    channels, *sides = recipe.net.input
    pixels = draw.integers(0, 256, (_COUNT, channels * int(np.prod(sides))), np.uint8)
    values = np.tile(np.linspace(-1, 1, 256, dtype=np.float32), (channels, 1))
    images = Images(pixels, values if channels > 1 else values[0], np.ones(_COUNT, np.float32))
    labels = draw.integers(0, recipe.net.classes, _COUNT)
    index = np.arange(recipe.train_size) % _COUNT
    return Data(images, labels, index, np.arange(0), images, labels, "")


def one_convolution(channels: int, side: int, batch: int, densities: list[float]) -> dict:
    """Ways through a convolution of 3x3 alone, forward and back."""
    draw = torch.Generator().manual_seed(0)
    shape = (batch, channels, side, side)
    ways: dict[str, Steps] = {}
    for name, layout in _FORMATS.items():
        images = torch.randn(shape, generator=draw).to(memory_format=layout).requires_grad_()
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        layer = layer.to(memory_format=layout)
        delta = torch.randn(shape, generator=draw).to(memory_format=layout)

        def there_and_back(count: int, images=images, layer=layer, delta=delta) -> None:
            for _ in range(count):
                torch.autograd.grad(layer(images), (images, layer.weight), delta)

        ways[name] = there_and_back
    net = network(f"{channels}@1 {channels} mean", (1, side, side), 10)
    draw = np.random.default_rng(0)
    for density in densities:
        recipe = Alone(net, batch)
        mask = dense_mask(net.shapes)  # all channels are read, and lead to an output
        mask["conv2.weight"] = masked(recipe, density)["conv2.weight"]
        weights = {name: draw.normal(0, 0.05, shape).astype(np.float32)
                   for name, shape in net.parameters.items()}  # fmt: skip
        made = ConvolutionalNetwork(recipe, apply(weights, mask), mask)
        made.net.results["has_relu"], made.net.operations["biases_at"] = False, -1
        work, share = made.rehearsal("conv2.weight")
        ways[str(density)] = lambda count, work=work, share=share: work(
            max(1, round(count * share))
        )
    return ways


def convolution_rows(turns: int) -> Iterator[Row]:
    targets = {0.1: 4, 0.05: 7, 0.02: 12}
    found = times(one_convolution(64, 32, 60, list(targets)), turns)
    yield from rows_of("conv", "3x3, 64 to 64 channels, 32x32, batch 60", found, targets)


def sparseprop_rows(turns: int) -> Iterator[Row]:
    for channels, side in ((64, 56), (128, 28), (256, 14), (512, 7)):
        found = times(one_convolution(channels, side, 256, [0.05]), turns)
        title = f"3x3, {channels} channels, {side}x{side}, batch 256"
        yield from rows_of(f"sparseprop-{side}", title, found, {0.05: 4})


def steps_of(one: base.Network) -> Steps:
    """The first steps of an epoch, over and over."""
    return lambda count: one.steps(0, 0, np.zeros(count, np.float32))


def step_rows(name: str, recipe: Recipe, targets: dict[float, float], turns: int) -> Iterator[Row]:
    """Training steps of a network."""
    data, weights = data_for(recipe), initial_weights(recipe)
    dense = base.Training(recipe, weights, dense_mask(recipe.shapes))
    networks: dict[str, base.Network] = {}
    for way, layout in _FORMATS.items():
        networks[way] = TorchNetwork(dense, data)
        networks[way]._model.layout = layout
        networks[way]._model.to(memory_format=layout)
    for density in targets:
        mask = masked(recipe, density)
        networks[str(density)] = ConvolutionalNetwork(recipe, apply(weights, mask), mask)
        networks[str(density)].attach(data, judge=False)

    ways = {way: steps_of(one) for way, one in networks.items()}
    found = times(ways, turns, most=recipe.iterations_per_epoch)
    title = f"a step of {name}, {recipe.optimiser}, batch {recipe.batch_size}"
    yield from rows_of(name.lower(), title, found, targets)


def answer_rows(turns: int) -> Iterator[Row]:
    """Answers of a Conv-2 ticket at 5 %."""
    recipe = Recipe(network="conv-2", **CIFAR)
    weights, mask = initial_weights(recipe), masked(recipe, 0.05)
    images = data_for(recipe).images
    for batch, target in ((1, 3), (32, 5), (256, 5)):
        shown = images[:batch]
        ways: dict[str, Steps] = {}
        for name, layout in _FORMATS.items():
            model = build(recipe).to(memory_format=layout).eval()
            load(model, weights)
            model.layout = layout
            ways[name] = _answers(lambda model=model, shown=shown: model(torch.from_numpy(shown)))
        predict = forward_ticket(recipe, apply(weights, mask), mask, batch)
        ways["0.05"] = _answers(lambda predict=predict, shown=shown: predict(shown))
        title = f"answers of Conv-2 to {batch} image{'s' if batch > 1 else ''}"
        yield from rows_of(f"answers-{batch}", title, times(ways, turns), {0.05: target})


def _answers(answer: Callable[[], object]) -> Steps:
    def steps(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                answer()

    return steps


ROWS: dict[str, Callable[[int], Iterator[Row]]] = {
    "convolution": convolution_rows,
    "conv-2": lambda turns: step_rows(
        "Conv-2", Recipe(network="conv-2", **CIFAR), {0.1: 3.5, 0.05: 6}, turns
    ),
    "conv-6": lambda turns: step_rows(
        "Conv-6", Recipe(network="conv-6", **CIFAR), {0.1: 3, 0.05: 5}, turns
    ),
    "resnet-20": lambda turns: step_rows("ResNet-20", RESNET, {0.1: 2.5, 0.05: 4}, turns),
    "lenet-5": lambda turns: step_rows(
        "LeNet-5", Recipe(network="lenet-5", **ADAM, batch_size=60), {1: 2, 0.1: 6}, turns
    ),
    "sparseprop": sparseprop_rows,
    "answers": answer_rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="of each row")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--json", type=Path, help="write every single time there")
    options = parser.parse_args()
    rows = (row for name in options.only for row in ROWS[name](options.turns))
    return tell("times as fast as dense torch, at a density", rows, options.json)


def tell(what: str, rows: Iterator[Row], file: Path | None) -> int:
    """Print rows as they come and write them to the file, if there is one; 1 if one misses its
    target."""
    print(f"{processor()}, one thread, torch {torch.__version__}, numba {version('numba')}")
    print(f"{what:74}{'median':>8}{'least':>8}{'most':>8}")
    found = []
    for row in rows:
        found.append(asdict(row) | {"median": row.median, "reached": row.reached})
        print(row, flush=True)
    if file:
        facts = {"processor": processor(), "platform": platform.platform()}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(facts | {"rows": found}, indent=1))
    return int(any(row["reached"] is False for row in found))


if __name__ == "__main__":
    sys.exit(main())
