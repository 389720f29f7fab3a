"""Small networks for tests: masks and weights by name, levels that nobody trained, and files."""

import io

import numpy as np
import pandas as pd

from lottery_core.spec.experiment import Experiment
from lottery_core.spec.keys import VERSION
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Level
from tests.infos import info_of

HIDDEN = (4,)
# A chain of convolutions, one with batch norm, one with shortcuts.
CONVOLUTIONAL = ("4 pool 6@5v pool 12", "norm 4 pool 6 mean", "resnet-8 x0.25")


def text_of(network):
    """A network as a text; a fully connected one may be given by its hidden layers' sizes."""
    return network if isinstance(network, str) else " ".join(map(str, network)) or "none"


def net_of(network):
    return Recipe(network=text_of(network)).net


def shapes(network=HIDDEN):
    return net_of(network).shapes


def masks(network=HIDDEN, seed=0):
    """A mask that keeps about half, and something in every layer."""
    source = np.random.default_rng(seed)
    made = {name: source.random(shape) < 0.5 for name, shape in shapes(network).items()}
    for kept in made.values():
        kept.ravel()[0] |= not kept.any()
    return made


def weights(network=HIDDEN, seed=1):
    """Parameters and buffers, none of them 0."""
    source, net = np.random.default_rng(seed), net_of(network)
    return {
        name: source.uniform(0.1, 1, shape).astype(np.float32)
        for name, shape in (net.parameters | net.buffers).items()
    }


def masked(arrays, mask):
    return {name: values * mask.get(name, np.float32(1)) for name, values in arrays.items()}


def make_level(network=HIDDEN, **recipe):
    """Level 2 of an experiment, with numbers that no training made."""
    recipe = Recipe(network=text_of(network), iterations=12, evaluate_every=6, **recipe)
    experiment, mask = Experiment(recipe, rounds_of([0.5, 0.75])), masks(network)
    return Level(
        info=info_of(
            key=experiment.key,
            level=2,
            experiment=experiment.as_dict(),
            layers={name: (kept.size, int(kept.sum())) for name, kept in mask.items()},
            versions={"key": VERSION, "python": "3.11", "torch": "2", "numpy": "2"},
            test_accuracy_before_retraining=0.1,
            test_accuracy_dense_pruned=0.1,
        ),
        mask=mask,
        start=masked(weights(network), mask),
        end=masked(weights(network, 2), mask),
        losses=np.zeros(12, np.float32),
        history=pd.DataFrame(),
    )


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
