"""The networks, and their seeded initial weights."""

from collections import OrderedDict

import torch
from torch import nn

from lottery_core.method.masks import Arrays
from lottery_core.method.seeds import seed_of
from lottery_core.spec.experiment import Recipe


def build(recipe: Recipe) -> nn.Module:
    """The recipe's fully connected ReLU network: (batch, 784) float32 -> (batch, 10) logits.

    Its parameters are named as in `recipe.shapes`; their values are not set.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, (outputs, inputs) in recipe.shapes.items():
        layer = name.removesuffix(".weight")
        parts[layer] = nn.utils.skip_init(nn.Linear, inputs, outputs)
        if name != recipe.output_layer:
            parts[layer.replace("fc", "relu")] = nn.ReLU()
    return nn.Sequential(parts)


def _pytorch(weight: torch.Tensor, bias: torch.Tensor, source: torch.Generator) -> None:
    # What nn.Linear.reset_parameters does, but from a generator of our own.
    bound = weight.shape[1] ** -0.5
    weight.uniform_(-bound, bound, generator=source)
    bias.uniform_(-bound, bound, generator=source)


def _glorot(weight: torch.Tensor, bias: torch.Tensor, source: torch.Generator) -> None:
    nn.init.xavier_normal_(weight, generator=source)
    bias.zero_()


_INITS = {"pytorch": _pytorch, "glorot": _glorot}


def initial_weights(recipe: Recipe, *purpose: str | int) -> Arrays:
    """Weights and biases by name, float32, drawn on the CPU from the recipe's seed.

    `purpose` separates other draws (a random reinit at level 3) from the initialisation.
    """
    source = torch.Generator().manual_seed(seed_of(recipe.seed, "init", *purpose))
    weights: Arrays = {}
    for name, shape in recipe.shapes.items():
        weight, bias = torch.empty(shape), torch.empty(shape[0])
        _INITS[recipe.init](weight, bias, source)
        weights[name] = weight.numpy()
        weights[name.replace(".weight", ".bias")] = bias.numpy()
    return weights
