"""What a person picks, in their own words: the same for the URL, the command line and code.

A `Choice` is flat and plain; `experiment()` turns it into what the core runs. It is written
as the difference from a preset, so that a link or a command says only what was changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from shlex import quote

from lottery_core.datasets import DATASETS, NORMALISATIONS
from lottery_core.experiment import (
    INITS,
    MAX_ITERATIONS,
    MAX_ROUNDS,
    OPTIMISERS,
    SCOPES,
    Experiment,
    InvalidValue,
    Recipe,
    check_integer,
    check_known,
    check_number,
    iterative,
    one_shot,
    rounds_of,
)
from lottery_core.pruning import CRITERIA
from lottery_core.restart import RULES

SCHEDULES = {
    "iterative": "the same fraction of what is left, round after round",
    "one-shot": "everything in one round",
    "list": "the sparsities I name",
}
UNITS = ("epochs", "iterations")
EVALUATIONS_PER_EPOCH = 5


@dataclass(frozen=True)
class Choice:
    """One experiment as a person asks for it; the defaults are the notebook's.

    `length` counts epochs or iterations (`unit`). `evaluate_every` is in iterations; 0 means
    five times an epoch. `rate` and `rounds` belong to the iterative schedule, `sparsity` to
    the one-shot one and `sparsities` to the list; the others are ignored. `control` asks for
    the same rounds without rewinding beside it.
    """

    dataset: str = "mnist"
    normalisation: str = "half"
    validation_size: int = 0
    hidden: tuple[int, ...] = (128, 64)
    init: str = "pytorch"
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
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
    scope: str = "layerwise"
    criterion: str = "magnitude"
    restart: str = "rewind"
    rewind_iteration: int = 0
    control: bool = True
    seed: int = 0

    def recipe(self) -> Recipe:
        """The training this asks for. Raises `InvalidValue`."""
        check_known("unit", self.unit, UNITS)
        # One iteration stands in until the length is known, which depends on the data set.
        trial = Recipe(
            dataset=self.dataset,
            normalisation=self.normalisation,
            validation_size=self.validation_size,
            hidden=self.hidden,
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
            return replace(trial, iterations=iterations, evaluate_every=min(every, iterations))
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
        rounds = rounds_of(
            sparsities,
            output_factor=self.output_factor,
            scope=self.scope,
            criterion=self.criterion,
            restart=self.restart,
            rewind_iteration=self.rewind_iteration if self.restart == "rewind" else 0,
        )
        return Experiment(recipe, rounds)

    def without_rewinding(self) -> Choice:
        """The control: the same rounds, but the survivors keep their trained weights."""
        return replace(self, restart="keep", rewind_iteration=0, control=False)

    def experiments(self) -> list[Experiment]:
        """What Start runs: the experiment, then its control if one is asked for and differs."""
        chosen = [self.experiment()]
        if self.control and self.restart != "keep":
            chosen.append(self.without_rewinding().experiment())
        return chosen


@dataclass(frozen=True)
class Preset:
    """A choice worth starting from, and what to say of it."""

    title: str
    summary: str
    choice: Choice


PRESETS = {
    "quick": Preset(
        "Quick",
        "A winning ticket in about 20 seconds: one network, 6 rounds at 50 %.",
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
        "Paper LeNet-300-100",
        "Frankle & Carbin 2018: Adam, 50,000 iterations, 19 rounds at 20 %. Takes an hour or so.",
        Choice(
            validation_size=5_000,
            hidden=(300, 100),
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
        ),
    ),
}
DEFAULT_PRESET = "quick"

_TYPES = {field.name: type(getattr(Choice(), field.name)) for field in fields(Choice)}
_ITEMS = {"hidden": int, "sparsities": float}
_LARGEST = 1e15  # a browser holds whole numbers a little beyond it exactly
_KNOWN = {
    "dataset": DATASETS,
    "normalisation": NORMALISATIONS,
    "init": INITS,
    "optimiser": OPTIMISERS,
    "unit": UNITS,
    "schedule": SCHEDULES,
    "scope": SCOPES,
    "criterion": CRITERIA,
    "restart": RULES,
}


def write_value(value: object) -> str:
    """A field's value as text: `128,64`, `0.4`, `yes`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(write_value(item) for item in value) or "none"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def read_value(field: str, text: str) -> object:
    """The inverse of `write_value` for a field of `Choice`. Raises `InvalidValue`."""
    kind = _TYPES[field]
    text = text.strip()
    try:
        if kind is bool:
            return {"yes": True, "no": False}[text.lower()]
        if kind is tuple:
            # "none": a network without hidden layers, where an empty text would look forgotten.
            parts = [] if text.lower() in ("", "none") else text.split(",")
            return tuple(_ITEMS[field](part) for part in parts)
        value = kind(text)
        if kind in (int, float) and not abs(value) <= _LARGEST:  # NaN too
            raise ValueError
    except (ValueError, KeyError):
        rule = {
            bool: "must be yes or no",
            int: "must be a whole number",
            float: "must be a number",
            tuple: "must be numbers with commas between them",
        }[kind]
        raise InvalidValue(field, text, rule) from None
    if field in _KNOWN:
        check_known(field, value, _KNOWN[field])
    return value


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
        if name not in _TYPES:
            raise InvalidValue(name, text, f"is unknown; known are {', '.join(_TYPES)}")
        changes[name] = read_value(name, text)
    return preset, replace(PRESETS[preset].choice, **changes)


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
