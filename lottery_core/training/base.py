"""What every training loop takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lottery_core.experiment import Recipe
from lottery_core.pruning import Arrays
from lottery_core.seeds import seed_of


class TrainingDiverged(RuntimeError):
    """The loss is no longer a finite number; the message says where and what to change."""


@dataclass(frozen=True)
class Evaluation:
    """One row of a level's history.

    `train_loss` is the mean over the batches since the row before (NaN in the first row),
    losses are mean cross-entropies in nats, accuracies fractions; validation values are NaN
    without a validation split.
    """

    iteration: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    test_loss: float
    test_accuracy: float


@dataclass(frozen=True)
class Moment:
    """What a loop shows of itself while it runs, many times a second.

    `losses` holds the training loss of every iteration so far; `weights()` copies the
    weights of this moment, so that it costs nothing when nobody looks.
    """

    iteration: int
    losses: np.ndarray
    history: list[Evaluation]
    weights: Callable[[], Arrays]


Report = Callable[[Moment], None]


@dataclass(frozen=True)
class Trained:
    """What a loop returns: rows of history, the loss of each iteration (float32), final
    weights, and the weights at each iteration of level 0's grid that was asked for."""

    history: list[Evaluation]
    losses: np.ndarray
    weights: Arrays
    snapshots: dict[int, Arrays]


def batch_order(recipe: Recipe, epoch: int) -> np.ndarray:
    """Positions in the training split, in the order of `epoch`; alike for every loop, level
    and device, so that two levels differ by their weights alone."""
    source = np.random.default_rng(seed_of(recipe.seed, "order", epoch))
    return source.permutation(recipe.train_size)
