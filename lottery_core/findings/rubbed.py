"""A network's answers while more and more of a layer's weights go, in NumPy: only what that changes
is computed anew.

What layers before give stays, and is kept. Of the layer itself only the channels that lost weights
change; the next layer reads all others as before, and adds what the changed ones differ by: it is
linear. From there on everything is new. Kept are a first part of the images, as many as there is
room for; the others go all the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from lottery_core.findings.forward import blocks, compute, onward
from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network, Operation

ROOM = 64 * 2**20  # bytes that are kept of one layer
_ONE_BY_ONE = ("relu", "norm", "pool", "mean", "flat")  # each channel by itself


@dataclass(frozen=True)
class _Before:
    """With all weights, of some images: what the layer and those after it read of earlier ones,
    what it gives, and what the next one gives."""

    known: dict[int, np.ndarray]
    given: np.ndarray
    after: np.ndarray | None


class Rubbed:
    """Answers to (n, *input) float32 images of a network with these `weights`, and of others that
    differ from it in operation `first`, a layer counted from 1, and maybe in later ones."""

    def __init__(
        self, network: Network, weights: Arrays, images: np.ndarray, first: int, room: int = ROOM
    ) -> None:
        self._network, self._weights, self._images = network, weights, images
        self._first, self._between = first, _between(network, first)
        self._parts = blocks(network, len(images))
        self._before: dict[int, _Before] = {}
        each = self._bytes_an_image() * (self._parts[0].stop if self._parts else 1)
        self._most = min(len(self._parts), room // max(1, each))

    def _bytes_an_image(self) -> int:
        network, last = self._network, self._first
        kept = {read for at in network.operations[last - 1 :] for read in at.reads if read < last}
        kept |= {self._first, *([] if self._between is None else [self._next])}
        return 4 * sum(int(np.prod(network.shape_of(number))) for number in kept)

    @property
    def _next(self) -> int:
        """The layer after, by its number."""
        return self._first + len(self._between) + 1

    def logits(self, weights: Arrays) -> Iterator[np.ndarray]:
        """Logits (some, classes) of some images after others, in their order."""
        rows = self._changed(weights)
        for n, part in enumerate(self._parts):
            if n < self._most:
                known, done = self._with_changed(self._kept(n), weights, rows)
            else:
                known, done = {0: self._images[part]}, 0
            if done == len(self._network.operations):
                yield known[done]
            else:
                *_, last = onward(self._network, weights, known, done + 1)
                yield last

    def keep(self) -> None:
        """Work out what is kept, ahead of the first question."""
        with threadpool_limits(1, "blas"):
            for n in range(self._most):
                self._kept(n)

    def _kept(self, n: int) -> _Before:
        if n not in self._before:
            network, first = self._network, self._first
            last = first if self._between is None else self._next
            found = {0: self._images[self._parts[n]]}
            ways = onward(network, self._weights, found)
            for number in range(1, last + 1):
                found[number] = next(ways)
            later = network.operations[first - 1 :]
            needed = {read for at in later for read in at.reads if read < first}
            self._before[n] = _Before(
                {number: found[number] for number in needed},
                found[first],
                None if self._between is None else found[last],
            )
        return self._before[n]

    def _changed(self, weights: Arrays) -> np.ndarray:
        """The channels of the first layer whose weights are others than before."""
        name = f"{self._network.operations[self._first - 1].name}.weight"
        other = weights[name] != self._weights[name]
        return np.flatnonzero(other.reshape(len(other), -1).any(axis=1))

    def _with_changed(
        self, before: _Before, weights: Arrays, rows: np.ndarray
    ) -> tuple[dict[int, np.ndarray], int]:
        """What is known, and the number of the last operation that has been done."""
        operations, first = self._network.operations, self._first
        if not rows.size:
            return before.known | {first: before.given}, first
        at = operations[first - 1]
        now = compute(_part(at, rows), _of(at, weights, rows), before.known[at.reads[0]])
        after = operations[self._next - 1] if self._between is not None else None
        if after is None or not _same(after, weights, self._weights):
            given = before.given.copy()
            given[:, rows] = now
            return before.known | {first: given}, first
        was = before.given[:, rows]
        for between in self._between:
            own = _of(between, weights, rows)
            now, was = (compute(_part(between, rows), own, one) for one in (now, was))
        given = before.after + _read(after, weights, rows, now - was)
        return before.known | {self._next: given}, self._next


def _between(network: Network, first: int) -> tuple[Operation, ...] | None:
    """What lies between a layer and the next if each goes on from the one before alone and keeps
    channels apart, and nothing else reads them; None otherwise."""
    readers: dict[int, list[int]] = {}
    for n, at in enumerate(network.operations, 1):
        for read in at.reads:
            readers.setdefault(read, []).append(n)
    found, number = [], first
    while readers.get(number) == [number + 1]:
        number += 1
        at = network.operations[number - 1]
        if at.kind in ("conv", "fc"):
            return tuple(found)
        if at.kind not in _ONE_BY_ONE:
            break
        found.append(at)
    return None


def _part(at: Operation, rows: np.ndarray) -> Operation:
    """An operation on some of its channels alone."""
    return replace(at, shape=(len(rows), *at.shape[1:]))


def _of(at: Operation, weights: Arrays, rows: np.ndarray) -> Arrays:
    """An operation's own parameters, of some channels."""
    own = (name for name in weights if name.rpartition(".")[0] == at.name)
    return {name: weights[name][rows] for name in own}


def _same(at: Operation, one: Arrays, other: Arrays) -> bool:
    name = f"{at.name}.weight"
    return one[name] is other[name] or np.array_equal(one[name], other[name])


def _read(at: Operation, weights: Arrays, rows: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """What a layer makes of some of the channels that it reads, without its bias."""
    matrix = weights[f"{at.name}.weight"]
    if at.kind == "fc":
        block = flow.shape[1] // len(rows)  # pixels of a channel that was flattened
        columns = (rows[:, None] * block + np.arange(block)).ravel()
        return flow @ matrix[:, columns].T
    return compute(at, {f"{at.name}.weight": np.ascontiguousarray(matrix[:, rows])}, flow)
