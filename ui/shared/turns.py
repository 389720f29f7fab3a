"""Who draws when many come at once, and how often when many stay."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Asked = TypeVar("Asked")

# Pages are made by Python code, of which one line runs at a time: more than a few at once only
# take the processor from each other, and all are finished late.
TURNS = 3


class Turns:
    """Lets a few threads in at once, the others in the order in which they came. A thread that is
    in may enter again. What it has asked while it is in it need not ask twice."""

    def __init__(self, turns: int = TURNS):
        self._free = turns
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._mine = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Inside, it is this thread's turn."""
        if getattr(self._mine, "taken", False):
            yield
            return
        self._take()
        self._mine.taken, self._mine.answers = True, {}
        try:
            yield
        finally:
            self._mine.taken = False
            self._give_back()

    def once(self, ask: Callable[..., Asked], *about: Hashable) -> Asked:
        """What `ask(*about)` gives, asked no more than once while it is this thread's turn. Where
        that is nothing yet it is asked for again."""
        if not getattr(self._mine, "taken", False):
            return ask(*about)
        answers, what = self._mine.answers, (ask, about)
        found = answers.get(what)
        if not found:
            found = answers[what] = ask(*about)
        return found

    def _take(self) -> None:
        with self._guard:
            if self._free:
                self._free -= 1
                return
            called = threading.Event()
            self._waiting.append(called)
        called.wait()

    def _give_back(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


# Pages that may look as often as they like. A look takes some 20 ms of a processor, and thirty of
# them are to leave the trainings at least nine tenths of two processors.
_AT_EASE = 3
_LATELY = 0.25  # seconds times the pace: a quarter of what the quickest page waits, about
_GONE = 30.0  # seconds after which a page that has not looked is not there any more


class Crowd:
    """How many pages look again and again. The more there are the less often each looks, so that
    all of them together leave the processor to the trainings they look at."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._guard = clock, threading.Lock()
        self._seen: dict[str, float] = {}
        self._answers: dict[Hashable, tuple[float, object]] = {}

    def look(self, page: str) -> None:
        """Note that a page, named by its session, looks now."""
        now = self._clock()
        with self._guard:
            self._seen[page] = now
            self._seen = {one: at for one, at in self._seen.items() if now - at < _GONE}

    def pace(self) -> int:
        """By how much longer than alone a page waits between two looks."""
        return max(1, -(-len(self._seen) // _AT_EASE))

    def is_off(self, pace: int) -> bool:
        """Whether a page that was drawn to look at that pace is to be drawn anew for another: a
        small change is not worth it, since drawing a page costs as much as many looks."""
        now = self.pace()
        return now >= 2 * pace or pace >= 2 * now

    def lately(self, ask: Callable[..., Asked], *about: Hashable) -> Asked:
        """What `ask(*about)` gave whoever asked a moment ago, where many look: what is drawn from
        it is then made once for all of them, not for each. Asked now where few look, or where it
        was nothing."""
        pace, now = self.pace(), self._clock()
        if pace == 1:
            return ask(*about)
        with self._guard:
            self._answers = {
                what: (at, found)
                for what, (at, found) in self._answers.items()
                if now - at < _LATELY * pace
            }
            _, known = self._answers.get((ask, about), (now, None))
        if known is None:
            known = ask(*about)
            with self._guard:
                self._answers[ask, about] = now, known
        return known


drawing = Turns()
looking = Crowd()
