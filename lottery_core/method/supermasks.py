"""Masks that are learned while the weights stay what they were.

Every weight has a score, and what is trained are the scores. For a step of the network they say
which weights are there; the derivative of the loss by a weight's place in the mask, dL/dm = w dL/dw
of the masked weight, goes straight through to the score, as if the choice had been a smooth one. In
the end each layer keeps as many weights as were asked for, those with the greatest scores.

To add a rule, list it in `SUPERMASKS` and say in `training.mask_search` what it does in a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.method.pruning import best
from lottery_core.method.seeds import seed_of

Begin = Callable[[np.random.Generator, tuple[int, ...], int], np.ndarray]


def _spread(draw: np.random.Generator, shape: tuple[int, ...], count: int) -> np.ndarray:
    """Uniform in ±1/√fan_in, as the authors of edge-popup draw them (Kaiming with a = √5)."""
    bound = math.prod(shape[1:]) ** -0.5
    return draw.uniform(-bound, bound, shape).astype(np.float32)


def _equal(draw: np.random.Generator, shape: tuple[int, ...], count: int) -> np.ndarray:
    """m with sigmoid(m) = count / weights: on average as many are drawn as shall be kept."""
    weights = math.prod(shape)
    part = min(max(count, 0.5), weights - 0.5) / weights
    return np.full(shape, math.log(part / (1 - part)), np.float32)


@dataclass(frozen=True)
class Supermask:
    """A rule, and what a page says of it.

    `begin(draw, shape, count)` makes a layer's first scores, float32, of which `count` are kept in
    the end. `is_drawn` says that a step draws the mask by chance, a weight with the probability
    sigmoid(score); else it keeps the greatest scores. `rates` has for each optimiser by how much
    the learning rate of scores is above that of weights. `version` is raised when the same request
    gives another mask than before; levels made by it then get other keys.
    """

    title: str
    summary: str
    begin: Begin
    is_drawn: bool
    rates: Mapping[str, float]
    version: int = 1

    def scores(self, shapes: Mapping[str, tuple[int, ...]], kept: Mapping[str, int], seed: int):
        """First scores by name, for weights of these `shapes` of which `kept` are in the end."""
        return {
            name: self.begin(np.random.default_rng(seed_of(seed, name)), shape, kept[name])
            for name, shape in shapes.items()
        }


# How much faster scores are learned than weights. The slopes of SGD are those of weights times the
# weights, which are small, and a probability's times its own slope: the authors of edge-popup take
# a rate of 0.1 for larger weights, those of learned masks hundreds. Adam's steps have one length:
# a score of edge-popup is as large as a weight, but logarithms of odds have units to go. Measured
# on images held out, in 400 to 1,500 iterations with 5 to 50 % of the weights, of the presets quick
# and LeNet-5 (SGD at 0.02) and LeNet-300-100 (Adam at 0.0012). With ten times less, SGD learns less
# (LeNet-5 with 20 %: edge-popup 88 % in place of 92). Of a learned mask with half of the weights
# the likeliest are then not told apart from the others: quick 74 % with a factor of 20,000, 91 with
# 40,000; but LeNet-5 falls to 51 % with 100,000. Adam hardly minds a factor of three.
SUPERMASKS = {
    "edge-popup": Supermask(
        "edge-popup",
        "every weight has a score, and each layer keeps those with the greatest scores, which "
        "alone are trained (Ramanujan et al. 2020, arXiv 1911.13299)",
        _spread,
        is_drawn=False,
        rates={"sgd": 100.0, "adam": 1.0},
    ),
    "learned-mask": Supermask(
        "learned mask",
        "every weight has a probability to be there, which alone is trained; the likeliest of "
        "each layer are kept (Zhou et al. 2019, arXiv 1905.01067)",
        _equal,
        is_drawn=True,
        rates={"sgd": 40_000.0, "adam": 200.0},
    ),
}


@dataclass(frozen=True)
class Learning:
    """A mask to be learned: by which `rule` of `SUPERMASKS`, how many weights each layer keeps, and
    the `seed` of the first scores."""

    rule: str
    kept: Mapping[str, int]
    seed: int

    def first(self, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """The scores to begin with, by name."""
        return SUPERMASKS[self.rule].scores(shapes, self.kept, self.seed)

    def mask_of(self, scores: Arrays) -> Arrays:
        """The greatest scores of each layer, exactly as many as shall be kept."""
        return {name: best(values, self.kept[name]) for name, values in scores.items()}
