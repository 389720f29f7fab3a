"""How fast this machine trains, before it has trained anything: a few steps of a few networks.

What is measured is what `time_left` reckons with: a fully connected network costs a fixed part and
a part per multiply-add; a convolutional one a part per multiply-add and a part per number on its
way, as it is written to memory and read again.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from lottery_core.data import load_data
from lottery_core.method.masks import dense_mask
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Store
from lottery_core.training.base import Training
from lottery_core.training.models import initial_weights
from lottery_core.training.torch_loop import TorchNetwork, one_torch_thread, train

_DENSE = (("128 64", 32), ("300 100", 128))
# Two convolutions at the images' full size, narrow and wide, and how many images a step.
_CONVOLUTIONS = (("32 32 pool mean", 32), ("64 64 pool mean", 16))
_JUDGED = 1_000  # images that a fully connected network answers at once


def rehearse(store: Store, usual: Recipe) -> None:
    """A few steps and looks that nobody times: the first of a process are slow."""
    recipe = replace(usual, iterations=2, evaluate_every=2)
    data = load_data(recipe, store.datasets)
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    train(Training(recipe, weights, mask), data, lambda moment: None)


def measure(store: Store, usual: Recipe) -> dict:
    """`step`: (multiply-adds, seconds) of a step of two fully connected networks; `evaluation`:
    seconds an image and weight; `convolutions`: for two of them, of an image, its multiply-adds,
    the numbers on its way, and seconds of a step and of an answer."""
    steps, convolutions, evaluation = [], [], 0.0
    for network, batch_size in _DENSE:
        recipe = replace(usual, network=network, batch_size=batch_size, validation_size=_JUDGED)
        step, answer = _timed(store, recipe, times=40)
        steps.append([recipe.weights_total * batch_size, step])
        evaluation = answer / (_JUDGED * recipe.weights_total)
    for network, batch_size in _CONVOLUTIONS:
        recipe = replace(usual, network=network, batch_size=batch_size, validation_size=batch_size)
        each = [seconds / batch_size for seconds in _timed(store, recipe, times=5)]
        convolutions.append([recipe.net.multiply_adds(), recipe.net.activations, *each])
    return {"step": steps, "evaluation": evaluation, "convolutions": convolutions}


def _timed(store: Store, recipe: Recipe, times: int) -> tuple[float, float]:
    """Seconds of a step, and of an answer to the images that are held out: the least of some, as
    the first ones are slow and others may use the machine."""
    recipe = replace(recipe, iterations=times, evaluate_every=times)
    data = load_data(recipe, store.datasets)
    data = replace(data, test_images=data.test_images.take(slice(0, 0)))
    step = answer = math.inf
    with one_torch_thread():
        trained = TorchNetwork(
            Training(recipe, initial_weights(recipe), dense_mask(recipe.shapes)), data
        )
        for n in range(times):
            began = time.perf_counter()
            trained.steps(0, n, np.empty(1, np.float32))
            step = min(step, time.perf_counter() - began)
        for _ in range(5):
            began = time.perf_counter()
            trained.evaluate(lambda: None)
            answer = min(answer, time.perf_counter() - began)
    return step, answer
