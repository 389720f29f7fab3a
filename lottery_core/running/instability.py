"""Instability: how far apart training ends when nothing but the order of the data changes.

Two copies of a network are trained from the same weights, each with a data order of its own.
Where error does not rise on the straight line between their final weights, both ended in one
linearly connected minimum, and the network is stable to the noise of SGD. Measured on every
level from where it starts, and on the dense network from iteration k on.

Frankle, Dziugaite, Roy & Carbin 2020, arXiv 1912.05671, section 2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lottery_core.data import Data, load_data
from lottery_core.method.masks import Arrays
from lottery_core.running.starts import ALPHAS, TRAIN_IMAGES, Start
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Copies, Instability, Level, Line, path_key
from lottery_core.training.base import Training
from lottery_core.training.context import Context
from lottery_core.training.loops import train
from lottery_core.training.torch_loop import accuracies

# Not 0: in that order the iterations before k were trained, so it is no order like any other.
ORDERS = (1, 2)
_MOST = 2**26  # bytes of networks that are judged at once


def measure(experiment: Experiment, starts: Sequence[Start], context: Context) -> Instability:
    """Two copies from each of `starts`, in their order.

    Each path is kept in the store once it is whole, under the key of its level: experiments that
    share the level share it. The levels have to be in the store. The context's monitor is told
    the number of paths done, and asked many times a second whether to stop. Raises `InvalidValue`,
    `DataUnavailable` and `TrainingDiverged`.
    """
    recipe, store, check = experiment.recipe, context.store, context.monitor.check
    data = load_data(recipe, store.datasets, folder=context.folder, check=check)

    def copy(start: Start, level: Level, order: int) -> Arrays:
        training = Training(
            _schedule(experiment, start.level),
            _weights_at(experiment, start, level),
            level.mask,
            start.iteration,
            order=order,
        )
        trained, _ = train(training, data, lambda moment: check(), context)
        return trained.weights

    paths = []
    for start in starts:
        context.monitor.report(len(paths))
        key = path_key(experiment.keys[start.level], start.iteration)
        with store.held(key, check):
            path = store.read_measurement(key)
            if path is None:
                path = _measure_path(experiment, data, start, copy, context)
                store.write_measurement(key, path)
        # Another experiment may have reached the same level by another number.
        paths.append(replace(path, level=start.level))
    return Instability(total=recipe.weights_total, seed=recipe.seed, paths=tuple(paths))


def _measure_path(
    experiment: Experiment,
    data: Data,
    start: Start,
    copy: Callable[[Start, Level, int], Arrays],
    context: Context,
) -> Copies:
    """Copies from one start; `copy` trains a copy in a data order."""
    began = time.perf_counter()
    level = context.store.read(experiment.keys[start.level])
    if level is None:
        raise RuntimeError(f"level {start.level} is not in the store; run the experiment again")
    one, other = (copy(start, level, order) for order in ORDERS)
    check, device = context.monitor.check, context.device
    line = path_of(experiment.recipe, one, other, data, check, device)
    return Copies(
        **vars(line),
        level=start.level,
        kept=level.info.weights_kept,
        first_iteration=start.iteration,
        orders=ORDERS,
        seconds=time.perf_counter() - began,
    )


def path_of(
    recipe: Recipe,
    one: Arrays,
    other: Arrays,
    data: Data,
    check: Callable[[], None] = lambda: None,
    device: str = "cpu",
) -> Line:
    """Errors along the straight line from the weights `one` to `other`, at each of `ALPHAS`.

    `test_error` is that on all test images, `train_error` that on the first 10,000 images of
    the training split. `check` is called every thousand images, which a `device` answers.
    """
    seen = data.train_index[:TRAIN_IMAGES]
    sets = {
        "train": (data.images.take(seen), data.labels[seen]),
        "test": (data.test_images, data.test_labels),
    }
    errors: dict[str, list[float]] = {"train": [], "test": []}
    together = max(1, _MOST // sum(values.nbytes for values in one.values()))
    for first in range(0, len(ALPHAS), together):
        points = [between(one, other, alpha) for alpha in ALPHAS[first : first + together]]
        for name, (images, labels) in sets.items():
            found = accuracies(recipe, points, images, labels, check, device=device)
            errors[name] += [1 - accuracy for accuracy in found]
    return Line(
        alphas=ALPHAS,
        train_error=tuple(errors["train"]),
        test_error=tuple(errors["test"]),
        instability_train=instability(errors["train"]),
        instability_test=instability(errors["test"]),
    )


def between(one: Arrays, other: Arrays, alpha: float) -> Arrays:
    """(1 - alpha) one + alpha other; exactly the ends at 0 and 1, and what both share between."""
    # In float64: rounded to float32 only once, the sum of two parts of a weight is that weight.
    return {
        name: ((1 - alpha) * values.astype(float) + alpha * other[name].astype(float)).astype(
            np.float32
        )
        for name, values in one.items()
    }


def instability(errors: Sequence[float]) -> float:
    """The rise of error at the worst point of a line above the mean of its two ends."""
    return max(errors) - (errors[0] + errors[-1]) / 2


def _weights_at(experiment: Experiment, start: Start, level: Level) -> Arrays:
    known = level.snapshots
    if start.level:
        known = {experiment.first_iteration(start.level): level.start}
    if start.iteration not in known:
        raise InvalidValue(
            "iteration",
            start.iteration,
            f"is not where level {start.level} can start; choose one of "
            f"{', '.join(map(str, sorted(known)))}",
        )
    return known[start.iteration]


def _schedule(experiment: Experiment, n: int) -> Recipe:
    """The recipe that level `n` was trained with, evaluated no more often than a loop must."""
    recipe = experiment.schedule(n)
    return replace(recipe, evaluate_every=recipe.iterations)
