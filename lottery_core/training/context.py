"""Where a training runs, and who is told of it: handed down as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lottery_core.store import Store


@dataclass(frozen=True)
class Monitor:
    """`check` is called often and may raise to stop; `report` is told the number of parts done,
    `say` what is waited for, in words."""

    check: Callable[[], None] = lambda: None
    report: Callable[[int], None] = lambda done: None
    say: Callable[[str], None] = lambda words: None


SILENT = Monitor()


@dataclass(frozen=True)
class Context:
    """`store` has the levels and data sets, and what is known of this machine. `device` and `loop`
    (one of `base.LOOPS`) say where and how, and change nothing but rounding; `folder` holds a data
    set's original files, if it was named."""

    store: Store
    device: str = "cpu"
    loop: str = "auto"
    folder: Path | None = None
    monitor: Monitor = SILENT
