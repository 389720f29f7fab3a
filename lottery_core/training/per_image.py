"""What every layer reads, image by image, and what each image's outputs change by with its weights.

The network is as it is evaluated: batch norm goes by its running statistics, so that an image's
outputs are of that image alone. Layers compute in float32, sums over images are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.method.masks import Arrays
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.recipe import Recipe
from lottery_core.training.models import build, load

Layer = nn.Linear | nn.Conv2d

# Of the blocks of the Fisher matrix: weights of one, and what is added to its diagonal.
BLOCK, DAMPING = 16, 1e-5

_AT_ONCE = 100  # images
_WEIGHTS = 2**22  # of which all blocks are held at once: half a gigabyte
_UNITS = 16  # of whose blocks there is a second copy at a time
_NUMBERS = 2**24  # of gradients, image by image, at a time: 64 MiB


def squared_inputs(recipe: Recipe, weights: Arrays, images: torch.Tensor) -> Arrays:
    """Of each prunable weight, the sum of the squares of the values that it is multiplied with:
    over the images, and over the places of an image for which a convolution uses it.

    By name, float64, shaped as the weight. `weights` are by name, with biases and buffers.
    """
    model = _evaluated(recipe, weights)
    sums = _zeros(recipe)
    for part in images.split(_AT_ONCE):
        with torch.no_grad():
            on = _Pass(model, [*sums], part)
        for name, layer in on.layers.items():
            for read in on.read[name]:
                sums[name] += _squares(layer, read)
    return sums


def _squares(layer: Layer, read: torch.Tensor) -> np.ndarray:
    # A weight's slope is the sum of what it is multiplied with: here of squares.
    parameters = {
        name: value.detach().double().requires_grad_() for name, value in layer.named_parameters()
    }
    given = functional_call(layer, parameters, (read.double().square().sum(0, keepdim=True),))
    return torch.autograd.grad(given.sum(), parameters["weight"])[0].numpy()


def gauss_newton(recipe: Recipe, weights: Arrays, images: torch.Tensor) -> Arrays:
    """The diagonal of the Gauss-Newton matrix of the mean cross-entropy on `images`.

    With p the chances that the network gives the classes c of an image, and z its logits, it is
    the mean over images of sum_c p_c (dz_c/dw - sum_k p_k dz_k/dw)^2: no label is asked for, and
    nothing is negative. By name, float64, shaped as the weight. `weights` are by name, with biases
    and buffers. Raises `InvalidValue` for a module whose layers do not get image after image.
    """

    def directions(chances: torch.Tensor, at: slice) -> Iterator[torch.Tensor]:
        # The slopes of log p_c, times the root of p_c: squared and summed they are the above.
        for label, named in enumerate(torch.eye(recipe.net.classes)):
            yield chances[:, label, None].sqrt() * (named - chances)

    sums = _zeros(recipe)
    for name, *sent in _sent_back(recipe, weights, [*sums], images, directions):
        sums[name] += _squared_gradients(*sent)
    return {name: values / len(images) for name, values in sums.items()}


def inverse_fisher(
    recipe: Recipe, weights: Arrays, mask: Arrays, images: torch.Tensor, labels: torch.Tensor
) -> Arrays:
    """The diagonal of the inverse of the empirical Fisher matrix, taken block by block.

    The matrix is the mean over images of g g^T, with g the gradient of an image's cross-entropy by
    the weights that `mask` keeps, plus `DAMPING` on the diagonal. What it holds outside of blocks
    of `BLOCK` weights that are next to each other in one output unit, the last one of a unit
    shorter, counts as 0. Otherwise as `gauss_newton`.
    """

    def directions(chances: torch.Tensor, at: slice) -> Iterator[torch.Tensor]:
        yield torch.eye(recipe.net.classes)[labels[at]] - chances

    found: Arrays = {}
    for names in _by_size(recipe):
        sums = {name: _products_of_none(recipe.shapes[name]) for name in names}
        for name, *sent in _sent_back(recipe, weights, names, images, directions):
            _add_products(sums[name], *sent)
        for name in names:
            mean = sums.pop(name).div_(len(images))
            found[name] = _inverse_diagonal(mean, torch.from_numpy(mask[name]))
    return found


def _by_size(recipe: Recipe) -> Iterator[list[str]]:
    """Names of weights in groups of which not all blocks at once would fill the memory."""
    group: list[str] = []
    for name, shape in recipe.shapes.items():
        together = sum(math.prod(recipe.shapes[one]) for one in group)
        if group and together + math.prod(shape) > _WEIGHTS:
            yield group
            group = []
        group.append(name)
    yield group


def _blocks(values: torch.Tensor) -> torch.Tensor:
    """(..., inputs) as (..., blocks, `BLOCK`), with zeros behind the last input."""
    return F.pad(values, (0, -values.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))


def _products_of_none(shape: tuple[int, ...]) -> torch.Tensor:
    blocks = -(-math.prod(shape[1:]) // BLOCK)
    return torch.zeros((shape[0], blocks, BLOCK, BLOCK), dtype=torch.float64)


def _add_products(
    total: torch.Tensor,
    layer: Layer,
    read: Sequence[torch.Tensor],
    back: Sequence[torch.Tensor],
) -> None:
    """Add g g^T of each image to (outputs, blocks, `BLOCK`, `BLOCK`)."""
    if _is_a_product(layer, read):  # g g^T is back^2 times read read^T
        inputs = _blocks(read[0].double())
        pairs = inputs[..., :, None] * inputs[..., None, :]
        squares = back[0].double().square()
        for units, part in zip(total.split(_UNITS), squares.split(_UNITS, 1), strict=True):
            units += torch.tensordot(part, pairs, ([0], [0]))
        return
    for gradients in _each_gradient(layer, read, back):
        parts = _blocks(gradients.double().flatten(2))
        total += torch.einsum("nobi,nobj->obij", parts, parts)


def _inverse_diagonal(blocks: torch.Tensor, kept: torch.Tensor) -> np.ndarray:
    """Of the inverse of each block, with what is pruned out of it, damped: float64, shaped as the
    weight. Overwrites the blocks."""
    among = _blocks(kept.flatten(1).double())
    blocks.mul_(among[..., :, None]).mul_(among[..., None, :])
    blocks.diagonal(dim1=-2, dim2=-1).add_(DAMPING)
    inverses = (torch.linalg.inv(part).diagonal(dim1=-2, dim2=-1) for part in blocks.split(_UNITS))
    return torch.cat([*inverses]).flatten(1)[:, : kept[0].numel()].reshape(kept.shape).numpy()


def _sent_back(
    recipe: Recipe,
    weights: Arrays,
    names: Sequence[str],
    images: torch.Tensor,
    directions: Callable[[torch.Tensor, slice], Iterator[torch.Tensor]],
) -> Iterator[tuple[str, Layer, list[torch.Tensor], list[torch.Tensor]]]:
    """For a part of the images after the other, and each of the `directions` in which their logits
    may change (made of the chances of their classes, and of where they stand): each layer by the
    name of its weight, what it read, and the slopes along that direction by what it gave."""
    model = _evaluated(recipe, weights)
    for start in range(0, len(images), _AT_ONCE):
        at = slice(start, start + _AT_ONCE)
        on = _Pass(model, names, images[at])
        _check_images(recipe, on, len(images[at]))
        gave = [result for results in on.gave.values() for result in results]
        for along in directions(on.logits.detach().softmax(1), at):
            slopes = iter(torch.autograd.grad(on.logits, gave, along, retain_graph=True))
            for name, layer in on.layers.items():
                yield name, layer, on.read[name], [next(slopes) for _ in on.gave[name]]


def _squared_gradients(
    layer: Layer, read: Sequence[torch.Tensor], back: Sequence[torch.Tensor]
) -> np.ndarray:
    """The squares of each image's gradient of a layer's weight, summed over images; `back` are the
    slopes by what the layer gave."""
    if _is_a_product(layer, read):  # its square is that of the squares
        return (back[0].double().square().T @ read[0].double().square()).numpy()
    total = torch.zeros(layer.weight.shape, dtype=torch.float64)
    for gradients in _each_gradient(layer, read, back):
        total += gradients.double().square().sum(0)
    return total.numpy()


def _is_a_product(layer: Layer, read: Sequence[torch.Tensor]) -> bool:
    """Whether an image's gradient is no more than what came back times what was read: not so of a
    layer that is used more than once, or a subclass that computes something else."""
    is_linear = type(layer).forward is nn.Linear.forward
    return is_linear and len(read) == 1 and read[0].ndim == 2


def _each_gradient(
    layer: Layer, read: Sequence[torch.Tensor], back: Sequence[torch.Tensor]
) -> Iterator[torch.Tensor]:
    """The gradients of a layer's weight image by image, (images, *weight), some at a time."""
    images = max(1, _NUMBERS // layer.weight.numel())
    for parts in zip(*(values.split(images) for values in (*read, *back)), strict=True):
        uses = zip(parts[: len(read)], parts[len(read) :], strict=True)
        yield sum(_gradients(layer, *use) for use in uses)


def _gradients(layer: Layer, read: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """Each image's gradient of a layer's weight: (images, *weight)."""

    def along(weight: torch.Tensor, image: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        return (functional_call(layer, {"weight": weight}, (image[None],)) * slope[None]).sum()

    each = vmap(grad(along), (None, 0, 0))
    return each(layer.weight.detach(), read.contiguous(), back.contiguous())


class _Pass:
    """Images on their way through a network: its `logits`, and of each layer, by the name of its
    weight, what it `read` and `gave`, once for each time that the images pass it."""

    def __init__(self, model: nn.Module, names: Sequence[str], images: torch.Tensor) -> None:
        self.layers = {name: model.get_submodule(name.removesuffix(".weight")) for name in names}
        self.read: dict[str, list[torch.Tensor]] = {name: [] for name in names}
        self.gave: dict[str, list[torch.Tensor]] = {name: [] for name in names}
        hooks = [
            layer.register_forward_hook(self._noting(name)) for name, layer in self.layers.items()
        ]
        self.logits = model(images)
        for hook in hooks:
            hook.remove()

    def _noting(self, name: str) -> Callable:
        def note(layer: Layer, given: tuple[torch.Tensor], result: torch.Tensor) -> torch.Tensor:
            self.read[name].append(given[0].detach())
            self.gave[name].append(result)
            return result.clone()  # what comes next may write into what it gets

        return note


def _check_images(recipe: Recipe, on: _Pass, images: int) -> None:
    for name, results in on.gave.items():
        if any(len(result) != images for result in results):
            raise InvalidValue(
                "network",
                recipe.network,
                f"gives {name} something else than one image after another, so its second "
                "derivatives can't be summed image by image; choose another criterion",
            )


def _evaluated(recipe: Recipe, weights: Arrays) -> nn.Module:
    model = build(recipe)
    load(model, weights)
    return model.eval()


def _zeros(recipe: Recipe) -> Arrays:
    return {name: np.zeros(shape) for name, shape in recipe.shapes.items()}
