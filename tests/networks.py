"""Small networks for tests: masks and weights by name, and files of them."""

import io

import numpy as np

from lottery_core.experiment import Recipe

HIDDEN = (4,)


def shapes(hidden=HIDDEN):
    return Recipe(hidden=hidden).shapes


def masks(hidden=HIDDEN, seed=0):
    """A mask that keeps about half, and something in every layer."""
    source = np.random.default_rng(seed)
    return {name: source.random(shape) < 0.5 for name, shape in shapes(hidden).items()}


def weights(hidden=HIDDEN, seed=1):
    """Weights and biases of all layers, none of them 0."""
    source = np.random.default_rng(seed)
    made = {}
    for name, (rows, columns) in shapes(hidden).items():
        made[name] = source.uniform(0.1, 1, (rows, columns)).astype(np.float32)
        made[name.replace("weight", "bias")] = source.uniform(0.1, 1, rows).astype(np.float32)
    return made


def masked(arrays, mask):
    return {name: values * mask.get(name, np.float32(1)) for name, values in arrays.items()}


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype
        and found[name].shape == expected[name].shape
        and found[name].tobytes() == expected[name].tobytes()
        for name in expected
    )
