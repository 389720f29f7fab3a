"""What a criterion may look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.method.units import Axes


class Slopes(Protocol):
    """What the loss, or the network, changes by with each weight, and what each weight reads: by
    name, shaped like the mask, pruned 0.0. `weights` are by name, biases included; only those that
    `mask` keeps take part."""

    def of_loss(self, weights: Arrays, mask: Arrays) -> Arrays:
        """g = dL/dw of the mean cross-entropy on training images."""

    def of_flow(self, weights: Arrays, mask: Arrays) -> Arrays:
        """Hg, the Hessian of that loss times g."""

    def of_synaptic_flow(self, weights: Arrays, mask: Arrays) -> Arrays:
        """dR/d|w|, R the sum of the outputs for an input of ones with absolute weights."""

    def of_curvature(self, weights: Arrays, mask: Arrays) -> Arrays:
        """h = d2L/dw2 by Gauss-Newton."""

    def of_inverse_fisher(self, weights: Arrays, mask: Arrays) -> Arrays:
        """[F^-1]_ii, F the empirical Fisher matrix in place of the loss's second derivatives."""

    def input_norms(self, weights: Arrays, mask: Arrays) -> Arrays:
        """The l2 norm of the values that each weight is multiplied with, on training images."""


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at.

    `initial` are level 0's weights before training, `trained` those that the level before ended
    with, pruned ones 0.0; both by name, biases included. `mask` is what that level keeps, `seed`
    that of this round's draws. `slopes` knows the loss on training images; without it no
    criterion works that derives the loss. `axes` say along which axes of the weights lie which
    units; without them none works that takes whole units.
    """

    initial: Arrays
    trained: Arrays
    mask: Arrays
    seed: int = 0
    slopes: Slopes | None = None
    axes: Axes | None = None

    def layers(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(name, w_i, w_f) of each layer's prunable weights."""
        return ((name, self.initial[name], self.trained[name]) for name in self.mask)
