"""How signals pass through a network: what a layer reads, who reads it, and what is dead.

A *unit* is a row of a fully connected layer or a channel of a convolution. Between layers signals
pass through what has no weights to prune: batch norm, ReLU, pools, means and residual sums.
"""

from __future__ import annotations

import math

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network, Operation, Shape

_HAS_WEIGHTS = ("conv", "fc")


def place_of(network: Network, name: str) -> int:
    """The number of the result that a layer gives, by the name of its weight."""
    return next(n for n, at in enumerate(network.operations, 1) if f"{at.name}.weight" == name)


def read_shape(network: Network, name: str) -> Shape:
    """What one unit of a layer has a weight for each of: (channels, rows, columns) of a kernel,
    or of the images that a fully connected layer reads; else (units,)."""
    at = network.operations[place_of(network, name) - 1]
    if at.kind == "conv":
        return network.shapes[name][1:]
    read = at.reads[0]
    if read and network.operations[read - 1].kind == "flat":
        read = network.operations[read - 1].reads[0]
    return network.shape_of(read)


def reads_pixels(network: Network, name: str) -> bool:
    """Whether a layer reads the image itself, so that its units look like pictures."""
    return not sources(network, name)


def sources(network: Network, name: str) -> tuple[str, ...]:
    """The layers whose units a layer reads, by name of weight; more than one where they are summed,
    none where it reads the image."""
    found, todo = [], list(network.operations[place_of(network, name) - 1].reads)
    while todo:
        read = todo.pop(0)
        if not read:
            continue
        at = network.operations[read - 1]
        if at.kind in _HAS_WEIGHTS:
            found.append(f"{at.name}.weight")
        else:
            todo.extend(at.reads)
    return tuple(dict.fromkeys(found))


def readers(network: Network, name: str) -> dict[str, int]:
    """The layers that read a layer's units: name of weight -> in how many columns each unit is
    read, 1 but where a channel's pixels are laid flat."""
    found, columns = {}, {place_of(network, name): 1}
    for n, at in enumerate(network.operations, 1):
        known = [columns[read] for read in at.reads if read in columns]
        if not known:
            continue
        if at.kind in _HAS_WEIGHTS:
            found[f"{at.name}.weight"] = known[0]
        else:
            pixels = math.prod(network.shape_of(at.reads[0])[1:]) if at.kind == "flat" else 1
            columns[n] = known[0] * pixels
    return found


def columns_of(weights: np.ndarray, units: int) -> np.ndarray:
    """A reader's array as (its units, the `units` that it reads, weights for each of these)."""
    return weights.reshape(len(weights), units, -1)


def alive(network: Network, mask: Arrays) -> dict[str, np.ndarray]:
    """Which units a signal can pass, by name of weight: of each, whether kept weights lead from
    the image through it to some answer. A kernel leads on if it keeps any weight.

    A unit that reads nothing still passes its bias on: a constant, which says nothing of the
    image, so it does not count as alive.
    """
    passed = signals(network, mask)
    return {name: passed[place_of(network, name)] for name in mask}


def signals(network: Network, mask: Arrays) -> list[np.ndarray]:
    """As `alive`, of the units or channels of each result of `network.operations`; first of the
    images' channels. A sum carries a signal where any of its parts does."""
    links = {name: columns_of(kept, kept.shape[1]).any(axis=2) for name, kept in mask.items()}
    reached = [np.ones(network.input[0], bool)]
    for at in network.operations:
        pixels = math.prod(network.shape_of(at.reads[0])[1:])
        reached.append(_onward(at, [reached[read] for read in at.reads], links, pixels))
    useful = [np.zeros_like(units) for units in reached]
    useful[-1][:] = True
    for n, at in reversed(list(enumerate(network.operations, 1))):
        back = _back(at, useful[n], links, len(useful[at.reads[0]]))
        for read in at.reads:
            useful[read] |= back
    return [there & needed for there, needed in zip(reached, useful, strict=True)]


def _onward(at: Operation, given: list[np.ndarray], links: Arrays, pixels: int) -> np.ndarray:
    if at.kind in _HAS_WEIGHTS:
        return (links[f"{at.name}.weight"] & given[0]).any(axis=1)
    if at.kind == "flat":
        return np.repeat(given[0], pixels)
    return np.logical_or.reduce(given)


def _back(at: Operation, useful: np.ndarray, links: Arrays, units: int) -> np.ndarray:
    if at.kind in _HAS_WEIGHTS:
        return (links[f"{at.name}.weight"] & useful[:, None]).any(axis=0)
    if at.kind == "flat":
        return useful.reshape(units, -1).any(axis=1)
    return useful
