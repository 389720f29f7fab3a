"""What is kept is whole, verified, and readable without us; what is not counts as absent."""

import errno
import fcntl
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lottery_core.store import (
    Instability,
    Job,
    Level,
    PartsDone,
    Store,
    StoreUnavailable,
    Waiting,
    digest,
    files,
    levels,
    task_key,
)
from tests.infos import info_of, progress_of

ROOT = Path(__file__).resolve().parents[1]
KEY = "a" * 40
FILES = [
    "SHA256SUMS",
    "history.parquet",
    "level.json",
    "snapshots.safetensors",
    "weights.safetensors",
]


def weights(value):
    return {
        "fc10.weight": np.full((2, 3), value, np.float32),
        "fc2.weight": np.full((3, 4), -value, np.float32),
        "fc2.bias": np.full(3, value, np.float32),
    }


@pytest.fixture
def level():
    """A level whose layers are not in the order of their names."""
    return Level(
        info=info_of(
            key=KEY, layers={"fc2.weight": (12, 6), "fc10.weight": (6, 6)}, test_accuracy=0.25
        ),
        mask={
            "fc2.weight": np.arange(12).reshape(3, 4) % 2 == 0,
            "fc10.weight": np.ones((2, 3), bool),
        },
        start=weights(0.1),
        end=weights(0.2),
        losses=np.array([2.5, 1.5], np.float32),
        history=pd.DataFrame({"iteration": [0, 2], "train_loss": [float("nan"), 2.0]}),
        snapshots={0: weights(0.1), 10: weights(0.15)},
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def folder(store, level):
    """Where `level` has been written."""
    store.write(KEY, level)
    return store.root / "levels" / KEY


def assert_damaged(store, key=KEY):
    with pytest.warns(UserWarning, match=f"level {key} is damaged .* computed again"):
        assert store.read(key) is None


# Levels


def test_what_is_written_is_read_back_bit_for_bit(store, level, folder):
    read = store.read(KEY)
    assert read.info == level.info
    assert list(read.mask) == ["fc2.weight", "fc10.weight"]
    for part in ("mask", "start", "end"):
        found, expected = getattr(read, part), getattr(level, part)
        assert found.keys() == expected.keys()
        for name in expected:
            assert found[name].dtype == expected[name].dtype
            assert found[name].tobytes() == expected[name].tobytes()
    assert np.array_equal(read.losses, level.losses)
    assert read.history.equals(level.history)
    assert read.snapshots.keys() == {0, 10}
    assert np.array_equal(read.snapshots[10]["fc2.bias"], level.snapshots[10]["fc2.bias"])


def test_a_level_without_snapshots_has_no_file_of_them(store, level):
    store.write(KEY, replace(level, snapshots={}))
    assert not (store.root / "levels" / KEY / "snapshots.safetensors").exists()
    assert store.read(KEY).snapshots == {}


def test_an_absent_level_is_none_without_a_warning(store):
    assert store.read(KEY) is None
    assert not store.has(KEY)


def test_a_level_can_be_written_over(store, level, folder):
    store.write(KEY, replace(level, end=weights(9.0)))
    assert store.read(KEY).end["fc2.bias"][0] == 9.0
    assert os.listdir(folder.parent) == [KEY]


def test_the_files_are_those_that_are_documented(folder):
    assert sorted(os.listdir(folder)) == FILES


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_byte_in_any_file_is_noticed(store, folder, name):
    path, source = folder / name, random.Random(name)
    whole = path.read_bytes()
    places = {0, len(whole) - 1, *(source.randrange(len(whole)) for _ in range(60))}
    for place in sorted(places):
        broken = bytearray(whole)
        broken[place] ^= 1 << source.randrange(8)
        path.write_bytes(broken)
        assert_damaged(store)
    path.write_bytes(whole)
    assert store.read(KEY) is not None


@pytest.mark.parametrize("name", FILES)
def test_any_file_cut_short_or_grown_is_noticed(store, folder, name):
    path = folder / name
    whole = path.read_bytes()
    for length in (0, 1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_damaged(store)
    path.write_bytes(whole + b"\n")
    assert_damaged(store)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_noticed(store, folder, name):
    (folder / name).unlink()
    assert_damaged(store)


def test_a_file_too_many_is_noticed(store, folder):
    (folder / "notes.txt").write_text("mine")
    assert_damaged(store)


def test_a_level_under_another_key_is_rejected(store, folder):
    other = "b" * 40
    folder.rename(folder.with_name(other))
    assert_damaged(store, other)


def test_contents_that_match_their_checksums_but_make_no_level_are_rejected(store, folder):
    (folder / "weights.safetensors").unlink()
    names = [name for name in FILES if name != "SHA256SUMS" and (folder / name).exists()]
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "SHA256SUMS").write_text("".join(f"{sums[n]}  {n}\n" for n in names))
    assert_damaged(store)


def test_sha256sum_verifies_a_level(folder):
    done = subprocess.run(
        [shutil.which("sha256sum") or "gsha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{name}: OK" for name in FILES[1:]]


def test_numpy_pandas_and_safetensors_alone_read_a_level(folder, level, tmp_path):
    code = """
import json, sys, pandas
from safetensors.numpy import load_file
weights = load_file("weights.safetensors")
print(json.dumps({
    "kept": int(weights["mask/fc2.weight"].sum()),
    "end": float(weights["end/fc2.bias"][0]),
    "snapshot": float(load_file("snapshots.safetensors")["10/fc2.bias"][0]),
    "rows": pandas.read_parquet("history.parquet")["iteration"].tolist(),
    "accuracy": json.load(open("level.json"))["test_accuracy"],
    "ours": [name for name in sys.modules if name.startswith(("lottery", "torch"))],
}))
"""
    printed = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, check=True
    ).stdout
    assert json.loads(printed) == {
        "kept": 6,
        "end": pytest.approx(0.2),
        "snapshot": pytest.approx(0.15),
        "rows": [0, 2],
        "accuracy": 0.25,
        "ours": [],
    }


KILLED_WRITERS = """
import os, shutil, signal, sys, warnings
import numpy as np, pandas as pd
from lottery_core.store import Level, Store
from tests.infos import info_of

warnings.simplefilter("error")
store, over = Store(sys.argv[1]), sys.argv[2] == "True"
arrays = {"fc1.weight": np.ones((9, 7), np.float32)}
mask = {"fc1.weight": arrays["fc1.weight"] > 0.5}
info = info_of(key="k", layers={"fc1.weight": (63, 63)})
losses, history = np.zeros(9, np.float32), pd.DataFrame({"iteration": [0]})
level = Level(info, mask, arrays, arrays, losses, history)

def write_until(last):
    # Python says of every file it opens, makes, renames or removes; the last one kills.
    done = 0
    def look(event, args):
        nonlocal done
        if event == "open" or event.startswith(("os.", "shutil.", "tempfile.")):
            done += 1
            if done == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(look)
    store.write("k", level)
    os._exit(0)

status, last = None, 0
while status != 0:
    shutil.rmtree(store.root / "levels" / "k", ignore_errors=True)
    if over:
        store.write("k", level)
    last += 1
    child = os.fork()
    if not child:
        write_until(last)
    status = os.waitpid(child, 0)[1]
    if status and os.WIFEXITED(status):
        sys.exit("a writer failed by itself")
    print("absent" if store.read("k") is None else "whole")
"""


@pytest.mark.parametrize("over", [False, True], ids=["new", "written over"])
def test_a_writer_killed_at_any_moment_leaves_a_whole_level_or_none(store, over):
    printed = subprocess.run(
        [sys.executable, "-c", KILLED_WRITERS, store.root, str(over)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(printed) > 9  # so many moments there are at least: each file, each rename
    assert set(printed) == {"whole", "absent"}
    assert printed[-1] == "whole"


def test_sweeping_removes_what_killed_writers_left_and_nothing_that_may_be_in_use(store, folder):
    old, fresh = (folder.parent / f".new-{name}" for name in ("old", "fresh"))
    old.mkdir()
    fresh.mkdir()
    stale = store.root / "jobs" / ".new-stale"
    stale.parent.mkdir()
    stale.touch()
    for path in (old, stale):
        os.utime(path, (time.time() - 7_200,) * 2)
    store.sweep()
    assert not old.exists()
    assert not stale.exists()
    assert fresh.exists()
    assert store.read(KEY) is not None


# What is there


def test_keys_and_info_tell_of_levels_without_reading_their_arrays(store, level, folder):
    store.write("b" * 40, replace(level, info=replace(level.info, level=1)))
    (folder.parent / ".new-half").mkdir()
    (folder.parent / ".new-half" / "SHA256SUMS").touch()
    (folder.parent / "c").mkdir()
    (folder / "weights.safetensors").unlink()
    assert store.keys() == [KEY, "b" * 40]
    assert store.info(KEY) == level.info
    assert store.info("b" * 40) == replace(level.info, level=1, key="b" * 40)


def test_info_of_an_absent_level_is_none_without_a_warning(store):
    assert store.info(KEY) is None


def test_any_change_of_what_info_tells_is_noticed(store, folder):
    path = folder / "level.json"
    whole = path.read_bytes()
    digit = whole.replace(b"0.25", b"0.75")
    for content in (b"", b"{", b"77", b"[1]", b"{}", b'{"key": "another"}', b"\x80", digit):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=f"level {KEY} is damaged"):
            assert store.info(KEY) is None
        assert not store.has(KEY)
    path.write_bytes(whole)
    assert store.read(KEY) is not None
    assert store.info(KEY).test_accuracy == 0.25
    assert store.has(KEY)


def test_a_level_found_damaged_counts_as_absent_until_it_is_written_again(store, level, folder):
    assert store.has(KEY)
    assert not store.damaged(KEY)
    (folder / "history.parquet").write_bytes(b"x")
    assert store.has(KEY)  # nobody has looked
    assert_damaged(store)
    assert store.damaged(KEY)
    assert not store.has(KEY)
    assert store.info(KEY) is None
    assert store.keys() == []
    Store(store.root).write(KEY, level)  # as another process would
    assert not store.damaged(KEY)
    assert store.has(KEY)
    assert store.keys() == [KEY]


def test_what_systems_leave_in_folders_is_no_damage(store, folder):
    for name in (".DS_Store", "._level.json", ".nfs0000000001"):
        (folder / name).touch()
    assert store.read(KEY) is not None
    assert store.info(KEY) is not None


# What is deleted, and what the system refuses


def write_everything(store, level):
    """Each thing that a store keeps, once."""
    store.write(KEY, level)
    store.write_ticket("0" * 64, level.mask, None)
    store.write_measurement(task_key("instability", KEY), Instability(total=1, seed=0, paths=()))
    store.write_job(job(state="done"))
    store.request_cancel(KEY)
    store.clear_cancel(KEY)


def test_a_store_makes_nothing_until_something_is_written(tmp_path):
    store = Store(tmp_path / "a" / "b")
    assert (store.keys(), store.unreadable(), store.jobs()) == ([], [], [])
    assert (store.read(KEY), store.info(KEY), store.job(KEY)) == (None, None, None)
    assert (store.read_progress(KEY), store.read_measurement(KEY)) == (None, None)
    assert (store.read_ticket("0" * 64), store.read_machine()) == (None, {})
    assert not any((store.has(KEY), store.is_held("x"), store.cancel_requested(KEY)))
    store.clear_progress(KEY)
    store.clear_cancel(KEY)
    store.sweep()
    assert not list(tmp_path.iterdir())


def test_a_cache_deleted_while_it_is_used_comes_back(store, level):
    for _ in range(2):
        write_everything(store, level)
        store.write_progress(KEY, Waiting("a while"))
        store.revise_machine(lambda facts: {"n": facts.get("n", 0) + 1})
        with store.held("x"):
            assert store.is_held("x")
        assert store.read_progress(KEY) is not None
        assert store.read_machine() == {"n": 1}
        shutil.rmtree(store.root)


def test_a_folder_deleted_while_a_level_is_being_written_loses_no_level(store, level, monkeypatch):
    write, times = levels.write, []

    def delete_once(path, content, synced):
        write(path, content, synced)
        if not times:
            shutil.rmtree(store.root / "levels")
        times.append(path)

    monkeypatch.setattr(levels, "write", delete_once)
    store.write(KEY, level)
    assert store.read(KEY) is not None
    assert os.listdir(store.root / "levels") == [KEY]


@pytest.mark.parametrize("name", ["file", "file/below/it"])
def test_a_file_is_no_cache(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreUnavailable, match=r"file is a file, not a folder: choose another"):
        Store(tmp_path / name)


def test_a_cache_can_be_named_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/results").root == (tmp_path / "results").resolve()
    with pytest.raises(StoreUnavailable, match="names no folder"):
        Store("~nobody-of-this-name/results")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (
            errno.ENOSPC,
            "the disk that holds .* is full .*free some space and start again",
        ),
        (
            errno.EDQUOT,
            "the disk that holds .* is full .*free some space and start again",
        ),
        (errno.EROFS, "can't be written here .*choose another cache .*, or ask its owner"),
        (errno.EACCES, "can't be written here .*choose another cache .*, or ask its owner"),
        (errno.EIO, "can't be used .input/output error.*choose another cache"),
    ],
)
def test_what_the_system_refuses_is_a_sentence_with_a_remedy(store, monkeypatch, number, words):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "place", refuse)
    with pytest.raises(StoreUnavailable, match=words):
        store.write_job(job())
    with pytest.raises(StoreUnavailable, match=words):
        store.write_measurement(KEY, Instability(total=1, seed=0, paths=()))
    store.write_progress(KEY, Waiting("a while"))  # a convenience: nothing fails for want of it
    store.revise_machine(lambda facts: facts)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_of(store, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreUnavailable, match=r"keeps no locks .* on a disk of this machine"):
        store.take("x")
    store.write_job(job())
    assert store.job(KEY).state == "killed"  # nobody can hold what answers for it


# Tickets from outside


@pytest.fixture
def ticket(level):
    """A mask whose layers are not in the order of their names, weights, and their digest."""
    arrays = {f"mask/{name}": values for name, values in level.mask.items()}
    arrays |= {f"restart/{name}": values for name, values in level.start.items()}
    return digest(arrays), level.mask, level.start


def test_a_ticket_is_read_back_bit_for_bit(store, ticket):
    key, mask, restart = ticket
    assert store.read_ticket(key) is None
    store.write_ticket(key, mask, restart)
    found_mask, found_restart = store.read_ticket(key)
    assert list(found_mask) == ["fc2.weight", "fc10.weight"]
    for found, expected in ((found_mask, mask), (found_restart, restart)):
        assert found.keys() == expected.keys()
        for name in expected:
            assert found[name].dtype == expected[name].dtype
            assert found[name].tobytes() == expected[name].tobytes()
    assert os.listdir(store.root / "tickets") == [f"{key}.safetensors"]


def test_a_mask_without_weights_is_kept_too(store, level):
    key = digest({f"mask/{name}": values for name, values in level.mask.items()})
    store.write_ticket(key, level.mask, None)
    mask, restart = store.read_ticket(key)
    assert restart is None
    assert list(mask) == list(level.mask)


def assert_ticket_damaged(store, key):
    with pytest.warns(UserWarning, match=f"ticket {key} is damaged .* until it is uploaded again"):
        assert store.read_ticket(key) is None


def test_a_damaged_ticket_counts_as_absent_with_a_warning(store, ticket):
    key, mask, restart = ticket
    store.write_ticket(key, mask, restart)
    path, source = store.root / "tickets" / f"{key}.safetensors", random.Random(0)
    whole = path.read_bytes()
    values = 8 + int.from_bytes(whole[:8], "little")
    for place in source.sample(range(values, len(whole)), 50):
        broken = bytearray(whole)
        broken[place] ^= 1 << source.randrange(8)
        path.write_bytes(broken)
        assert_ticket_damaged(store, key)
    for length in (0, 1, 7, values // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_ticket_damaged(store, key)
    for order in (b"[]", b"17", b'["fc2.weight"]', b"null"):
        names = b'[\\"fc2.weight\\", \\"fc10.weight\\"]'
        assert names in whole
        quoted = order.replace(b'"', b'\\"')
        path.write_bytes(whole.replace(names, quoted + b" " * (len(names) - len(quoted))))
        assert_ticket_damaged(store, key)
    path.write_bytes(whole)
    assert store.read_ticket(key) is not None


def test_a_ticket_under_another_digest_is_rejected(store, ticket):
    _, mask, restart = ticket
    store.write_ticket("0" * 64, mask, restart)
    assert_ticket_damaged(store, "0" * 64)


@pytest.mark.parametrize("name", ["", "x", "../levels/x", "A" * 64, "a" * 64 + "\n", "/etc/passwd"])
def test_what_is_no_digest_names_no_ticket(store, name):
    assert store.read_ticket(name) is None


def test_a_digest_is_that_of_names_types_shapes_and_values_alone():
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(2, bool)}
    key = digest(arrays)
    again = {
        "a": np.ones(4, bool)[::2],
        "b": np.asfortranarray(arrays["b"]).astype(">f4"),
    }
    assert digest(again) == key
    for other in (
        arrays | {"b": arrays["b"].reshape(3, 2)},
        arrays | {"b": arrays["b"].astype(np.float64)},
        arrays | {"a": np.array([True, False])},
        {"b": arrays["b"], "c": arrays["a"]},
    ):
        assert digest(other) != key


# Locks


def test_a_lock_is_seen_by_others_and_freed(store):
    assert not store.is_held("x")
    with store.held("x"):
        assert Store(store.root).is_held("x")
        assert not store.is_held("y")
    assert not store.is_held("x")


def test_an_error_frees_the_lock(store):
    with pytest.raises(RuntimeError, match="inside"), store.held("x"):
        raise RuntimeError("inside")
    assert not store.is_held("x")


def test_the_lock_of_a_process_that_dies_is_free(store):
    code = (
        "import sys, time; from lottery_core.store import Store\n"
        "with Store(sys.argv[1]).held('x'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, store.root], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"held\n"
        assert store.is_held("x")
    finally:
        process.kill()
        process.communicate()
    assert not store.is_held("x")


# Progress


def test_progress_is_what_was_written_last_until_it_is_cleared(store):
    assert store.read_progress(KEY) is None
    first = progress_of(iteration=1, pictures={"fc1.weight": np.zeros((2, 2), np.int8)})
    last = progress_of(iteration=2, pictures={"fc1.weight": np.ones((2, 2), np.int8)})
    store.write_progress(KEY, first)
    store.write_progress(KEY, last)
    found = store.read_progress(KEY)
    assert replace(found, pictures={}) == replace(last, pictures={})
    assert found.pictures["fc1.weight"].tolist() == [[1, 1], [1, 1]]
    for told in (Waiting("the data set"), PartsDone(1, 3), PartsDone(2, 3, 0.5)):
        store.write_progress(KEY, told)
        assert store.read_progress(KEY) == told
    store.clear_progress(KEY)
    assert store.read_progress(KEY) is None
    store.clear_progress(KEY)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100, b"\x02" + b"\0" * 7 + b"{}"])
def test_unreadable_progress_counts_as_none(store, content):
    store.write_progress(KEY, Waiting("a while"))
    (store.root / "progress" / KEY).write_bytes(content)
    assert store.read_progress(KEY) is None


# Jobs


def job(key=KEY, state="running", submitted=1.0):
    return Job(key=key, state=state, owner="me", submitted=submitted, experiment={})


def test_a_job_reads_back_while_its_owner_lives(store):
    store.write_job(job())
    with store.held("me"):
        assert store.job(KEY) == job()
        assert store.job(KEY).active


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("queued", ("cancelled", "the server stopped")),
        ("running", ("killed", "its process ended without a word")),
    ],
)
def test_a_job_whose_owner_died_says_what_became_of_it(store, state, ended):
    store.write_job(job(state=state))
    found = store.job(KEY)
    assert (found.state, found.message) == ended
    assert not found.active


@pytest.mark.parametrize("state", ["done", "cancelled", "failed"])
def test_a_finished_job_stays_what_it_is_when_its_owner_is_gone(store, state):
    store.write_job(job(state=state))
    assert store.job(KEY) == job(state=state)


def test_jobs_are_listed_newest_first(store):
    for key, submitted in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        store.write_job(job(key, "done", submitted))
    assert [found.key for found in store.jobs()] == ["b", "c", "a"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"key": 1, "surprise": 2}', "null"])
def test_an_unreadable_job_is_left_out(store, content):
    store.write_job(job())
    (store.root / "jobs" / f"{KEY}.json").write_text(content)
    assert store.job(KEY) is None
    assert store.jobs() == []


def test_a_request_to_cancel_stands_until_it_is_taken_back(store):
    assert not store.cancel_requested(KEY)
    store.request_cancel(KEY)
    assert store.cancel_requested(KEY)
    assert store.jobs() == []
    store.clear_cancel(KEY)
    assert not store.cancel_requested(KEY)
    store.clear_cancel(KEY)


# The machine


def test_facts_about_the_machine_read_back_and_garbage_reads_as_nothing(store):
    assert store.read_machine() == {}
    store.revise_machine(lambda facts: {"devices": ["cpu"]})
    assert store.read_machine() == {"devices": ["cpu"]}
    for garbage in ("", "{", "7", "[1]"):
        (store.root / "machine.json").write_text(garbage)
        assert store.read_machine() == {}


def test_a_process_that_reads_a_level_and_ends_ends_well(store, folder):
    script = (
        "import sys; from lottery_core.store import Store; Store(sys.argv[1]).read(sys.argv[2])"
    )
    command = [sys.executable, "-c", script, store.root, KEY]
    several = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(120) for process in several] == [0] * 3
