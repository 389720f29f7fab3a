"""How many processes train at once on this machine."""

from __future__ import annotations

import os

import loky

from lottery_core.spec.checks import InvalidValue, is_whole

MAX_WORKERS = 64


def workers_here() -> int:
    """How many workers this machine gets: `LOTTERY_WORKERS`, or one for each processor that this
    process may use, where a container's CPU quota counts as well.

    Raises `InvalidValue` for a number that is none.
    """
    asked = os.environ.get("LOTTERY_WORKERS", "").strip()
    if not asked:
        return loky.cpu_count()
    if not is_whole(asked) or not 1 <= int(asked) <= MAX_WORKERS:
        raise InvalidValue(
            "LOTTERY_WORKERS",
            asked,
            f"must be a whole number from 1 to {MAX_WORKERS}; unset it for one a processor",
        )
    return int(asked)
