"""Things with names and shapes -> the order in which they come, and how it was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Protocol, TypeVar

from lottery_core.tickets import names
from lottery_core.tickets.reading import Notes
from lottery_core.tickets.unpacking import Refused, shown

_MAX_STEPS = 20_000  # of the search; sixty layers whose numbers tell their order take 2,000


class Named(Protocol):
    """What can be put in order: `label` has its numbers, `name` is for people."""

    @property
    def label(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


Item = TypeVar("Item", bound=Named)
Fits = Callable[[Sequence[Item], Item], bool]


class _TooLong(Exception):
    """The search has no end in sight."""


def in_order(
    items: list[Item], fits: Fits, title: str, in_file_order: bool, notes: Notes
) -> list[Item]:
    """The order of `items` in which each fits after those before it; [] if there is none.

    Where several fit, the numbers in their names decide, and where no number does, the order in
    which they are given, if that is the file's (`in_file_order`). Numbers win over the file. How it
    was told is noted under `title`; raises `Refused` if nothing tells it.
    """
    try:
        some = _two(items, fits, [set() for _ in items])
    except _TooLong:
        some = [items, items]  # too many to look at, as good as several
    if not some:
        return []
    try:
        numbered = _two(items, fits, _earlier(items))
    except _TooLong:
        raise Refused(
            f"has {title} that could be in too many orders; number them from input to output, as "
            "conv1, conv2, fc1, ..."
        ) from None
    if len(some) == 1:
        if not numbered:
            notes.worked_out.append(
                f"The {title} were put in order by their shapes, not by the numbers in their names."
            )
        elif not _is_numbered(some[0]):
            notes.worked_out.append(f"The {title} were put in order by their shapes.")
        return some[0]
    if not numbered:
        raise Refused(
            f"has {title} that shapes allow in several orders, none of them that of the numbers in "
            "their names; number them from input to output, as fc1, fc2, ..."
        )
    if len(numbered) == 1:
        if not _is_numbered(numbered[0]):
            notes.worked_out.append(
                f"The {title} were put in order by their shapes and the numbers in their names."
            )
        elif in_file_order and items != numbered[0] and _is_order(items, fits):
            notes.worked_out.append(
                f"The {title} were put in order by the numbers in their names, not as they stand "
                "in the file."
            )
        return numbered[0]
    if in_file_order and _is_order(items, fits) and _keeps_numbers(items):
        notes.worked_out.append(
            f"No numbers in their names order the {title}: taken as they stand in the file."
        )
        return items
    one, other = next(pair for pair in zip(*numbered, strict=True) if pair[0] is not pair[1])
    remedy = "save them in that order" if in_file_order else "save them in order as .npz"
    raise Refused(
        f"has {title} that could change places, {shown(one.name)} and {shown(other.name)}; number "
        f"them from input to output, as fc1, fc2, ..., or {remedy}"
    )


def _two(items: list[Item], fits: Fits, earlier: list[set[int]]) -> list[list[Item]]:
    """The first two orders, or as many as there are. Raises `_TooLong`."""
    return [*islice(_orders(items, fits, earlier), 2)]


def _orders(items: list[Item], fits: Fits, earlier: list[set[int]]) -> Iterator[list[Item]]:
    """All orders in which each item fits and none stands before one of its `earlier` ones, which
    are places in `items`. Raises `_TooLong`."""
    steps = 0

    def after(before: list[int]) -> Iterator[list[Item]]:
        nonlocal steps
        chosen = [items[i] for i in before]
        left = {*range(len(items))} - {*before}
        if not left:
            yield chosen
        for i in sorted(left):
            steps += 1
            if steps > _MAX_STEPS:
                raise _TooLong
            if not earlier[i] & left and fits(chosen, items[i]):
                yield from after([*before, i])

    return after([])


def _earlier(items: list[Item]) -> list[set[int]]:
    return [{j for j, other in enumerate(items) if _precedes(other, one)} for one in items]


def _precedes(one: Named, other: Named) -> bool:
    return names.precedes(one.label, other.label)


def _is_numbered(items: list[Item]) -> bool:
    """Whether numbers give this order; that fully connected layers come last is no question."""
    return all(
        _precedes(one, other) or len(one.shape) > len(other.shape) for one, other in pairwise(items)
    )


def _keeps_numbers(items: list[Item]) -> bool:
    return not any(_precedes(two, one) for i, one in enumerate(items) for two in items[i:])


def _is_order(items: list[Item], fits: Fits) -> bool:
    return all(fits(items[:i], item) for i, item in enumerate(items))
