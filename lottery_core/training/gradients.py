"""How the loss on training images changes with each weight, and what each weight reads of them, for
criteria that ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data
from lottery_core.method.masks import Arrays, apply, dense_mask
from lottery_core.spec.recipe import Recipe
from lottery_core.training import per_image
from lottery_core.training.augmentation import Moves, moved
from lottery_core.training.base import batch_order
from lottery_core.training.models import build
from lottery_core.training.torch_loop import one_torch_thread, seeded

LOSS_IMAGES = 1_000
GRADIENTS = 10_000
FLOW_IMAGES = 25  # of each class, as Wang et al. 2020 draw for ten classes


@dataclass(frozen=True)
class Slopes:
    """Derivatives of the mean cross-entropy, in nats, by the weights that a mask keeps, and what
    these read.

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
            loss, leaves = self._loss(weights, mask, *self._of(self._drawn[:LOSS_IMAGES]))
            return _named(mask, torch.autograd.grad(loss, leaves))

    def of_batch(self, weights: Arrays, iteration: int, order: int = 0) -> Arrays:
        """dL/dw of all prunable weights, whatever they are, on the batch of that iteration, in that
        `order` of the data, as training shows it; otherwise as `of_loss`."""
        recipe = self.recipe
        epoch, batch = divmod(iteration, recipe.iterations_per_epoch)
        at = slice(batch * recipe.batch_size, (batch + 1) * recipe.batch_size)
        images, labels = self._of(self.data.train_index[batch_order(recipe, epoch, order)[at]])
        if moves := Moves.of(recipe, epoch, order):
            black = torch.from_numpy(self.data.images.values.reshape(-1, 256)[:, 0])
            shaped = images.reshape(-1, *recipe.net.input)
            images = moved(shaped, *(part[at] for part in moves.on("cpu")), black)
        with one_torch_thread(), seeded(self.seed):
            whole = dense_mask(recipe.shapes)
            loss, leaves = self._loss(weights, whole, images, labels)
            return _named(whole, torch.autograd.grad(loss, leaves))

    def of_flow(self, weights: Arrays, mask: Arrays) -> Arrays:
        """Hg, the Hessian times g, on 25 images of each class; otherwise as `of_loss`.

        It is the slope of half the gradient flow g·g (Wang et al. 2020).
        """
        labels = self.data.labels[self._drawn]
        chosen = [
            self._drawn[labels == label][:FLOW_IMAGES] for label in range(self.recipe.net.classes)
        ]
        with one_torch_thread(), seeded(self.seed):
            loss, leaves = self._loss(weights, mask, *self._of(np.concatenate(chosen)))
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

    def of_curvature(self, weights: Arrays, mask: Arrays) -> Arrays:
        """h, the diagonal of the loss's second derivatives by Gauss-Newton: float64, at least 0.

        On as many images as make 10,000 gradients, 1,000 of ten classes: the matrix takes one of
        every image and class. Otherwise as `of_loss`, but of the network as it is evaluated, whose
        batch norm goes by its running statistics.
        """
        images = self._shown(max(1, GRADIENTS // self.recipe.net.classes))
        with one_torch_thread(), seeded(self.seed):
            found = per_image.gauss_newton(self.recipe, apply(weights, mask), images)
        return {name: np.where(kept, found[name], 0.0) for name, kept in mask.items()}

    def of_inverse_fisher(self, weights: Arrays, mask: Arrays) -> Arrays:
        """The diagonal of the inverse of the loss's second derivatives by the empirical Fisher
        matrix, in blocks (`per_image.inverse_fisher`), on 1,000 images: float64, above 0; otherwise
        as `of_curvature`.
        """
        labels = torch.from_numpy(self.data.labels[self._drawn[:LOSS_IMAGES]])
        with one_torch_thread(), seeded(self.seed):
            found = per_image.inverse_fisher(
                self.recipe, apply(weights, mask), mask, self._shown(LOSS_IMAGES), labels
            )
        return {name: np.where(kept, found[name], 0.0) for name, kept in mask.items()}

    def input_norms(self, weights: Arrays, mask: Arrays) -> Arrays:
        """The l2 norm of what each weight reads on 1,000 images: float64; otherwise as
        `of_curvature`.

        Of a fully connected layer's weight these are the values of its input, one an image; of a
        convolution's all values that lie under it while its kernel moves over the image, zeros
        beyond the edge included.
        """
        with one_torch_thread(), seeded(self.seed):
            found = per_image.squared_inputs(
                self.recipe, apply(weights, mask), self._shown(LOSS_IMAGES)
            )
        return {name: np.where(kept, np.sqrt(found[name]), 0.0) for name, kept in mask.items()}

    def _shown(self, count: int) -> torch.Tensor:
        return torch.from_numpy(self.data.images[self._drawn[:count]])

    @cached_property
    def _drawn(self) -> np.ndarray:
        return np.random.default_rng(self.seed).permutation(self.data.train_index)

    def _of(self, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels."""
        images = torch.from_numpy(self.data.images[chosen])
        return images, torch.from_numpy(self.data.labels[chosen])

    def _loss(
        self, weights: Arrays, mask: Arrays, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        parameters = {name: torch.tensor(values) for name, values in weights.items()}
        leaves = [parameters[name].requires_grad_() for name in mask]
        for name, kept in mask.items():
            parameters[name] = parameters[name] * torch.tensor(kept)
        logits = functional_call(build(self.recipe), parameters, (images,))
        return F.cross_entropy(logits, labels), leaves


def _named(mask: Arrays, values: Iterable[torch.Tensor]) -> Arrays:
    return {name: value.numpy() for name, value in zip(mask, values, strict=True)}
