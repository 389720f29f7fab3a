"""Learning a mask in torch: of a network whose weights stay what they are (`method.supermasks`).

Only scores are trained, by the recipe's optimiser and schedule at a rate of their own. Biases and
what batch norm scales and shifts by stay as they began, as the weights do. Batch norm's running
statistics are no weights: they follow what the network makes of the images under the masks of the
moment, or it could not be evaluated.

The weights of a mask with few of them answer with small numbers, on which the loss is flat: with a
fifth of LeNet-300-100 a mask learned in 600 iterations was right of 59 % of the images. The papers
make the weights larger by what is missing. Here the weights stay what they are, and the loss, of
training and evaluation, is that of the answers times one number, with which those to the first
batch have standard deviation 1: 95 %. Which class is the likeliest does not depend on it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from lottery_core.data import Data
from lottery_core.method.masks import Arrays, apply
from lottery_core.method.pruning import best
from lottery_core.method.supermasks import SUPERMASKS
from lottery_core.training import torch_loop
from lottery_core.training.base import Report, Trained, Training, batch_order
from lottery_core.training.optimisers import Optimiser
from lottery_core.training.torch_loop import TorchNetwork


def train(training: Training, data: Data, report: Report, *, device: str = "cpu") -> Trained:
    """Learn the training's mask; what is returned has its weights under the mask that was found,
    bit for bit. Otherwise as `torch_loop.train`."""
    return torch_loop.train(training, data, report, device=device, network=ScoredNetwork)


class ScoredNetwork(TorchNetwork):
    """A torch module under a mask that is learned, and its data on one device
    (see `base.MaskSearch`)."""

    def __init__(self, training: Training, data: Data, device: str = "cpu") -> None:
        super().__init__(training, data, device)
        self._start, self._learning = training.weights, training.learning
        parameters = dict(self._model.named_parameters())
        for parameter in parameters.values():
            parameter.requires_grad_(False)
        rule = SUPERMASKS[self._learning.rule]
        self._layers = {
            name: Scored(parameters[name], scores, self._learning.kept[name], rule.is_drawn)
            for name, scores in self._learning.first(training.recipe.shapes).items()
        }
        self._optimiser = Optimiser(
            [layer.scores for layer in self._layers.values()],
            training.recipe,
            device,
            times=rule.rates[training.recipe.optimiser],
        )
        self._scale_answers()
        self.found()

    def _scale_answers(self) -> None:
        recipe = self._recipe
        order = batch_order(recipe, 0, self._order_number)[: recipe.batch_size]
        images, _ = self._data[self._data.index(self._index[order])]
        for layer in self._layers.values():
            layer.choose()
        with torch.no_grad():
            spread = float(self._model(images).std())
        for name, now in self._model.named_buffers():  # as if nobody had looked
            now.copy_(torch.from_numpy(self._start[name]))
        times = 1 / spread if spread > 0 and math.isfinite(spread) else 1.0
        self._model.register_forward_hook(lambda model, given, answers: times * answers)

    def _take(self, chosen: np.ndarray | torch.Tensor, *moves: torch.Tensor) -> torch.Tensor:
        for layer in self._layers.values():
            layer.choose()
        return super()._take(chosen, *moves)

    def _change(self) -> None:
        for layer in self._layers.values():
            layer.pass_on()
        self._optimiser.step()

    def found(self) -> Arrays:
        """See `base.MaskSearch`."""
        self._found = self._learning.mask_of(
            {name: layer.scores.detach().cpu().numpy() for name, layer in self._layers.items()}
        )
        for name, layer in self._layers.items():
            layer.put_under(torch.from_numpy(self._found[name]))
        return self._found

    def weights(self) -> Arrays:
        """Those it began with, under the mask that was found last, with what batch norm measured
        since."""
        measured = {name: now.cpu().numpy().copy() for name, now in self._model.named_buffers()}
        return apply(self._start | measured, self._found)


class Scored:
    """A layer's weights that stay, and the scores of which `kept` are the greatest in the end."""

    def __init__(self, weight: nn.Parameter, scores: np.ndarray, kept: int, is_drawn: bool) -> None:
        self.weight, self._kept, self._is_drawn = weight.requires_grad_(), kept, is_drawn
        self._fixed = weight.detach().clone()
        # In the same order in memory as the weights, which have that of their gradients.
        self.scores = nn.Parameter(torch.empty_like(self._fixed).copy_(torch.from_numpy(scores)))

    @torch.no_grad()
    def choose(self) -> None:
        """Put the weights under the mask of the next step."""
        scores = self.scores.data
        if self._kept == scores.numel():
            return
        if not self._is_drawn:
            self.put_under(_greatest(scores, self._kept))
            return
        chance = scores.sigmoid()
        # All scores go up or down alike, so that on average as many are drawn as shall be kept: one
        # step of Newton's method from where the last one led. Else a network that learned under
        # many weights would end with few.
        excess = chance.sum() - self._kept
        scores.sub_((excess / _slope(chance).sum()).clamp_(-1, 1))
        self._chance = scores.sigmoid()
        self.put_under(torch.bernoulli(self._chance))

    @torch.no_grad()
    def put_under(self, mask: torch.Tensor) -> None:
        """Put the weights under a mask."""
        self.weight.copy_(self._fixed * mask.to(self._fixed.device))

    @torch.no_grad()
    def pass_on(self) -> None:
        """Make the weights' gradients those of the scores."""
        slopes = self.weight.grad * self._fixed
        if self._is_drawn:
            slopes *= _slope(self._chance)
        self.scores.grad, self.weight.grad = slopes, None


def _slope(chance: torch.Tensor) -> torch.Tensor:
    """d sigmoid(m) / dm, where that is `chance`."""
    return chance * (1 - chance)


def _greatest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """`method.pruning.best`, on the device where they are."""
    if scores.device.type == "cpu":  # three times as fast as torch's topk, measured
        return torch.from_numpy(best(scores.numpy(), count))
    return greatest_elsewhere(scores, count)


def greatest_elsewhere(scores: torch.Tensor, count: int) -> torch.Tensor:
    """1 at the `count` greatest scores, 0 elsewhere, without a look at any number; which of equal
    ones it has is the device's."""
    flat = scores.flatten()
    there = torch.zeros_like(flat).index_fill_(0, flat.topk(count, sorted=False).indices, 1)
    return there.reshape(scores.shape)
