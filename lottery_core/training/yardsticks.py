"""What the compiled loop is compared with, and what a ticket's own answers take.

Whoever times these says on how many threads torch and BLAS compute.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from lottery_core.data import Data
from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network
from lottery_core.spec.recipe import Recipe
from lottery_core.training.base import batch_order, is_plain
from lottery_core.training.convolution.loop import ConvolutionalNetwork
from lottery_core.training.models import build_network, load
from lottery_core.training.sparse_loop import SparseNetwork

Steps = Callable[[int], None]
Predict = Callable[[np.ndarray], np.ndarray]


def products_alone(recipe: Recipe) -> Steps:
    """The matrix products of a dense step, as torch's Linear takes them, and nothing else."""
    source = torch.Generator().manual_seed(0)  # numbers of a usual size: tiny ones can be slow

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=source)

    batch = recipe.batch_size
    shapes = list(recipe.shapes.values())
    weights = [random(*shape) for shape in shapes]
    inputs = [random(batch, columns) for _, columns in shapes]
    outputs = [random(batch, rows) for rows, _ in shapes]
    deltas = [random(batch, rows) for rows, _ in shapes]
    # Products go where nothing is read, so that no number grows from step to step.
    gradients = [torch.empty(shape) for shape in shapes]
    back = [torch.empty_like(values) for values in inputs]
    products = [
        (values, weight.t(), into)
        for values, weight, into in zip(inputs, weights, outputs, strict=True)
    ]
    for layer in reversed(range(len(shapes))):
        products.append((deltas[layer].t(), inputs[layer], gradients[layer]))
        if layer > 0:
            products.append((deltas[layer], weights[layer], back[layer]))

    def steps(times: int) -> None:
        with torch.inference_mode():
            for _ in range(times):
                for left, right, into in products:
                    torch.mm(left, right, out=into)

    return steps


def torch_csr(recipe: Recipe, weights: Arrays, mask: Arrays, data: Data) -> Steps:
    """Training steps on kept weights alone, the fastest that torch's sparse matrices allow."""
    return CsrNetwork(recipe, weights, mask, data).steps


class CsrNetwork:
    """A network whose weights are torch's compressed sparse rows, stepped by hand.

    torch derives such products by itself, but several times slower: it transposes every
    matrix anew in every step.
    """

    def __init__(self, recipe: Recipe, weights: Arrays, mask: Arrays, data: Data) -> None:
        self._batch_size = recipe.batch_size
        self._images, self._labels = data.images, data.labels
        self._order = data.train_index[batch_order(recipe, 0)]
        self._next = 0
        self._layers = [
            _CsrLayer(weights[name], weights[name.replace(".weight", ".bias")], mask[name])
            for name in mask
        ]
        self.parameters = [layer.values for layer in self._layers]
        self.parameters += [layer.bias for layer in self._layers]
        options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
        if recipe.optimiser == "sgd":
            options["momentum"] = recipe.momentum
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[recipe.optimiser]
        self._optimiser = kind(self.parameters, **options)

    @torch.no_grad()
    def steps(self, times: int) -> None:
        """So many steps, through the first epoch's batches and over again."""
        for _ in range(times):
            if self._next >= len(self._order):
                self._next = 0
            chosen = self._order[self._next : self._next + self._batch_size]
            self._next += self._batch_size
            images, labels = self._images[chosen], self._labels[chosen]
            self.derive(torch.from_numpy(images), torch.from_numpy(labels))
            self._optimiser.step()

    @torch.no_grad()
    def derive(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss, whose derivatives the parameters then have as their gradients."""
        values = images.t().contiguous()  # a row per unit, a column per example
        for layer in self._layers:
            values = layer.forward(values, last=layer is self._layers[-1])
        logs = torch.log_softmax(values, 0)
        right = labels.unsqueeze(0)
        loss = -logs.gather(0, right).mean()
        delta = logs.exp_()
        delta.scatter_add_(0, right, torch.full(right.shape, -1.0)).div_(len(labels))
        for layer in reversed(self._layers):
            layer.derive(delta)
            if layer is not self._layers[0]:
                delta = layer.backward(delta)
        return loss


class _CsrLayer:
    def __init__(self, weight: np.ndarray, bias: np.ndarray, kept: np.ndarray) -> None:
        rows, columns = np.nonzero(kept)
        by_column = np.argsort(columns, kind="stable")
        self._by_column = torch.from_numpy(by_column)
        self._weight = _csr(kept.sum(1), columns, weight[rows, columns], kept.shape)
        self._turned = _csr(
            kept.sum(0), rows[by_column], weight[rows, columns][by_column], kept.shape[::-1]
        )
        self._gradient = _csr(kept.sum(1), columns, np.zeros(len(rows)), kept.shape)
        self.values = self._weight.values()  # the same memory, as are all below
        self.values.grad = self._gradient.values()
        self.bias = torch.from_numpy(bias.copy())
        self.bias.grad = torch.zeros_like(self.bias)

    def forward(self, values: torch.Tensor, *, last: bool) -> torch.Tensor:
        self._input = values
        values = torch.mm(self._weight, values).add_(self.bias.unsqueeze(1))
        return values if last else values.relu_()

    def derive(self, delta: torch.Tensor) -> None:
        torch.sparse.sampled_addmm(
            self._gradient, delta, self._input.t(), beta=0, out=self._gradient
        )
        torch.sum(delta, 1, out=self.bias.grad)

    def backward(self, delta: torch.Tensor) -> torch.Tensor:
        torch.index_select(self.values, 0, self._by_column, out=self._turned.values())
        return torch.mm(self._turned, delta).mul_(self._input > 0)


def _csr(
    per_row: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, ...]
) -> torch.Tensor:
    starts = np.concatenate([[0], np.cumsum(per_row)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            torch.from_numpy(starts.astype(np.int32)),
            torch.from_numpy(columns.astype(np.int32)),
            torch.from_numpy(values.astype(np.float32)),
            size=shape,
            check_invariants=True,  # torch warns unless told; now is the only time it costs
        )


def forward_dense(network: Network, weights: Arrays) -> Predict:
    """(n, pixels) images -> (n, classes) logits by the torch model, holes as zeros."""
    model = build_network(network)
    load(model, weights)
    model.eval()

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(images)).numpy()

    return predict


def forward_ticket(recipe: Recipe, weights: Arrays, mask: Arrays, batch: int) -> Predict:
    """The same by the compiled loop's code, fastest for `batch` images at once.

    Its working memory is used again by every call: one thread at a time.
    """
    recipe = replace(recipe, batch_size=batch)
    if is_plain(recipe):
        return SparseNetwork(recipe, weights, mask).predict
    return ConvolutionalNetwork(recipe, weights, mask, trains=False).predict
