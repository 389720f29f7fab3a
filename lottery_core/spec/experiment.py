"""What a person can ask for, and nothing else: recipes, rounds and experiments.

A *recipe* fixes one training, a *round* one pruning step and what its survivors restart
from, and an *experiment* is a recipe with its rounds. All three are frozen and checked
when they are made, so a value that exists is a value that can run.

Keys. Level 0 is named by the hash of its recipe and of the images and labels it trains on,
level n by the hash of its parent's key and its round:

    key_0 = H(version, data, recipe)        key_n = H(version, key_(n-1), round_n)

where the parent of a control's level n is level n-1 of the experiment it stands beside. Two
experiments that begin alike therefore share their first levels, whatever follows. `data` is the
digest of what is published under the data set's name, or of the recipe's own `content`. What
cannot change a result (device, threads, number of workers) is not a field.

Keys last. H covers every field that was there when `VERSION` was raised last, defaults included;
a field that came later (`_LATER`) stays out of it while it has the value that means what was done
before there was such a field. So nothing that is kept is lost to a field that nobody set.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.pruning import Target
from lottery_core.method.restart import RULES
from lottery_core.spec.checks import (
    InvalidValue,
    check_content,
    check_integer,
    check_known,
    check_number,
)
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS, title_of
from lottery_core.spec.networks import Network, Shape, network, shortest

# Raised by hand whenever the same request would now give other numbers.
VERSION = 3

# What names mean: raised beside its definition when the same name would give other numbers, so
# that only the levels which ask for it get other keys.
_VERSIONS = {
    "criterion": lambda name: CRITERIA[name].version,
    "restart": lambda name: RULES[name].version,
    "init": lambda name: INITS[name].version,
    "optimiser": lambda name: OPTIMISERS[name].version,
    "augmentation": lambda name: AUGMENTATIONS[name].version,
}

# Fields of recipes and rounds added since: the value of each that means what was done before.
_LATER: dict[str, object] = {"augmentation": "none"}


@dataclass(frozen=True)
class Named:
    """What a name stands for, in words, and its version (see `_VERSIONS`)."""

    title: str
    version: int = 1


@dataclass(frozen=True)
class Augmentation(Named):
    """What happens to each training image whenever it is shown."""

    flips: bool = False
    shifts: bool = False


MAX_SHIFT = 4  # pixels; what comes in from the sides is black

INITS = {
    "pytorch": Named("PyTorch's default: uniform in ±1/√fan_in"),
    "glorot": Named("Gaussian Glorot: normal with variance 2/(fan_in + fan_out), biases 0"),
}
OPTIMISERS = {"sgd": Named("SGD with momentum"), "adam": Named("Adam")}
AUGMENTATIONS = {
    "none": Augmentation("none: every epoch shows the same images"),
    "flip": Augmentation("mirrored left to right, each with a chance of a half", flips=True),
    "shift": Augmentation(f"shifted by up to {MAX_SHIFT} pixels each way", shifts=True),
    "flip-shift": Augmentation(
        f"mirrored and shifted by up to {MAX_SHIFT} pixels, as for CIFAR-10 in He et al. 2016",
        flips=True,
        shifts=True,
    ),
}
SCOPES = {
    "layerwise": "each layer loses the same fraction",
    "global": "all layers are ranked together",
}

# A control stands beside each level of an experiment: the same mask, or the same count of weights
# per layer, treated otherwise. Level n of a control follows level n-1 of the experiment itself and
# costs one training. The fields of `Round` that it changes:
CONTROLS = {
    "reinit": {"restart": "reinit", "rewind_iteration": 0},
    "random-mask": {"reshuffled": True},
    "reshuffled-reinit": {"reshuffled": True, "restart": "reinit", "rewind_iteration": 0},
}

# Limits that keep one request from occupying a shared server. Checked here, so that a URL,
# the command line and code meet the same ones.
MAX_WEIGHTS = 20_000_000
MAX_ACTIVATIONS = 2 * 10**9  # numbers of one batch's way forward: 8 GB
SNAPSHOT_BYTES = 256 * 2**20  # of all that is kept of level 0's way
MAX_BATCH = 4096
MAX_ITERATIONS = 200_000
MAX_EVALUATIONS = 2_000
MAX_ROUNDS = 40
MAX_VALIDATION = 10_000
MAX_SEED = 2**31 - 1
MAX_DECAYS = 10
REWIND_PERCENTS = (1, 2, 5, 10, 20, 50)
MAX_REPLICATES = 20
_HASH = re.compile("[0-9a-f]{64}")
# Of one request. A seed of the paper's LeNet run takes 5 * 10**13, of its Conv-6 run 2 * 10**16.
MAX_MULTIPLY_ADDS = 10**17


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes one training of the dense network, or of any of its subnetworks.

    `content` is empty for the images and labels published under the data set's name; for other
    files of it, which can't be verified as these, it is their digest (see `data.identify`).
    `network` is a name or a text as in `networks`, and becomes its shortest text; `net` is what
    that means for the data set's images and classes. `iterations` is the number of optimiser
    steps; `evaluate_every` the number between evaluations (0 and the last are always evaluated);
    `validation_size` the number of training images held out, drawn with the seed. `momentum`
    belongs to SGD alone and must be 0 for Adam. The learning rate rises linearly over the first
    `warmup` iterations and is multiplied by `decay_factor` at each iteration of `decay_at`.
    `augmentation` is what happens to training images as they are shown.
    """

    dataset: str = "mnist"
    content: str = ""
    normalisation: str = "half"
    validation_size: int = 5_000
    network: str = "128 64"
    init: str = "pytorch"
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    warmup: int = 0
    decay_at: tuple[int, ...] = ()
    decay_factor: float = 0.1
    batch_size: int = 32
    iterations: int = 7_500
    evaluate_every: int = 375
    seed: int = 0
    augmentation: str = "none"

    def __post_init__(self) -> None:
        check_known("dataset", self.dataset, DATASETS)
        self._check_content()
        check_known("normalisation", self.normalisation, NORMALISATIONS)
        images = DATASETS[self.dataset].train_size
        check_integer("validation_size", self.validation_size, 0, min(MAX_VALIDATION, images // 2))
        if not isinstance(self.network, str):
            raise InvalidValue("network", self.network, "must be a text; see the README")
        object.__setattr__(self, "network", shortest(self.network))
        if self.net.weights_total > MAX_WEIGHTS:
            raise InvalidValue(
                "network",
                self.network,
                f"makes {self.net.weights_total:,} weights; the limit is {MAX_WEIGHTS:,}, so "
                "choose narrower or fewer layers",
            )
        check_known("init", self.init, INITS)
        check_known("optimiser", self.optimiser, OPTIMISERS)
        check_known("augmentation", self.augmentation, AUGMENTATIONS)
        check_number("learning_rate", self.learning_rate, 0, 10, above=True)
        check_number("momentum", self.momentum, 0, 1, below=True)
        if self.optimiser == "adam" and self.momentum != 0:
            raise InvalidValue("momentum", self.momentum, "does not apply to Adam; set it to 0")
        check_number("weight_decay", self.weight_decay, 0, 1)
        check_integer("batch_size", self.batch_size, 1, MAX_BATCH)
        if self.net.activations * self.batch_size > MAX_ACTIVATIONS:
            raise InvalidValue(
                "batch_size",
                self.batch_size,
                f"of this network takes {4e-9 * self.net.activations * self.batch_size:.1f} GB; "
                f"choose at most {MAX_ACTIVATIONS // self.net.activations}",
            )
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
        self._check_schedule()
        _make_floats(self, "learning_rate", "momentum", "weight_decay", "decay_factor")

    def _check_content(self) -> None:
        check_content(self.content)
        known = DATASETS[self.dataset].digest
        if known and self.content == known:  # two ways to say what is published, one key
            object.__setattr__(self, "content", "")
        elif known and self.content:
            title = DATASETS[self.dataset].title
            raise InvalidValue("content", self.content, f"is not that of {title}; leave it out")

    def _check_schedule(self) -> None:
        check_integer("warmup", self.warmup, 0, self.iterations)
        if not isinstance(self.decay_at, tuple) or len(self.decay_at) > MAX_DECAYS:
            raise InvalidValue(
                "decay_at", self.decay_at, f"must be at most {MAX_DECAYS} iterations"
            )
        for iteration in self.decay_at:
            check_integer("decay_at", iteration, 1, self.iterations - 1)
        if any(b <= a for a, b in pairwise(self.decay_at)):
            raise InvalidValue("decay_at", self.decay_at, "must rise from one to the next")
        check_number("decay_factor", self.decay_factor, 0, 1, above=True)
        if not self.decay_at and self.decay_factor != 0.1:
            raise InvalidValue(
                "decay_factor",
                self.decay_factor,
                "does not apply without decay_at; name an iteration there or leave it at 0.1",
            )

    def learning_rates(self, first: int, last: int) -> np.ndarray:
        """The rate of each step from iteration `first` on, before `last`: float64.

        Linear warm-up as Goyal et al. 2017 (arXiv 1706.02677), step decay as He et al. 2016.
        """
        step = np.arange(first, last)
        rates = np.full(len(step), self.learning_rate)
        if self.warmup:
            rates *= np.minimum(1.0, (step + 1) / self.warmup)
        return rates * self.decay_factor ** np.searchsorted(self.decay_at, step, side="right")

    def at_last_rate(self) -> Recipe:
        """The recipe with the learning rate it ends with throughout: fine-tuning's."""
        (rate,) = self.learning_rates(self.iterations - 1, self.iterations)
        return replace(self, learning_rate=float(rate), warmup=0, decay_at=(), decay_factor=0.1)

    @property
    def data_title(self) -> str:
        """The data set in words."""
        return title_of(self.dataset, self.content)

    @property
    def train_size(self) -> int:
        """Training images left after the validation split."""
        return DATASETS[self.dataset].train_size - self.validation_size

    @property
    def iterations_per_epoch(self) -> int:
        """Optimiser steps in one pass over the training images; the last batch may be short."""
        return -(-self.train_size // self.batch_size)

    @cached_property
    def net(self) -> Network:
        """What `network` means for the data set's images and classes."""
        facts = DATASETS[self.dataset]
        return network(self.network, facts.image, facts.classes)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Prunable weights: name -> (outputs, inputs) or (outputs, inputs, rows, columns), from
        input to output."""
        return self.net.shapes

    @property
    def output_layer(self) -> str:
        """Name of the last layer's weight."""
        return self.net.output

    @property
    def weights_total(self) -> int:
        """Number of prunable weights; biases are never pruned and never counted."""
        return self.net.weights_total

    @property
    def snapshot_iterations(self) -> tuple[int, ...]:
        """Iterations of level 0 whose weights are kept: 0, `REWIND_PERCENTS` of the training, and
        the 1-2-5 series from 10 up; of a large network as many of them, in that order, as
        `SNAPSHOT_BYTES` hold.

        The grid is the same whatever is rewound to later, so that the choice of a rewinding
        step never changes level 0's key.
        """
        steps = [0, *(self.iteration_at(percent) for percent in REWIND_PERCENTS)]
        power = 10
        while power < self.iterations:
            steps += [m * power for m in (1, 2, 5) if m * power < self.iterations]
            power *= 10
        numbers = sum(map(math.prod, (self.net.parameters | self.net.buffers).values()))
        most = max(2, SNAPSHOT_BYTES // (4 * numbers))
        return tuple(sorted(list(dict.fromkeys(steps))[:most]))

    def iteration_at(self, percent: float) -> int:
        """The iteration at that percent of the training, rounded to the nearest."""
        return round(percent / 100 * self.iterations)


@dataclass(frozen=True)
class Round:
    """One pruning step and what its survivors restart from.

    `sparsity` and `output_sparsity` are cumulative: the fraction of all weights of a layer
    (of the output layer) that are gone after this round. With `scope="global"` all layers
    are ranked together and `sparsity` is the fraction of the whole network; no layer has a
    rate of its own then. `layers` names other sparsities for single layers, as pairs of weight
    name and cumulative fraction. `criterion` and `restart` are names in `pruning.CRITERIA` and
    `restart.RULES`; `rewind_iteration` belongs to "rewind" and "rate-rewind" alone. With
    `reshuffled` the criterion decides how many weights each layer keeps, and chance which.
    A sparsity of 0 prunes nothing: the network is only trained on.

    With a `ticket`, the content hash of one that was brought to the store, its mask is taken as
    it is; the criterion is not asked, and the sparsities only say how much is gone. Restart
    "ticket" takes its weights too, for which `rewind_iteration` says where in the schedule they
    stand.
    """

    sparsity: float
    output_sparsity: float
    scope: str = "layerwise"
    criterion: str = "magnitude"
    restart: str = "rewind"
    rewind_iteration: int = 0
    layers: tuple[tuple[str, float], ...] = ()
    reshuffled: bool = False
    ticket: str = ""

    def __post_init__(self) -> None:
        check_number("sparsity", self.sparsity, 0, 1, below=True)
        check_number("output_sparsity", self.output_sparsity, 0, 1, below=True)
        check_known("scope", self.scope, SCOPES)
        if self.scope == "global" and self.output_sparsity != self.sparsity:
            raise InvalidValue(
                "output_sparsity",
                self.output_sparsity,
                f"must equal sparsity={self.sparsity:g} with scope=global, where all layers are "
                "ranked together",
            )
        self._check_layers()
        check_known("criterion", self.criterion, CRITERIA)
        check_known("restart", self.restart, RULES)
        check_integer("rewind_iteration", self.rewind_iteration, 0, MAX_ITERATIONS)
        if not RULES[self.restart].asks_iteration and self.rewind_iteration:
            raise InvalidValue(
                "rewind_iteration",
                self.rewind_iteration,
                f"does not apply to restart={self.restart}; set it to 0",
            )
        if not isinstance(self.reshuffled, bool):
            raise InvalidValue("reshuffled", self.reshuffled, "must be True or False")
        self._check_ticket()
        if not self.sparsity and self.restart not in ("keep", "rate-rewind"):
            raise InvalidValue(
                "sparsity",
                self.sparsity,
                f"with restart={self.restart} repeats the training before; prune something",
            )
        _make_floats(self, "sparsity", "output_sparsity")

    def _check_ticket(self) -> None:
        if self.ticket and not (isinstance(self.ticket, str) and _HASH.fullmatch(self.ticket)):
            raise InvalidValue("ticket", self.ticket, "must be the hash of a ticket: 64 hex digits")
        if self.restart == "ticket" and not self.ticket:
            raise InvalidValue("restart", self.restart, "needs a ticket; choose restart=rewind")
        if self.restart == "ticket" and self.reshuffled:
            raise InvalidValue(
                "restart",
                self.restart,
                "knows no weights outside the ticket's own mask; choose restart=rewind with a "
                "reshuffled one",
            )

    def _check_layers(self) -> None:
        for name, sparsity in self.layers:
            check_number(f"layers: {name}", sparsity, 0, 1, below=True)
        if self.layers and self.scope == "global":
            raise InvalidValue(
                "layers",
                self.layers,
                "can't have rates of their own with scope=global; choose scope=layerwise",
            )
        named = dict(self.layers)
        if len(named) < len(self.layers):
            raise InvalidValue("layers", self.layers, "must name each layer once")
        plain = tuple((name, float(named[name])) for name in sorted(named))
        object.__setattr__(self, "layers", plain)

    def targets(self, names: Sequence[str]) -> list[Target]:
        """What is ranked together, and how much of it goes; `names` are those of all prunable
        weights, the output layer's last."""
        if self.scope == "global":
            return [Target(tuple(names), self.sparsity)]
        sparsities = dict.fromkeys(names, self.sparsity)
        sparsities |= {names[-1]: self.output_sparsity} | dict(self.layers)
        return [Target((name,), sparsities[name]) for name in names]


@dataclass(frozen=True)
class Experiment:
    """A recipe and its rounds: level 0 is the dense network, level n follows round n.

    With a `control` (one of `CONTROLS`) each level n >= 1 is that control beside level n of the
    same experiment without it.
    """

    recipe: Recipe
    rounds: tuple[Round, ...] = ()
    control: str = ""

    def __post_init__(self) -> None:
        if self.control:
            check_known("control", self.control, CONTROLS)
        if len(self.rounds) > MAX_ROUNDS:
            raise InvalidValue("rounds", len(self.rounds), f"must be at most {MAX_ROUNDS}")
        earlier = 0.0
        for step in self.rounds:
            for name, _ in step.layers:
                check_known("layers", name, self.recipe.shapes)
            if step.ticket and step is not self.rounds[0]:
                raise InvalidValue(
                    "ticket",
                    step.ticket,
                    "may keep what an earlier round pruned, so only the first round may have one",
                )
            if step.reshuffled and step is not self.rounds[-1]:
                raise InvalidValue(
                    "reshuffled",
                    True,
                    "leaves nothing to go on from, so only the last round may be; for every level "
                    "choose control=random-mask",
                )
            if step.sparsity < earlier or step.sparsity == earlier > 0:
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
        per_step = 3 * recipe.net.multiply_adds() * recipe.batch_size
        return per_step * recipe.iterations * (len(self.rounds) + 1)

    @property
    def trunk(self) -> Experiment:
        """The experiment beside whose levels this control stands; without a control, itself."""
        return replace(self, control="") if self.control else self

    def round(self, n: int) -> Round:
        """What leads from level n-1 of the trunk to level n."""
        step, changes = self.rounds[n - 1], CONTROLS.get(self.control, {})
        if step.restart == "ticket" and "restart" not in changes and changes:
            # Other places than the ticket's: its weights are not known there.
            changes = {**changes, "restart": "rewind"}
        return replace(step, **changes)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """One key per level; see the module's docstring."""
        if self.control:
            trunk = self.trunk.keys
            steps = range(1, len(trunk))
            branches = (_hash(trunk[n - 1], _hashed(self.round(n))) for n in steps)
            return trunk[0], *branches
        data = self.recipe.content or DATASETS[self.recipe.dataset].digest
        keys = [_hash(data, _hashed(self.recipe))]
        for step in self.rounds:
            keys.append(_hash(keys[-1], _hashed(step)))
        return tuple(keys)

    @property
    def key(self) -> str:
        """The experiment's name: the key of its last level."""
        return self.keys[-1]

    def as_dict(self) -> dict:
        """Plain JSON values; `from_dict` reads them back."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, fields: dict) -> Experiment:
        """The inverse of `as_dict`; every rule is checked again."""
        recipe = fields["recipe"] | {"decay_at": tuple(fields["recipe"].get("decay_at", ()))}
        if "hidden" in recipe:  # as it was written when all networks were fully connected
            recipe["network"] = " ".join(map(str, recipe.pop("hidden"))) or "none"
        rounds = [
            Round(**step | {"layers": tuple((name, part) for name, part in step.get("layers", ()))})
            for step in fields["rounds"]
        ]
        return cls(Recipe(**recipe), tuple(rounds), fields.get("control", ""))

    @classmethod
    def known(cls, fields: dict) -> Experiment | None:
        """As `from_dict`; None for what was kept by another version and means nothing here."""
        try:
            return cls.from_dict(fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def _make_floats(checked: Recipe | Round, *names: str) -> None:
    # 0, 0.0 and -0.0 must not make three keys of one request.
    for name in names:
        object.__setattr__(checked, name, float(getattr(checked, name)) + 0.0)


def _hashed(checked: Recipe | Round) -> dict:
    """The fields that a key covers; a name whose meaning has changed goes with its version."""
    found = {
        name: value
        for name, value in asdict(checked).items()
        if name not in _LATER or value != _LATER[name]
    }
    for field in found.keys() & _VERSIONS.keys():
        if (version := _VERSIONS[field](found[field])) > 1:
            found[field] = f"{found[field]} {version}"
    return found


def _hash(*parts: object) -> str:
    text = json.dumps((VERSION, *parts), sort_keys=True, separators=(",", ":"), allow_nan=False)
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
    sparsities: Sequence[float],
    *,
    output_factor: float = 1.0,
    layer_factors: Mapping[str, float] | None = None,
    **same,
) -> tuple[Round, ...]:
    """Rounds that reach each of the cumulative `sparsities` in turn.

    In every round the output layer loses `output_factor` times the fraction of its remaining
    weights that the other layers lose of theirs (1: the notebook; 0.5: the paper), and a layer
    whose weight is named in `layer_factors` that factor times. `same` holds the fields of
    `Round` that are alike in all of them.
    """
    factors = dict(layer_factors or {})
    check_number("output_factor", output_factor, 0, 1)
    for factor in factors.values():
        check_number("layer_factors", factor, 0, 1)
    if same.get("scope") == "global" and (output_factor != 1 or factors):
        name = "output_factor" if output_factor != 1 else "layer_factors"
        raise InvalidValue(
            name,
            output_factor if output_factor != 1 else factors,
            "cannot apply with scope=global, where all layers are ranked together; "
            "leave it out or choose scope=layerwise",
        )
    if len(sparsities) > MAX_ROUNDS:
        raise InvalidValue("rounds", len(sparsities), f"must be at most {MAX_ROUNDS}")
    rounds, before = [], 0.0
    left = dict.fromkeys(["output", *factors], 1.0)
    for sparsity in sparsities:
        check_number("sparsities", sparsity, 0, 1, above=True, below=True)
        rate = (sparsity - before) / (1 - before)
        before = sparsity
        # Twelve digits: 1 - 0.6**3 and a typed 0.784 are one request and get one key.
        reached = {"all": round(sparsity, 12)}
        for name, factor in {"output": output_factor, **factors}.items():
            left[name] *= 1 - factor * rate
            slower = max(0.0, round(1 - left[name], 12))
            reached[name] = reached["all"] if factor == 1 else slower
        layers = tuple((name, reached[name]) for name in factors)
        rounds.append(Round(reached["all"], reached["output"], layers=layers, **same))
    return tuple(rounds)
