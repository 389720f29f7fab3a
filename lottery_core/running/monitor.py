"""How a measurement tells how far it is, and learns that it should stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Monitor:
    """`check` is called often and may raise to stop; `report` is told the number of parts done,
    `say` what is waited for, in words."""

    check: Callable[[], None] = lambda: None
    report: Callable[[int], None] = lambda done: None
    say: Callable[[str], None] = lambda words: None


SILENT = Monitor()
