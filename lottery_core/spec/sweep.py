"""Many choices asked for at once: a grid of values, or a list, each with every seed.

As text it is a TOML file:

    preset = "quick"                # and any field of a choice, the same everywhere
    rounds = 4
    seeds = "0:10"                  # 0 to 9; or [1, 5, 7]

    [grid]                          # every combination of these
    criterion = ["magnitude", "snip"]
    rate = [0.2, 0.5]

    [[choice]]                      # instead of the grid or, with it, each of these with all of it
    network = "lenet-5"
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from lottery_core.spec.checks import InvalidValue, check_known, is_whole
from lottery_core.spec.choice import TYPES, Choice
from lottery_core.spec.limits import MAX_SEED, TIMES
from lottery_core.spec.links import read_choice, write_choice, write_value

MAX_CHOICES = 10_000 * TIMES  # of one sweep, seeds counted
_SEEDS = ("seed", "replicates")  # given by `seeds` where that is given


@dataclass(frozen=True)
class Point:
    """One choice of a sweep: its parameters as in a link, and what of them differs in it."""

    choice: Choice
    params: Mapping[str, str]
    varied: Mapping[str, str]


@dataclass(frozen=True)
class Sweep:
    """`fixed` holds the preset and fields that are alike in all choices, `grid` fields with several
    values each, `listed` what single choices change, `seeds` those of all (empty: as the fields
    say). All values are text, as in a link."""

    fixed: Mapping[str, str]
    grid: Mapping[str, Sequence[str]]
    listed: Sequence[Mapping[str, str]] = ()
    seeds: Sequence[int] = ()

    def __post_init__(self) -> None:
        for field in [*self.grid, *(name for one in self.listed for name in one)]:
            _check_field(field)
        for field, values in self.grid.items():
            if not values:
                raise InvalidValue("grid", field, "has no values; name some, or leave it out")
        named = {*self.fixed, *self.grid, *(name for one in self.listed for name in one)}
        if self.seeds and (both := named.intersection(_SEEDS)):
            rule = f"says the same as seeds; leave out one, {min(both)} or seeds"
            raise InvalidValue("seeds", f"{len(self.seeds)} of them", rule)
        if self.size > MAX_CHOICES:
            rule = f"are too many choices; at most {MAX_CHOICES:,} are run at once: split the sweep"
            raise InvalidValue("grid", f"{self.size:,}", rule)

    @property
    def size(self) -> int:
        """How many choices it has."""
        each = math.prod(len(values) for values in self.grid.values())
        return each * max(1, len(self.listed)) * max(1, len(self.seeds))

    def points(self) -> list[Point]:
        """Its choices: seed by seed, so that the first whole comparison is there early. Raises
        `InvalidValue`, which names the choice, for values that can't be or don't go together."""
        found = []
        for seed in self.seeds or (None,):
            for one in self.listed or ({},):
                for values in product(*self.grid.values()):
                    varied = {**one, **dict(zip(self.grid, values, strict=True))}
                    found.append(self._point(varied, seed))
        return found

    def _point(self, varied: Mapping[str, str], seed: int | None) -> Point:
        own = {} if seed is None else {"seed": str(seed), "replicates": "1"}
        try:
            preset, choice = read_choice({**self.fixed, **varied, **own})
            choice.arms()
        except InvalidValue as error:
            where = ", ".join(f"{name}={text}" for name, text in varied.items())
            if not where:
                raise
            raise InvalidValue("sweep", where, f"can't be run: {error}") from error
        return Point(choice, write_choice(preset, choice), varied)


def read_toml(text: str) -> Sweep:
    """A sweep from the text of a TOML file. Raises `InvalidValue`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue("sweep", text[:40], f"is no TOML: {error}") from error
    grid, listed, seeds = (table.pop(name, {}) for name in ("grid", "choice", "seeds"))
    if not isinstance(grid, dict) or not all(isinstance(one, list) for one in grid.values()):
        raise InvalidValue("grid", grid, "must be a table of lists, as in rate = [0.2, 0.5]")
    if listed and not (isinstance(listed, list) and all(isinstance(one, dict) for one in listed)):
        raise InvalidValue("choice", listed, "must be tables, each under its own [[choice]]")
    if isinstance(seeds, list):
        seeds = ",".join(map(str, seeds))
    return Sweep(
        {name: _text(name, value) for name, value in table.items()},
        {name: tuple(_text(name, value) for value in values) for name, values in grid.items()},
        [{name: _text(name, value) for name, value in one.items()} for one in listed or ()],
        read_seeds(str(seeds)) if seeds != {} else (),
    )


def read_grid(parts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Fields with their values, from texts such as `rate=0.2,0.5`. Raises `InvalidValue`."""
    found: dict[str, tuple[str, ...]] = {}
    for part in parts:
        field, equals, values = part.partition("=")
        field = field.strip().replace("-", "_")
        if not equals or not values.strip():
            raise InvalidValue("grid", part, "must be a field and values, as in rate=0.2,0.5")
        _check_field(field)
        if TYPES.get(field) is tuple:
            rule = "has values that are lists themselves; name them in a TOML file"
            raise InvalidValue("grid", field, rule)
        if field in found:
            raise InvalidValue("grid", field, "is named twice; put all its values into one")
        found[field] = tuple(value.strip() for value in values.split(","))
    return found


def read_seeds(text: str) -> tuple[int, ...]:
    """Seeds from `0:10` (0 to 9) or `1,5,7`. Raises `InvalidValue`."""
    begin, colon, end = (part.strip() for part in text.partition(":"))
    numbers = (begin, end) if colon else [part.strip() for part in text.split(",")]
    if all(is_whole(part) and len(part) < 12 for part in numbers):
        seeds = tuple(map(int, numbers))
        if colon:
            seeds = tuple(range(seeds[0], min(seeds[1], seeds[0] + MAX_CHOICES + 1)))
        if seeds and max(seeds) <= MAX_SEED:
            return tuple(dict.fromkeys(seeds))
    rule = f"must be numbers from 0 to {MAX_SEED}: 0:10 for 0 to 9, or 1,5,7"
    raise InvalidValue("seeds", text, rule)


def _check_field(field: str) -> None:
    if field != "preset":
        check_known("field", field, TYPES)


def _text(field: str, value: object) -> str:
    """A TOML value as text."""
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, dict):
        value = tuple(value.items())
    if isinstance(value, bool) or not isinstance(value, str | int | float | tuple):
        raise InvalidValue(field, value, "must be a text, a number or a list of them")
    return write_value(value)
