"""What every training loop takes and gives, and what all of them do between steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lottery_core.method.dynamics import Memory, Moving
from lottery_core.method.masks import Arrays
from lottery_core.method.seeds import seed_of
from lottery_core.method.supermasks import Learning
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.recipe import Recipe

LOOPS = {
    "auto": "the faster one for each level",
    "torch": "torch: any device, equally fast at every density",
    "compiled": "compiled for this processor: the faster the sparser",
}


def why_not_compiled(recipe: Recipe) -> str:
    """Why the compiled loop can't train this, as the end of a sentence; empty if it can."""
    return "knows no modules of your own" if recipe.net.is_own else ""


def check_compiled(recipe: Recipe) -> None:
    """Raise `InvalidValue` unless the compiled loop can train this."""
    if why := why_not_compiled(recipe):
        raise InvalidValue("loop", "compiled", f"{why}; choose loop=auto or loop=torch")


def judged(
    judge: Callable[[slice], tuple[float, float]],
    count: int,
    at_once: int,
    tick: Callable[[], None],
) -> tuple[float, float]:
    """(mean loss, accuracy) over `count` images, so many at once, from `judge`, which gives the
    summed loss and the number of right answers of some; NaN of none. `tick` is called after
    each."""
    loss, right = 0.0, 0.0
    for first in range(0, count, at_once):
        more = judge(slice(first, first + at_once))
        loss, right = loss + more[0], right + more[1]
        tick()
    return (loss / count, right / count) if count else (math.nan, math.nan)


def check_measurable(recipe: Recipe) -> None:
    """Raise `InvalidValue` where there is no speed to measure: it is the compiled loop's."""
    if why := why_not_compiled(recipe):
        rule = f"can't be measured: the compiled loop {why}; choose another network"
        raise InvalidValue("network", recipe.net.title, rule)


def is_plain(recipe: Recipe) -> bool:
    """Whether it is fully connected, on grey images that are shown as they are: for such there is
    a form of the compiled loop that does nothing else."""
    return (
        all(at.kind in ("flat", "fc", "relu") for at in recipe.net.operations)
        and recipe.augmentation == "none"
        and recipe.net.input[0] == 1
        and math.prod(recipe.net.input) % 8 == 0  # it fetches pixels by eights
    )


_CHUNK = 0.05  # seconds: a cancel must work within one, a page be fed a few times in one


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

    `losses` holds the training loss of every iteration so far, `mask` is that of this moment;
    `weights()` copies its weights, so that it costs nothing when nobody looks.
    """

    iteration: int
    losses: np.ndarray
    history: list[Evaluation]
    mask: Arrays
    weights: Callable[[], Arrays]


Report = Callable[[Moment], None]


@dataclass(frozen=True)
class Training:
    """A training to be done: from `weights` under `mask`, from `first_iteration` to the recipe's
    last, with the data in that `order` (see `batch_order`). The weights at the iterations in
    `snapshots` are kept. With `moving` the mask is the first of several; with `learning` it is
    what is learned, and the weights stay what they are."""

    recipe: Recipe
    weights: Arrays
    mask: Arrays
    first_iteration: int = 0
    snapshots: tuple[int, ...] = ()
    order: int = 0
    moving: Moving | None = None
    learning: Learning | None = None

    @property
    def changes(self) -> Sequence[int]:
        """The iterations before which the mask may change."""
        recipe = self.recipe
        if not self.moving:
            return ()
        return self.moving.changes(recipe.iterations, recipe.evaluate_every)

    @property
    def usual_mask(self) -> Arrays:
        """A mask as full as its masks are on average."""
        moving, iterations = self.moving, self.recipe.iterations
        return moving.usual(iterations, self.mask) if moving else self.mask


@dataclass(frozen=True)
class Trained:
    """What a loop returns: rows of history, the loss of each iteration (float32), final
    weights and mask, the weights at each iteration of level 0's grid that was asked for, and, of a
    mask that moved, the fraction of the prunable weights that were in it at any time: those that
    were explored (Liu et al. 2021, arXiv 2102.02887); and of one that was cut as soon as it stood
    still the iteration at which it had `settled`, if it did."""

    history: list[Evaluation]
    losses: np.ndarray
    weights: Arrays
    mask: Arrays
    snapshots: dict[int, Arrays]
    explored: float | None = None
    settled: int | None = None


class Network(Protocol):
    """A network that is being trained, in whatever form its loop works on."""

    def steps(self, epoch: int, batch: int, losses: np.ndarray) -> None:
        """Take `len(losses)` optimiser steps from that batch of that epoch on, all of one
        epoch and at `rates_of` it, and write their losses."""

    def evaluate(self, tick: Callable[[], None]) -> list[tuple[float, float]]:
        """(mean cross-entropy in nats, accuracy) on the validation and on the test images,
        NaN if there are none; `tick` is called every thousand images or so."""

    def weights(self) -> Arrays:
        """A copy, never a view: saved weights must not follow the live ones."""

    def under(self, mask: Arrays) -> Network:
        """The network to go on with under another mask, where the training is of one that moves.
        Weights that are new in it are exactly 0.0, with nothing remembered of them by the
        optimiser; others have what they had, bit for bit. This one is not to be used again."""


class MaskSearch(Network, Protocol):
    """A network whose mask is learned."""

    def found(self) -> Arrays:
        """The mask as it is now, which the network is under until it goes on to learn."""


def batch_order(recipe: Recipe, epoch: int, order: int = 0) -> np.ndarray:
    """Positions in the training split, in the order of `epoch`; alike for every loop, level
    and device, so that two levels differ by their weights alone.

    Levels are trained in `order` 0 unless their round names another; each is one of its own.
    """
    purpose = ("order", epoch, order) if order else ("order", epoch)
    return np.random.default_rng(seed_of(recipe.seed, *purpose)).permutation(recipe.train_size)


def rates_of(recipe: Recipe, epoch: int, batch: int, count: int) -> np.ndarray:
    """The learning rates of `count` steps from that batch of that epoch on."""
    first = epoch * recipe.iterations_per_epoch + batch
    return recipe.learning_rates(first, first + count)


def drive(training: Training, network: Network | MaskSearch, report: Report) -> Trained:
    """Train `network`, evaluating as it goes, and changing its mask if that moves; of one whose
    mask is learned that of the last evaluation is told.

    `report` is called about every 50 ms and may raise to stop. Raises `TrainingDiverged` when
    the loss is no longer finite.
    """
    recipe, first_iteration = training.recipe, training.first_iteration
    stops = sorted({*training.snapshots, *training.changes, recipe.iterations})
    mask, seen, memory = training.mask, training.mask, Memory()
    losses = np.zeros(recipe.iterations - first_iteration, np.float32)
    history: list[Evaluation] = []
    kept: dict[int, Arrays] = {}
    iteration, evaluated_at, chunk = first_iteration, first_iteration, 4

    def tick() -> None:
        done = losses[: iteration - first_iteration]
        _check_finite(done, first_iteration, recipe)
        report(Moment(iteration, done, history, mask, network.weights))

    def evaluate() -> None:
        nonlocal mask
        if training.learning:
            mask = network.found()
        since = losses[evaluated_at - first_iteration : iteration - first_iteration]
        train_loss = float(since.mean(dtype=np.float64)) if len(since) else math.nan
        validation, test = network.evaluate(tick)
        history.append(Evaluation(iteration, train_loss, *validation, *test))
        tick()

    evaluate()
    while iteration < recipe.iterations:
        if iteration in training.snapshots:
            kept[iteration] = network.weights()
        if iteration in training.changes:
            last, before = training.changes[-1], mask
            mask = training.moving.after(iteration, last, mask, network.weights(), memory)
            network = network if mask is before else network.under(mask)
            seen = {name: seen[name] | now for name, now in mask.items()}
        epoch, batch = divmod(iteration, recipe.iterations_per_epoch)
        end = min(
            iteration + chunk,
            (epoch + 1) * recipe.iterations_per_epoch,
            iteration - iteration % recipe.evaluate_every + recipe.evaluate_every,
            next(stop for stop in stops if stop > iteration),
        )
        began = time.perf_counter()
        network.steps(epoch, batch, losses[iteration - first_iteration : end - first_iteration])
        pace = (time.perf_counter() - began) / (end - iteration)
        chunk = max(1, min(2 * chunk, round(_CHUNK / pace)))
        iteration = end
        if iteration % recipe.evaluate_every == 0 or iteration == recipe.iterations:
            evaluate()
            evaluated_at = iteration
        else:
            tick()
    explored = _part(seen) if training.moving else None
    return Trained(history, losses, network.weights(), mask, kept, explored, memory.settled)


def _part(mask: Arrays) -> float:
    return sum(int(now.sum()) for now in mask.values()) / sum(now.size for now in mask.values())


def _check_finite(losses: np.ndarray, first_iteration: int, recipe: Recipe) -> None:
    # A loss that is not finite stays so: the last one tells.
    if len(losses) and not np.isfinite(losses[-1]):
        where = first_iteration + int(np.argmin(np.isfinite(losses)))
        raise TrainingDiverged(
            f"the training loss is {losses[-1]} from iteration {where:,} on; "
            f"choose a learning rate below {recipe.learning_rate:g}"
        )
