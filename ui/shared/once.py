"""What is made once for all visitors who ask for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Once(Generic[Made]):
    """Values by what they are of, up to a sum of sizes: the least recently used go first.

    Any number of threads may ask. Those that ask for what is just being made wait for it; what
    can't be made (None, or an error) is not kept, and the next who asks tries again.
    """

    def __init__(self, limit: int, size: Callable[[Made], int] = lambda made: 1):
        self._limit, self._size, self._total = limit, size, 0
        self._guard = threading.Lock()
        self._known: OrderedDict[Hashable, Future] = OrderedDict()

    def get(self, what: Hashable, make: Callable[[], Made | None]) -> Made | None:
        """What is kept of `what`, made now if there is nothing."""
        while True:
            with self._guard:
                future = self._known.get(what)
                mine = future is None
                if mine:
                    future = self._known[what] = Future()
                else:
                    self._known.move_to_end(what)
            if mine:
                return self._make(what, make, future)
            made = future.result()
            if made is not None:
                return made

    def clear(self) -> None:
        """Forget everything."""
        with self._guard:
            self._known.clear()
            self._total = 0

    @property
    def total(self) -> int:
        """The sum of the sizes of what is kept."""
        return self._total

    def _make(self, what: Hashable, make: Callable[[], Made | None], future: Future) -> Made | None:
        made = None
        try:
            made = make()
        finally:
            future.set_result(made)
            with self._guard:
                if self._known.get(what) is future:  # not cleared meanwhile
                    if made is None:
                        del self._known[what]
                    else:
                        self._total += self._size(made)
                        self._forget_oldest()
        return made

    def _forget_oldest(self) -> None:
        for what, future in list(self._known.items()):
            if self._total <= self._limit:
                return
            if future.done():  # what is being made has no size yet
                self._total -= self._size(future.result())
                del self._known[what]
