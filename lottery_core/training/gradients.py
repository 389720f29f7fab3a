"""How the loss on training images changes with each weight, for criteria that ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data
from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.training.models import build
from lottery_core.training.torch_loop import one_torch_thread, seeded

LOSS_IMAGES = 1_000
FLOW_IMAGES = 25  # of each class, as Wang et al. 2020 draw for ten classes


@dataclass(frozen=True)
class Slopes:
    """Derivatives of the mean cross-entropy, in nats, by the weights that a mask keeps.

    Images are drawn with `seed` from the training split alone, at the first call. On the CPU
    whatever trains, so that every device prunes the same weights.
    """

    recipe: Recipe
    data: Data
    seed: int

    def of_loss(self, weights: Arrays, mask: Arrays) -> Arrays:
        """g = dL/dw on 1,000 images: by name and shaped like the mask, float32, pruned 0.0.

        `weights` are by name, with biases; only those that `mask` keeps take part.
        """
        with one_torch_thread(), seeded(self.seed):
            loss, leaves = self._loss(weights, mask, self._drawn[:LOSS_IMAGES])
            return _named(mask, torch.autograd.grad(loss, leaves))

    def of_flow(self, weights: Arrays, mask: Arrays) -> Arrays:
        """Hg, the Hessian times g, on 25 images of each class; otherwise as `of_loss`.

        It is the slope of half the gradient flow g·g (Wang et al. 2020).
        """
        labels = self.data.labels[self._drawn]
        chosen = [
            self._drawn[labels == label][:FLOW_IMAGES] for label in range(self.recipe.net.classes)
        ]
        with one_torch_thread(), seeded(self.seed):
            loss, leaves = self._loss(weights, mask, np.concatenate(chosen))
            slopes = torch.autograd.grad(loss, leaves, create_graph=True)
            flow = sum(values.square().sum() for values in slopes) / 2
            return _named(mask, torch.autograd.grad(flow, leaves))

    def of_synaptic_flow(self, weights: Arrays, mask: Arrays) -> Arrays:
        """dR/d|w| with R the sum of the outputs for an input of ones, absolute weights and no
        biases; float64, otherwise as `of_loss` (Tanaka et al. 2020)."""
        parameters = {
            name: torch.tensor(np.abs(values, dtype=np.float64) if name in mask else 0 * values)
            for name, values in weights.items()
        }
        parameters = {name: values.double() for name, values in parameters.items()}
        leaves = [parameters[name].requires_grad_() for name in mask]
        for name, kept in mask.items():
            parameters[name] = parameters[name] * torch.tensor(kept)
        with one_torch_thread(), seeded(self.seed):
            ones = torch.ones((1, *self.recipe.net.input), dtype=torch.float64)
            flow = functional_call(build(self.recipe), parameters, (ones,)).sum()
            return _named(mask, torch.autograd.grad(flow, leaves))

    @cached_property
    def _drawn(self) -> np.ndarray:
        return np.random.default_rng(self.seed).permutation(self.data.train_index)

    def _loss(
        self, weights: Arrays, mask: Arrays, chosen: np.ndarray
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        parameters = {name: torch.tensor(values) for name, values in weights.items()}
        leaves = [parameters[name].requires_grad_() for name in mask]
        for name, kept in mask.items():
            parameters[name] = parameters[name] * torch.tensor(kept)
        images = torch.from_numpy(self.data.images[chosen])
        logits = functional_call(build(self.recipe), parameters, (images,))
        return F.cross_entropy(logits, torch.from_numpy(self.data.labels[chosen])), leaves


def _named(mask: Arrays, values: Iterable[torch.Tensor]) -> Arrays:
    return {name: value.numpy() for name, value in zip(mask, values, strict=True)}
