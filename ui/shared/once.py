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
        self._made: OrderedDict[Hashable, Made] = OrderedDict()
        self._making: dict[Hashable, Future] = {}

    def get(self, what: Hashable, make: Callable[[], Made | None]) -> Made | None:
        """What is kept of `what`, made now if there is nothing."""
        while True:
            with self._guard:
                if what in self._made:
                    self._made.move_to_end(what)
                    return self._made[what]
                future = self._making.get(what)
                mine = future is None
                if mine:
                    future = self._making[what] = Future()
            if mine:
                return self._make(what, make, future)
            made = future.result()
            if made is not None:
                return made

    def clear(self) -> None:
        """Forget everything."""
        with self._guard:
            self._made.clear()
            self._making.clear()
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
            with self._guard:
                if self._making.get(what) is future:  # not cleared meanwhile
                    del self._making[what]
                    if made is not None:
                        self._keep(what, made)
            future.set_result(made)
        return made

    def _keep(self, what: Hashable, made: Made) -> None:
        self._made[what] = made
        self._total += self._size(made)
        while self._total > self._limit:
            _, oldest = self._made.popitem(last=False)
            self._total -= self._size(oldest)
