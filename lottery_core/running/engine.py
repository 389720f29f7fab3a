"""The lottery ticket procedure.

Train the dense network; then, round after round, prune what it learned, let the survivors
restart, and train again (Frankle & Carbin 2018, arXiv 1803.03635). Every level is taken
from the store if it is there and put there if it is not.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
import torch

from lottery_core.data import Data, load_data
from lottery_core.findings.ending import ended
from lottery_core.method.dynamics import DYNAMICS, Moving
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply, dense_mask
from lottery_core.method.matching import match
from lottery_core.method.restart import RULES, Origins
from lottery_core.method.seeds import seed_of
from lottery_core.method.supermasks import Learning
from lottery_core.method.units import put_in_order
from lottery_core.running.progress import Watch
from lottery_core.running.time_left import learn
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.keys import VERSION
from lottery_core.spec.networks import Network
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round
from lottery_core.spec.symmetries import axes_of
from lottery_core.store import Level, LevelInfo, Store, counts_of
from lottery_core.training.base import Evaluation, Trained, Training
from lottery_core.training.context import Context, Monitor
from lottery_core.training.gradients import Slopes
from lottery_core.training.loops import train
from lottery_core.training.models import initial_weights
from lottery_core.training.torch_loop import accuracies

# Of the level before and of the dense network under the new mask, as they are before a training.
_BEFORE = ("test_accuracy_before_retraining", "test_accuracy_dense_pruned")


def run(experiment: Experiment, context: Context) -> Iterator[Level]:
    """Yield level 0, 1, ... of an experiment: reused if the store has it, else computed.

    The context's monitor is asked many times a second and may raise to stop; finished levels
    stay. Any number of processes may run experiments that share levels: one trains, the others
    wait. An experiment with `until` ends where that says. Raises `InvalidValue`, `DataUnavailable`
    and `TrainingDiverged`.
    """
    dense = previous = None
    trunk = run(experiment.trunk, context) if experiment.control else None
    for n in range(len(experiment.keys)):
        if n > len(ended(context.store, experiment).rounds):
            return
        if trunk and n:
            previous = next(trunk)
        if n and experiment.round(n).transplant and not context.store.has(experiment.keys[n]):
            next(run(experiment.donor, context))
        level = find_level(experiment, n, dense, previous, context)
        dense = dense or level
        if not trunk:
            previous = level
        yield level


def find_level(
    experiment: Experiment,
    n: int,
    dense: Level | None,
    previous: Level | None,
    context: Context,
) -> Level:
    """Level `n` from the store or, if it is not there, by `train_level`, and put there."""
    store, key = context.store, experiment.keys[n]
    with store.held(f"level-{key}", context.monitor.check):
        level = store.read(key)
        if level is None:
            with Watch(store, key, n, experiment, context.monitor.check) as watch:
                level = train_level(experiment, n, dense, previous, context, watch)
                store.write(key, level)  # while a page can still show how it trained
            learn(store, level.info)
    return level


@dataclass(frozen=True)
class _Start:
    """What a level begins with: `mask`, the `weights` of its survivors, where in the `schedule`
    they stand, what the network could do before it is trained again, in which `order` the data
    come, and how the mask is `moving` or to be learned (`learning`)."""

    mask: Arrays
    weights: Arrays
    schedule: Recipe
    first_iteration: int = 0
    accuracies: dict[str, float] = field(default_factory=dict)
    order: int = 0
    moving: Moving | None = None
    learning: Learning | None = None


def train_level(
    experiment: Experiment,
    n: int,
    dense: Level | None,
    previous: Level | None,
    context: Context,
    watch: Watch,
) -> Level:
    """Level `n`, from level 0 (`dense`) and the trunk's level n-1 (`previous`): the procedure's
    one step."""
    recipe, check = experiment.recipe, context.monitor.check
    data = load_data(recipe, context.store.datasets, folder=context.folder, check=check)
    began = time.perf_counter()
    if dense is None or previous is None:
        start = _Start(dense_mask(recipe.shapes), initial_weights(recipe), recipe)
    else:
        start = _prune(experiment, n, dense, previous, data, context)
    watch.begin(start.mask, start.first_iteration, start.accuracies)
    training = Training(
        start.schedule,
        start.weights,
        start.mask,
        start.first_iteration,
        recipe.snapshot_iterations if n == 0 else (),
        start.order,
        start.moving,
        start.learning,
    )
    watched = replace(context, monitor=Monitor(check, say=watch.say))
    trained, loop = train(training, data, watch, watched)
    seconds = time.perf_counter() - began - watch.waited
    return Level(
        info=_info(
            experiment,
            n,
            trained,
            **start.accuracies,
            device=context.device,
            loop=loop,
            seconds=seconds,
            data=data.digest,
        ),
        mask=trained.mask,
        # Of a mask that was learned these are what it was learned for.
        start=apply(start.weights, trained.mask) if start.learning else start.weights,
        # A product with the mask leaves -0.0 of a negative weight: equal to 0, but other bits.
        end=apply(trained.weights, trained.mask),
        losses=trained.losses,
        history=pd.DataFrame(trained.history),
        snapshots=trained.snapshots,
    )


def _prune(
    experiment: Experiment, n: int, dense: Level, previous: Level, data: Data, context: Context
) -> _Start:
    """Prune what level n-1 learned, and let the survivors restart."""
    recipe, step = experiment.recipe, experiment.round(n)
    store, check = context.store, context.monitor.check
    evidence = Evidence(
        initial=dense.start,
        trained=previous.end,
        mask=previous.mask,
        seed=seed_of(recipe.seed, "prune", n),
        slopes=Slopes(recipe, data, seed_of(recipe.seed, "criterion", n)),
        axes=None if recipe.net.is_own else axes_of(recipe.net),
    )
    given, weights = _ticket(store, step, recipe) if step.ticket else (None, None)
    mask = step.cut(evidence, seed_of(recipe.seed, "reshuffle", n), given)
    lender = _donor(experiment, store) if step.transplant else dense
    if step.transplant == "permuted":
        mask = matched(recipe.net, mask, dense.end, lender.end)
    origins = Origins(
        snapshots=lender.snapshots,
        trained=previous.end,
        draw=lambda: initial_weights(recipe, "reinit", n),
        ticket=weights,
        prunable=tuple(mask),
    )
    start = RULES[step.restart].start(origins, step.rewind_iteration)
    kept = {name: int(now.sum()) for name, now in mask.items()}
    if step.supermask:
        learning = Learning(step.supermask, kept, seed_of(recipe.seed, "supermask", n))
        return _Start(mask, start, recipe, order=step.order, learning=learning)
    if step.dynamics:
        first = dense.mask if DYNAMICS[step.dynamics].left else mask
        moving = Moving(
            step.dynamics,
            kept=kept,
            seed=seed_of(recipe.seed, "dynamics", n),
            slopes=partial(evidence.slopes.of_batch, order=step.order),
        )
        schedule = experiment.schedule(n)
        return _Start(first, apply(start, first), schedule, order=step.order, moving=moving)

    unpruned = replace(evidence, trained=dense.end, mask=dense.mask)
    in_one_go = given or step.pruned(unpruned)
    untrained = [apply(previous.end, mask), apply(dense.end, in_one_go)]
    told = accuracies(
        recipe, untrained, data.test_images, data.test_labels, check, device=context.device
    )
    return _Start(
        mask,
        apply(start, mask),
        experiment.schedule(n),
        step.rewind_iteration,
        dict(zip(_BEFORE, told, strict=True)),
        step.order,
    )


def _donor(experiment: Experiment, store: Store) -> Level:
    level = store.read(experiment.donor.key)
    if level is None:
        raise RuntimeError("the dense network of the next seed is not in the store; run it again")
    return level


def matched(network: Network, arrays: Arrays, found_in: Arrays, used_on: Arrays) -> Arrays:
    """Masks or weights of a network with their units in the order in which the trained weights
    `found_in` match those of another, `used_on` (see `matching.match`). Raises as `axes_of`."""
    axes = axes_of(network)
    one, other = ({name: end[name] for name in network.parameters} for end in (found_in, used_on))
    return put_in_order(arrays, match(one, other, axes), axes)


def _ticket(store: Store, step: Round, recipe: Recipe) -> tuple[Arrays, Arrays | None]:
    """Mask and weights, if it has any, of the ticket that a round takes."""
    found = store.read_ticket(step.ticket)
    if found is None:
        raise InvalidValue("ticket", step.ticket, "is not in this cache; bring its file again")
    mask, weights = found
    shapes = {name: kept.shape for name, kept in mask.items()}
    if shapes != recipe.shapes:
        *hidden, _ = (shape for shape in shapes.values())
        is_plain = all(len(shape) == 2 for shape in shapes.values())
        remedy = " ".join(str(rows) for rows, *_ in hidden) or "none"
        raise InvalidValue(
            "network",
            recipe.network,
            f"is not the ticket's; choose {remedy if is_plain else 'that of its file'}",
        )
    if weights is None and step.restart == "ticket":
        raise InvalidValue("restart", step.restart, "but the ticket is a mask alone; use rewind")
    return mask, weights


def _info(experiment: Experiment, n: int, trained: Trained, **how) -> LevelInfo:
    """What came out of level `n`; `how` are the fields that say how it was trained."""
    last = trained.history[-1]
    stop = early_stop(trained.history)
    return LevelInfo(
        key=experiment.keys[n],
        level=n,
        experiment=experiment.up_to(n).as_dict(),
        weights=tuple(trained.mask),
        layers=counts_of(trained.mask),
        explored=trained.explored,
        settled=trained.settled,
        iterations_trained=len(trained.losses),
        test_accuracy=last.test_accuracy,
        validation_accuracy=None if stop is None else last.validation_accuracy,
        early_stop_iteration=None if stop is None else stop.iteration,
        test_accuracy_at_early_stop=None if stop is None else stop.test_accuracy,
        versions={
            "key": VERSION,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        **how,
    )


def early_stop(history: list[Evaluation]) -> Evaluation | None:
    """The evaluation with the smallest validation loss, found afterwards as in the paper.

    None without a validation split: the test set selects nothing.
    """
    judged = [row for row in history if np.isfinite(row.validation_loss)]
    return min(judged, key=lambda row: row.validation_loss) if judged else None
