"""Whether the compiled loop's trainings end as well as torch's: accuracies over seeds, in pairs.

    python -m benchmarks.agreement [--seeds 5]

A step of either is that of float64 to rounding (tests/test_sparse_loop.py and
tests/test_convolution.py). Rounding makes two
trainings part after some hundred steps, torch's from its own no less; from there on they are two
draws of the same procedure. Of an epoch of the notebook's network such differences have a
standard deviation of 0.2 points of test accuracy (0.25 in the dense half). Exits with 1 when
their mean is beyond three standard errors of that: a wrong gradient or a lost weight costs whole
points.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from lottery_core.data import load_data
from lottery_core.method.criteria import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.method.pruning import prune
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.training import sparse_loop, torch_loop
from lottery_core.training.base import Training
from lottery_core.training.models import initial_weights

_CACHE = Path(__file__).resolve().parent.parent / "cache" / "datasets"
_DEVIATION = 0.25  # points


_NOTEBOOK = Recipe(iterations=1_719, evaluate_every=1_719)
_LENET_5 = Recipe(
    network="lenet-5", optimiser="adam", momentum=0, learning_rate=0.0012, batch_size=60,
    iterations=917, evaluate_every=917,
)  # fmt: skip


def differences(recipe: Recipe, sparsity: float, seeds: int) -> np.ndarray:
    """Test accuracy of the compiled loop minus torch's, in points, for each seed."""
    found = []
    for seed in range(seeds):
        recipe = replace(recipe, seed=seed)
        data = load_data(recipe, _CACHE)
        weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
        if sparsity:
            (step,) = rounds_of([sparsity])
            evidence = Evidence(weights, weights, mask)
            mask = prune(evidence, step.criterion, step.targets([*mask]))
        compiled, torchs = (
            train(Training(recipe, apply(weights, mask), mask), data, lambda moment: None)
            .history[-1]
            .test_accuracy
            for train in (sparse_loop.train, torch_loop.train)
        )
        found.append(100 * (compiled - torchs))
    return np.array(found)


def main() -> int:
    """Print the differences; 1 if the loops do not end alike."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    bound, alike = 3 * _DEVIATION / seeds**0.5, True
    for recipe, sparsity in product((_NOTEBOOK, _LENET_5), (0, 0.784)):
        found = differences(recipe, sparsity, seeds)
        alike &= abs(found.mean()) <= bound
        print(
            f"{recipe.net.title}, {1 - sparsity:6.1%} of weights: compiled minus torch "
            f"{found.mean():+.2f} points (at most {bound:.2f} either way); one by one "
            f"{np.round(found, 2).tolist()}"
        )
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
