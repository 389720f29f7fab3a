"""How far apart the masks are that a dense network would be given while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lottery_core.store.info import known_fields


@dataclass(frozen=True, kw_only=True)
class LevelDistances:
    """Masks of as many weights in each layer as a level keeps, `kept` in all. Row i of `differing`
    says at how many places that of look i differs from those of looks 0 to i - 1; `settled` is the
    iteration of the first evaluation at which it stood still (see `method.early`), if it did."""

    level: int
    kept: int
    settled: int | None
    differing: tuple[tuple[int, ...], ...]

    @classmethod
    def from_dict(cls, plain: Mapping) -> LevelDistances:
        """What `plain_measurement` gave. Raises as `read_measurement` does."""
        rows = tuple(tuple(map(int, row)) for row in plain["differing"])
        return cls(**known_fields(cls, plain) | {"differing": rows})


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Of an experiment's pruned levels; `total` counts the prunable weights, `looks` are the
    iterations of the evaluations whose masks are held against each other."""

    total: int
    seed: int
    looks: tuple[int, ...]
    levels: tuple[LevelDistances, ...]

    @classmethod
    def from_dict(cls, plain: Mapping) -> Distances:
        """What `plain_measurement` gave. Raises as `read_measurement` does."""
        return cls(
            total=plain["total"],
            seed=plain["seed"],
            looks=tuple(map(int, plain["looks"])),
            levels=tuple(map(LevelDistances.from_dict, plain["levels"])),
        )
