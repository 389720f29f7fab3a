"""The store and the queue that all sessions of this server share."""

from __future__ import annotations

import ctypes
import gc
import sys
from dataclasses import dataclass

import streamlit as st

from lottery_core.running.queue import Queue, workers_here
from lottery_core.store import CACHE, Store


@dataclass(frozen=True)
class Runtime:
    """What pages work with."""

    store: Store
    queue: Queue


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


@st.cache_resource(show_spinner=False)
def runtime() -> Runtime:
    """Started with the first page, so that the workers are warm when Start is pressed."""
    _return_memory()
    # Streamlit collects garbage after every look at a page; what is imported by now is none, and
    # going through it takes longer than the look.
    gc.collect()
    gc.freeze()
    store = Store(CACHE)
    store.sweep()
    return Runtime(store, Queue(store, workers_here()))
