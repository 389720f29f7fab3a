"""The shelf: what is on the disk and how large, what goes with a run, and what a limit takes."""

import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from lottery_core.findings.lines import with_seed
from lottery_core.findings.shelf import Shelf
from lottery_core.running import upkeep, worker
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import bytes_in_words
from lottery_core.store import NO_LABEL, Copies, Job, Label, Store, path_key
from tests.kept_runs import record

pytestmark = pytest.mark.usefixtures("judged_on_few")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def du(path) -> int:
    """Bytes on the disk, as the system's own program counts them."""
    said = subprocess.run(["du", "-sk", path], check=True, capture_output=True).stdout
    return 1024 * int(said.split()[0])


def only(store: Store, experiment: Experiment):
    return next(run for run in Shelf(store).look().runs if run.key == experiment.key)


# Sizes


def test_sizes_are_what_du_says(store, tiny):
    record(store, tiny)
    store.write_label(only(store, tiny).facts.line, Label("mine"))
    found = Shelf(store).look()
    for key in tiny.keys:
        assert found.sizes[key] == du(store.root / "levels" / key)
    run = found.runs[0]
    records = du(store.root / "jobs" / f"{tiny.key}.json")
    assert run.size == sum(du(store.root / "levels" / key) for key in tiny.keys) + records
    assert upkeep.size_of_cache(store, found) == du(store.root)


def test_links_are_not_followed(store, tiny, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "large").write_bytes(bytes(1_000_000))
    record(store, tiny)
    (store.root / "datasets").symlink_to(elsewhere)
    found = Shelf(store).look()
    assert upkeep.size_of_cache(store, found) == du(store.root) < 1_000_000


# Removal


def test_removing_a_run_frees_what_it_says_and_leaves_nothing_of_it(store, tiny):
    record(store, tiny)
    record(store, tiny, task="measure")
    shelf = Shelf(store)
    store.write_label(shelf.look().runs[0].facts.line, Label("mine"))
    before = du(store.root)
    planned = upkeep.plan(store, shelf.look(), {tiny.key})
    assert set(planned.levels) == set(tiny.keys)
    done = upkeep.remove(shelf, store, {tiny.key})
    # Locks and the index are small files of their own, which may come meanwhile.
    small = du(store.root / "locks") + du(store.root / "shelf.json")
    assert planned.frees == done.frees
    assert abs(before - du(store.root) - done.frees) <= small
    for folder in ("levels", "jobs", "labels"):
        assert os.listdir(store.root / folder) == []
    assert shelf.look().runs == ()


def test_what_was_measured_of_a_level_is_counted_and_goes_with_it(store, tiny):
    shorter = replace(tiny, rounds=tiny.rounds[:1])
    for one in (tiny, shorter):
        record(store, one)
    line = {"alphas": (0.0, 1.0), "train_error": (0.1, 0.1), "test_error": (0.1, 0.1)}
    line |= {"instability_train": 0.0, "instability_test": 0.0}
    copies = Copies(level=0, kept=9, first_iteration=20, orders=(1, 2), seconds=1.0, **line)
    for key in (tiny.keys[1], tiny.keys[2]):
        store.write_measurement(path_key(key, 20), copies)
    found = Shelf(store).look()
    files = {key: f"{path_key(key, 20)}.json" for key in tiny.keys}
    for key in tiny.keys[1:]:
        parts = du(store.root / "levels" / key), du(store.root / "measurements" / files[key])
        assert found.sizes[key] == sum(parts)
    assert upkeep.size_of_cache(store, found) == du(store.root)
    planned = upkeep.plan(store, found, {tiny.key})
    assert upkeep.remove(Shelf(store), store, {tiny.key}).frees == planned.frees
    # The other run's level stays, and what was measured of it.
    assert os.listdir(store.root / "measurements") == [files[tiny.keys[1]]]
    upkeep.remove(Shelf(store), store, {shorter.key})
    assert os.listdir(store.root / "measurements") == []


def test_levels_that_others_use_stay(store, tiny):
    shorter = replace(tiny, rounds=tiny.rounds[:1])
    for one in (tiny, shorter):
        record(store, one)
    done = upkeep.remove(Shelf(store), store, {tiny.key})
    assert done.levels == tiny.keys[2:]
    assert store.keys() == sorted(shorter.keys)
    assert [run.key for run in Shelf(store).look().runs] == [shorter.key]


def test_what_a_control_goes_on_from_stays_until_it_goes_too(store, tiny):
    control = ARMS["reinit"].of(tiny)
    for one in (tiny, control):
        record(store, one)
    assert upkeep.remove(Shelf(store), store, {tiny.key}).levels == tiny.keys[2:]
    assert set(store.keys()) == {*control.keys, tiny.keys[1]}
    upkeep.remove(Shelf(store), store, {control.key})
    assert store.keys() == []


def test_runs_removed_together_take_what_only_they_share(store, tiny):
    control = ARMS["fine-tune"].of(tiny)
    for one in (tiny, control):
        record(store, one)
    upkeep.remove(Shelf(store), store, {tiny.key, control.key})
    assert store.keys() == []


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_that_is_queued_or_running_is_refused(store, tiny, state):
    with store.held("somebody"):
        record(store, tiny, state, owner="somebody")
        with pytest.raises(InvalidValue, match=f"is {state}; stop it, or wait until it has ended"):
            upkeep.remove(Shelf(store), store, {tiny.key})
    assert store.keys() == sorted(tiny.keys)
    # Whoever answered for it is dead.
    upkeep.remove(Shelf(store), store, {tiny.key})
    assert store.keys() == []


def test_a_key_of_no_run_is_refused(store, tiny):
    with pytest.raises(InvalidValue, match="key='abc' is of no run in this cache"):
        upkeep.remove(Shelf(store), store, {"abc"})


def test_a_level_that_another_process_is_at_stays(store, tiny):
    record(store, tiny)
    code = (
        "import sys; from lottery_core.store import Store\n"
        "with Store(sys.argv[1]).held(sys.argv[2]): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, store.root, f"level-{tiny.keys[1]}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with other:
        assert other.stdout.readline() == b"held\n"
        done = upkeep.remove(Shelf(store), store, {tiny.key})
        other.stdin.close()
    assert tiny.keys[1] not in done.levels
    assert store.keys() == [tiny.keys[1]]


def test_two_processes_that_collect_remove_no_more_than_one(store, tiny):
    experiments = [record(store, with_seed(tiny, seed)) for seed in range(6)]
    found = Shelf(store).look()
    limit = upkeep.size_of_cache(store, found) // 2
    threads = [
        threading.Thread(target=upkeep.collect, args=(Shelf(other), other, limit))
        for other in (Store(store.root), Store(store.root))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = Shelf(store).look()
    size, largest = upkeep.size_of_cache(store, left), max(found.sizes.values())
    # Small files of locks and the index come meanwhile.
    small = du(store.root / "locks") + du(store.root / "shelf.json")
    assert limit - largest - small <= size <= limit + small
    assert {run.key for run in left.runs} == {one.key for one in experiments}


# A limit


def test_beyond_a_limit_what_was_opened_longest_ago_goes_first(store, tiny):
    old, new, oldest = (record(store, with_seed(tiny, seed)) for seed in range(3))
    for age, one in ((300, old), (30, new), (3_000, oldest)):
        for key in one.keys:
            path = store.root / "levels" / key / "weights.safetensors"
            os.utime(path, (10_000 - age, path.stat().st_mtime))
    # A tag keeps nothing. All seeds of a line have one.
    store.write_label(only(store, oldest).facts.line, Label(tags=("mine",)))
    shelf = Shelf(store)

    def collect(too_much: int) -> upkeep.Freed:
        limit = upkeep.size_of_cache(store, shelf.look()) - too_much
        return upkeep.collect(shelf, store, limit)

    one = shelf.look().sizes[old.keys[0]]
    freed = collect(2 * one + 1)
    assert freed.levels == 3
    assert freed.bytes >= 2 * one + 1
    assert not any(map(store.has, oldest.keys))
    assert collect(1).levels == 1
    assert [key for key in old.keys if store.has(key)] == [*old.keys[:2]]
    assert all(map(store.has, new.keys))
    assert store.job(old.key).state == "done"


def test_named_and_running_runs_stay_whatever_the_limit(store, tiny):
    named = record(store, tiny)
    other = record(store, replace(tiny, rounds=tiny.rounds[:1], recipe=with_seed(tiny, 5).recipe))
    store.write_label(only(store, named).facts.line, Label("kept"))
    with store.held("somebody"):
        record(store, other, "running", owner="somebody")
        assert upkeep.collect(Shelf(store), store, 1).levels == 0
    assert upkeep.collect(Shelf(store), store, 1).levels == len(other.keys)
    assert store.keys() == sorted(named.keys)


def test_reading_a_level_counts_as_opening_it(store, tiny):
    record(store, tiny)
    key = tiny.key
    path = store.root / "levels" / key / "weights.safetensors"
    os.utime(path, (1, path.stat().st_mtime))
    assert store.opened(key) == 1
    store.info(key)
    assert store.opened(key) == 1
    store.read(key)
    assert store.opened(key) > 1
    assert store.has(key)


def test_a_limit_is_kept_to_after_each_run(store, tiny, datasets, monkeypatch):
    store.datasets.parent.mkdir()
    store.datasets.symlink_to(datasets)
    old = with_seed(tiny, 1)
    assert worker.perform(store, Job(old.key, "queued", "", 1.0, old.as_dict())).state == "done"
    for key in old.keys:
        path = store.root / "levels" / key / "weights.safetensors"
        os.utime(path, (1, path.stat().st_mtime))
    found = Shelf(store).look()
    # Room for one more level, and a little for records.
    limit = upkeep.size_of_cache(store, found) + found.sizes[old.key] + 50_000
    monkeypatch.setenv(upkeep.LIMIT, str(limit))
    assert worker.perform(store, Job(tiny.key, "queued", "", 2.0, tiny.as_dict())).state == "done"
    assert not store.has(old.key)
    assert all(map(store.has, tiny.keys))


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5 * 10**9), ("1.5 MiB", 3 * 2**19), ("700", 700), ("2g", 2 * 10**9)],
)
def test_sizes_are_read_as_they_are_written(text, size):
    assert upkeep.read_size("limit", text) == size


@pytest.mark.parametrize("text", ["much", "-5GB", "5 PB", "0GB", "5iB", "nan"])
def test_a_limit_that_is_no_size_is_refused(text, monkeypatch):
    monkeypatch.setenv(upkeep.LIMIT, text)
    with pytest.raises(InvalidValue, match=r"LOTTERY_CACHE_LIMIT=.* must be a size above 0"):
        upkeep.limit_of_cache()
    monkeypatch.setenv(upkeep.LIMIT, "")
    assert upkeep.limit_of_cache() is None


# Names


def test_a_label_is_read_back_and_an_empty_one_leaves_no_file(store):
    label = Label.of(" First ", ["a", " b", "a", ""], "What\nfor")
    assert label == Label("First", ("a", "b"), "What\nfor")
    store.write_label("0123456789", label)
    assert Store(store.root).labels() == {"0123456789": label}
    store.write_label("0123456789", NO_LABEL)
    assert os.listdir(store.root / "labels") == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": 1, "tags": [], "note": ""}', b"\xff"])
def test_a_damaged_label_is_none(store, content):
    store.write_label("0123456789", Label("a"))
    (store.root / "labels" / "0123456789.json").write_bytes(content)
    assert Store(store.root).labels() == {}


@pytest.mark.parametrize(
    ("name", "tags", "note", "words"),
    [
        ("a" * 81, (), "", "name='a+.*at most 80"),
        ("a\nb", (), "", "one line"),
        ("", ("a,b",), "", "tag='a,b' must have 1 to 30 characters"),
        ("", tuple(map(str, range(13))), "", "at most 12"),
        ("", (), "a" * 2001, "at most 2,000"),
    ],
)
def test_a_label_that_is_too_much_is_refused(name, tags, note, words):
    with pytest.raises(InvalidValue, match=words):
        Label(name, tags, note)


def test_a_label_of_elsewhere_is_refused(store):
    with pytest.raises(InvalidValue):
        store.write_label("../../x", Label("a"))


# Rows


def test_seeds_fold_into_one_row(store, tiny):
    for seed in range(3):
        record(store, with_seed(tiny, seed))
    shelf = Shelf(store)
    found = shelf.look()
    assert len(shelf.rows(found, folded=False)) == 3
    (row,) = shelf.rows(found, folded=True)
    assert [run.facts.seed for run in row.runs] == [0, 1, 2]
    assert row.size == sum(run.size for run in row.runs)
    # Level 1 keeps the dense network's accuracy, level 2 loses a fifth.
    assert (row.result.percent, row.result.wins) == (50, True)
    assert row.result.accuracy == row.result.dense == pytest.approx(0.9)
    assert row.result.seconds == 9


def test_what_changed_is_seen_and_what_did_not_is_not_read_again(store, tiny, monkeypatch):
    record(store, tiny)
    shelf = Shelf(store)
    shelf.rows(shelf.look(), folded=True)
    read = []
    monkeypatch.setattr(Store, "info", lambda self, key: read.append(key))
    assert shelf.look() is shelf.look()
    shelf.rows(shelf.look(), folded=True)
    # As the index says, the next process reads nothing again either.
    other = Shelf(store)
    rows = other.rows(other.look(), folded=True)
    assert read == []
    assert rows[0].result.percent == 50
    monkeypatch.undo()
    record(store, with_seed(tiny, 1))
    assert len(shelf.look().runs) == 2
    store.write_label(rows[0].facts.line, Label("new"))
    assert {run.label.name for run in shelf.look().runs} == {"new"}


def test_a_cache_at_rest_is_not_read_again_until_something_comes(store, tiny, monkeypatch):
    record(store, tiny)
    for folder in ("levels", "jobs"):
        os.utime(store.root / folder, (1, 1))
    shelf = Shelf(store)
    found, read = shelf.look(), []
    jobs = Store.jobs
    monkeypatch.setattr(Store, "jobs", lambda self: read.append(1) or jobs(self))
    assert shelf.look() is found
    assert read == []
    store.write_label(found.runs[0].facts.line, Label("new"))
    assert shelf.look().runs[0].label.name == "new"
    record(store, with_seed(tiny, 1))
    assert len(shelf.look().runs) == 2


@pytest.mark.parametrize("damage", [b"", b"[1]", b'{"form": 3}', b'{"form": [1, 5], "facts": 3}'])
def test_a_damaged_index_is_made_again(store, tiny, damage):
    record(store, tiny)
    (store.root / "shelf.json").write_bytes(damage)
    shelf = Shelf(store)
    assert shelf.rows(shelf.look(), folded=True)[0].result.percent == 50
    assert json.loads((store.root / "shelf.json").read_bytes())["facts"].keys() == {tiny.key}


def test_with_no_time_left_the_newest_come_first_and_the_rest_later(store, tiny):
    for seed in range(3):
        record(store, with_seed(tiny, seed))
    shelf = Shelf(store)
    found = shelf.look(budget=-1)
    assert (len(found.runs), found.unread) == (0, 3 + 9)  # runs, and sizes of levels
    found = shelf.look()
    assert [run.facts.seed for run in found.runs] == [2, 1, 0]
    assert shelf.rows(found, folded=True, budget=-1)[0].result is None
    assert shelf.rows(found, folded=True)[0].result is not None


# On the command line


def listed(command, store: Store, *arguments: str) -> list[str]:
    """The keys that `list` prints, cut to eight characters."""
    code, printed = command("list", *arguments, "--cache", store.root)
    assert code == 0, printed
    return [line.split()[2] for line in printed.splitlines()[1:] if line[:2] == "20"]


def test_list_finds_runs_by_what_is_said_of_them(command, store, tiny):
    when = {"submitted": 1.7e9}
    one = record(store, tiny, **when)
    two = record(store, with_seed(ARMS["fine-tune"].of(tiny), 1), "failed", **when)
    command("tag", one.key[:8], "--name", "Baseline", "--tag", "thesis", "--cache", store.root)
    for arguments, found in (
        ([], {one, two}),
        (["--arm", "fine-tune"], {two}),
        (["--arm", "fine-tune", "--arm", "ticket"], {one, two}),
        (["--state", "done"], {one}),
        (["--tag", "thesis", "--dataset", "MNIST", "--network", "784-8-10"], {one}),
        (["--criterion", "magnitude", "--state", "failed"], {two}),
        (["baseline"], {one}),
        (["magnitude", "784-8"], {one, two}),
        (["nothing", "of", "this"], set()),
    ):
        assert set(listed(command, store, *arguments)) == {run.key[:8] for run in found}
    code, printed = command("list", "--arm", "ticket", "--cache", store.root)
    assert "Baseline #thesis" in printed
    code, printed = command("list", "--state", "asleep", "--cache", store.root)
    assert code == 2
    assert "state='asleep' is of no run here; choose one of done, failed" in printed


def test_tag_changes_what_is_named_and_keeps_the_rest(command, store, tiny):
    record(store, tiny)
    line = only(store, tiny).facts.line
    for arguments, label in (
        (["--name", "a", "--tag", "x", "--tag", "y"], Label("a", ("x", "y"))),
        (["--note", "why"], Label("a", ("x", "y"), "why")),
        (["--untag", "x", "--tag", "z"], Label("a", ("y", "z"), "why")),
        (["--name", ""], Label("", ("y", "z"), "why")),
    ):
        assert command("tag", tiny.key, *arguments, "--cache", store.root)[0] == 0
        assert Store(store.root).label(line) == label
    code, printed = command("tag", tiny.key, "--tag", "a,b", "--cache", store.root)
    assert code == 2
    assert "none of them a comma" in printed


def test_remove_asks_once_and_says_what_it_frees(command, store, tiny, monkeypatch):
    for seed in range(2):
        record(store, with_seed(tiny, seed))
    planned = upkeep.plan(store, Shelf(store).look(), {tiny.key})
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("n\n"))
        code, printed = command("remove", tiny.key[:8], "--cache", store.root)
    assert code == 1
    words = f"1 run goes, with 3 levels that only it uses: {bytes_in_words(planned.frees)}."
    assert words in printed
    assert all(map(store.has, tiny.keys))
    code, printed = command("remove", tiny.keys[1], "--yes", "--cache", store.root)
    assert code == 0, printed
    assert f"Removed; {bytes_in_words(planned.frees)} are free." in printed
    assert store.keys() == sorted(with_seed(tiny, 1).keys)
    record(store, tiny)
    assert command("remove", tiny.key, "--all-seeds", "--yes", "--cache", store.root)[0] == 0
    assert store.keys() == []


def test_show_names_the_runs_that_a_level_is_of(command, store, tiny, datasets):
    store.make()
    store.datasets.symlink_to(datasets)
    other = ARMS["fine-tune"].of(tiny)
    for one in (tiny, other):
        worker.perform(store, Job(one.key, "queued", "", 1.0, one.as_dict()))
    command("tag", tiny.key, "--name", "Baseline", "--note", "the first", "--cache", store.root)
    for key, found in ((tiny.keys[0], {tiny, other}), (tiny.key, {tiny})):
        code, printed = command("show", key, "--cache", store.root)
        assert code == 0, printed
        said = printed.partition("Runs that it is a level of:")[2].partition("Levels of this")[0]
        assert {one for one in (tiny, other) if one.key[:8] in said} == found
        assert "Baseline" in said
        assert "the first" in said


def test_a_level_of_several_runs_names_none_of_them(command, store, tiny):
    other = ARMS["fine-tune"].of(tiny)
    for one in (tiny, other):
        record(store, one)
    code, printed = command("remove", tiny.keys[0], "--yes", "--cache", store.root)
    assert code == 2
    assert "that 2 runs share; name one of them: " in printed
    assert all(map(store.has, (*tiny.keys, *other.keys)))


def test_gc_keeps_to_the_limit_that_is_said(command, store, tiny, monkeypatch):
    record(store, tiny)
    code, printed = command("gc", "--cache", store.root)
    assert code == 2
    assert "give --limit 5GB, or set LOTTERY_CACHE_LIMIT" in printed
    monkeypatch.setenv(upkeep.LIMIT, "5 apples")
    assert command("gc", "--cache", store.root)[0] == 2
    assert command("run", "--cache", store.root)[0] == 2
    assert "Removed 0 levels" in command("gc", "--limit", "5GB", "--cache", store.root)[1]
    monkeypatch.setenv(upkeep.LIMIT, "1kB")
    code, printed = command("gc", "--cache", store.root)
    assert "Removed 3 levels" in printed
    assert "of 1\u202fkB." in printed
    assert store.keys() == []
