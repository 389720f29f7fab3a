"""Where results and their derivatives lie in memory: what is not needed at the same time shares a
place, which then stays in a cache.

Who shares a place has planes of one shape, so that the zeros around them stay zeros.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from lottery_core.training.convolution.plan import Plan, Result
from lottery_core.training.convolution.program import POOL


class _Room:
    """Hands out places in an array, and takes them back for others of the same shape."""

    def __init__(self, panels: int, width: int) -> None:
        self.size = 0
        self._panels, self._width = panels, width
        self._free: dict[tuple, list[int]] = defaultdict(list)

    def take(self, result: Result, margin: int) -> int:
        """A place for the result's planes with a margin around them."""
        free = self._free[_shape(result, margin)]
        if free:
            return free.pop()
        self.size += self._panels * result.size(self._width, margin)
        return self.size - self._panels * result.size(self._width, margin)

    def give_back(self, result: Result, margin: int, place: int) -> None:
        self._free[_shape(result, margin)].append(place)


def _shape(result: Result, margin: int) -> tuple[int, ...]:
    return int(result.live.sum()), result.rows, result.columns, margin


def activities(plan: Plan, panels: int, width: int) -> tuple[np.ndarray, int]:
    """Where each result's activity begins, and what all take. All are needed on the way back, but
    those that are only added to another."""
    room, results = _Room(panels, width), plan.results
    places = np.zeros(len(results), int)
    places[0] = room.take(results[0], results[0].rim)
    for step in plan.steps:
        places[step.target] = room.take(results[step.target], results[step.target].rim)
        for one in plan.reads(step):
            if one == step.other and results[one].readers == 1 and not results[one].has_relu:
                room.give_back(results[one], results[one].rim, int(places[one]))
    return places, room.size


def derivatives(plan: Plan, panels: int, width: int) -> tuple[np.ndarray, int]:
    """Where the derivative by each result begins (-1 without any), and what all take."""
    room, results = _Room(panels, width), plan.results
    places = np.full(len(results), -1)
    sharers: dict[int, int] = defaultdict(int)
    last = len(results) - 1
    if plan.is_trained(last):
        places[last] = room.take(results[last], results[last].edge)
        sharers[places[last]] = 2  # of it only what the head reads is ever written: its own
    for n in reversed(range(len(plan.steps))):
        step = plan.steps[n]
        target = places[step.target]
        for one in plan.reads(step):
            if places[one] >= 0 or not plan.is_trained(one):
                continue
            if one == step.other and _may_share(plan, n):
                places[one] = target
            else:
                places[one] = room.take(results[one], results[one].edge)
            sharers[places[one]] += 1
            if step.kind == POOL and (results[one].rows % 2 or results[one].columns % 2):
                sharers[places[one]] += 1  # its last row or column is never written: its own
        if target >= 0:
            sharers[target] -= 1
            if not sharers[target]:
                room.give_back(results[step.target], results[step.target].edge, int(target))
    return places, room.size


def _may_share(plan: Plan, n: int) -> bool:
    """Whether the derivative by what step `n` adds to its own result may lie where that of the sum
    does: it is the same, but that a ReLU may stop it, which whoever else read it sees to when it
    adds to it. The sum's own is not needed any more by then."""
    step = plan.steps[n]
    other = plan.results[step.other]
    if other.edge or plan.results[step.target].edge:
        return False
    readers = [k for k, reader in enumerate(plan.steps) if step.other in plan.reads(reader)]
    return max(readers) == n and (len(readers) > 1 or not other.has_relu)
