"""What was measured is kept, and read again as it was, also what an earlier version kept."""

import json

import pytest

from lottery_core.store import (
    AnswerTimes,
    Barriers,
    Copies,
    Instability,
    LevelSpeed,
    LineTo,
    Machine,
    Sizes,
    Speed,
    StepTimes,
    Store,
    Timed,
    measurement_key,
    task_key,
)

KEY = "a" * 40
PATH = task_key("path", f"{KEY}-20")

# As they were written when a measurement was a dictionary.
SPEED = """{
 "machine": {"processor": "A processor", "threads": 1, "python": "3.11.2", "torch": "2.7.0+cpu",
  "numba": "0.61.2", "numpy": "2.2.6"},
 "measured": 1751000000.5, "total": 19056, "multiply_adds_step": 2302080,
 "iterations_per_epoch": 916, "batch_size": 60,
 "levels": [{
   "level": 1, "kept": 15254, "iterations": 30, "seconds": 0.21, "loop": "torch",
   "step": {"masked": [0.0003, 0.0002, 0.0004], "csr": [0.003, 0.002, 0.004],
    "ours": [0.0001, 9e-05, 0.0002], "products": [0.0001, 0.0001, 0.0001]},
   "forward": {"1": {"dense": [4e-05, 3e-05, 5e-05], "ticket": [5e-06, 4e-06, 6e-06]},
    "1024": {"dense": [0.004, 0.003, 0.005], "ticket": [0.008, 0.007, 0.009]}},
   "bytes": {"dense": 76360, "dense_compressed": 58000, "ticket": 63534,
    "ticket_compressed": 58100},
   "multiply_adds_step": 1842000}],
 "beside": 2
}"""
COPIES = """{
 "level": 1, "kept": 500, "first_iteration": 20, "orders": [1, 2], "alphas": [0.0, 0.5, 1.0],
 "train_error": [0.01, 0.2, 0.02], "test_error": [0.03, 0.25, 0.04],
 "instability_train": 0.185, "instability_test": 0.215, "seconds": 1.5
}"""
INSTABILITY = f'{{"total": 1000, "seed": 3, "paths": [{COPIES}]}}'

SPEED_READ = Speed(
    machine=Machine("A processor", 1, "3.11.2", "2.7.0+cpu", "0.61.2", "2.2.6"),
    measured=1751000000.5,
    total=19056,
    multiply_adds_step=2302080,
    iterations_per_epoch=916,
    batch_size=60,
    levels=(
        LevelSpeed(
            level=1,
            kept=15254,
            iterations=30,
            seconds=0.21,
            loop="torch",
            step=StepTimes(
                masked=Timed(median=0.0003, least=0.0002, most=0.0004),
                csr=Timed(0.003, 0.002, 0.004),
                ours=Timed(0.0001, 9e-05, 0.0002),
                products=Timed(0.0001, 0.0001, 0.0001),
            ),
            forward={
                1: AnswerTimes(Timed(4e-05, 3e-05, 5e-05), Timed(5e-06, 4e-06, 6e-06)),
                1024: AnswerTimes(Timed(0.004, 0.003, 0.005), Timed(0.008, 0.007, 0.009)),
            },
            bytes=Sizes(dense=76360, dense_compressed=58000, ticket=63534, ticket_compressed=58100),
            multiply_adds_step=1842000,
        ),
    ),
    beside=2,
)
COPIES_READ = Copies(
    alphas=(0.0, 0.5, 1.0),
    train_error=(0.01, 0.2, 0.02),
    test_error=(0.03, 0.25, 0.04),
    instability_train=0.185,
    instability_test=0.215,
    level=1,
    kept=500,
    first_iteration=20,
    orders=(1, 2),
    seconds=1.5,
)
BARRIERS = """
{"level": 2, "kept": 250, "total": 1000, "seed": 3, "seconds": 2.5, "lines": [
 {"alphas": [0.0, 0.5, 1.0], "train_error": [0.01, 0.2, 0.02], "test_error": [0.03, 0.25, 0.04],
  "instability_train": 0.185, "instability_test": 0.215, "end": "reinit"}]}
"""
BARRIERS_READ = Barriers(
    level=2,
    kept=250,
    total=1000,
    seed=3,
    seconds=2.5,
    lines=(
        LineTo(
            alphas=(0.0, 0.5, 1.0),
            train_error=(0.01, 0.2, 0.02),
            test_error=(0.03, 0.25, 0.04),
            instability_train=0.185,
            instability_test=0.215,
            end="reinit",
        ),
    ),
)
KEPT = {
    task_key("barriers", KEY): (BARRIERS, BARRIERS_READ),
    measurement_key(KEY): (SPEED, SPEED_READ),
    PATH: (COPIES, COPIES_READ),
    task_key("instability", KEY): (
        INSTABILITY,
        Instability(total=1000, seed=3, paths=(COPIES_READ,)),
    ),
}


@pytest.fixture
def store(tmp_path):
    (tmp_path / "measurements").mkdir()
    return Store(tmp_path)


def put(store, key, text):
    (store.root / "measurements" / f"{key}.json").write_text(text)


@pytest.mark.parametrize("key", KEPT)
def test_what_was_kept_before_is_read_as_it_was_written(store, key):
    text, found = KEPT[key]
    put(store, key, text)
    assert store.read_measurement(key) == found


@pytest.mark.parametrize("key", KEPT)
def test_a_measurement_is_read_again_as_it_was(store, key):
    store.write_measurement(key, KEPT[key][1])
    assert store.read_measurement(key) == KEPT[key][1]


def test_what_another_version_kept_besides_is_left_out(store):
    more = {"colour": "blue"} | json.loads(SPEED)
    more["levels"][0]["step"]["another way"] = [1, 1, 1]
    more["machine"]["memory"] = 8
    key = measurement_key(KEY)
    put(store, key, json.dumps(more))
    assert store.read_measurement(key) == SPEED_READ


@pytest.mark.parametrize("key", KEPT)
def test_a_damaged_record_is_not_there(store, key):
    whole, _ = KEPT[key]
    plain = json.loads(whole)
    without = [{name: plain[name] for name in plain if name != gone} for gone in plain]
    without = [left for left in without if "beside" in left or "machine" not in left]
    of_another_task = "{}" if "paths" in plain else INSTABILITY
    texts = ["", whole[:-20], "[]", "7", "null", '"a"', of_another_task, *map(json.dumps, without)]
    for text in texts:
        put(store, key, text)
        assert store.read_measurement(key) is None, text


@pytest.mark.parametrize("wrong", [None, [], [1], [1, 2, 3, 4], "slow", {"median": 1}])
def test_times_that_are_no_three_numbers_are_damage(store, wrong):
    plain = json.loads(SPEED)
    plain["levels"][0]["step"]["ours"] = wrong
    put(store, measurement_key(KEY), json.dumps(plain))
    assert store.read_measurement(measurement_key(KEY)) is None


def test_a_key_of_no_task_has_no_measurement(store):
    put(store, KEY, SPEED)
    assert store.read_measurement(KEY) is None
