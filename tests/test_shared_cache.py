"""Caches that belong to a group, or that can only be read."""

import os
import stat
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from lottery_core.running import engine
from lottery_core.store import (
    Instability,
    Job,
    Label,
    Level,
    Store,
    StoreUnavailable,
    Waiting,
    levels,
    task_key,
)
from lottery_core.training.context import Context
from tests.infos import info_of
from tests.other_user import NOBODY, SUPERUSER, allow, as_other_user, public_folder

KEY = "a" * 40
MEASURED = task_key("instability", KEY)


@pytest.fixture
def folder():
    with public_folder() as made:
        yield made


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def small_level():
    arrays = {"fc1.weight": np.ones((3, 2), np.float32)}
    mask = {"fc1.weight": np.ones((3, 2), bool)}
    info = info_of(experiment={}, layers={"fc1.weight": (6, 6)})
    history = pd.DataFrame({"iteration": [0]})
    return Level(info, mask, arrays, arrays, np.zeros(2, np.float32), history)


def job(key=KEY, state="done"):
    return Job(key=key, state=state, owner="me", submitted=1.0, experiment={})


def fill(store):
    """Keep one thing of each kind, and leave a lock behind."""
    store.write(KEY, small_level())
    store.write_ticket("0" * 64, small_level().mask, None)
    store.write_measurement(MEASURED, Instability(total=1, seed=1, paths=()))
    store.write_progress(KEY, Waiting("a while"))
    store.write_job(job())
    store.write_label("0123456789", Label("Baseline"))
    store.write_index({"form": 0})
    store.request_cancel(KEY)
    store.revise_machine(lambda facts: {"a": 1})
    with store.held("x"):
        pass


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_all_that_is_kept_follows_the_umask(tmp_path, mask):
    store = Store(tmp_path / "cache")
    with umask(mask):
        fill(store)
    paths = [store.root, *store.root.rglob("*")]
    assert len(paths) > 14
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode) & 0o777
        assert mode == (0o777 if path.is_dir() else 0o666) & ~mask, path


def test_another_of_the_group_goes_on_where_the_first_left_off(folder):
    store = Store(folder / "cache")
    with umask(0o002):
        fill(store)
    for path in (store.root, *store.root.rglob("*")):
        if SUPERUSER:
            os.chown(path, -1, NOBODY)
        if path.is_dir():
            path.chmod(0o2775)
    with umask(0o022), store.held("late"):  # made by who does not think of the group
        pass
    code = """
level = store.read(given)
store.write("b" * 40, level)
store.write_job(Job(given, "done", "you", 2.0, {}))
store.request_cancel(given)
store.clear_cancel(given)
store.write_measurement(f"instability-{given}", Instability(total=1, seed=2, paths=()))
store.write_progress(given, Waiting("a while"))
store.revise_machine(lambda facts: {"a": facts["a"] + 1})
with store.held("x"), store.held("late"):
    held = store.is_held("x") and store.is_held("late")
weights = os.path.join(root, "levels", given, "weights.safetensors")
with open(weights, "r+b") as file:
    file.truncate(10)
warnings.simplefilter("ignore")
damaged = store.read(given) is None and store.damaged(given)
store.write(given, level)
found = [held, damaged, store.keys()]
"""
    assert as_other_user(code, store.root, KEY, 0o002) == [True, True, [KEY, "b" * 40]]
    assert store.read(KEY) is not None
    assert store.job(KEY).owner == "you"
    assert not store.cancel_requested(KEY)
    assert store.read_measurement(MEASURED).seed == 2
    assert store.read_machine() == {"a": 2}
    assert not list(store.root.glob("*/.new-*"))


def test_what_is_not_yours_to_read_is_neither_damaged_nor_absent(folder):
    store = Store(folder / "cache")
    fill(store)
    store.write("b" * 40, small_level())
    store.write_job(job("b" * 40))
    for path in ("levels/" + KEY, f"jobs/{KEY}.json", f"measurements/{MEASURED}.json"):
        (store.root / path).chmod(0)
    (store.root / "tickets" / ("0" * 64 + ".safetensors")).chmod(0)
    code = """
asked = [(ask, given) for ask in (store.read, store.has, store.info, store.job)]
asked += (store.read_measurement, f"instability-{given}"), (store.read_ticket, "0" * 64)
found = {
    "refused": [refused(ask, key) for ask, key in asked],
    "damaged": store.damaged(given),
    "levels": [store.keys(), store.unreadable(), list(store.infos([given, "b" * 40]))],
    "jobs": [job.key for job in store.jobs()],
    "list": command("list", "--cache", root),
    "show": command("show", given, "--cache", root),
}
"""
    found = as_other_user(code, store.root, KEY)
    for words in found["refused"]:
        assert f"in {store.root} is not yours to read" in words
        assert f"ask its owner for read permission (chmod -R g+rX {store.root})" in words
    assert found["damaged"] is False
    assert found["levels"] == [["b" * 40], [KEY], ["b" * 40]]
    assert found["jobs"] == ["b" * 40]
    assert found["list"][0] == 0
    assert f"1 level in {store.root} is not yours to read" in found["list"][1]
    assert "Nothing is kept" not in found["list"][1]
    assert found["show"][0] == 2  # no level that can be shown has this key
    allow(store.root, 0o600)
    allow(store.root, 0o700)
    assert store.read(KEY) is not None


def test_a_closed_folder_of_levels_is_told_of(folder):
    store = Store(folder / "cache")
    fill(store)
    (store.root / "levels").chmod(0)
    code, printed = as_other_user("found = command('list', '--cache', root)", store.root)
    assert code == 1
    assert "the folder levels in" in printed
    assert "is not yours to read" in printed


def test_a_level_that_can_not_be_read_is_not_computed_over(store, tiny, monkeypatch):
    list(engine.run(tiny, Context(store)))
    path = store.root / "levels" / tiny.keys[1] / "weights.safetensors"
    before, read = path.stat(), levels.Path.read_bytes

    def refuse(self):
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return read(self)

    monkeypatch.setattr(levels.Path, "read_bytes", refuse)
    with pytest.raises(StoreUnavailable, match="is not yours to read"):
        list(engine.run(tiny, Context(store)))
    assert path.stat() == before


def test_sweeping_goes_on_over_what_it_may_not_remove(folder):
    store = Store(folder / "cache")
    fill(store)
    left = [store.root / name / ".new-left" for name in ("jobs", "levels", "progress")]
    for path in left:
        path.touch()
        os.utime(path, (0, 0))
    (store.root / "jobs").chmod(0o555)
    (store.root / "levels").chmod(0)
    (store.root / "progress").chmod(0o777)
    assert as_other_user("store.sweep(); found = True", store.root)
    allow(store.root, 0o700)
    assert [path.exists() for path in left] == [True, True, False]


def test_a_cache_that_can_not_be_written_can_be_looked_at(folder, make_store, tiny):
    store = make_store(folder / "cache")
    list(engine.run(tiny, Context(store)))
    for experiment, owner in ((tiny, "alive"), (tiny.__class__(tiny.recipe), "dead")):
        record = Job(experiment.key, "running", owner, 1.0, experiment.as_dict())
        with store.held(owner):
            store.write_job(record)
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    code = """
key, out = given
ticket = os.path.join(out, "ticket")
formats = "mask", "mask-npz", "onnx", "card", "script", "bundle"
found = {
    "list": command("list", "--cache", root),
    "levels": command("list", "--levels", "--cache", root),
    "show": command("show", key, "--cache", root),
    "export": command("export", key, "--out", ticket, "--cache", root),
    **{form: command("export", key, "--format", form, "--out", os.path.join(out, form),
                     "--cache", root) for form in formats},
    "verify": command("verify", ticket, "--cache", root),
    "train": command("train", ticket, "--cache", root),
}
"""
    with store.held("alive"):
        allow(store.root, 0, take=0o222)
        before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
        found = as_other_user(code, store.root, [tiny.key, str(folder / "out")])
    allow(store.root, 0o600)
    code, printed = found.pop("train")
    assert code == 1, printed
    assert "can't be written here (permission denied)" in printed.replace("\n", " ")
    for name, (code, printed) in found.items():
        assert code == 0, (name, printed)
    assert "running" in found["list"][1]
    assert "killed" in found["list"][1]
    assert "bit for bit" in found["verify"][1]
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before
