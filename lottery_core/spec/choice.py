"""What a person picks, in their own words: the same for the URL, the command line and code.

A `Choice` is flat and plain; `experiment()` turns it into what the core runs. It is written
as the difference from a preset, so that a link or a command says only what was changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from shlex import quote

from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import (
    InvalidValue,
    check_content,
    check_integer,
    check_known,
    check_number,
)
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import (
    MAX_ITERATIONS,
    MAX_MULTIPLY_ADDS,
    MAX_REPLICATES,
    MAX_ROUNDS,
    MAX_SEED,
    REWIND_PERCENTS,
    Experiment,
    Recipe,
    iterative,
    one_shot,
    rounds_of,
)
from lottery_core.spec.fields import FIELDS, SCHEDULES, UNITS
from lottery_core.spec.networks import shortest
from lottery_core.spec.own import check_public

EVALUATIONS_PER_EPOCH = 5


@dataclass(frozen=True)
class Choice:
    """One experiment as a person asks for it; the defaults are the notebook's.

    `content` is that of `Recipe`: empty for the published files of the data set.
    `length` counts epochs or iterations (`unit`). `evaluate_every` is in iterations; 0 means
    five times an epoch. `rate` and `rounds` belong to the iterative schedule, `sparsity` to
    the one-shot one and `sparsities` to the list; the others are ignored. `layer_factors` names
    layers that have a factor of their own in place of 1 (or of `output_factor` or, of
    convolutions, `conv_factor`): fc2=0.5 loses half as large a part a round. `rewind_percent`,
    if above 0, stands for `rewind_iteration`, in percent of the training. `controls` are the
    names in `arms.ARMS` to run beside it, `replicates` the number of seeds, from `seed` on.
    """

    dataset: str = "mnist"
    content: str = ""
    normalisation: str = "half"
    validation_size: int = 0
    network: str = "128 64"
    augmentation: str = "none"
    init: str = "pytorch"
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    warmup: int = 0
    decay_at: tuple[int, ...] = ()
    decay_factor: float = 0.1
    batch_size: int = 32
    length: float = 4.0
    unit: str = "epochs"
    evaluate_every: int = 0
    schedule: str = "iterative"
    rate: float = 0.4
    rounds: int = 6
    sparsity: float = 0.9
    sparsities: tuple[float, ...] = (0.4, 0.64, 0.784, 0.95)
    output_factor: float = 1.0
    conv_factor: float = 1.0
    layer_factors: tuple[tuple[str, float], ...] = ()
    scope: str = "layerwise"
    criterion: str = "magnitude"
    restart: str = "rewind"
    rewind_iteration: int = 0
    rewind_percent: float = 0.0
    controls: tuple[str, ...] = ("fine-tune", "reinit")
    seed: int = 0
    replicates: int = 1

    def recipe(self) -> Recipe:
        """The training this asks for. Raises `InvalidValue`."""
        check_known("unit", self.unit, UNITS)
        # One iteration stands in until the length is known, which depends on the data set.
        trial = Recipe(
            dataset=self.dataset,
            content=self.content,
            normalisation=self.normalisation,
            augmentation=self.augmentation,
            validation_size=self.validation_size,
            network=self.network,
            init=self.init,
            optimiser=self.optimiser,
            learning_rate=self.learning_rate,
            momentum=self.momentum if self.optimiser == "sgd" else 0.0,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            iterations=1,
            evaluate_every=1,
            seed=self.seed,
        )
        per_epoch = trial.iterations_per_epoch
        if self.unit == "epochs":
            check_number("length", self.length, 0, 1_000, above=True)
            iterations = max(1, round(self.length * per_epoch))
        else:
            check_number("length", self.length, 1, MAX_ITERATIONS)
            if self.length != int(self.length):
                raise InvalidValue("length", self.length, "iterations must be a whole number")
            iterations = int(self.length)
        check_integer("evaluate_every", self.evaluate_every, 0, MAX_ITERATIONS)
        every = self.evaluate_every or max(1, round(per_epoch / EVALUATIONS_PER_EPOCH))
        try:
            return replace(
                trial,
                iterations=iterations,
                evaluate_every=min(every, iterations),
                warmup=self.warmup,
                decay_at=self.decay_at,
                decay_factor=self.decay_factor if self.decay_at else 0.1,
            )
        except InvalidValue as error:
            if error.field != "iterations":
                raise
            raise InvalidValue(
                "length",
                self.length,
                f"{self.unit} are {iterations:,} iterations here; " + str(error).partition(" ")[2],
            ) from None

    def experiment(self) -> Experiment:
        """The experiment this asks for. Raises `InvalidValue`, which names the field."""
        check_known("schedule", self.schedule, SCHEDULES)
        recipe = self.recipe()
        if self.schedule == "iterative":
            sparsities = iterative(self.rate, self.rounds)
        elif self.schedule == "one-shot":
            sparsities = one_shot(self.sparsity)
        else:
            sparsities = list(self.sparsities)
            if not 1 <= len(sparsities) <= MAX_ROUNDS:
                raise InvalidValue(
                    "sparsities", self.sparsities, f"must name 1 to {MAX_ROUNDS} sparsities"
                )
        known = [name.removesuffix(".weight") for name in recipe.shapes]
        for name, _ in self.layer_factors:
            check_known("layer_factors", name, known)
        rounds = rounds_of(
            sparsities,
            output_factor=self.output_factor,
            scope=self.scope,
            criterion=self.criterion,
            layer_factors=self._layer_factors(recipe),
            restart=self.restart,
            rewind_iteration=self._rewind_iteration(recipe),
        )
        return Experiment(recipe, rounds)

    def _layer_factors(self, recipe: Recipe) -> dict[str, float]:
        factors = {}
        if self.conv_factor != 1:
            check_number("conv_factor", self.conv_factor, 0, 1)
            convolutions = [name for name, shape in recipe.shapes.items() if len(shape) == 4]
            if not convolutions:
                raise InvalidValue(
                    "conv_factor",
                    self.conv_factor,
                    "does not apply to a network without convolutions; set it to 1",
                )
            factors = dict.fromkeys(convolutions, self.conv_factor)
        return factors | {f"{name}.weight": factor for name, factor in self.layer_factors}

    def _rewind_iteration(self, recipe: Recipe) -> int:
        if self.restart not in ("rewind", "rate-rewind"):
            return 0
        if not self.rewind_percent:
            return self.rewind_iteration
        if self.rewind_iteration:
            raise InvalidValue(
                "rewind_percent",
                self.rewind_percent,
                f"contradicts rewind_iteration={self.rewind_iteration}; leave one of them at 0",
            )
        if self.rewind_percent not in REWIND_PERCENTS:
            known = ", ".join(map(str, REWIND_PERCENTS))
            raise InvalidValue(
                "rewind_percent", self.rewind_percent, f"is not saved; choose one of {known}"
            )
        return recipe.iteration_at(self.rewind_percent)

    def arms(self) -> dict[str, tuple[Experiment, ...]]:
        """What Start runs, by arm: the experiment itself under "main", then each control that
        differs from it; one experiment a seed. Raises `InvalidValue`."""
        check_integer("replicates", self.replicates, 1, MAX_REPLICATES)
        check_integer("seed", self.seed, 0, MAX_SEED - self.replicates + 1)
        for name in self.controls:
            check_known("controls", name, ARMS)
        seeds = range(self.seed, self.seed + self.replicates)
        main = tuple(replace(self, seed=seed).experiment() for seed in seeds)
        found = {"main": main}
        for name in self.controls:
            arm = tuple(map(ARMS[name].of, main))
            if arm[0].key != main[0].key:
                found[name] = arm
        work = sum(one.multiply_adds for arm in found.values() for one in arm)
        if work > MAX_MULTIPLY_ADDS:
            raise InvalidValue(
                "replicates",
                self.replicates,
                f"of this experiment and its {len(found) - 1} controls are "
                f"{work / MAX_MULTIPLY_ADDS:.1f} times the work one request may ask for; choose "
                "fewer seeds, fewer controls or a shorter training",
            )
        return found

    def experiments(self) -> list[Experiment]:
        """All of `arms`, in the order in which they are run: all seeds, then their controls."""
        return [experiment for arm in self.arms().values() for experiment in arm]


@dataclass(frozen=True)
class Preset:
    """A choice worth starting from, and what to say of it."""

    title: str
    summary: str
    choice: Choice


PRESETS = {
    "quick": Preset(
        "Quick",
        "A winning ticket in about half a minute: one network, 6 rounds at 50 %.",
        Choice(
            normalisation="dataset",
            validation_size=5_000,
            learning_rate=0.1,
            batch_size=128,
            length=1.5,
            rate=0.5,
            rounds=6,
        ),
    ),
    "notebook": Preset(
        "Notebook",
        "784-128-64-10, SGD, all 60,000 images, 4 epochs, 6 rounds at 40 %.",
        Choice(),
    ),
    "paper": Preset(
        "LeNet-300-100",
        "Frankle & Carbin 2018: Adam, 50,000 iterations, 19 rounds at 20 %. Takes half an hour.",
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
    "Convolutions on the same images: one network, 5 rounds at 50 %, in about two minutes.",
    Choice(
        normalisation="dataset",
        validation_size=5_000,
        network=shortest("lenet-5"),
        learning_rate=0.05,
        batch_size=64,
        length=800,
        unit="iterations",
        evaluate_every=200,
        rate=0.5,
        rounds=5,
        controls=("reinit",),
    ),
)


def _of_the_paper(depth: int, iterations: int, rate: float, conv_factor: float) -> Preset:
    """Conv-2, Conv-4 or Conv-6 as in table 1 of the paper."""
    name = f"conv-{depth}"
    return Preset(
        f"Conv-{depth}",
        f"Frankle & Carbin 2018, CIFAR-10: Adam, {iterations:,} iterations, 12 rounds, "
        f"convolutions lose {20 * conv_factor:g} % a round, other layers 20 %. For a GPU.",
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
        "of 20 % over all layers, rewound to 2 % of the training. For a GPU.",
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
        check_known("field", field, _TYPES)
    plain = {field: _as_tuple(value) for field, value in changes.items()}
    return replace(PRESETS[name].choice, **plain)


def _as_tuple(value: object) -> object:
    """Lists and dictionaries as the tuples a `Choice` has."""
    value = tuple(value.items()) if isinstance(value, dict) else value
    return tuple(value) if isinstance(value, list) else value


_TYPES = {field.name: type(getattr(Choice(), field.name)) for field in fields(Choice)}


_LARGEST = 1e15  # a browser holds whole numbers a little beyond it exactly


def write_value(value: object) -> str:
    """A field's value as text: `128,64`, `0.4`, `fc1=0.5`."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return ",".join(f"{name}={write_value(factor)}" for name, factor in value)
    if isinstance(value, tuple):
        return ",".join(write_value(item) for item in value) or "none"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def read_value(field: str, text: str) -> object:
    """The inverse of `write_value` for a field of `Choice`. Raises `InvalidValue`."""
    kind = _TYPES[field]
    check_public(field, text.strip())
    try:
        value = _read_items(field, text.strip()) if kind is tuple else kind(text.strip())
        if kind in (int, float) and not abs(value) <= _LARGEST:  # NaN too
            raise ValueError
    except ValueError:
        rule = {
            int: "must be a whole number",
            float: "must be a number",
            tuple: "must be layers with factors, as in fc1=1,fc2=0.5"
            if field == "layer_factors"
            else "must be numbers with commas between them",
        }[kind]
        raise InvalidValue(field, text.strip(), rule) from None
    if field == "network":
        return shortest(value)
    if field == "content":
        check_content(value)
    if known := FIELDS[field].known:
        for item in value if kind is tuple else (value,):
            check_known(field, item, known)
    return value


def _read_items(field: str, text: str) -> tuple:
    parts = [] if text.lower() in ("", "none") else text.split(",")
    return tuple(FIELDS[field].item(part) for part in parts)


def held_out_for(choice: Choice) -> int:
    """How many training images a choice holds out where nobody said: as many as it does, but of a
    small data set a tenth. Raises `InvalidValue` for an unknown data set."""
    check_known("dataset", choice.dataset, DATASETS)
    return min(choice.validation_size, DATASETS[choice.dataset].train_size // 10)


def read_choice(params: Mapping[str, str]) -> tuple[str, Choice]:
    """(preset, choice) from the parameters of a link or a command.

    Raises `InvalidValue` for an unknown name, and for a value that can't be read; whether the
    values go together is checked by `Choice.experiment`.
    """
    preset = params.get("preset", DEFAULT_PRESET)
    check_known("preset", preset, PRESETS)
    changes = {}
    for name, text in params.items():
        if name == "preset":
            continue
        if name not in _TYPES and name != "hidden":
            raise InvalidValue(name, text, f"is unknown; known are {', '.join(_TYPES)}")
        if name == "hidden":  # the short form, from before there were other networks
            name = "network"
        changes[name] = read_value(name, text)
    choice = replace(PRESETS[preset].choice, **changes)
    if "validation_size" not in changes:
        choice = replace(choice, validation_size=held_out_for(choice))
    return preset, choice


def write_choice(preset: str, choice: Choice) -> dict[str, str]:
    """The parameters that `read_choice` reads back: the preset, and what differs from it."""
    base = asdict(PRESETS[preset].choice)
    return {"preset": preset} | {
        name: write_value(value) for name, value in asdict(choice).items() if value != base[name]
    }


def command(preset: str, choice: Choice) -> str:
    """The command that repeats a choice without a browser."""
    options = " ".join(
        f"--{name.replace('_', '-')} {quote(text)}"
        for name, text in write_choice(preset, choice).items()
    )
    return f"python -m lottery_core run {options} --out results"
