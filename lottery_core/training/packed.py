"""What the compiled networks have in common: packed parameters, with where they came from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lottery_core.data import Data
from lottery_core.method.masks import Arrays, apply
from lottery_core.spec.recipe import Recipe
from lottery_core.training.packing import rule_of

# A mask -> for each layer, whether it takes the sparse form.
Forms = Callable[[Arrays], dict[str, bool]]
Places = list[tuple[str, tuple | np.ndarray, slice]]

# What an optimiser leaves between steps: the velocity where the gradient is added up, Adam's means.
_REMEMBERED = ("gradient", "mean", "square")


def with_holes(mask: Arrays) -> dict[str, bool]:
    """The forms unless others are asked for: sparse where something is pruned."""
    return {name: not kept.all() for name, kept in mask.items()}


class Packed:
    """Weights and mask in the form that compiled code works on (see `base.Network`).

    A subclass packs them into `parts`: each where the parameters of a net came from (name, places
    there, and the slice of its parameters), and the net. Where the mask is to change, `moving` says
    which forms another takes, and everything that is kept is packed, what no data reaches too.
    """

    def __init__(self, recipe: Recipe, weights: Arrays, mask: Arrays, moving: Forms | None) -> None:
        self._recipe, self._mask, self._moving = recipe, mask, moving
        self._start = {name: value.copy() for name, value in weights.items()}
        self._has_idle = recipe.weight_decay > 0 or moving is not None
        self._steps = 0
        self.rule = rule_of(recipe)
        self.parts: list[tuple[Places, tuple]] = []

    def attach(self, data: Data, *, judge: bool = True, order: int = 0) -> None:
        """Say what to train on and in which order, and to judge on if that is wanted."""
        self._data, self._order_number, self._epoch = data, order, -1

    def weights(self) -> Arrays:
        """See `base.Network`."""
        found = {name: value.copy() for name, value in self._start.items()}
        self._unpack("parameters", found)
        return found

    def under(self, mask: Arrays) -> Packed:
        """See `base.Network`."""
        both = {name: kept & mask[name] for name, kept in self._mask.items()}
        weights, forms = apply(self.weights(), both), self._moving(mask)
        new = type(self)(self._recipe, weights, mask, forms, moving=self._moving)
        new.attach(self._data, order=self._order_number)
        new._steps = self._steps
        for what in _REMEMBERED:
            found = {name: np.zeros_like(value) for name, value in self._start.items()}
            self._unpack(what, found)
            new._pack(what, apply(found, both))
        return new

    def _unpack(self, what: str, into: Arrays) -> None:
        """Write one of a net's arrays, a number a parameter, to where these came from."""
        for places, net in self.parts:
            packed = getattr(net, what)
            for name, place, where in places if len(packed) else ():
                target = into[name][place]
                into[name][place] = packed[where].reshape(target.shape)

    def _pack(self, what: str, arrays: Arrays) -> None:
        """The inverse of `_unpack`."""
        for places, net in self.parts:
            packed = getattr(net, what)
            for name, place, where in places if len(packed) else ():
                packed[where] = arrays[name][place].ravel()
