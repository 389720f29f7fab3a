"""The ticket of single weights that a ticket without whole units is held against: as accurate, and
otherwise found alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lottery_core.spec.experiment import Experiment
from lottery_core.store import LevelInfo, Unstructured


def unstructured_beside(
    experiment: Experiment, level: LevelInfo, others: Iterable[LevelInfo]
) -> Unstructured | None:
    """Of the `others` the level with the fewest weights that is no less accurate than this `level`
    of an experiment, among those of the same recipe and restart that were pruned by magnitude,
    whatever the scope and the steps; None if there is none.

    Judged on validation images; where none were held out, on the test images.
    """
    accuracy, on_validation = _judged(level)
    found = [
        Unstructured(one.key, one.level, one.weights_kept, _judged(one)[0], accuracy, on_validation)
        for one in others
        if one.level and _judged(one)[0] >= accuracy and _is_alike(experiment, one)
    ]
    return min(found, key=lambda one: (one.kept, one.key), default=None)


def _judged(info: LevelInfo) -> tuple[float, bool]:
    if info.validation_accuracy is None:
        return info.test_accuracy, False
    return info.validation_accuracy, True


def _is_alike(experiment: Experiment, info: LevelInfo) -> bool:
    """Whether a level is of the experiment as it would be by magnitude."""
    other = Experiment.known(info.experiment)
    if other is None or other.recipe != experiment.recipe or other.control:
        return False
    last = experiment.rounds[-1]
    return all(
        # What is left to differ is how much goes of what, and when.
        replace(
            step,
            sparsity=last.sparsity,
            output_sparsity=last.output_sparsity,
            scope=last.scope,
            layers=last.layers,
            criterion=last.criterion,
        )
        == last
        and step.criterion == "magnitude"
        for step in other.rounds
    )
