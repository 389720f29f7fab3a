"""From where an instability measurement trains its copies, where on a line networks are judged, and
how long both take: what is known of it without training anything."""

from __future__ import annotations

from dataclasses import dataclass

from lottery_core.running.time_left import seconds_of_answers, seconds_of_level
from lottery_core.spec.barriers import trained_ends
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Store, task_key

ALPHAS = tuple(n / 20 for n in range(21))  # how far on the way from one network to another
TRAIN_IMAGES = 10_000  # judged on; all of them would cost as much as the training


@dataclass(frozen=True)
class Start:
    """Where two copies part: a level's weights as it starts, at its first iteration; of level 0
    those of any iteration in its snapshots."""

    level: int
    iteration: int


def starts_of(experiment: Experiment) -> list[Start]:
    """The dense network at each iteration of its grid up to half of the training, then every
    level n >= 1 where it starts, but for those whose mask changes or is learned in training: copies
    of them would end in two networks."""
    recipe = experiment.recipe
    dense = [Start(0, k) for k in recipe.snapshot_iterations if 2 * k <= recipe.iterations]
    levels = [n for n in range(1, len(experiment.keys)) if not experiment.found_in_training(n)]
    return dense + [Start(n, experiment.first_iteration(n)) for n in levels]


def copying(store: Store, experiment: Experiment) -> float | None:
    """Seconds that the copies take, less those that other measurements left; None while nobody
    knows."""
    facts, recipe, total = store.read_machine(), experiment.recipe, 0.0
    for start in starts_of(experiment):
        n, k = start.level, start.iteration
        if store.read_measurement(task_key("path", f"{experiment.keys[n]}-{k}")) is not None:
            continue
        level = seconds_of_level(facts, experiment, n)
        if level is None:
            return None
        steps = recipe.iterations - experiment.first_iteration(n)
        total += 2 * level * (recipe.iterations - k) / steps
    return total


def judging(facts: dict, experiment: Experiment) -> float | None:
    """Seconds that the lines of a barriers measurement take, once all is trained; None while nobody
    knows."""
    recipe = experiment.recipe
    images = min(TRAIN_IMAGES, recipe.train_size) + DATASETS[recipe.dataset].test_size
    networks = len(ALPHAS) * (len(trained_ends(experiment)) + 1)
    return seconds_of_answers(facts, recipe, networks * images)
