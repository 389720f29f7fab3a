"""A disk that is full costs the level that did not fit, and nothing else."""

import errno
import io
import os
import subprocess
import sys
from itertools import count

import pytest

from lottery_core.cli import places
from lottery_core.running import engine, worker
from lottery_core.spec.links import read_choice
from lottery_core.store import files, levels
from lottery_core.training.context import Context

# Long enough that something is learned of the machine, too.
PARAMS = {
    "network": "2", "length": "100", "unit": "iterations", "rounds": "1", "controls": "none",
    "replicates": "1", "learning_rate": "0.1",
}  # fmt: skip
OPTIONS = [
    part for name, value in PARAMS.items() for part in (f"--{name.replace('_', '-')}", value)
]
FULL = "the disk that holds {} is full (no space left on device): free some space and start again"


class Disk:
    """A disk below one folder with room for `room` more files and folders; if `once`, somebody
    makes room after the first that does not fit."""

    def __init__(self, monkeypatch, folder, once=False):
        self.folder, self.room, self.used, self.once = str(folder), None, 0, once
        write, mkdir, opened = files.write, os.mkdir, os.open

        def writing(path, content, synced=False):
            if self.is_full(path):
                write(path, content[: len(content) // 2])  # what fits, fits
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, content, synced)

        def making(path, *mode):
            if not os.path.exists(path) and self.is_full(path):  # noqa: PTH110 - as it is given
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            mkdir(path, *mode)

        def opening(path, flags, *mode, **options):
            if flags & os.O_EXCL and not os.path.exists(path) and self.is_full(path):  # noqa: PTH110
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            return opened(path, flags, *mode, **options)

        for module in (files, levels, places):
            monkeypatch.setattr(module, "write", writing)
        monkeypatch.setattr(os, "mkdir", making)
        monkeypatch.setattr(os, "open", opening)

    def is_full(self, path) -> bool:
        if not os.fspath(path).startswith(self.folder):
            return False
        self.used += 1
        if self.room is None:
            return False
        return self.used == self.room + 1 if self.once else self.used > self.room


@pytest.fixture
def trained_before(make_store, tmp_path_factory, monkeypatch):
    """The experiment, whose every training takes no time from here on."""
    experiment = read_choice(PARAMS)[1].experiment()
    store = make_store(tmp_path_factory.mktemp("known"))
    known = list(engine.run(experiment, Context(store, loop="torch")))

    def train_level(experiment, n, dense, previous, context, watch):
        watch.say("training")
        return known[n]

    monkeypatch.setattr(engine, "train_level", train_level)
    return experiment


@pytest.mark.parametrize("once", [False, True], ids=["stays full", "full once"])
def test_a_run_ends_with_a_sentence_wherever_the_disk_is_full_and_the_next_goes_on(
    trained_before, make_store, tmp_path, monkeypatch, command, once
):
    keys = trained_before.keys
    disk = Disk(monkeypatch, tmp_path, once)
    codes = []
    for room in count():
        store = make_store(tmp_path / str(room))
        run = ["run", *OPTIONS, "--loop", "torch", "--cache", store.root]
        disk.room, disk.used = room, 0
        code, printed = command(*run)
        needed, disk.room = disk.used, None
        codes.append(code)
        assert "Traceback" not in printed
        assert not list(store.root.rglob(".new-*"))
        kept = [key for key in keys if (store.root / "levels" / key).exists()]
        assert all(store.read(key) for key in kept)  # a warning would be an error
        if code:
            assert FULL.format(store.root) in printed
            written = {key: (store.root / "levels" / key).stat().st_mtime_ns for key in kept}
            code, printed = command(*run)
            assert code == 0, printed
            assert all((store.root / "levels" / key).stat().st_mtime_ns == at
                       for key, at in written.items())  # fmt: skip
        else:
            assert kept == list(keys)
        assert all(store.read(key) for key in keys)
        assert store.job(keys[-1]).state == "done"
        if needed <= room:  # nothing was refused
            break
    assert set(codes) == {0, 1}
    assert len(codes) > 20


def test_the_record_of_a_run_says_that_the_disk_is_full(make_store, tmp_path, monkeypatch, command):
    store = make_store(tmp_path / "cache")
    experiment = read_choice(PARAMS)[1].experiment()
    write = levels.write

    def full(path, content, synced):
        if path.name == "history.parquet":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content, synced)

    monkeypatch.setattr(levels, "write", full)
    code, printed = command("run", *OPTIONS, "--loop", "torch", "--cache", store.root)
    assert code == 1
    words = FULL.format(store.root) + "; finished levels are kept"
    assert f"failed after 0 levels: {words}" in printed
    job = store.job(experiment.key)
    assert (job.state, job.message) == ("failed", words)


def test_an_output_that_can_not_be_written_leaves_no_part_and_loses_no_level(
    make_store, tmp_path, monkeypatch, command
):
    store, out = make_store(tmp_path / "cache"), tmp_path / "out"
    disk = Disk(monkeypatch, out)
    disk.room = 2  # the folder and its first table
    run = ["run", *OPTIONS, "--loop", "torch", "--cache", store.root, "--out", out]
    code, printed = command(*run)
    assert code == 1
    assert f"out={str(out)!r} can't be written (No space left on device)" in printed
    assert "Traceback" not in printed
    assert os.listdir(out) == ["levels.csv"]
    disk.room = None
    assert command(*run)[0] == 0
    assert sorted(os.listdir(out)) == ["history.csv", "layers.csv", "levels.csv", "mask.npz"]

    before = (out / "mask.npz").read_bytes()
    disk.room = disk.used
    key = store.keys()[0]
    export = ["export", key, "--format", "ticket", "--cache", store.root, "--out"]
    for target in (out / "new", out / "mask.npz"):
        code, printed = command(*export, target, "--force")
        assert code == 2
        assert "can't be written: No space left on device" in printed
    assert sorted(os.listdir(out)) == ["history.csv", "layers.csv", "levels.csv", "mask.npz"]
    assert (out / "mask.npz").read_bytes() == before


def test_a_compiled_loop_that_does_not_fit_is_told_of_without_a_traceback(
    make_store, tmp_path, monkeypatch, command
):
    def full(*_):
        raise worker.CannotCompile("compiled code can be kept nowhere; choose loop=torch")

    store = make_store(tmp_path / "cache")
    monkeypatch.setattr(worker.loops, "prepare", full)
    monkeypatch.setattr(worker.loops, "_loaded", worker.threading.Event())
    code, printed = command("run", *OPTIONS, "--loop", "compiled", "--cache", store.root)
    assert code == 1
    assert "failed after 0 levels: compiled code can be kept nowhere; choose loop=torch" in printed
    assert "Traceback" not in printed


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has such a device")  # noqa: PTH110
def test_a_full_disk_behind_standard_output_is_told_of(store):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "lottery_core", "list", "--cache", store.root],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: the output can't be used: No space left on device\n"


def test_a_disk_that_fills_up_behind_standard_output_is_no_fault_of_the_run(
    trained_before, make_store, tmp_path, monkeypatch, command
):
    class Terminal(io.StringIO):
        def write(self, text):
            if "Level 0" in text:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(text)

    store = make_store(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal())
        code, said = command("run", *OPTIONS, "--loop", "torch", "--cache", store.root)
    assert (code, said) == (1, "Error: the output can't be used: No space left on device")
    job = store.job(trained_before.key)
    assert job.state == "failed"
    assert "can't be written (No space left on device); what is finished is in" in job.message


def test_progress_that_can_not_be_kept_ends_no_training(store, monkeypatch, tiny):
    write = files.write

    def full(path, content, synced=False):
        if path.parent.name == "progress" or path.parent == store.root:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content, synced)

    monkeypatch.setattr(files, "write", full)
    assert len(list(engine.run(tiny, Context(store, loop="torch")))) == 3
