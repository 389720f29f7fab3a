"""Who draws when many come at once: a few, in the order in which they came."""

import threading
import time

import pytest

from ui.shared.turns import Crowd, Turns


@pytest.mark.parametrize("few", [1, 2])
def test_no_more_than_a_few_are_in_and_nobody_is_left_out(few):
    turns, inside, most, order = Turns(few), [], [], []
    leave = threading.Event()

    def enter(n: int) -> None:
        with turns.taken(), turns.taken():  # who is in does not wait for himself
            inside.append(n)
            order.append(n)
            most.append(len(inside))
            leave.wait(10)
            inside.remove(n)

    threads = [threading.Thread(target=enter, args=(n,)) for n in range(8)]
    for n, thread in enumerate(threads):
        thread.start()
        while len(order) + len(turns._waiting) <= n:
            time.sleep(0.001)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert max(most) == few
    assert sorted(order) == list(range(8))
    if few == 1:
        assert order == list(range(8))


def test_a_turn_is_given_back_however_the_drawing_ends():
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(SystemExit), turns.taken():
            raise SystemExit
    assert turns._free == 1


def test_few_look_as_often_as_alone_and_thirty_less_often_until_they_are_gone():
    now = [0.0]
    crowd = Crowd(clock=lambda: now[0])
    for page in range(3):
        crowd.look(str(page))
        crowd.look(str(page))
    assert crowd.pace() == 1
    for page in range(30):
        crowd.look(str(page))
    assert crowd.pace() == 10
    assert [pace for pace in range(1, 20) if crowd.is_off(pace)] == [*range(1, 6)]
    now[0] = 60.0
    crowd.look("0")
    assert crowd.pace() == 1


def test_many_who_look_share_what_was_known_a_moment_ago_and_few_do_not():
    now, known = [0.0], {"a": 1}
    crowd = Crowd(clock=lambda: now[0])
    crowd.look("0")
    assert crowd.lately(known.get, "a") == 1
    known["a"] = 2
    assert crowd.lately(known.get, "a") == 2
    for page in range(30):
        crowd.look(str(page))
    assert crowd.lately(known.get, "a") == 2
    assert crowd.lately(known.get, "b") is None
    known |= {"a": 3, "b": 1}
    assert [crowd.lately(known.get, what) for what in "ab"] == [2, 1]  # none is asked for again
    now[0] += 2.5  # pages that wait for ten seconds are told what is 2.5 seconds old, no more
    assert crowd.lately(known.get, "a") == 3


def test_what_is_asked_in_a_turn_is_asked_once_and_again_in_the_next():
    turns, there, asked = Turns(1), {"a"}, []

    def ask(key: str) -> bool:
        asked.append(key)
        return key in there

    with turns.taken():
        assert [turns.once(ask, key) for key in "aab"] == [True, True, False]
        there |= {"b"}
        assert turns.once(ask, "b")  # what was not there may come while a page is drawn
    assert asked == ["a", "b", "b"]
    there.clear()
    assert not turns.once(ask, "a")  # outside of any, as a button's work is
    with turns.taken():
        assert not turns.once(ask, "a")
