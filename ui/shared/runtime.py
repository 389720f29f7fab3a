"""The store and the queue that all sessions of this server share."""

from __future__ import annotations

import ctypes
import gc
import sys
from dataclasses import dataclass
from threading import Lock

from streamlit import net_util

from lottery_core.findings.shelf import Shelf
from lottery_core.running.cluster.start import asked_scheduler, cluster_crew
from lottery_core.running.crew import Crew
from lottery_core.running.queue import Queue
from lottery_core.running.workers import workers_here
from lottery_core.store import CACHE, Level, Store
from ui.shared.once import Once
from ui.shared.turns import drawing
from ui.shared.visitor import visitor

_LEVELS = 2_000  # without their arrays, a few KB each: all of a class of a hundred
_WHOLES = 4  # with their arrays, up to some MB each
_TABLES = 200
_LOOKS = 12 * 2**20  # bytes of pictures of weights
_CHARTS = 8 * 2**20  # bytes of charts as they are sent
_GARBAGE = (10_000, 10, 10)  # objects that come before Python looks for garbage among them


@dataclass(frozen=True)
class Runtime:
    """What pages work with; what was read and drawn is kept for all sessions, under what it shows
    (see reading.py, plot.py)."""

    store: Store
    shelf: Shelf
    queue: Queue
    levels: Once[Level]
    wholes: Once[Level]
    looks: Once
    charts: Once
    deaths: Once
    tables: Once


def _return_memory() -> None:
    """Have the C library give freed memory back.

    Every look at a run is a new thread that builds a few MB of charts; glibc would keep a heap
    for each and never shrink them, a third of the server's memory in the end.
    """
    arena_max, mmap_threshold = -8, -3  # <malloc.h>
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):  # not in every C library
            library.mallopt(arena_max, 2)
            library.mallopt(mmap_threshold, 256 * 1024)


def _ask_nobody_outside() -> None:
    """Keep Streamlit from asking a service on the internet for this machine's address, as it does
    when a page of another site knocks."""
    net_util.get_external_ip = lambda: None


# Not Streamlit's own cache: a page asks for it some hundred times, which would take a tenth of its
# time, and any visitor can have that cache emptied.
_started: list[Runtime] = []
_starting = Lock()


def runtime() -> Runtime:
    """Started with the first page, so that the workers are warm when Start is pressed."""
    if not _started:
        with _starting:
            if not _started:
                _started.append(_start())
    return _started[0]


def has_level(key: str) -> bool:
    """Whether a level is there; a page asks that of each some ten times while it is drawn."""
    return drawing.once(runtime().store.has, key)


def machine_facts() -> dict:
    """What is known of the machine that trains (see running/time_left.py)."""
    return drawing.once(runtime().store.read_machine, runtime().queue.machine)


def forget_runtime() -> None:
    """The next who asks gets another one; this one's queue is not closed."""
    _started.clear()


def _crew() -> Crew:
    """The workers of the cluster that `LOTTERY_SCHEDULER` names, or those of this machine."""
    address = asked_scheduler()
    return cluster_crew(address) if address else Crew(workers_here())


def _start() -> Runtime:
    _return_memory()
    _ask_nobody_outside()
    # What is imported by now is no garbage, and a page leaves next to none in cycles: looking for
    # it as often as Python does by itself is a tenth of a visit.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    store = Store(CACHE)
    store.sweep()
    return Runtime(
        store,
        Shelf(store),
        Queue(store, _crew(), visitor),
        levels=Once(_LEVELS),
        wholes=Once(_WHOLES),
        looks=Once(_LOOKS, size=lambda look: look.size),
        charts=Once(_CHARTS, size=lambda chart: len(chart.content)),
        deaths=Once(_WHOLES),
        tables=Once(_TABLES),
    )
