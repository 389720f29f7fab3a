"""A class: seats, seeds, who may lock it, how long it lives, and what comes of all its seeds."""

import json
import threading
from dataclasses import replace

import pytest

from lottery_core.findings.replicates import band
from lottery_core.running import classroom, engine
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.presets import PRESETS, preset
from lottery_core.store import Store
from lottery_core.training.context import Context

pytestmark = pytest.mark.usefixtures("judged_on_few")

CHOICE = replace(
    preset("quick"), network="8", length=12.0, unit="iterations", rounds=1, controls=("reinit",)
)


def opened(store: Store, name: str = "physics-10b", who: str = "teacher") -> str:
    return classroom.open_class(store, name, who, "quick", CHOICE)


@pytest.mark.parametrize("name", ["a", "physics-10b", "7", "x" * 40, " Physics-10B "])
def test_names_are_letters_digits_and_hyphens(store, name):
    opened(store, name)
    assert classroom.find(store, name).name == name.strip().lower()
    assert classroom.find(store, name.upper()) == classroom.find(store, name)


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "x" * 41, "a b", "../jobs/a", "a.json", "ä", "a\nb"]
)
def test_what_is_no_name_is_refused_with_the_rule(store, name):
    for ask in (opened, classroom.find):
        with pytest.raises(InvalidValue, match="1 to 40 letters"):
            ask(store, name)
    assert not (store.root / "classes").exists()


def test_each_visitor_has_a_seed_of_their_own_and_keeps_it(store):
    opened(store)
    visitors = [f"student {n}" for n in range(30)]
    seeds = {
        who: classroom.take_seat(store, "physics-10b", who).seed_of(who)
        for who in ["teacher", *visitors]
    }
    assert len(set(seeds.values())) == 31
    again = Store(store.root)  # as after a restart
    for who, seed in reversed(seeds.items()):
        assert classroom.take_seat(again, "physics-10b", who).seed_of(who) == seed


def test_visitors_who_come_at_the_same_moment_have_different_seeds(store):
    opened(store)

    def come(n: int) -> None:
        classroom.take_seat(Store(store.root), "physics-10b", f"student {n}")

    threads = [threading.Thread(target=come, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seats = classroom.find(store, "physics-10b").seats
    assert sorted(seats.values()) == list(range(13))


def test_there_is_no_seat_beyond_the_last_and_none_in_no_class(store, monkeypatch):
    assert classroom.take_seat(store, "nobodys", "student") is None
    monkeypatch.setattr(classroom, "MAX_SEATS", 2)
    opened(store)
    classroom.take_seat(store, "physics-10b", "student")
    with pytest.raises(InvalidValue, match="all are taken"):
        classroom.take_seat(store, "physics-10b", "another")
    assert classroom.take_seat(store, "physics-10b", "student") is not None


DEEDS = {
    "unlock": lambda store, who: classroom.lock(store, "physics-10b", who, False),
    "give": lambda store, who: classroom.give(store, "physics-10b", who, "quick", preset("quick")),
    "link": lambda store, who: classroom.new_word(store, "physics-10b", who),
    "close": lambda store, who: classroom.close(store, "physics-10b", who),
    "guess": lambda store, who: classroom.become_teacher(store, "physics-10b", who, "a guess"),
    "open": lambda store, who: opened(store, who=who),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_a_student_can_do_nothing_that_a_teacher_can(store, deed):
    opened(store)
    classroom.take_seat(store, "physics-10b", "student")
    classroom.lock(store, "physics-10b", "teacher", True)
    before = classroom.find(store, "physics-10b")
    with pytest.raises(InvalidValue):
        DEEDS[deed](store, "student")
    assert classroom.find(store, "physics-10b") == before
    assert before.locked


def test_the_teachers_link_makes_a_teacher_until_there_is_a_new_one(store):
    word = opened(store)
    classroom.become_teacher(store, "physics-10b", "at home", word)
    classroom.lock(store, "physics-10b", "at home", True)
    new = classroom.new_word(store, "physics-10b", "at home")
    with pytest.raises(InvalidValue, match="ask who teaches it"):
        classroom.become_teacher(store, "physics-10b", "student", word)
    classroom.become_teacher(store, "physics-10b", "elsewhere", new)
    # Who can read the cache can't make a link of what is kept there.
    written = next((store.root / "classes").iterdir()).read_text()
    assert word not in written
    assert new not in written


def test_a_class_lives_while_somebody_comes_and_its_name_is_free_after(store, monkeypatch):
    now = [1e9]
    monkeypatch.setattr(classroom.time, "time", lambda: now[0])
    opened(store)
    for _ in range(5):
        now[0] += 0.9 * classroom.LIFE
        assert classroom.take_seat(store, "physics-10b", "student")
    now[0] += classroom.LIFE + 1
    assert classroom.find(store, "physics-10b") is None
    opened(store, who="another")
    assert classroom.find(store, "physics-10b").teachers == ("another",)
    classroom.close(store, "physics-10b", "another")
    assert classroom.find(store, "physics-10b") is None


def test_classes_that_are_over_make_room_for_others(store, monkeypatch):
    now = [1e9]
    monkeypatch.setattr(classroom.time, "time", lambda: now[0])
    monkeypatch.setattr(classroom, "MAX_CLASSES", 2)
    opened(store, "a")
    opened(store, "b")
    with pytest.raises(InvalidValue, match="no more may be"):
        opened(store, "c")
    now[0] += classroom.LIFE + 1
    opened(store, "c")
    assert [one.name for one in store.classes()] == ["c"]


def test_a_damaged_record_is_no_class_and_harms_no_other(store):
    opened(store, "a")
    opened(store, "b")
    for content in (b"", b"{", b"[]", json.dumps({"name": "a"}).encode()):
        (store.root / "classes" / "a.json").write_bytes(content)
        assert classroom.find(store, "a") is None
        assert classroom.find(store, "b")
    opened(store, "a")


def test_the_class_trains_the_teachers_recipe_one_seed_each(store):
    classroom.open_class(store, "a", "teacher", "quick", replace(CHOICE, seed=3, replicates=4))
    for who in ("one", "two"):
        classroom.take_seat(store, "a", who)
    found = classroom.find(store, "a")
    name, choice = classroom.choice_of(found, found.seed_of("two"))
    assert name == "quick"
    assert choice == replace(CHOICE, seed=found.first_seed + 2, replicates=1)
    arms = classroom.arms_of(found)
    seeds = [found.first_seed + n for n in range(3)]
    for arm in ("main", "reinit"):
        assert [one.recipe.seed for one in arms[arm]] == seeds
    classroom.give(store, "a", "teacher", "notebook", PRESETS["notebook"].choice)
    found = classroom.find(store, "a")
    assert classroom.choice_of(found, 5) == (
        "notebook",
        replace(PRESETS["notebook"].choice, seed=5),
    )


def test_a_recipe_that_cannot_run_is_not_given_to_a_class(store):
    with pytest.raises(InvalidValue, match="batch_size"):
        classroom.open_class(store, "a", "teacher", "quick", replace(CHOICE, batch_size=0))
    assert classroom.find(store, "a") is None


def test_what_came_of_a_class_is_the_mean_over_the_seeds_that_have_begun(store):
    opened(store)
    for who in ("one", "two", "late"):
        classroom.take_seat(store, "physics-10b", who)
    found = classroom.find(store, "physics-10b")
    arms = classroom.arms_of(found)
    nothing = classroom.pooled(arms, {name: {} for name in arms})
    assert nothing.accuracy().layout.meta["alt"] == "Test accuracy as weights are pruned. ."

    for who in ("one", "two"):
        experiment = classroom.choice_of(found, found.seed_of(who))[1].experiment()
        run = engine.run(experiment, Context(store))
        levels = [next(run)] if who == "two" else list(run)
        run.close()
        assert len(levels) == (1 if who == "two" else 2)
    runs = {
        name: {
            one.recipe.seed: infos
            for one in arm
            if (infos := [info for info in map(store.info, one.keys) if info])
        }
        for name, arm in arms.items()
    }
    outcome = classroom.pooled(arms, runs)
    assert sorted(outcome.runs["main"]) == [found.seed_of("one"), found.seed_of("two")]
    curve = next(
        trace for trace in outcome.accuracy().data if (trace.name or "").startswith("rewound")
    )
    accuracies = [infos[0].test_accuracy for infos in runs["main"].values()]
    assert curve.y[0] == pytest.approx(100 * band(accuracies, "range").mean)
    done = classroom.pooled(arms, runs, finished=True)
    assert sorted(done.runs["main"]) == [found.seed_of("one")]
