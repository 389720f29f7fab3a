"""What is shared between visitors: made once, bounded, and never a failure handed on."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ui.shared.once import Once


def test_what_many_ask_for_at_once_is_made_once():
    once, made, begin = Once(10), [], threading.Barrier(20)

    def ask() -> str:
        begin.wait()
        return once.get("chart", lambda: made.append(1) or "drawn")

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(ask) for _ in range(20)]
    assert {answer.result() for answer in answers} == {"drawn"}
    assert made == [1]


def test_the_least_recently_used_goes_first_and_the_sum_stays_within_the_limit():
    once = Once(100, size=len)
    for name in "abc":
        once.get(name, lambda name=name: name * 40)
        once.get("a", lambda: "a" * 40)
        assert once.total <= 100
    made = []
    once.get("a", lambda: made.append("a") or "a")
    assert made == []
    once.get("b", lambda: made.append("b") or "b")
    assert made == ["b"]


def test_what_is_larger_than_the_limit_is_handed_out_and_not_kept():
    once = Once(10, size=len)
    assert once.get("huge", lambda: "x" * 11) == "x" * 11
    assert once.total == 0


def test_who_waits_for_what_fails_tries_for_himself():
    once, tries, waiting = Once(10), [], threading.Event()

    def fail() -> str:
        tries.append("failed")
        waiting.wait(5)
        raise RuntimeError("no")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(once.get, "chart", fail)
        while not tries:
            pass
        second = pool.submit(once.get, "chart", lambda: tries.append("made") or "drawn")
        waiting.set()
        assert second.result() == "drawn"
        with pytest.raises(RuntimeError, match="no"):
            first.result()
    assert tries == ["failed", "made"]


def test_nothing_is_not_kept():
    once = Once(10)
    assert once.get("level", lambda: None) is None
    assert once.get("level", lambda: "there now") == "there now"
