"""Choices worth starting from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lottery_core.spec.checks import check_known
from lottery_core.spec.choice import TYPES, Choice
from lottery_core.spec.notation import shortest


@dataclass(frozen=True)
class Preset:
    """A choice worth starting from, and what to say of it."""

    title: str
    summary: str
    choice: Choice


PRESETS = {
    "quick": Preset(
        "Quick",
        "A winning ticket in about a minute: three seeds, 6 rounds at 50\u202f%.",
        Choice(
            normalisation="dataset",
            validation_size=5_000,
            # Small enough for the least validation loss to come at the end: with 0.1 it came
            # anywhere, and whether a ticket stopped later was chance.
            learning_rate=0.02,
            batch_size=128,
            length=1.5,
            rate=0.5,
            rounds=6,
            replicates=3,
        ),
    ),
    "notebook": Preset(
        "Notebook",
        "Two hidden layers, SGD, all 60,000 images, 4 epochs, 6 rounds at 40\u202f%.",
        Choice(),
    ),
    "paper": Preset(
        "LeNet-300-100",
        "Frankle & Carbin 2018: Adam, 50,000 iterations, 19 rounds at 20\u202f%.",
        Choice(
            normalisation="unit",
            validation_size=5_000,
            network="300 100",
            init="glorot",
            optimiser="adam",
            learning_rate=0.0012,
            batch_size=60,
            length=50_000,
            unit="iterations",
            evaluate_every=100,
            rate=0.2,
            rounds=19,
            output_factor=0.5,
            controls=("reinit",),
        ),
    ),
}
PRESETS["lenet-5"] = Preset(
    "LeNet-5",
    "Convolutions on the same images: three seeds, 5 rounds at 50\u202f%, random reinit beside "
    "them.",
    Choice(
        normalisation="dataset",
        validation_size=5_000,
        network=shortest("lenet-5"),
        learning_rate=0.02,
        batch_size=64,
        length=800,
        unit="iterations",
        evaluate_every=100,
        rate=0.5,
        rounds=5,
        replicates=3,
        controls=("reinit",),
    ),
)


def _of_the_paper(depth: int, iterations: int, rate: float, conv_factor: float) -> Preset:
    """Conv-2, Conv-4 or Conv-6 as in table 1 of the paper."""
    name = f"conv-{depth}"
    return Preset(
        f"Conv-{depth}",
        f"Frankle & Carbin 2018, CIFAR-10: Adam, {iterations:,} iterations, 12 rounds, "
        f"convolutions lose {20 * conv_factor:g}\u202f% a round, other layers 20\u202f%. For a "
        "GPU.",
        Choice(
            dataset="cifar-10",
            normalisation="dataset",
            validation_size=5_000,
            network=shortest(name),
            init="glorot",
            optimiser="adam",
            learning_rate=rate,
            batch_size=60,
            length=iterations,
            unit="iterations",
            evaluate_every=100,
            rate=0.2,
            rounds=12,
            output_factor=0.5,
            conv_factor=conv_factor,
            controls=("reinit",),
        ),
    )


def _of_cifar(name: str, title: str, **changes) -> Preset:
    """A deep network as in Frankle et al. 2020 (arXiv 1912.05671), with a warm-up of an epoch."""
    choice = Choice(
        dataset="cifar-10",
        normalisation="dataset",
        augmentation="flip-shift",
        validation_size=5_000,
        network=shortest(name),
        learning_rate=0.1,
        weight_decay=1e-4,
        warmup=400,
        decay_at=(32_000, 48_000),
        batch_size=128,
        length=63_000,
        unit="iterations",
        evaluate_every=500,
        rate=0.2,
        rounds=10,
        scope="global",
        rewind_percent=2.0,
    )
    return Preset(
        title,
        "CIFAR-10, mirrored and shifted: SGD with warm-up and decay, 63,000 iterations, 10 rounds "
        "of 20\u202f% over all layers, rewound to 2\u202f% of the training. For a GPU.",
        replace(choice, **changes),
    )


PRESETS["conv-2"] = _of_the_paper(2, 20_000, 2e-4, 0.5)
PRESETS["conv-4"] = _of_the_paper(4, 25_000, 3e-4, 0.5)
PRESETS["conv-6"] = _of_the_paper(6, 30_000, 3e-4, 0.75)
PRESETS["resnet-20"] = _of_cifar("resnet-20", "ResNet-20", controls=("reinit",))
PRESETS["vgg-16"] = _of_cifar("vgg-16", "VGG-16", controls=())
DEFAULT_PRESET = "quick"


def preset(name: str = DEFAULT_PRESET, **changes: object) -> Choice:
    """The choice of a preset (one of `PRESETS`: quick, notebook, paper, lenet-5), with `changes` by
    field: `preset("quick", rounds=3, replicates=2)`. Raises `InvalidValue`."""
    check_known("preset", name, PRESETS)
    for field in changes:
        check_known("field", field, TYPES)
    plain = {field: _as_tuple(value) for field, value in changes.items()}
    return replace(PRESETS[name].choice, **plain)


def _as_tuple(value: object) -> object:
    """Lists and dictionaries as the tuples a `Choice` has."""
    value = tuple(value.items()) if isinstance(value, dict) else value
    return tuple(value) if isinstance(value, list) else value
