"""A recipe: everything that fixes one training."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from lottery_core.spec.checks import (
    InvalidValue,
    check_content,
    check_integer,
    check_known,
    check_number,
    make_floats,
)
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS, title_of
from lottery_core.spec.limits import (
    MAX_ACTIVATIONS,
    MAX_BATCH,
    MAX_DECAYS,
    MAX_EVALUATIONS,
    MAX_ITERATIONS,
    MAX_SEED,
    MAX_VALIDATION,
    MAX_WEIGHTS,
    SNAPSHOT_BYTES,
)
from lottery_core.spec.networks import Network, Shape, network
from lottery_core.spec.notation import shortest
from lottery_core.spec.terms import AUGMENTATIONS, INITS, OPTIMISERS

REWIND_PERCENTS = (1, 2, 5, 10, 20, 50)


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
        make_floats(self, "learning_rate", "momentum", "weight_decay", "decay_factor")

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

    def stretched(self, times: int) -> Recipe:
        """The recipe with so many times the iterations: warm-up, decays and evaluations come at the
        same parts of the training.

        Not held to the limit of what may be asked for in one training: its work is the experiment's
        to limit.
        """
        found = copy.copy(self)
        for name in ("iterations", "warmup", "evaluate_every"):
            object.__setattr__(found, name, times * getattr(self, name))
        object.__setattr__(found, "decay_at", tuple(times * at for at in self.decay_at))
        return found

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
        """Iterations of level 0 whose weights are kept: of `snapshot_grid` as many, in its order,
        as `SNAPSHOT_BYTES` hold."""
        numbers = sum(map(math.prod, (self.net.parameters | self.net.buffers).values()))
        most = max(2, SNAPSHOT_BYTES // (4 * numbers))
        return tuple(sorted(self.snapshot_grid[:most]))

    @property
    def snapshot_grid(self) -> tuple[int, ...]:
        """Iterations of level 0 to keep, the first ones first: 0, `REWIND_PERCENTS` of the
        training, and the 1-2-5 series from 10 up.

        The grid is the same whatever is rewound to later, so that the choice of a rewinding
        step never changes level 0's key.
        """
        steps = [0, *(self.iteration_at(percent) for percent in REWIND_PERCENTS)]
        power = 10
        while power < self.iterations:
            steps += [m * power for m in (1, 2, 5) if m * power < self.iterations]
            power *= 10
        return tuple(dict.fromkeys(steps))

    def iteration_at(self, percent: float) -> int:
        """The iteration at that percent of the training, rounded to the nearest."""
        return round(percent / 100 * self.iterations)
