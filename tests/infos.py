"""What levels say of themselves, for tests that need no trained one."""

from __future__ import annotations

from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.store import LayerCounts, LevelInfo, LevelProgress


def info_of(**fields) -> LevelInfo:
    """A level's info with these fields; `layers` may be given as (weights, kept) by name."""
    usual = {
        "key": "a" * 40,
        "level": 0,
        "experiment": Experiment(Recipe(network="8", iterations=12, evaluate_every=6)).as_dict(),
        "layers": {"fc1.weight": (1000, 1000)},
        "iterations_trained": 12,
        "test_accuracy": 0.5,
        "device": "cpu",
        "seconds": 1.0,
        "data": "0" * 64,
        "versions": {},
    }
    values = usual | fields
    layers = {name: LayerCounts(*counts) for name, counts in values["layers"].items()}
    return LevelInfo(**{"weights": tuple(layers)} | values | {"layers": layers})


def judged_info(
    level: int, test: float, stop: int | None = None, validation: float | None = None, **more
) -> LevelInfo:
    """A level's info as far as several seeds are compared by it: its accuracies, its early stop,
    and half of the weights of the level before."""
    fields = {
        "level": level,
        "layers": {"fc1.weight": (1000, 1000 // 2**level)},
        "test_accuracy": test,
        "validation_accuracy": validation,
        "early_stop_iteration": stop,
        "test_accuracy_at_early_stop": None if stop is None else test,
    }
    return info_of(**fields | more)


def progress_of(**fields) -> LevelProgress:
    """The progress of a level with these fields."""
    usual = {
        "level": 1,
        "iterations": 12,
        "first_iteration": 0,
        "layers": {"fc1.weight": LayerCounts(4, 2)},
        "iteration": 6,
        "seconds": 1.0,
        "seconds_left": None,
        "history": [{"iteration": 0, "test_accuracy": 0.1, "validation_loss": None}],
        "loss_iterations": [3, 6],
        "losses": [2.3, 2.0],
        "scales": {"fc1.weight": {"unit": 1.0, "block": 1, "kept": 2}},
    }
    return LevelProgress(**usual | fields)
