"""What training and running a ticket costs on this machine, measured level by level.

Ways to train under a level's mask are timed side by side on one thread: masked dense tensors in
plain torch (the notebook's catch) and the compiled loop; of fully connected networks also torch's
sparse CSR tensors, and the matrix products of a dense step alone, a floor for anything dense. Then
the trained network's answers, dense against sparse and, where whole units are gone, against the
smaller dense network and a ticket of single weights that is as accurate; what each layer's part of
a step takes, and the size of both on disk. Nothing here is read from a table: a value that is shown
was timed here.
"""

from __future__ import annotations

import platform
import statistics
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import torch

from lottery_core.data import Data, load_data
from lottery_core.findings.unstructured import unstructured_beside
from lottery_core.method.masks import Arrays, dense_mask
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.store import (
    AnswerTimes,
    LayerTimes,
    Level,
    LevelSpeed,
    Machine,
    Sizes,
    Speed,
    StepTimes,
    Store,
    Timed,
    Unstructured,
    processor,
)
from lottery_core.tickets.smaller import Smaller, smaller
from lottery_core.training import calibration, loops
from lottery_core.training.base import Network, Training, check_measurable, is_plain
from lottery_core.training.context import Context
from lottery_core.training.sparse_loop import one_blas_thread, packed
from lottery_core.training.torch_loop import TorchNetwork, one_torch_thread
from lottery_core.training.yardsticks import (
    forward_dense,
    forward_ticket,
    products_alone,
    torch_csr,
)

BATCHES = (1, 32, 1024)
OF_CONVOLUTIONS = (1, 32, 256)  # whose images are as much work as a thousand of the others
_ROUNDS = 5  # each way is timed so often, in turns with the others
_SECONDS = 0.05  # a turn

Steps = Callable[[int], None]


def measure(experiment: Experiment, context: Context) -> Speed:
    """Each level's speed on this machine.

    All levels have to be in the store. Raises `InvalidValue` for what the compiled loop does not
    know. The context's monitor is told the number of levels done, and asked between turns
    whether to stop.
    """
    recipe = experiment.recipe
    check_measurable(recipe)
    store, monitor = context.store, context.monitor
    loops.prepare(store, monitor.check, monitor.say)
    data = load_data(recipe, store.datasets, check=monitor.check)
    costs = calibration.costs_of(recipe, data, store, monitor.check, monitor.say)
    rows = []
    with one_torch_thread(), one_blas_thread():
        for key in experiment.keys:
            monitor.report(len(rows))
            level = store.read(key)
            if level is None:
                raise RuntimeError(f"level {key} is not in the store; run the experiment again")
            beside = _beside(experiment, level, store)
            rows.append(_measure_level(recipe, level, data, costs, beside, monitor.check))
    return Speed(
        machine=Machine(
            processor=processor(),
            threads=1,
            python=platform.python_version(),
            torch=torch.__version__,
            numba=numba.__version__,
            numpy=np.__version__,
        ),
        measured=time.time(),
        total=recipe.weights_total,
        multiply_adds_step=multiply_adds(recipe, dense_mask(recipe.shapes)),
        iterations_per_epoch=recipe.iterations_per_epoch,
        batch_size=recipe.batch_size,
        levels=tuple(rows),
    )


class _Beside(NamedTuple):
    """What else answers beside a level of which whole units are gone: the smaller network, its
    weights, and, where the level's criterion takes units, a ticket of single weights, if any is as
    accurate."""

    smaller: Smaller
    weights: Arrays
    unstructured: Unstructured | None = None
    ticket: Level | None = None


def _beside(experiment: Experiment, level: Level, store: Store) -> _Beside | None:
    whole, n = experiment.recipe.net, level.info.level
    found = smaller(whole, level.mask)
    if not found.is_smaller:
        return None
    weights = found.of(level.end, whole)
    if not experiment.round(n).takes_units:
        return _Beside(found, weights)
    others = store.infos(store.keys()).values()
    known = unstructured_beside(experiment, level.info, others)
    ticket = known and store.read(known.key)
    return _Beside(found, weights, known if ticket else None, ticket)


def _measure_level(
    recipe: Recipe,
    level: Level,
    data: Data,
    costs: calibration.Costs,
    beside: _Beside | None,
    check: Callable[[], None],
) -> LevelSpeed:
    kept = {name: int(part.sum()) for name, part in level.mask.items()}
    batches = OF_CONVOLUTIONS if recipe.net.is_convolutional else BATCHES
    return LevelSpeed(
        level=level.info.level,
        kept=level.info.weights_kept,
        iterations=level.info.iterations_trained,
        seconds=level.info.seconds,
        loop=level.info.loop,
        step=StepTimes(**_in_turns(_ways(recipe, level, data, costs), check)),
        forward={
            batch: AnswerTimes(**_in_turns(_answers(recipe, level, beside, data, batch), check))
            for batch in batches
        },
        bytes=sizes(level.end, level.mask),
        multiply_adds_step=multiply_adds(recipe, level.mask),
        multiply_adds_answer=recipe.net.multiply_adds(kept),
        layers={
            name: LayerTimes(costs.dense[name], costs.at(name, part))
            for name, part in level.mask.items()
        },
        smaller=beside.smaller.network.text if beside else "",
        smaller_weights=beside.smaller.network.weights_total if beside else 0,
        unstructured=beside and beside.unstructured,
    )


def _ways(recipe: Recipe, level: Level, data: Data, costs: calibration.Costs) -> dict[str, Steps]:
    """Training steps under the level's mask, each way; every turn repeats an epoch's first."""
    masked = TorchNetwork(Training(recipe, level.start, level.mask), data)
    ours = packed(recipe, level.start, level.mask, costs.forms(level.mask))
    ours.attach(data, judge=False)

    def on(network: Network) -> Steps:
        most = recipe.iterations_per_epoch

        def steps(times: int) -> None:
            for first in range(0, times, most):
                network.steps(0, 0, np.zeros(min(most, times - first), np.float32))

        return steps

    found = {"masked": on(masked), "ours": on(ours)}
    if is_plain(recipe):
        found["csr"] = torch_csr(recipe, level.start, level.mask, data)
        found["products"] = products_alone(recipe)
    return found


def _answers(
    recipe: Recipe, level: Level, beside: _Beside | None, data: Data, batch: int
) -> dict[str, Steps]:
    """The trained network's answers to `batch` test images, as dense tensors and sparse, and what
    stands `beside` it."""
    images = data.test_images[:batch]

    def on(answer: Callable[[np.ndarray], np.ndarray]) -> Steps:
        def steps(times: int) -> None:
            for _ in range(times):
                answer(images)

        return steps

    found = {
        "dense": on(forward_dense(recipe.net, level.end)),
        "ticket": on(forward_ticket(recipe, level.end, level.mask, batch)),
    }
    if beside:
        found["smaller"] = on(forward_dense(beside.smaller.network, beside.weights))
    if beside and beside.ticket:
        other = beside.ticket
        found["unstructured"] = on(forward_ticket(recipe, other.end, other.mask, batch))
    return found


def _in_turns(ways: dict[str, Steps], check: Callable[[], None]) -> dict[str, Timed]:
    """Seconds of one step for each way."""
    turns = calibration.in_turns(ways, repeats=_ROUNDS, seconds=_SECONDS, check=check)
    return {
        name: Timed(statistics.median(taken), min(taken), max(taken))
        for name, taken in turns.items()
    }


def multiply_adds(recipe: Recipe, mask: Arrays) -> int:
    """Of a training step: forward and for the gradient each kept weight once an image and place it
    is used at, and once more to pass the gradient back, which the first layer need not."""
    places = recipe.net.positions
    each = [int(layer.sum()) * places[name] for name, layer in mask.items()]
    return recipe.batch_size * (3 * sum(each) - each[0])


def sizes(weights: Arrays, mask: Arrays) -> Sizes:
    """Bytes of the trained network, dense and as what the mask keeps."""
    biases = b"".join(values.tobytes() for name, values in weights.items() if name not in mask)
    dense = b"".join(weights[name].tobytes() for name in mask) + biases
    kept = b"".join(weights[name][kept].tobytes() for name, kept in mask.items())
    ticket = kept + b"".join(np.packbits(kept).tobytes() for kept in mask.values()) + biases
    return Sizes(
        dense=len(dense),
        dense_compressed=len(zlib.compress(dense)),
        ticket=len(ticket),
        ticket_compressed=len(zlib.compress(ticket)),
    )
