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
from lottery_core.training.torch_loop import TorchNetwork, one_torch_thread, test_accuracy, train

# Two convolutions at the images' full size, narrow and wide, and how many images a step.
_CONVOLUTIONS = (("32 32 pool mean", 32), ("64 64 pool mean", 16))
_STEPS = 5


def measure(store: Store, usual: Recipe) -> dict:
    """`step`: (multiply-adds, seconds) of a step of two fully connected networks; `evaluation`:
    seconds an image and weight; `convolutions`: for two of them, of an image, its multiply-adds,
    the numbers on its way, and seconds of a step and of an answer."""
    steps = []
    evaluation = 0.0
    for network, batch_size in (("128 64", 32), ("300 100", 128)):
        sizes = {"network": network, "batch_size": batch_size}
        recipe = replace(usual, **sizes, iterations=40, evaluate_every=40)
        data = load_data(recipe, store.datasets)
        weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
        stamps: dict[int, float] = {}

        def stamp(moment, stamps=stamps) -> None:
            # The last call before the steps and the first after them.
            key = 0 if moment.iteration == 0 else moment.iteration
            if key == 0 or key not in stamps:
                stamps[key] = time.perf_counter()

        test_accuracy(recipe, weights, data)
        began = time.perf_counter()
        test_accuracy(recipe, weights, data)
        evaluation = (time.perf_counter() - began) / (10_000 * recipe.weights_total)
        train(Training(recipe, weights, mask), data, stamp)
        last = max(stamps)
        per_chunk = evaluation * recipe.weights_total * 1_000  # the first look after the steps
        seconds = max(1e-5, (stamps[last] - stamps[0] - per_chunk) / last)
        steps.append([recipe.weights_total * batch_size, seconds])
    convolutions = [_convolution(store, usual, *sizes) for sizes in _CONVOLUTIONS]
    return {"step": steps, "evaluation": evaluation, "convolutions": convolutions}


def _convolution(store: Store, usual: Recipe, network: str, batch_size: int) -> list[float]:
    recipe = replace(usual, network=network, batch_size=batch_size, iterations=_STEPS)
    recipe = replace(recipe, evaluate_every=_STEPS, validation_size=batch_size)
    data = load_data(recipe, store.datasets)
    data = replace(data, test_images=data.test_images.take(slice(0, 0)))
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    with one_torch_thread():
        trained = TorchNetwork(Training(recipe, weights, mask), data)
        took = {"step": math.inf, "answer": math.inf}
        for step in range(_STEPS):
            began = time.perf_counter()
            trained.steps(0, step, np.empty(1, np.float32))
            ended = time.perf_counter()
            trained.evaluate(lambda: None)
            answered = time.perf_counter()
            took["step"] = min(took["step"], ended - began)
            took["answer"] = min(took["answer"], answered - ended)
    net = recipe.net
    each = [seconds / batch_size for seconds in took.values()]
    return [net.multiply_adds(), net.activations, *each]
