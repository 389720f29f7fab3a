"""The store and the queue that all sessions of this server share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from lottery_core.queue import Queue
from lottery_core.store import Store

# Where results are kept; tests and servers with a disk of their own point elsewhere.
CACHE = Path(os.environ.get("LOTTERY_CACHE", Path(__file__).resolve().parent.parent / "cache"))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Runtime:
    """What pages work with; `workers` is the number of processes behind the queue."""

    store: Store
    queue: Queue
    workers: int


@st.cache_resource(show_spinner=False)
def runtime() -> Runtime:
    """Started with the first page, so that the workers are warm when Start is pressed."""
    store, workers = Store(CACHE), _cores()
    store.sweep()
    return Runtime(store, Queue(store, workers), workers)
