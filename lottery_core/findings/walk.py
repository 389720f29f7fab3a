"""The notebook's walk as a story: its experiment, its sentences, and what its slider shows.

Every number in a sentence comes from levels that were trained. The web process computes here,
with NumPy alone, how the dense network answers when it is pruned and not trained again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lottery_core.data import read_part
from lottery_core.findings.answers import answers, first, parts, unseen_images
from lottery_core.findings.tables import empty_in_words, has_learned
from lottery_core.findings.verdict import verdict_in_words
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply, dense_mask
from lottery_core.method.pruning import Target, prune
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice, write_value
from lottery_core.spec.sizes import as_percent, size_in_words
from lottery_core.store import Level, LevelInfo

# The quick preset with the sparsities that the notebook retrains at, the last being 1 - 0.6**6.
PARAMS = {
    "preset": "quick",
    "replicates": "1",
    "schedule": "list",
    "sparsities": write_value((*Choice().sparsities[:3], 0.953344)),
    "controls": "reinit",
}
# What a link may change of it; the words on the page hold whatever these are.
FREE = ("unit", "length", "seed", "network", "sparsities", "learning_rate", "batch_size")
# Looked at besides those of the rounds: the closer, the more there is to see.
SPARSITIES = tuple(
    percent / 100 for percent in (*range(0, 60, 6), *range(60, 80, 2), *range(80, 100))
)

_TEST = 10_000


# The experiment


def read_story(params: Mapping[str, str]) -> tuple[str, Choice, list[str]]:
    """(preset, choice, problems): the story's experiment with what a link changes of it; what
    can't be read or does not go together is left out and told of."""
    good, problems = dict(PARAMS), []
    for name in FREE:
        if name not in params:
            continue
        try:
            _, choice = read_choice({**good, name: params[name]})
            if name != "unit":  # which comes with a length
                choice.experiment()
        except InvalidValue as error:
            problems.append(str(error))
        else:
            good[name] = params[name]
    preset, choice = read_choice(good)
    try:
        choice.arms()
    except InvalidValue as error:
        problems.append(str(error))
        changed = {name: text for name, text in good.items() if name not in ("unit", "length")}
        preset, choice = read_choice(changed)
    return preset, choice, problems


# Digits, and answers to them


@dataclass(frozen=True)
class Averages:
    """The average image of each digit, uint8 (10, 28, 28), and how well the nearest of them
    tells what an unseen digit is."""

    images: np.ndarray
    accuracy: float


def averages(root: Path) -> Averages:
    """Of the first 10,000 training images; judged by the test images."""
    count = 10_000
    images = first(read_part("mnist", root, "train_images"), count)
    labels = first(read_part("mnist", root, "train_labels"), count)
    mnist = DATASETS["mnist"]
    pixels = math.prod(mnist.image)
    belongs = (labels == np.arange(mnist.classes)[:, None]).astype(np.float32)
    sums = np.zeros((mnist.classes, pixels), np.float32)
    for part in parts(count):
        sums += belongs[:, part] @ images.reshape(-1, pixels)[part].astype(np.float32)
    means = sums / belongs.sum(axis=1)[:, None]
    unseen, right = unseen_images("mnist", root)
    nearest = []
    for part in parts(len(unseen)):
        flat = unseen[part].reshape(-1, pixels).astype(np.float32)
        # |x - m|² without what is the same for all m.
        nearest.append(((means**2).sum(axis=1) - 2 * flat @ means.T).argmin(axis=1))
    accuracy = float((np.concatenate(nearest) == right).mean())
    return Averages(means.astype(np.uint8).reshape(-1, *mnist.image[1:]), accuracy)


@dataclass(frozen=True)
class Point:
    """The dense network with the fraction `sparsity` of its weights pruned in one go."""

    sparsity: float
    kept: int
    accuracy: float


def sparsities_of(experiment: Experiment) -> list[float]:
    """Where the slider stops: those of the rounds too, where levels say the same."""
    return sorted({*SPARSITIES, *(step.sparsity for step in experiment.rounds)})


def falling(
    experiment: Experiment,
    trained: Arrays,
    images: np.ndarray,
    labels: np.ndarray,
) -> Iterator[Point]:
    """How the dense network's accuracy falls as it is pruned and not trained again."""
    recipe = experiment.recipe
    mask = dense_mask(recipe.shapes)
    evidence = Evidence(initial=trained, trained=trained, mask=mask)
    for sparsity in sparsities_of(experiment):
        kept = prune(evidence, "magnitude", [Target((name,), sparsity) for name in recipe.shapes])
        found = answers(recipe, apply(trained, kept), images)
        yield Point(
            sparsity,
            sum(int(layer.sum()) for layer in kept.values()),
            float((found == labels).mean()),
        )


# Sentences


def trained(info: LevelInfo) -> str:
    """Of the dense network, level 0."""
    recipe = Experiment.from_dict(info.experiment).recipe
    words = (
        f"Your network has **{info.weights_total:,} weights**. After {recipe.iterations:,} "
        f"iterations, each a small correction after a look at {recipe.batch_size} images, it "
        f"reads **{as_percent(info.test_accuracy)}** of {_TEST:,} unseen digits correctly."
    )
    if not has_learned(info, info.test_accuracy):
        words += " That is little better than guessing: this training taught it next to nothing."
    return words


def pruned_alone(points: Sequence[Point]) -> str:
    """Of the dense network that is pruned and not trained again."""
    dense, last = points[0].accuracy, _at(points, 0.95)
    safe = points[0]
    for point in points:
        if point.accuracy < dense - 0.01:
            break
        safe = point
    if safe is points[-1]:
        words = f"Even without {_short(safe.sparsity)} of its weights your network is "
        words += "within a point of where it was."
    elif safe is points[0]:
        words = f"Your network can hardly spare any: without {_short(points[1].sparsity)} of its "
        words += f"weights it reads {as_percent(points[1].accuracy)}, of {as_percent(dense)} "
        words += "before."
    else:
        words = (
            f"Your network can lose **{_short(safe.sparsity)}** of its weights and still read "
            f"{as_percent(safe.accuracy)}, within a point of the {as_percent(dense)} before."
        )
    fell = "only " if last.accuracy < dense - 0.05 else ""
    return (
        f"{words} Without {_short(last.sparsity)} of them it reads {fell}"
        f"**{as_percent(last.accuracy)}**; guessing would get about 10\u202f%."
    )


def _at(points: Sequence[Point], sparsity: float) -> Point:
    return min(points, key=lambda point: abs(point.sparsity - sparsity))


def retrained(dense: LevelInfo, info: LevelInfo) -> str:
    """Of a pruned level: left alone, and rewound and trained again."""
    alone, after = info.test_accuracy_dense_pruned, info.test_accuracy
    gap = round(100 * (after - alone), 1)
    if gap > 0:
        came = f"{gap:.1f} points more"
    elif gap < 0:
        came = f"{-gap:.1f} points less, so training again did not help here"
    else:
        came = "no more and no less"
    return (
        f"Your trained network, pruned to {_gone(info)} in one go and left alone, reads "
        f"{as_percent(alone)}. With as few weights, rewound and trained again, it reads "
        f"**{as_percent(after)}**: {came}. With all its weights it read "
        f"{as_percent(dense.test_accuracy)}."
    )


def again(infos: Sequence[LevelInfo], rounds: int) -> str:
    """Of all levels that are there, of so many rounds."""
    dense, last = infos[0], infos[-1]
    done = last.level
    when = f"After {done} rounds" if done > 1 else "After one round"
    if done < rounds:
        when = f"{when} of {rounds}"
    words = (
        f"{when} **{last.weights_kept:,} of {last.weights_total:,}** weights are left "
        f"({size_in_words(last.percent_remaining)}). Trained from their old values they read "
        f"**{as_percent(last.test_accuracy)}** of the digits, {_against(last, dense)}."
    )
    if done < rounds:
        return words
    seed = Experiment.from_dict(dense.experiment).recipe.seed
    return f"{words} {verdict_in_words({seed: infos})}{empty_in_words(infos)}"


def new_weights(ticket: Level, reinit: Level) -> str:
    """Of one mask with the old initial weights and with new random ones."""
    kept = ticket.info.weights_kept
    words = (
        f"The same {kept:,} places: with their own initial weights they reach "
        f"**{as_percent(ticket.info.test_accuracy)}**, with new random ones "
        f"**{as_percent(reinit.info.test_accuracy)}**"
    )
    gap = round(100 * (ticket.info.test_accuracy - reinit.info.test_accuracy), 1)
    if gap > 0:
        words += f", {gap:.1f} points less."
    elif gap < 0:
        words += f": {-gap:.1f} points more. Here the new weights did better."
    else:
        words += ": no difference to speak of."
    first, other = (
        level.history.iloc[min(1, len(level.history) - 1)] for level in (ticket, reinit)
    )
    if first["iteration"] == other["iteration"] > 0:
        words += (
            f" After the first {int(first['iteration']):,} iterations it was "
            f"{as_percent(first['test_accuracy'])} against {as_percent(other['test_accuracy'])}."
        )
    return f"{words} One seed, and others differ much: this gap alone proves nothing."


def _against(info: LevelInfo, dense: LevelInfo) -> str:
    gap = round(100 * (info.test_accuracy - dense.test_accuracy), 1)
    beside = f"{as_percent(dense.test_accuracy)} with all weights"
    if not gap:
        return f"as many as the {beside}"
    return f"{abs(gap):.1f} points {'more' if gap > 0 else 'less'} than the {beside}"


def _gone(info: LevelInfo) -> str:
    return f"{size_in_words(100 - info.percent_remaining)} sparsity"


def _short(fraction: float) -> str:
    return f"{100 * fraction:.3g}\u202f%"
