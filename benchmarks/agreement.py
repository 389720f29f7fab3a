"""Whether the compiled loop's trainings end as well as torch's: accuracies over seeds, in pairs.

    python -m benchmarks.agreement [--seeds 5] [--only NAME ...]

A step of either is that of float64 to rounding (tests/test_sparse_loop.py and
tests/test_convolution.py). Rounding makes two trainings part after some hundred steps; from there
on they are two draws of the same procedure. How far such draws lie apart is measured, not assumed:
torch trains once more with the images of each batch in reverse, the same step but for the order
in which it adds up. Exits with 1 when compiled minus torch is, on the mean, beyond three standard
errors by that: a wrong gradient or a lost weight costs whole points.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from lottery_core.data import load_data
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.method.pruning import prune
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.training import base, sparse_loop, torch_loop
from lottery_core.training.base import Training
from lottery_core.training.models import initial_weights

_CACHE = Path(__file__).resolve().parent.parent / "cache" / "datasets"
_SPARSITIES = (0, 0.784)

_ADAM = {"optimiser": "adam", "momentum": 0, "learning_rate": 0.0012, "batch_size": 60}
RECIPES = {  # an epoch of each, or what takes a few minutes in all
    "notebook": Recipe(iterations=1_719),
    "lenet-5": Recipe(network="lenet-5", **_ADAM, iterations=917),
    "conv-2": Recipe(network="conv-2 x0.25", **_ADAM, iterations=200),
    # At one rate its accuracy jumps by points from step to step: what batch norm remembers is of
    # weights that still move. So the rate falls before the end, as it does in such trainings.
    "resnet-8": Recipe(
        network="resnet-8 x0.25", learning_rate=0.02, weight_decay=1e-4, batch_size=64,
        iterations=300, decay_at=(150, 240),
    ),
}  # fmt: skip


def differences(recipe: Recipe, sparsity: float, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Test accuracy in points for each seed: of the compiled loop, and of torch with its batches
    reversed, both minus torch's."""
    found = []
    for seed in range(seeds):
        recipe = replace(recipe, seed=seed, evaluate_every=recipe.iterations)
        data = load_data(recipe, _CACHE)
        weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
        if sparsity:
            (step,) = rounds_of([sparsity])
            evidence = Evidence(weights, weights, mask)
            mask = prune(evidence, step.criterion, step.targets([*mask]))
        training = Training(recipe, apply(weights, mask), mask)

        def accuracy(loop, training=training, data=data) -> float:
            trained = loop.train(training, data, lambda moment: None)
            return 100 * trained.history[-1].test_accuracy

        torchs, compiled = accuracy(torch_loop), accuracy(sparse_loop)
        with _reversed_batches():
            found.append((compiled - torchs, accuracy(torch_loop) - torchs))
    return tuple(np.transpose(found))


@contextmanager
def _reversed_batches() -> Iterator[None]:
    """Inside, torch meets the images of each batch in reverse."""

    def order(recipe: Recipe, epoch: int, number: int = 0) -> np.ndarray:
        whole = base.batch_order(recipe, epoch, number)
        ends = range(recipe.batch_size, len(whole), recipe.batch_size)
        return np.concatenate([batch[::-1] for batch in np.split(whole, ends)])

    with mock.patch.object(torch_loop, "batch_order", order):
        yield


def main() -> int:
    """Print the differences; 1 if the loops do not end alike."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    options = parser.parse_args()
    alike = True
    for name in options.only:
        recipe, rounding, found = RECIPES[name], [], {}
        for sparsity in _SPARSITIES:
            found[sparsity], reversed_ = differences(recipe, sparsity, options.seeds)
            rounding += reversed_.tolist()
        deviation = float(np.sqrt(np.mean(np.square(rounding))))
        bound = 3 * deviation / options.seeds**0.5
        print(
            f"{recipe.net.title}, {recipe.iterations:,} steps: torch minus torch with other "
            f"rounding has a standard deviation of {deviation:.2f} points"
        )
        for sparsity, one in found.items():
            alike &= bool(abs(one.mean()) <= bound)
            print(
                f"    {1 - sparsity:6.1%} of weights: compiled minus torch {one.mean():+.2f} "
                f"(at most {bound:.2f} either way); one by one {np.round(one, 2).tolist()}",
                flush=True,
            )
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
