"""Step by step: where in a run its visitor is, who goes on by pressing a button.

A run is gone through as train, then for each round rank, cut, rewind and train. Nothing is trained
before its visitor is there, and nothing of a later level is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from lottery_core.spec.checks import is_whole
from lottery_core.spec.experiment import Experiment
from ui.explorer.link import LINK
from ui.shared.runtime import has_level

STAGES = {"rank": "Rank", "cut": "Cut", "rewind": "Rewind", "train": "Train"}
_MODES = {"": "off", "on": "on"}
_HELP = (
    "Pauses after each training, and after a round's ranking, cut and rewinding, and shows what "
    "happens to the weights. Of the first seed alone, without controls."
)


@dataclass(frozen=True)
class Place:
    """A stage of round `n`; of round 0, which prunes nothing, the training."""

    n: int
    stage: str

    @classmethod
    def at(cls, number: int) -> Place:
        """The place that is `number` steps after the first training."""
        if not number:
            return cls(0, "train")
        n, stage = divmod(number - 1, len(STAGES))
        return cls(n + 1, [*STAGES][stage])

    @property
    def number(self) -> int:
        """How many steps it is after the first training."""
        before = len(STAGES) * (self.n - 1) + [*STAGES].index(self.stage) + 1
        return before if self.n else 0

    @property
    def levels(self) -> int:
        """How many levels may be shown here, or are being trained."""
        return self.n + (self.stage == "train")

    @property
    def next(self) -> Place:
        """The place after this one."""
        return Place.at(self.number + 1)

    @property
    def before(self) -> Place:
        """The place before this one."""
        return Place.at(max(0, self.number - 1))


def choose_mode(disabled: bool) -> bool:
    """Whether to go step by step; in the page's link."""

    def choose(key: str, mode: str) -> str:
        on = st.toggle("Step by step", bool(mode), key=key, help=_HELP, disabled=disabled)
        return "on" if on else ""

    return LINK.option("steps", _MODES, choose) == "on" and not disabled


def place_in(experiment: Experiment) -> Place:
    """Where its visitor is, as the page's link says it, but no further than the first level that
    is not there."""
    said = LINK.params.get("at", "0")
    there = 0
    while there < len(experiment.keys) and has_level(experiment.keys[there]):
        there += 1
    last = Place(min(there, len(experiment.rounds)), "train")
    return Place.at(min(int(said) if is_whole(said) else 0, last.number))


def go_to(place: Place) -> None:
    """Be there from now on."""
    LINK.change(at=str(place.number))
