"""Training written down once more, in float64: what every loop is judged by.

Two float32 programs that are both right may part at a single step. Where the sum before a ReLU
is 0 but for rounding, one opens it and the other does not; and Adam divides a gradient by its
own size, so of one that is 0 but for rounding it makes a whole step. A `Reference` says how near
to either a step came. It does so alike on every processor, being far from the limits of float64.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data
from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.training.base import batch_order
from lottery_core.training.torch_loop import one_torch_thread

# Of a float32 gradient, as a share of the largest of its array; measured: a third of it.
ROUNDING = 1e-6

_order = lru_cache(maxsize=8)(batch_order)


def bias_of(name: str) -> str:
    """The name of the biases beside these weights."""
    return name.replace(".weight", ".bias")


def rate_at(recipe: Recipe, iteration: int) -> float:
    """The learning rate, written down once more."""
    rise = 1 if iteration >= recipe.warmup else (iteration + 1) / recipe.warmup
    drops = len([at for at in recipe.decay_at if at <= iteration])
    return recipe.learning_rate * rise * recipe.decay_factor**drops


def slopes(
    recipe: Recipe, weights: Arrays, images: np.ndarray, labels: np.ndarray
) -> tuple[float, Arrays, float]:
    """(mean loss, its gradient by name, how near to 0 a sum before a ReLU came), by autograd."""
    there = {name: _tensor(values).requires_grad_() for name, values in weights.items()}
    values, edge = _tensor(images), np.inf
    with one_torch_thread():
        for name in recipe.shapes:
            values = F.linear(values, there[name], there[bias_of(name)])
            if name != recipe.output_layer:
                edge = min(edge, values.detach().abs().min().item())
                values = values.relu()
        loss = F.cross_entropy(values, torch.tensor(labels))
        loss.backward()
    return loss.item(), {name: value.grad.numpy() for name, value in there.items()}, edge


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float64, copy=False))


def logits(weights: Arrays, images: np.ndarray) -> np.ndarray:
    """What the network answers, (n, 10)."""
    names = [name for name in weights if name.endswith(".weight")]
    values = images.astype(np.float64)
    for name in names:
        values = values @ weights[name].T.astype(np.float64) + weights[bias_of(name)]
        values = values if name == names[-1] else np.maximum(values, 0)
    return values


def judged(weights: Arrays, images: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """(mean loss, accuracy, share of images whose two likeliest classes are level to five
    digits, which a float32 program may call either way)."""
    values = logits(weights, images)
    best = np.sort(values, axis=1)[:, -2:]
    values -= best[:, 1:]
    losses = np.log(np.exp(values).sum(axis=1)) - values[np.arange(len(labels)), labels]
    level = best[:, 1] - best[:, 0] < 1e-5 * np.maximum(1, np.abs(best[:, 1]))
    return losses.mean(), (values.argmax(axis=1) == labels).mean(), level.mean()


@dataclass
class Reference:
    """A network in training, from an iteration on with all moments 0.

    `mean` is SGD's velocity, or Adam's mean of the gradient, and `square` that of its square;
    `edge` is how near to 0 a sum before a ReLU came in the last step.
    """

    recipe: Recipe
    weights: Arrays
    mask: Arrays
    data: Data
    iteration: int = 0
    steps: int = 0
    mean: Arrays = field(init=False)
    square: Arrays = field(init=False)
    edge: float = np.inf

    def __post_init__(self) -> None:
        self.weights = {name: value.astype(np.float64) for name, value in self.weights.items()}
        self.mean = {name: np.zeros_like(value) for name, value in self.weights.items()}
        self.square = {name: np.zeros_like(value) for name, value in self.weights.items()}

    def step(self) -> float:
        """Take a step; the loss before it."""
        epoch, batch = divmod(self.iteration, self.recipe.iterations_per_epoch)
        size = self.recipe.batch_size
        order = self.data.train_index[_order(self.recipe, epoch)]
        chosen = order[batch * size : (batch + 1) * size]
        loss, self._gradient, self.edge = slopes(
            self.recipe, self.weights, self.data.images[chosen], self.data.labels[chosen]
        )
        self._rate = rate_at(self.recipe, self.iteration)
        self.iteration, self.steps = self.iteration + 1, self.steps + 1
        self._before = self.weights, self.mean, self.square
        self.weights, self.mean, self.square = {}, {}, {}
        for name in self._gradient:
            changed = self._changed(name, self._gradient[name])
            self.weights[name], self.mean[name], self.square[name] = changed
        return loss

    def slack(self, name: str) -> np.ndarray:
        """By how much the last step would lead elsewhere if the gradient were off by `ROUNDING`."""
        gradient = self._gradient[name]
        # Of a unit that no image opens every program finds the gradient 0.
        off = ROUNDING * np.abs(gradient).max() * (gradient != 0)
        less, more = (self._changed(name, gradient + by)[0] for by in (-off, off))
        return np.abs(less - more)

    def _changed(self, name: str, gradient: np.ndarray) -> tuple[np.ndarray, ...]:
        """(weights, mean, square) after a step from where the last one began."""
        weights, mean, square = (arrays[name] for arrays in self._before)
        slope = gradient + self.recipe.weight_decay * weights
        if self.recipe.optimiser == "sgd":
            change = mean = self.recipe.momentum * mean + slope
        else:
            mean = 0.9 * mean + 0.1 * slope
            square = 0.999 * square + 0.001 * slope**2
            spread = np.sqrt(square / (1 - 0.999**self.steps))
            change = mean / (1 - 0.9**self.steps) / (spread + 1e-8)
        return (weights - self._rate * change) * self.mask.get(name, 1), mean, square


def settled(
    start_of: Callable[[Recipe], tuple[Arrays, Arrays]],
    data_of: Callable[[Recipe], Data],
    recipe: Recipe,
    first_iteration: int = 0,
) -> tuple[Recipe, Arrays, Arrays, Reference, list[float]]:
    """(recipe, start, mask, reference at its end, its losses) of a small network's training that
    every program has to follow: with the first seed of which no step is a matter of rounding.

    That is, no sum before a ReLU comes near to 0, and no weight goes elsewhere for the last
    digits of a gradient.
    """
    for seed in range(50):
        recipe = replace(recipe, seed=seed)
        start, mask = start_of(recipe)
        reference, losses = Reference(recipe, start, mask, data_of(recipe), first_iteration), []
        while reference.iteration < recipe.iterations:
            losses.append(reference.step())
            if not _is_sure(reference):
                break
        else:
            return recipe, start, mask, reference, losses
    raise AssertionError("every seed has a step that hangs on rounding; choose a smaller network")


def _is_sure(reference: Reference) -> bool:
    # Of networks of a few units float32 is off by less than 1e-6 before a ReLU.
    return reference.edge > 5e-6 and all(
        reference.slack(name).max() < 1e-5 * np.abs(values).max()
        for name, values in reference.weights.items()
    )
