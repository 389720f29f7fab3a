"""How long a training will take on this machine, learned from those it has done.

`machine.json` in the store holds the seconds of one step and of one evaluated image for a
small and a large network in torch, measured when a worker warms up, and the seconds per
iteration of every kind of training that was run since, by the loop that ran it and at each density
it ran at; these are preferred. What one loop took says nothing of the other. A kind that was never
trained takes what is reckoned from the measured steps, times what others of its family took over
what was reckoned of them. A pruned level begins with two evaluations, which are counted beside its
iterations. How long a worker takes to get ready is learned too; what a queue has to do before,
forecast.py knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lottery_core.method.supermasks import SUPERMASKS
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.store import LevelInfo, LevelProgress, Store

# Seconds a step and weight to choose a mask by scores, beside the step itself; measured.
_CHOOSING = 1e-8
_RECENT = 0.5  # weight of the newest run in the running mean


def _kind(recipe: Recipe, device: str, rule: str = "") -> str:
    """Trainings of one kind take equally long per iteration."""
    parts = (
        device,
        recipe.dataset,
        recipe.network,
        recipe.optimiser,
        recipe.batch_size,
        recipe.evaluate_every,
        recipe.validation_size,
        *filter(None, [rule]),
    )
    return " ".join(map(str, parts))


def learn(store: Store, info: LevelInfo) -> None:
    """Take in how long a level took; `info` is the level's."""
    if info.iterations_trained < 100:
        return  # mostly evaluation and start-up: says little of longer runs
    experiment = Experiment.from_dict(info.experiment)
    recipe, rule = experiment.recipe, experiment.found_in_training(info.level)
    device, kind = info.device, _kind(recipe, info.device, rule)
    density = f"{info.percent_remaining / 100:.3g}"

    def take_in(facts: dict) -> dict:
        before = _before_training(facts, experiment, info.level)
        seconds = max(0.0, info.seconds - before) / info.iterations_trained
        loops = facts.setdefault("seconds_learned", {}).setdefault(kind, {})
        learned = loops.setdefault(info.loop, {})
        learned[density] = _mean(learned.get(density), seconds)
        if not rule and (reckoned := _reckoned(facts, recipe)):
            ratios = facts.setdefault("over_reckoned", {}).setdefault(_family(recipe, device), {})
            ratios = ratios.setdefault(info.loop, {})
            ratios[density] = _mean(ratios.get(density), seconds / reckoned)
        return facts

    store.revise_machine(take_in)


def learn_warm_up(store: Store, seconds: float) -> None:
    """Take in how long a worker took from its start until it was ready."""
    store.revise_machine(lambda facts: facts | {"warm_up": _mean(facts.get("warm_up"), seconds)})


def _mean(before: float | None, newest: float) -> float:
    return newest if before is None else before + _RECENT * (newest - before)


def seconds_per_iteration(
    facts: dict,
    recipe: Recipe,
    device: str = "cpu",
    density: float = 1.0,
    loop: str = "auto",
    rule: str = "",
) -> float | None:
    """One step with its share of evaluation; None while nothing is known of this machine and that
    `loop`. "auto" takes the faster loop of those that are known. A mask that comes about by
    a `rule` of `DYNAMICS` takes as long as one that stands still until one was trained, one of
    `SUPERMASKS` as long as the dense network in torch and what it takes to choose."""
    kinds = facts.get("seconds_learned", {})
    learned = kinds.get(_kind(recipe, device, rule), {})
    if not learned and rule in SUPERMASKS:
        plain = seconds_per_iteration(facts, recipe, device, loop="torch")
        return None if plain is None else plain + _CHOOSING * recipe.weights_total
    learned = learned or kinds.get(_kind(recipe, device), {})
    known = [points for name, points in learned.items() if loop in ("auto", name)]
    if known:
        return min(_between(points, density) for points in known)
    reckoned = _reckoned(facts, recipe)
    # What others of its family took over what was reckoned: the machine may have been busy when its
    # steps were measured, and these are torch's dense ones.
    ratios = facts.get("over_reckoned", {}).get(_family(recipe, device), {})
    known = [points for name, points in ratios.items() if loop in ("auto", name)]
    if reckoned and known:
        return reckoned * min(_between(points, density) for points in known)
    return None if loop == "compiled" else reckoned


def _family(recipe: Recipe, device: str) -> str:
    return f"{device} {'convolutions' if recipe.net.is_convolutional else 'dense layers'}"


def _reckoned(facts: dict, recipe: Recipe) -> float | None:
    """The same of a dense network and torch, from the steps that a worker measured."""
    if recipe.net.is_convolutional:
        return _of_convolutions(facts, recipe)
    if "step" not in facts:
        return None
    # A step costs a fixed part and a part per multiply-add, through the two measured points.
    (work_a, step_a), (work_b, step_b) = facts["step"]
    slope = max(0.0, (step_b - step_a) / (work_b - work_a))
    fixed = max(0.0, step_a - slope * work_a)
    step = fixed + slope * recipe.weights_total * recipe.batch_size
    return step + _judging(facts, recipe) * _judged(recipe) / recipe.evaluate_every


def _judged(recipe: Recipe) -> int:
    """Images of an evaluation."""
    return DATASETS[recipe.dataset].test_size + recipe.validation_size


def _judging(facts: dict, recipe: Recipe) -> float:
    """Seconds of an answer to one image; 0 while nothing is known."""
    if not recipe.net.is_convolutional:
        return facts.get("evaluation", 0.0) * recipe.weights_total
    return _per_image(facts, recipe)[1] if "convolutions" in facts else 0.0


def seconds_of_answers(facts: dict, recipe: Recipe, images: int) -> float | None:
    """Seconds that torch takes to answer so many images; None while nothing is known of this
    machine."""
    return images * _judging(facts, recipe) or None


def _of_convolutions(facts: dict, recipe: Recipe) -> float | None:
    """The same from the two convolutions that were measured: right to a factor of two."""
    if "convolutions" not in facts:
        return None
    step, answer = _per_image(facts, recipe)
    return step * recipe.batch_size + answer * _judged(recipe) / recipe.evaluate_every


def _per_image(facts: dict, recipe: Recipe) -> tuple[float, float]:
    """Seconds of a step and of an answer, of a convolutional network."""
    sizes, seconds = np.hsplit(np.array(facts["convolutions"]), 2)
    # Seconds per multiply-add and per number on the way, of a step and of an answer.
    per = np.maximum(0, np.linalg.solve(sizes, seconds))
    step, answer = (recipe.net.multiply_adds(), recipe.net.activations) @ per
    return float(step), float(answer)


def _before_training(facts: dict, experiment: Experiment, n: int) -> float:
    """Seconds that level `n` takes before it trains: if it is pruned then, it is judged on the test
    images as it was pruned, and so is the dense network pruned in one go."""
    if not n or experiment.found_in_training(n):
        return 0.0
    recipe = experiment.recipe
    return 2 * _judging(facts, recipe) * DATASETS[recipe.dataset].test_size


def _between(points: dict[str, float], density: float) -> float:
    """Seconds at a density, on a line between two that are known; beyond the last one as there."""
    known = sorted((float(at), seconds) for at, seconds in points.items())
    return float(np.interp(density, *zip(*known, strict=True)))


def seconds_of_level(
    facts: dict, experiment: Experiment, n: int, device: str = "cpu", loop: str = "auto"
) -> float | None:
    """How long training level `n` will take; None while nothing is known of this machine."""
    recipe, rule = experiment.recipe, experiment.found_in_training(n)
    loop = "torch" if rule in SUPERMASKS else loop  # nothing else learns masks
    density = 1 - experiment.rounds[n - 1].sparsity if n else 1.0
    per_iteration = seconds_per_iteration(facts, recipe, device, density, loop, rule)
    if per_iteration is None:
        return None
    before = _before_training(facts, experiment, n)
    return before + per_iteration * (experiment.iterations(n) - experiment.first_iteration(n))


def left_of(store: Store, key: str, estimate: float | None) -> float | None:
    """What a training says itself that it needs once it has begun; before, the estimate."""
    progress = store.read_progress(key)
    left = progress.seconds_left if isinstance(progress, LevelProgress) else None
    return estimate if left is None else left


def done_part(store: Store, experiments: Sequence[Experiment]) -> float:
    """The part of all iterations of `experiments` that is done, 0 to 1; what they share counts
    once."""
    levels = {
        key: (experiment.iterations(n), experiment.first_iteration(n))
        for experiment in experiments
        for n, key in enumerate(experiment.keys)
    }
    done = 0
    for key, (end, first) in levels.items():
        if store.has(key):
            done += end - first
        elif isinstance(progress := store.read_progress(key), LevelProgress):
            done += progress.iteration - first
    return done / max(1, sum(end - first for end, first in levels.values()))


def in_words(seconds: float) -> str:
    """A duration, as exact as an estimate deserves: 8 s, 45 s, 3 min, 1 h 20 min."""
    if seconds < 10:
        return f"{max(1, round(seconds))}\u202fs"
    if seconds < 95:
        return f"{5 * round(seconds / 5)}\u202fs"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}\u202fmin"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"{hours}\u202fh {minutes}\u202fmin" if minutes else f"{hours}\u202fh"
