"""What a person can ask for, and nothing else: recipes, rounds and experiments.

A *recipe* fixes one training, a *round* one pruning step and what its survivors restart
from, and an *experiment* is a recipe with its rounds. All three are frozen and checked
when they are made, so a value that exists is a value that can run.

Keys. Level 0 is named by the hash of its recipe, level n by the hash of its parent's key
and its round:

    key_0 = H(version, recipe)        key_n = H(version, key_(n-1), round_n)

Two experiments that begin alike therefore share their first levels, whatever follows.
H covers every field, defaults included. What cannot change a result (device, threads,
number of workers) is not a field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from lottery_core.datasets import CLASSES, DATASETS, NORMALISATIONS, PIXELS
from lottery_core.pruning import CRITERIA
from lottery_core.restart import RULES

# Raised by hand whenever the same request would now give other numbers.
VERSION = 1

INITS = {
    "pytorch": "PyTorch's default for Linear: uniform in ±1/√fan_in",
    "glorot": "Gaussian Glorot: normal with variance 2/(fan_in + fan_out), biases 0",
}
OPTIMISERS = {"sgd": "SGD with momentum", "adam": "Adam"}
SCOPES = {
    "layerwise": "each layer loses the same fraction",
    "global": "all layers are ranked together",
}

# Limits that keep one request from occupying a shared server. Checked here, so that a URL,
# the command line and code meet the same ones.
MAX_HIDDEN_LAYERS = 6
MAX_HIDDEN_SIZE = 2048
MAX_WEIGHTS = 2_000_000
MAX_BATCH = 4096
MAX_ITERATIONS = 200_000
MAX_EVALUATIONS = 2_000
MAX_ROUNDS = 40
MAX_VALIDATION = 10_000
MAX_SEED = 2**31 - 1
MAX_MULTIPLY_ADDS = 10**15  # of one experiment; the paper's LeNet run takes 5 * 10**13


class InvalidValue(ValueError):
    """A value that breaks a rule. `field` names it; the message gives value, rule and remedy."""

    def __init__(self, field: str, value: object, rule: str):
        self.field = field
        shown = repr(value)
        super().__init__(f"{field}={shown if len(shown) <= 80 else shown[:77] + '...'} {rule}")


def check_known(field: str, value: object, known: Sequence[str] | dict[str, object]) -> None:
    """Raise `InvalidValue` unless `value` is one of `known`."""
    if not isinstance(value, str) or value not in known:
        raise InvalidValue(field, value, f"is unknown; choose one of {', '.join(known)}")


def check_integer(field: str, value: object, low: int, high: int) -> None:
    """Raise `InvalidValue` unless `value` is an int in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidValue(field, value, f"must be a whole number from {low:,} to {high:,}")


def check_number(
    field: str, value: object, low: float, high: float, *, above: bool = False, below: bool = False
) -> None:
    """Raise `InvalidValue` unless low <= value <= high (`above`, `below`: the end is excluded)."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if good:  # no comparison with NaN holds
        good = (value > low if above else value >= low) and (
            value < high if below else value <= high
        )
    if not good:
        lower = f"above {low:g}" if above else f"at least {low:g}"
        upper = f"below {high:g}" if below else f"at most {high:g}"
        raise InvalidValue(field, value, f"must be a number {lower} and {upper}")


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes one training of the dense network, or of any of its subnetworks.

    `hidden` are the sizes of the hidden layers of a fully connected ReLU network from 784
    pixels to 10 classes; `iterations` the number of optimiser steps; `evaluate_every` the
    number of steps between evaluations (0 and the last step are always evaluated);
    `validation_size` the number of training images held out, drawn with the seed. `momentum`
    belongs to SGD alone and must be 0 for Adam.
    """

    dataset: str = "mnist"
    normalisation: str = "half"
    validation_size: int = 5_000
    hidden: tuple[int, ...] = (128, 64)
    init: str = "pytorch"
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 32
    iterations: int = 7_500
    evaluate_every: int = 375
    seed: int = 0

    def __post_init__(self) -> None:
        check_known("dataset", self.dataset, DATASETS)
        check_known("normalisation", self.normalisation, NORMALISATIONS)
        check_integer("validation_size", self.validation_size, 0, MAX_VALIDATION)
        if not isinstance(self.hidden, tuple) or len(self.hidden) > MAX_HIDDEN_LAYERS:
            raise InvalidValue(
                "hidden", self.hidden, f"must be at most {MAX_HIDDEN_LAYERS} layer sizes"
            )
        for size in self.hidden:
            check_integer("hidden", size, 1, MAX_HIDDEN_SIZE)
        if self.weights_total > MAX_WEIGHTS:
            raise InvalidValue(
                "hidden",
                self.hidden,
                f"makes {self.weights_total:,} weights; the limit is {MAX_WEIGHTS:,}, "
                "so choose smaller or fewer layers",
            )
        check_known("init", self.init, INITS)
        check_known("optimiser", self.optimiser, OPTIMISERS)
        check_number("learning_rate", self.learning_rate, 0, 10, above=True)
        check_number("momentum", self.momentum, 0, 1, below=True)
        if self.optimiser == "adam" and self.momentum != 0:
            raise InvalidValue("momentum", self.momentum, "does not apply to Adam; set it to 0")
        check_number("weight_decay", self.weight_decay, 0, 1)
        check_integer("batch_size", self.batch_size, 1, MAX_BATCH)
        check_integer("iterations", self.iterations, 1, MAX_ITERATIONS)
        check_integer("evaluate_every", self.evaluate_every, 1, MAX_ITERATIONS)
        if self.iterations / self.evaluate_every > MAX_EVALUATIONS:
            raise InvalidValue(
                "evaluate_every",
                self.evaluate_every,
                f"makes more than {MAX_EVALUATIONS:,} evaluations of {self.iterations:,} "
                f"iterations; choose at least {-(-self.iterations // MAX_EVALUATIONS)}",
            )
        check_integer("seed", self.seed, 0, MAX_SEED)
        _make_floats(self, "learning_rate", "momentum", "weight_decay")

    @property
    def train_size(self) -> int:
        """Training images left after the validation split."""
        return DATASETS[self.dataset].train_size - self.validation_size

    @property
    def iterations_per_epoch(self) -> int:
        """Optimiser steps in one pass over the training images; the last batch may be short."""
        return -(-self.train_size // self.batch_size)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Prunable weights: name -> (outputs, inputs), from input to output."""
        sizes = [PIXELS, *self.hidden, CLASSES]
        return {f"fc{i + 1}.weight": (sizes[i + 1], sizes[i]) for i in range(len(sizes) - 1)}

    @property
    def output_layer(self) -> str:
        """Name of the last layer's weight."""
        return f"fc{len(self.hidden) + 1}.weight"

    @property
    def weights_total(self) -> int:
        """Number of prunable weights; biases are never pruned and never counted."""
        return sum(rows * columns for rows, columns in self.shapes.values())

    @property
    def snapshot_iterations(self) -> tuple[int, ...]:
        """Iterations of level 0 whose weights are kept: 0 and the 1-2-5 series from 10 up.

        The grid is the same whatever is rewound to later, so that the choice of a rewinding
        step never changes level 0's key.
        """
        steps, power = [0], 10
        while power < self.iterations:
            steps += [m * power for m in (1, 2, 5) if m * power < self.iterations]
            power *= 10
        return tuple(steps)


@dataclass(frozen=True)
class Round:
    """One pruning step and what its survivors restart from.

    `sparsity` and `output_sparsity` are cumulative: the fraction of all weights of a layer
    (of the output layer) that are gone after this round. With `scope="global"` all layers
    are ranked together and `sparsity` is the fraction of the whole network; the output
    layer has no rate of its own then. `criterion` and `restart` are names in
    `pruning.CRITERIA` and `restart.RULES`; `rewind_iteration` belongs to "rewind" alone.
    """

    sparsity: float
    output_sparsity: float
    scope: str = "layerwise"
    criterion: str = "magnitude"
    restart: str = "rewind"
    rewind_iteration: int = 0

    def __post_init__(self) -> None:
        check_number("sparsity", self.sparsity, 0, 1, above=True, below=True)
        check_number("output_sparsity", self.output_sparsity, 0, 1, below=True)
        check_known("scope", self.scope, SCOPES)
        if self.scope == "global" and self.output_sparsity != self.sparsity:
            raise InvalidValue(
                "output_sparsity",
                self.output_sparsity,
                f"must equal sparsity={self.sparsity:g} with scope=global, where all layers are "
                "ranked together",
            )
        check_known("criterion", self.criterion, CRITERIA)
        check_known("restart", self.restart, RULES)
        check_integer("rewind_iteration", self.rewind_iteration, 0, MAX_ITERATIONS)
        if self.restart != "rewind" and self.rewind_iteration:
            raise InvalidValue(
                "rewind_iteration",
                self.rewind_iteration,
                f"does not apply to restart={self.restart}; set it to 0",
            )
        _make_floats(self, "sparsity", "output_sparsity")


@dataclass(frozen=True)
class Experiment:
    """A recipe and its rounds: level 0 is the dense network, level n follows round n."""

    recipe: Recipe
    rounds: tuple[Round, ...] = ()

    def __post_init__(self) -> None:
        if len(self.rounds) > MAX_ROUNDS:
            raise InvalidValue("rounds", len(self.rounds), f"must be at most {MAX_ROUNDS}")
        earlier = 0.0
        for step in self.rounds:
            if step.sparsity <= earlier:
                raise InvalidValue(
                    "sparsities",
                    step.sparsity,
                    f"must be above the round before ({earlier:g}): pruned weights stay pruned, "
                    "so list cumulative sparsities in rising order",
                )
            earlier = step.sparsity
            known = self.recipe.snapshot_iterations
            if step.rewind_iteration not in known:
                raise InvalidValue(
                    "rewind_iteration",
                    step.rewind_iteration,
                    f"is not a saved snapshot; choose one of {', '.join(map(str, known))}",
                )
        if self.multiply_adds > MAX_MULTIPLY_ADDS:
            raise InvalidValue(
                "iterations",
                self.recipe.iterations,
                f"for {len(self.rounds) + 1} levels of this network and batch is "
                f"{self.multiply_adds / MAX_MULTIPLY_ADDS:.1f} times the work one experiment may "
                "ask for; choose fewer iterations, fewer rounds or a smaller network",
            )

    @property
    def multiply_adds(self) -> int:
        """Dense multiply-adds of all trainings: forward, and twice that backward."""
        recipe = self.recipe
        per_step = 3 * recipe.weights_total * recipe.batch_size
        return per_step * recipe.iterations * (len(self.rounds) + 1)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """One key per level; see the module's docstring."""
        keys = [_hash(VERSION, asdict(self.recipe))]
        for step in self.rounds:
            keys.append(_hash(VERSION, keys[-1], asdict(step)))
        return tuple(keys)

    @property
    def key(self) -> str:
        """The experiment's name: the key of its last level."""
        return self.keys[-1]

    def as_dict(self) -> dict:
        """Plain JSON values; `from_dict` reads them back."""
        recipe = asdict(self.recipe) | {"hidden": list(self.recipe.hidden)}
        return {"recipe": recipe, "rounds": [asdict(step) for step in self.rounds]}

    @classmethod
    def from_dict(cls, fields: dict) -> Experiment:
        """The inverse of `as_dict`; every rule is checked again."""
        recipe = dict(fields["recipe"])
        recipe["hidden"] = tuple(recipe["hidden"])
        return cls(Recipe(**recipe), tuple(Round(**step) for step in fields["rounds"]))


def _make_floats(checked: Recipe | Round, *names: str) -> None:
    # 0, 0.0 and -0.0 must not make three keys of one request.
    for name in names:
        object.__setattr__(checked, name, float(getattr(checked, name)) + 0.0)


def _hash(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def one_shot(sparsity: float) -> list[float]:
    """All pruning in one round."""
    check_number("sparsity", sparsity, 0, 1, above=True, below=True)
    return [sparsity]


def iterative(rate: float, rounds: int) -> list[float]:
    """Each of `rounds` rounds removes the fraction `rate` of what is left: 1 - (1 - rate)^n."""
    check_number("rate", rate, 0, 1, above=True, below=True)
    check_integer("rounds", rounds, 1, MAX_ROUNDS)
    return [1 - (1 - rate) ** n for n in range(1, rounds + 1)]


def rounds_of(
    sparsities: Sequence[float], *, output_factor: float = 1.0, **same
) -> tuple[Round, ...]:
    """Rounds that reach each of the cumulative `sparsities` in turn.

    In every round the output layer loses `output_factor` times the fraction of its remaining
    weights that the other layers lose of theirs (1: the notebook; 0.5: the paper). `same`
    holds the fields of `Round` that are alike in all of them.
    """
    check_number("output_factor", output_factor, 0, 1)
    if same.get("scope") == "global" and output_factor != 1:
        raise InvalidValue(
            "output_factor",
            output_factor,
            "cannot apply with scope=global, where all layers are ranked together; "
            "set it to 1 or choose scope=layerwise",
        )
    if len(sparsities) > MAX_ROUNDS:
        raise InvalidValue("rounds", len(sparsities), f"must be at most {MAX_ROUNDS}")
    rounds, before, output_density = [], 0.0, 1.0
    for sparsity in sparsities:
        check_number("sparsities", sparsity, 0, 1, above=True, below=True)
        rate = (sparsity - before) / (1 - before)
        output_density *= 1 - output_factor * rate
        before = sparsity
        # Twelve digits: 1 - 0.6**3 and a typed 0.784 are one request and get one key.
        reached = round(sparsity, 12)
        output = reached if output_factor == 1 else max(0.0, round(1 - output_density, 12))
        rounds.append(Round(reached, output, **same))
    return tuple(rounds)
