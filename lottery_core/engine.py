"""The lottery ticket procedure.

Train the dense network; then, round after round, prune what it learned, let the survivors
restart, and train again (Frankle & Carbin 2018, arXiv 1803.03635). Every level is taken
from the store if it is there and put there if it is not.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lottery_core.data import Data, load_data
from lottery_core.experiment import VERSION, Experiment
from lottery_core.models import initial_weights
from lottery_core.progress import Watch
from lottery_core.pruning import apply, dense_mask, prune
from lottery_core.restart import RULES, Origins
from lottery_core.seeds import seed_of
from lottery_core.speed import learn
from lottery_core.store import Level, Store
from lottery_core.training.base import Evaluation, Trained
from lottery_core.training.torch_loop import test_accuracy, train


def run(
    experiment: Experiment,
    store: Store,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Level]:
    """Yield level 0, 1, ... of an experiment: reused if the store has it, else computed.

    `check` is called many times a second and may raise to stop; finished levels stay. Any
    number of processes may run experiments that share levels: one trains, the others wait.
    Raises `DataUnavailable` and `TrainingDiverged`.
    """
    dense = previous = None
    for n, key in enumerate(experiment.keys):
        with store.held(f"level-{key}", check):
            level = store.read(key)
            if level is None:
                data = load_data(experiment.recipe, store.datasets, folder=folder, check=check)
                with Watch(store, key, n, experiment, check) as watch:
                    level = train_level(experiment, n, dense, previous, data, watch, device)
                store.write(key, level)
                learn(store, level.info)
        previous, dense = level, dense or level
        yield level


def train_level(
    experiment: Experiment,
    n: int,
    dense: Level | None,
    previous: Level | None,
    data: Data,
    watch: Watch,
    device: str,
) -> Level:
    """Level `n`, from level 0 (`dense`) and level n-1 (`previous`): the procedure's one step."""
    recipe, began = experiment.recipe, time.perf_counter()
    first_iteration, accuracies = 0, {}
    if dense is None or previous is None:
        mask = dense_mask(recipe.shapes)
        start = initial_weights(recipe)
    else:
        step = experiment.rounds[n - 1]
        draw = seed_of(recipe.seed, "prune", n)
        mask = prune(previous.end, previous.mask, step, recipe.output_layer, draw)
        origins = Origins(
            snapshots=dense.snapshots,
            trained=previous.end,
            draw=lambda: initial_weights(recipe, "reinit", n),
        )
        start = apply(RULES[step.restart](step, origins), mask)
        first_iteration = step.rewind_iteration

        in_one_go = prune(dense.end, dense.mask, step, recipe.output_layer, draw)
        accuracies = {
            "test_accuracy_before_retraining": test_accuracy(
                recipe, apply(previous.end, mask), data
            ),
            "test_accuracy_dense_pruned": test_accuracy(recipe, apply(dense.end, in_one_go), data),
        }

    watch.begin(mask, first_iteration, accuracies)
    trained = train(
        recipe,
        start,
        mask,
        data,
        watch,
        first_iteration=first_iteration,
        snapshots=recipe.snapshot_iterations if n == 0 else (),
        device=device,
    )
    return Level(
        info=_info(experiment, n, mask, trained, accuracies)
        | {
            "device": device,
            "seconds": time.perf_counter() - began,
            "data": data.digest,
            "versions": {
                "key": VERSION,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        },
        mask=mask,
        start=start,
        end=trained.weights,
        losses=trained.losses,
        history=pd.DataFrame(trained.history),
        snapshots=trained.snapshots,
    )


def _info(
    experiment: Experiment, n: int, mask: dict, trained: Trained, accuracies: dict[str, float]
) -> dict:
    """What came out of level `n`, in plain values."""
    last = trained.history[-1]
    stop = early_stop(trained.history)
    return {
        "level": n,
        "experiment": Experiment(experiment.recipe, experiment.rounds[:n]).as_dict(),
        "weights": list(mask),
        "layers": {
            name: {"weights": int(kept.size), "kept": int(kept.sum())}
            for name, kept in mask.items()
        },
        "iterations_trained": len(trained.losses),
        "test_accuracy": last.test_accuracy,
        "validation_accuracy": None if stop is None else last.validation_accuracy,
        "test_accuracy_before_retraining": None,
        "test_accuracy_dense_pruned": None,
        "early_stop_iteration": None if stop is None else stop.iteration,
        "test_accuracy_at_early_stop": None if stop is None else stop.test_accuracy,
        **accuracies,
    }


def early_stop(history: list[Evaluation]) -> Evaluation | None:
    """The evaluation with the smallest validation loss, found afterwards as in the paper.

    None without a validation split: the test set selects nothing.
    """
    judged = [row for row in history if np.isfinite(row.validation_loss)]
    return min(judged, key=lambda row: row.validation_loss) if judged else None
