"""A researcher's own torch module as a network: what it has is found by showing it an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lottery_core.method.masks import Arrays
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.networks import OWN, Network, Shape
from lottery_core.spec.own import name_of, short

Build = Callable[[], nn.Module]

_PRUNABLE = (nn.Conv2d, nn.Linear)
_BUILDS: dict[str, Build] = {}


@dataclass(frozen=True)
class OwnNetwork(Network):
    """A module of somebody's own. What its operations are nobody knows, so it has none, and what
    follows from them elsewhere is said here."""

    shapes: dict[str, Shape]
    parameters: dict[str, Shape]
    buffers: dict[str, Shape]
    positions: dict[str, int]
    activations: int

    @property
    def is_convolutional(self) -> bool:
        return any(len(shape) == 4 for shape in self.shapes.values())

    @property
    def title(self) -> str:
        return short(self.text)

    sizes = title

    @property
    def in_words(self) -> str:
        return f"{self.title}, a module of its author's own"


def network(name: str, version: int, build: Build) -> str:
    """Register a torch module of your own; returns what to ask for it by:
    `preset("quick", network=network("my-net", 1, MyNet))`.

    `build()` gives a new module, from images (batch, channels, rows, columns) to logits
    (batch, classes), float32, with initial values drawn from torch's own generator, which is
    seeded before. It may be the module's class. The weights of its Conv2d and Linear layers that
    images pass are pruned, all else is trained; the last such layer is the output layer. With
    init="pytorch" it starts as it was built; with another, these layers are drawn anew.

    The name covers the source of `build` and of what it uses from your own files or cells: another
    source gives other levels. Raise `version` when something else changes what it computes, such as
    a library. Known in this process alone. Raises `InvalidValue` for a source that can't be read;
    what it builds is looked at when it is asked for.
    """
    full = name_of(name, version, build)
    _BUILDS[full] = build
    OWN[full] = lambda image, classes: _traced(full, image, classes)
    return full


def built(net: Network, seed: int) -> nn.Module:
    """The module as `build` makes it when torch's generator has that seed; it takes images in any
    shape, as `Model` does."""
    module = _built(net.text, seed)
    module.activations = net.activations

    def shaped(module: nn.Module, given: tuple[torch.Tensor]) -> torch.Tensor:
        return given[0].reshape(-1, *net.input)

    module.register_forward_pre_hook(shaped)
    return module


def _built(name: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _BUILDS[name]()
    if not isinstance(module, nn.Module):
        raise InvalidValue(
            "network", name, f"was built as a {type(module).__name__}; it must be a torch.nn.Module"
        )
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.momentum is not None:
            layer.num_batches_tracked = None  # a count that nothing asks for then
    return module


def _traced(name: str, image: Shape, classes: int) -> OwnNetwork:
    module = _built(name, 0)
    passed: dict[str, int] = {}
    numbers = 0

    def note(layer_name: str) -> Callable:
        def hook(layer: nn.Module, given: tuple, result: object) -> None:
            nonlocal numbers
            if isinstance(result, torch.Tensor):
                numbers += math.prod(result.shape[1:])
            if isinstance(layer, _PRUNABLE):
                weight = f"{layer_name}.weight"
                places = result[0].numel() // layer.weight.shape[0]
                passed[weight] = passed.get(weight, 0) + places

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in module.named_modules()]
    _check_answer(name, module, image, classes)
    for hook in hooks:
        hook.remove()
    parameters = {name: tuple(value.shape) for name, value in module.named_parameters()}
    passed = {name: places for name, places in passed.items() if name in parameters}
    if not passed:
        raise InvalidValue(
            "network", name, "has no Conv2d or Linear layer that images pass, so there is nothing "
            "to prune; put one into the module it builds",
        )  # fmt: skip
    return OwnNetwork(
        text=name,
        input=image,
        classes=classes,
        operations=(),
        shapes={name: parameters[name] for name in passed},
        parameters=parameters,
        buffers={name: tuple(value.shape) for name, value in module.named_buffers()},
        positions=passed,
        activations=max(1, numbers),
    )


def _check_answer(name: str, module: nn.Module, image: Shape, classes: int) -> None:
    """Two images pass the module. Raises `InvalidValue` unless it gives logits for them."""
    module.eval()
    shown = "x".join(map(str, image))
    try:
        with torch.no_grad():
            logits = module(torch.zeros(2, *image))
    except Exception as error:
        raise InvalidValue(
            "network", name, f"can't take images of {shown}: {type(error).__name__}: {error}"
        ) from error
    if getattr(logits, "shape", None) != (2, classes):
        raise InvalidValue(
            "network", name, f"gives {getattr(logits, 'shape', type(logits).__name__)} for two "
            f"images of {shown}; it must give (2, {classes})",
        )  # fmt: skip


def initial(net: Network, seed: int) -> Arrays:
    """Parameters and buffers by name, as the module was built."""
    module = _built(net.text, seed)
    named = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: value.detach().numpy().copy() for name, value in named.items()}
