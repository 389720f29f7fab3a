"""What the survivors of a round restart from.

A rule is handed what there is to choose from and returns unmasked weights by name, biases
included. To add one, write a function with the signature of `rewind` and list it in `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lottery_core.method.pruning import Arrays

if TYPE_CHECKING:
    from lottery_core.spec.experiment import Round


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


def rewind(step: Round, origins: Origins) -> Arrays:
    """The weights level 0 had at `step.rewind_iteration`; 0 is the initialisation.

    Frankle & Carbin 2018 (iteration 0); Frankle et al. 2020, arXiv 1912.05671 (later ones).
    """
    return origins.snapshots[step.rewind_iteration]


def keep(step: Round, origins: Origins) -> Arrays:
    """The trained weights: no rewind, fine-tune on at the last learning rate (Han et al. 2015)."""
    return origins.trained


def reinit(step: Round, origins: Origins) -> Arrays:
    """New random weights from the recipe's initialisation: the mask alone, not the ticket."""
    return origins.draw()


def rate_rewind(step: Round, origins: Origins) -> Arrays:
    """The trained weights; only the learning rate goes back, to `step.rewind_iteration`.

    Renda et al. 2020, arXiv 2003.02389.
    """
    return origins.trained


def ticket(step: Round, origins: Origins) -> Arrays:
    """The weights that came with the ticket, from another training."""
    return origins.ticket


RULES: dict[str, Callable[[Round, Origins], Arrays]] = {
    "rewind": rewind,
    "keep": keep,
    "rate-rewind": rate_rewind,
    "reinit": reinit,
    "ticket": ticket,
}
