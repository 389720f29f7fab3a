"""Networks in torch, and their seeded initial weights."""

import math

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.method.masks import Arrays
from lottery_core.method.seeds import seed_of
from lottery_core.spec.networks import Network
from lottery_core.spec.recipe import Recipe
from lottery_core.training import own


# Their values are not drawn, as they are set afterwards. `nn.utils.skip_init` does the same and
# imports the symbolic algebra of torch's compiler for it, which takes half a second.
class _Conv2d(nn.Conv2d):
    def reset_parameters(self) -> None:
        pass


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        pass


class Model(nn.Module):
    """A network value as a torch module: (batch, *input) float32 -> (batch, classes) logits.

    Parameters and buffers are named as in `Network.parameters` and `Network.buffers`; their values
    are not set. `layout` is the order of images and kernels in memory.
    """

    def __init__(self, network: Network, layout: torch.memory_format = torch.contiguous_format):
        super().__init__()
        self._input, self.activations = network.input, network.activations
        self.layout = layout
        operations = network.operations
        read_last = {read: n for n, at in enumerate(operations, 1) for read in at.reads}
        self._plan = []
        for n, at in enumerate(operations, 1):
            inputs = network.shape_of(at.reads[0])
            if at.kind == "conv":
                options = {"stride": at.stride, "padding": at.padding}
                options["bias"] = f"{at.name}.bias" in network.parameters
                self.add_module(at.name, _Conv2d(inputs[0], at.shape[0], at.kernel, **options))
            elif at.kind == "fc":
                self.add_module(at.name, _Linear(inputs[0], at.shape[0]))
            elif at.kind == "norm":
                layer = nn.BatchNorm2d(at.shape[0])
                layer.num_batches_tracked = None  # a count that nothing here asks for
                self.add_module(at.name, layer)
            compute = getattr(self, at.name) if at.name else _PLAIN[at.kind]
            # What nobody reads any more is let go: an evaluation's results would fill the memory.
            done = [read for read in {*at.reads} if read_last[read] == n]
            self._plan.append((compute, at.reads, done))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        shaped = images.reshape(-1, *self._input)
        results = [shaped.contiguous(memory_format=self.layout)]
        for compute, reads, done in self._plan:
            result = compute(*[results[read] for read in reads])
            for read in done:
                results[read] = None
            results.append(result)
        return results[-1]


_PLAIN = {
    "relu": F.relu,
    "pool": lambda images: F.max_pool2d(images, 2),
    "mean": lambda images: images.mean(dim=(2, 3)),
    "flat": lambda images: images.flatten(1),
    "add": torch.add,
}


def _pytorch(shape: tuple[int, ...], inputs: int, source: torch.Generator) -> torch.Tensor:
    # What reset_parameters of nn.Linear and nn.Conv2d does, but from a generator of our own.
    bound = inputs**-0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=source)


def _glorot(shape: tuple[int, ...], inputs: int, source: torch.Generator) -> torch.Tensor:
    if len(shape) == 1:
        return torch.zeros(shape)
    return nn.init.xavier_normal_(torch.empty(shape), generator=source)


_INITS = {"pytorch": _pytorch, "glorot": _glorot}


def build(recipe: Recipe, device: str = "cpu") -> nn.Module:
    """The recipe's network as a torch module there; the values of its parameters are not set."""
    network = recipe.net
    if network.is_own:
        return own.built(network, recipe.seed).to(device)
    return build_network(network, device)


def build_network(network: Network, device: str = "cpu") -> Model:
    """A network whose operations are known, as `build`."""
    # Channels last is 1.2 to 1.5 times as fast on the CPU, but 0.75 to 0.95 times on CUDA where
    # numbers are not rounded to TF32: see benchmarks/training_overhead.py and benchmarks/cuda.py.
    is_last = network.is_convolutional and device == "cpu" and not network.is_narrow
    layout = torch.channels_last if is_last else torch.contiguous_format
    return Model(network, layout).to(device=device, memory_format=layout)


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, the model's own."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def load(model: nn.Module, weights: Arrays) -> None:
    """Set all parameters and buffers. Raises `ValueError` unless `weights` has just these."""
    own = tensors(model)
    if own.keys() != weights.keys():
        raise ValueError(f"the weights are another network's: {own.keys() ^ weights.keys()}")
    with torch.no_grad():
        for name, values in weights.items():
            own[name].copy_(torch.from_numpy(values))


def initial_weights(recipe: Recipe, *purpose: str | int) -> Arrays:
    """Parameters and buffers by name, float32, drawn on the CPU from the recipe's seed.

    `purpose` separates other draws (a random reinit at level 3) from the initialisation. Batch
    norm begins as the identity, with mean 0 and variance 1. A module of somebody's own begins as
    it is built.
    """
    network, seed = recipe.net, seed_of(recipe.seed, "init", *purpose)
    if network.is_own and recipe.init == "pytorch":
        return own.initial(network, seed)
    source = torch.Generator().manual_seed(seed)
    weights: Arrays = {}
    for name, shape in network.parameters.items():
        layer, _, part = name.rpartition(".")
        if f"{layer}.weight" in network.shapes:
            inputs = math.prod(network.shapes[f"{layer}.weight"][1:])
            weights[name] = _INITS[recipe.init](shape, inputs, source).numpy()
        else:
            weights[name] = torch.full(shape, float(part == "weight")).numpy()
    if network.is_own:
        layers = [name.removesuffix("weight") for name in network.shapes]
        drawn = {name for layer in layers for name in (f"{layer}weight", f"{layer}bias")}
        as_built = own.initial(network, seed)
        return as_built | {name: weights[name] for name in as_built.keys() & drawn}
    for name, shape in network.buffers.items():
        weights[name] = torch.full(shape, float(name.endswith("var"))).numpy()
    return weights
