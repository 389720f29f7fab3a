"""What became of one weight: its values, and the round that cut it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lottery_core.store import Level


@dataclass(frozen=True)
class Life:
    """A weight's value before any training, and in the last `level` that trained it where it
    restarted and ended; by that end's magnitude it was the `rank`-th smallest of the `among`
    weights that its layer then had. `cut` is the round that cut it, 0 while it lives."""

    initial: float
    restart: float
    end: float
    level: int
    rank: int
    among: int
    cut: int

    def in_words(self) -> str:
        """All of it in two or three lines."""
        ranked = f"by magnitude {self.rank:,} of {self.among:,} in its layer, smallest first"
        values = f"{self.initial:.4f} at the start"
        if self.level:
            values += f", {self.restart:.4f} where level {self.level} restarted"
        values += f", {self.end:.4f} at the end of level {self.level}"
        if self.cut:
            return f"{values}.\nCut in round {self.cut}: {ranked}."
        return f"{values}.\nKept: {ranked}."


def life_of(
    level_of: Callable[[int], Level], n: int, cut: int, name: str, at: tuple[int, ...]
) -> Life:
    """The weight `name`[`at`] seen from level `n`. `cut` is its round of `anatomy.deaths`, and
    `level_of` gives the levels that lead there by their numbers: 0, and the last that trained it,
    are asked for."""
    last = cut - 1 if cut else n
    level = level_of(last)
    ends = np.abs(level.end[name])
    kept = level.mask[name]
    return Life(
        float(level_of(0).start[name][at]),
        float(level.start[name][at]),
        float(level.end[name][at]),
        last,
        1 + int(np.count_nonzero(kept & (ends < ends[at]))),
        int(np.count_nonzero(kept)),
        cut,
    )
