"""What the survivors of a round restart from.

A rule is handed what there is to choose from, and an iteration of level 0 where it asks for one,
and returns unmasked weights by name, biases included. To add one, write a function with the
signature of `rewind` and list it in `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lottery_core.method.masks import Arrays


@dataclass(frozen=True)
class Origins:
    """What a level can restart from.

    `snapshots` maps iterations of level 0 to its weights then; `trained` are the weights the
    level before ended with; `draw()` makes new initial weights, others at every level.
    `ticket` are the weights of the ticket that the round takes its mask from, if it has any.
    """

    snapshots: Mapping[int, Arrays]
    trained: Arrays
    draw: Callable[[], Arrays]
    ticket: Arrays | None = None


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
    "ticket": Rule(ticket, asks_iteration=True),
}
