"""Feature maps: what the channels of two networks make of one image, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lottery_core.findings import forward
from lottery_core.findings.flow import signals
from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network


@dataclass(frozen=True)
class Stage:
    """The channels that say most of one image after one layer: their numbers (n,), and each
    network's maps of them, (n, rows, columns) float32, none below 0.

    `layer` is the convolution they come from, `summed` whether a shortcut was added to it;
    `dead` says of each channel whether no signal of the image passes it in the ticket.
    """

    layer: str
    summed: bool
    channels: np.ndarray
    dense: np.ndarray
    ticket: np.ndarray
    dead: np.ndarray


def stages(
    network: Network, dense: Arrays, ticket: Arrays, mask: Arrays, image: np.ndarray, most: int
) -> Iterator[Stage]:
    """What both make of an image (channels, rows, columns) as they read it, after each convolution
    and its ReLU: the `most` channels of greatest mean over both, greatest first.

    The means are parts of each network's own largest, so that a network whose numbers are large
    does not choose alone.
    """
    passed = signals(network, mask)
    ways = (forward.results(network, weights, image[None]) for weights in (dense, ticket))
    for n, (at, *maps) in enumerate(zip(network.operations, *ways, strict=True), 1):
        if at.kind != "relu" or len(at.shape) != 3:
            continue
        means = [both[0].mean(axis=(1, 2)) for both in maps]
        activity = sum(mean / (mean.max() or 1.0) for mean in means)
        chosen = np.argsort(-activity, kind="stable")[:most]
        layer, summed = _origin(network, at.reads[0])
        kept = [both[0][chosen] for both in maps]
        yield Stage(layer, summed, chosen, *kept, ~passed[n][chosen])


def _origin(network: Network, read: int) -> tuple[str, bool]:
    """The convolution that a result comes from, and whether something was added to it."""
    summed = False
    while network.operations[read - 1].kind != "conv":
        at = network.operations[read - 1]
        summed |= at.kind == "add"
        read = at.reads[0]
    return network.operations[read - 1].name, summed
