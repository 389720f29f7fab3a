"""Whether the compiled loop's trainings end as well as torch's: accuracies over seeds, in pairs.

    python -m benchmarks.agreement [--seeds 5]

A step of either is that of float64 to rounding (tests/test_sparse_loop.py). Rounding makes two
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


def differences(sparsity: float, seeds: int) -> np.ndarray:
    """Test accuracy of the compiled loop minus torch's, in points, for each seed."""
    found = []
    for seed in range(seeds):
        recipe = replace(Recipe(), iterations=1_719, evaluate_every=1_719, seed=seed)
        data = load_data(recipe, _CACHE)
        weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
        if sparsity:
            (step,) = rounds_of([sparsity])
            mask = prune(Evidence(weights, weights, mask), step, recipe.output_layer)
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
    for sparsity in (0, 0.784):
        found = differences(sparsity, seeds)
        alike &= abs(found.mean()) <= bound
        print(
            f"{1 - sparsity:6.1%} of weights: compiled minus torch {found.mean():+.2f} points "
            f"(at most {bound:.2f} either way); one by one {np.round(found, 2).tolist()}"
        )
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
