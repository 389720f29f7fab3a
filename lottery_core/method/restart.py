"""What the survivors of a round restart from.

A rule is handed what there is to choose from, and an iteration of level 0 where it asks for one,
and returns unmasked weights by name, biases included. To add one, write a function with the
signature of `rewind` and list it in `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from lottery_core.method.masks import Arrays


@dataclass(frozen=True)
class Origins:
    """What a level can restart from.

    `snapshots` maps iterations of level 0 to its weights then; `trained` are the weights the
    level before ended with; `draw()` makes new initial weights, others at every level.
    `ticket` are the weights of the ticket that the round takes its mask from, if it has any,
    `prunable` the names of those that can be pruned.
    """

    snapshots: Mapping[int, Arrays]
    trained: Arrays
    draw: Callable[[], Arrays]
    ticket: Arrays | None = None
    prunable: Collection[str] = ()


def rewind(origins: Origins, iteration: int) -> Arrays:
    """The weights level 0 had at `iteration`; 0 is the initialisation.

    Frankle & Carbin 2018 (iteration 0); Frankle et al. 2020, arXiv 1912.05671 (later ones).
    """
    return origins.snapshots[iteration]


def keep(origins: Origins, iteration: int) -> Arrays:
    """The trained weights: no rewind, fine-tune on at the last learning rate (Han et al. 2015)."""
    return origins.trained


def reinit(origins: Origins, iteration: int) -> Arrays:
    """New random weights from the recipe's initialisation: the mask alone, not the ticket."""
    return origins.draw()


def signs(origins: Origins, iteration: int) -> Arrays:
    """Of each initial weight its sign alone: all weights of a layer have the magnitude that is the
    standard deviation of the layer's initial weights, those that are pruned included.

    The signed constants of Zhou et al. 2019, arXiv 1905.01067. What can't be pruned, biases
    say, restarts from its initial values; a weight that was drawn as 0 counts as positive.
    """
    initial = origins.snapshots[0]
    spreads = {name: np.float32(values.std(dtype=np.float64)) for name, values in initial.items()}
    return _composed(origins, initial, spreads, initial)


def new_magnitudes(origins: Origins, iteration: int) -> Arrays:
    """The signs of level 0 at `iteration` with the magnitudes of new initial weights; what can't be
    pruned is level 0's. One of the reinitialisations of Zhou et al. 2019, arXiv 1905.01067."""
    own = origins.snapshots[iteration]
    return _composed(origins, own, magnitudes=origins.draw(), signs=own)


def new_signs(origins: Origins, iteration: int) -> Arrays:
    """The magnitudes of level 0 at `iteration` with the signs of new initial weights; what can't be
    pruned is level 0's. Drawn as for `new_magnitudes`: `reinit` has both."""
    own = origins.snapshots[iteration]
    return _composed(origins, own, magnitudes=own, signs=origins.draw())


def _composed(
    origins: Origins,
    rest: Arrays,
    magnitudes: Mapping[str, np.ndarray | np.float32],
    signs: Arrays,
) -> Arrays:
    """What can be pruned with these magnitudes and signs, 0 counting as positive; and the rest."""
    return {
        name: np.copysign(magnitudes[name], np.where(signs[name], signs[name], np.float32(1)))
        if name in origins.prunable
        else values
        for name, values in rest.items()
    }


def rate_rewind(origins: Origins, iteration: int) -> Arrays:
    """The trained weights; only the learning rate goes back, to `iteration`.

    Renda et al. 2020, arXiv 2003.02389.
    """
    return origins.trained


def ticket(origins: Origins, iteration: int) -> Arrays:
    """The weights that came with the ticket, from another training."""
    return origins.ticket


@dataclass(frozen=True)
class Rule:
    """A restart rule: what it gives, and whether it asks for an iteration of level 0.

    `version` is raised when the same origins give other weights than before; levels that restart
    by it then get other keys.
    """

    start: Callable[[Origins, int], Arrays]
    asks_iteration: bool = False
    version: int = 1


RULES = {
    "rewind": Rule(rewind, asks_iteration=True),
    "keep": Rule(keep),
    "rate-rewind": Rule(rate_rewind, asks_iteration=True),
    "reinit": Rule(reinit),
    "signs": Rule(signs),
    "new-magnitudes": Rule(new_magnitudes, asks_iteration=True),
    "new-signs": Rule(new_signs, asks_iteration=True),
    "ticket": Rule(ticket, asks_iteration=True),
}
