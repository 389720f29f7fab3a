"""What a person picks, in their own words: the same for the URL, the command line and code.

A `Choice` is flat and plain; `experiment()` turns it into what the core runs. It is written
as the difference from a preset, so that a link or a command says only what was changed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from lottery_core.method.restart import RULES
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import (
    InvalidValue,
    check_integer,
    check_known,
    check_number,
)
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.fields import SCHEDULES, UNITS
from lottery_core.spec.limits import (
    MAX_ITERATIONS,
    MAX_MULTIPLY_ADDS,
    MAX_REPLICATES,
    MAX_ROUNDS,
    MAX_SEED,
    times_too_much,
)
from lottery_core.spec.recipe import REWIND_PERCENTS, Recipe
from lottery_core.spec.rounds import iterative, one_shot, rounds_of

EVALUATIONS_PER_EPOCH = 5


@dataclass(frozen=True)
class Choice:
    """One experiment as a person asks for it; the defaults are the notebook's.

    `content` is that of `Recipe`: empty for the published files of the data set.
    `length` counts epochs or iterations (`unit`). `evaluate_every` is in iterations; 0 means
    five times an epoch. `rate` and `rounds` belong to the iterative schedule, `sparsity` to
    the one-shot one and `sparsities` to the list; the others are ignored. Schedule "until" is the
    iterative one that ends after the first level whose validation accuracy is more than `fall`, a
    fraction of the images, below the dense network's; `rounds` are those at most. `scope`, in
    `terms.SCOPES`, says what is ranked together and how the cut is spread over the layers,
    `criterion`, in `criteria.CRITERIA`, what goes first, `restart`, in `restart.RULES`, what the
    survivors restart from. The factors belong to the layerwise scope; `layer_factors` names layers
    that have a factor of their own in place of 1 (or of `output_factor` or, of
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
    fall: float = 0.005
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
        if self.schedule in ("iterative", "until"):
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
        until = Until(self.fall, rounds) if self.schedule == "until" else None
        return Experiment(recipe, rounds, until=until)

    def until(self) -> Until | None:
        """When this stops before all of its rounds, if it may. Raises `InvalidValue`."""
        return self.experiment().until

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
        check_known("restart", self.restart, RULES)
        if not RULES[self.restart].asks_iteration:
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
        if "permuted" in self.controls and self.recipe().net.is_own:
            raise InvalidValue(
                "controls",
                "permuted",
                "can't match the units of a module of your own, whose operations are not known; "
                "leave it out",
            )
        seeds = range(self.seed, self.seed + self.replicates)
        main = tuple(replace(self, seed=seed).experiment() for seed in seeds)
        found = {"main": main}
        for name in self.controls:
            arm = tuple(map(ARMS[name].of, main))
            if arm[0].key != main[0].key:
                found[name] = arm
        work = sum(one.multiply_adds for arm in found.values() for one in arm)
        if work > MAX_MULTIPLY_ADDS:
            beside = f" and its {len(found) - 1} controls" if len(found) > 1 else ""
            fewer = "fewer seeds, fewer controls" if beside else "fewer seeds"
            raise InvalidValue(
                "replicates",
                self.replicates,
                f"of this experiment{beside} are {times_too_much(work)} the work one "
                f"request may ask for; choose {fewer} or a shorter training",
            )
        return found

    def experiments(self) -> list[Experiment]:
        """All of `arms`, in the order in which they are run: all seeds, then their controls."""
        return [experiment for arm in self.arms().values() for experiment in arm]


def held_out_for(choice: Choice) -> int:
    """How many training images a choice holds out where nobody said: as many as it does, but of a
    small data set a tenth. Raises `InvalidValue` for an unknown data set."""
    check_known("dataset", choice.dataset, DATASETS)
    return min(choice.validation_size, DATASETS[choice.dataset].train_size // 10)


def rates_for(choice: Choice, preset: Choice) -> dict[str, object]:
    """`warmup` and `decay_at` of a choice where nobody named them: those of `preset`, but of a
    training that is too short for them, the same parts of it."""
    named = {"warmup": preset.warmup, "decay_at": preset.decay_at}
    if not (preset.warmup or preset.decay_at):
        return named
    try:
        whole, length = (
            replace(one, warmup=0, decay_at=()).recipe().iterations for one in (preset, choice)
        )
    except InvalidValue:  # which is told of by whoever makes an experiment of it
        return named
    if length >= max(preset.warmup, *(at + 1 for at in preset.decay_at)):
        return named
    at = {round(at * length / whole) for at in preset.decay_at}
    return {
        "warmup": round(preset.warmup * length / whole),
        "decay_at": tuple(sorted(at & set(range(1, length)))),
    }


# Of what type the value of each field is.
TYPES = {field.name: type(getattr(Choice(), field.name)) for field in fields(Choice)}
