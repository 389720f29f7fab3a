"""The same job without a browser, through a real process and the same store."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lottery_core.__main__ import start
from lottery_core.data import identify
from lottery_core.running import engine
from lottery_core.spec.links import read_choice
from lottery_core.store import Store
from lottery_core.tickets import files
from lottery_core.training import kept
from lottery_core.training.context import Context
from tests.images import write_files
from tests.networks import masks

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--hidden", "16", "--length", "40", "--unit", "iterations", "--rounds", "2"]
SMALL += ["--replicates", "1", "--learning-rate", "0.1"]
KEY = "a" * 40
PARAMS = {
    "replicates": "1", "learning_rate": "0.1", "network": "16", "length": "40",
    "unit": "iterations", "rounds": "2",
}  # fmt: skip


def mask_file() -> bytes:
    """A mask of a network that nobody has trained."""
    file = io.BytesIO()
    mask = {"fc1.weight": np.eye(5, 784, dtype=bool), "fc2.weight": np.ones((10, 5), bool)}
    np.savez(file, **mask)
    return file.getvalue()


def run(*arguments: object) -> subprocess.CompletedProcess:
    """In a process of its own, with one worker: each takes seconds of the processor to start."""
    command = [sys.executable, "-m", "lottery_core", *map(str, arguments)]
    alone = os.environ | {"LOTTERY_WORKERS": "1"}
    return subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True)


@pytest.fixture(scope="module")
def finished(make_store, tmp_path_factory):
    """A run with its two controls, its output folder and its store."""
    folder = tmp_path_factory.mktemp("cli")
    store = make_store(folder / "store")
    result = run("run", *SMALL, "--seed", 3, "--cache", store.root, "--out", folder / "out")
    assert result.returncode == 0, result.stderr
    return result.stdout, folder / "out", store


def test_it_prints_what_the_notebook_prints(finished):
    printed, _, _ = finished
    assert "Pruning layer fc1.weight with 6272 weights to prune." in printed
    assert "Pruning layer fc2.weight with 80 weights to prune." in printed
    assert "Sparsity in model: 50.00%" in printed
    assert "Sparsity in model: 75.00%" in printed
    assert "Accuracy on the test images before retraining:" in printed
    assert printed.count("Accuracy on the test images:") == 9


def test_it_prints_the_running_loss(store):
    result = run("run", *SMALL[:2], *SMALL[-4:], "--length", 2, "--batch-size", 4096, "--rounds", 1,
                 "--controls", "none", "--cache", store.root)  # fmt: skip
    assert result.returncode == 0, result.stderr
    # 55,000 training images: 14 batches an epoch.
    assert result.stdout.count("[1,    14] loss: ") == 2
    assert result.stdout.count("[2,    14] loss: ") == 2


def test_tables_and_the_last_mask_are_those_of_the_store(finished):
    _, out, store = finished
    choice = read_choice(PARAMS | {"seed": "3"})[1]
    for name, (experiment,) in choice.arms().items():
        folder = out if name == "main" else out / name
        levels = [store.read(key) for key in experiment.keys]
        table = pd.read_csv(folder / "levels.csv")
        assert table["test_accuracy"].tolist() == [x.info.test_accuracy for x in levels]
        assert table["seed"].tolist() == [3] * 3
        assert len(pd.read_csv(folder / "layers.csv")) == 6
        assert set(pd.read_csv(folder / "history.csv")["level"]) == {0, 1, 2}
        with np.load(folder / "mask.npz") as mask:
            for name, kept in levels[-1].mask.items():
                np.testing.assert_array_equal(mask[name], kept)


def test_a_second_run_trains_nothing(finished):
    printed, _out, store = finished
    again = run("run", *SMALL, "--seed", 3, "--cache", store.root)
    assert again.stdout == printed


def test_the_app_finds_the_run_with_its_link(finished):
    _, _, store = finished
    jobs = Store(store.root).jobs()
    assert {job.state for job in jobs} == {"done"}
    assert all(job.params == {"preset": "quick", **PARAMS, "seed": "3"} for job in jobs)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--preset", "large"], "choose one of quick, notebook, paper"),
        (["--rounds", "41"], "rounds=41 must be a whole number from 1 to 40"),
        (["--length", "soon"], "length='soon' must be a number"),
        (["--hidden", "4096"], "from 1 to 2,048"),
        (["--restart", "rewind", "--rewind-iteration", "7"], "is not a saved snapshot"),
        (["--dataset", "../../etc"], "choose one of mnist, fashion-mnist"),
        (["--sparsities", "0.9,0.5", "--schedule", "list"], "in rising order"),
    ],
)
def test_bad_input_is_refused_with_the_rule_and_the_remedy(arguments, reason, tmp_path, command):
    code, printed = command("run", *arguments, "--cache", tmp_path)
    assert code == 2
    assert reason in printed
    assert not list(tmp_path.glob("levels/*"))


@pytest.mark.parametrize("task", ["run", "train"])
def test_a_folder_that_is_not_there_is_refused_though_the_data_set_is(
    winner, tmp_path, command, task
):
    level, store = winner
    what = [task]
    if task == "train":
        (tmp_path / "mask.npz").write_bytes(files.mask_npz(level))
        what.append(tmp_path / "mask.npz")
    code, printed = command(*what, "--dataset-folder", tmp_path / "none", "--cache", store.root)
    assert code == 2
    assert "is not a folder on this machine" in " ".join(printed.replace("│", "").split())


def test_other_files_than_the_published_ones_are_kept_apart_and_told(tmp_path, monkeypatch):
    write_files(tmp_path / "files")
    content = identify("kmnist", tmp_path / "files")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "compiled").symlink_to(kept.folder().parent)
    short = [*SMALL[:2], *SMALL[-4:], "--length", 2, "--unit", "iterations", "--rounds", 1]
    short += ["--controls", "none", "--dataset", "kmnist", "--loop", "torch", "--cache", cache]
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("run", *short, "--dataset-folder", "~/files")
    assert result.returncode == 0, result.stderr
    assert "These files could not be verified as KMNIST as published" in result.stdout
    assert f"Its SHA-256 is {content}." in result.stdout
    (job,) = Store(cache).jobs()
    assert job.params["content"] == content
    shutil.rmtree(tmp_path / "files")
    again = run("run", *short, "--content", content)
    assert again.returncode == 0, again.stderr
    assert again.stdout == result.stdout


def test_a_device_that_is_not_here_is_refused(store):
    result = run("run", *SMALL, "--device", "abacus", "--cache", store.root)
    assert result.returncode == 1
    assert "device='abacus' is not here; choose one of cpu" in result.stdout


def test_an_output_that_is_a_file_is_refused_and_left_alone(tmp_path):
    target = tmp_path / "out"
    target.write_text("mine")
    result = run("run", *SMALL, "--cache", tmp_path / "cache", "--out", target)
    assert result.returncode == 2
    assert "can't be made a folder" in result.stderr
    assert target.read_text() == "mine"


# What is done with the results


@pytest.fixture
def here(tmp_path, monkeypatch, capsysbinary):
    """The command line in an empty folder, called in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOTTERY_WORKERS", "1")

    def run_here(*arguments: object) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["lottery_core", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            start()
        out, said = capsysbinary.readouterr()
        code = ended.value.code
        if isinstance(code, str):
            code, said = 1, said + code.encode()
        return subprocess.CompletedProcess(arguments, code or 0, out, said)

    return run_here


@pytest.fixture
def winner(finished):
    """The last level of the run, and its store."""
    _, _, store = finished
    experiment = read_choice({"preset": "quick", **PARAMS, "seed": "3"})[1].experiment()
    return store.read(experiment.key), store


def test_export_writes_the_file_under_its_own_name(here, winner, tmp_path):
    level, store = winner
    key = level.info.key
    done = here("export", key[:6], "--format", "mask-npz", "--cache", store.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"mask-{key[:8]}-level2.npz: ".encode())
    with np.load(tmp_path / f"mask-{key[:8]}-level2.npz") as mask:
        for name, kept in level.mask.items():
            np.testing.assert_array_equal(mask[name], kept)


def test_export_replaces_a_file_only_when_told_so(here, winner, tmp_path):
    level, store = winner
    (tmp_path / "mine").write_text("mine")
    options = ["export", level.info.key, "--out", "mine", "--cache", store.root]
    refused = here(*options)
    assert refused.returncode == 2
    assert b"is there already; choose another --out, or add --force" in refused.stderr
    assert (tmp_path / "mine").read_text() == "mine"
    assert here(*options, "--force").returncode == 0
    assert (tmp_path / "mine").read_bytes()[8:9] == b"{"


def test_export_to_standard_output_is_the_file_alone(here, winner, tmp_path):
    level, store = winner
    key = level.info.key
    done = here("export", key, "--format", "card", "--out", "-", "--cache", store.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"# Lottery ticket {key[:8]}, level 2".encode())
    assert not list(tmp_path.glob("card*"))


@pytest.mark.parametrize("task", ["export", "show"])
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("12345", b"key='12345' is too short; give at least 6 characters"),
        ("123456", b"list` shows what is there"),
        ("../../..", b"key='../../..' is of no level in"),
    ],
)
def test_a_key_that_names_no_level_is_refused(here, winner, task, key, reason):
    done = here(task, key, "--cache", winner[1].root)
    assert done.returncode == 2
    assert reason in done.stderr
    assert b"Traceback" not in done.stderr


def test_export_refuses_an_unknown_format_and_a_place_that_is_none(here, winner):
    level, store = winner
    key = level.info.key
    done = here("export", key, "--format", "gif", "--cache", store.root)
    assert done.returncode == 2
    assert b"format='gif' is unknown; choose one of ticket, mask" in done.stderr
    done = here("export", key, "--out", "no/such/folder", "--cache", store.root)
    assert done.returncode == 2
    assert b"can't be written" in done.stderr


def test_list_shows_each_request_with_its_best_ticket(here, winner):
    _, store = winner
    done = here("list", "--cache", store.root)
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.decode().splitlines()
    assert head.split() == ["when", "key", "state", "levels", "size", "ticket", "what", "name"]
    *rows, _, size = rows
    assert len(rows) == 3
    assert all("done   3 of 3" in row for row in rows)
    assert "rewound ticket, seed 3, 784-16-10, MNIST, 2 rounds" in rows[-1]
    assert re.fullmatch(r"The cache takes \S+\s.B\.", size)
    every = here("list", "--levels", "--cache", store.root).stdout.decode().splitlines()
    # One dense network, and two levels of the experiment and of each of its controls.
    assert len(every) == 1 + 1 + 3 * 2
    for key in store.keys():  # noqa: SIM118 - a store is no dict
        assert any(key[:8] in row for row in every)


def test_list_shows_levels_that_no_request_speaks_of(here, store, tiny):
    assert b"Nothing is kept in" in here("list", "--cache", store.root).stdout
    list(engine.run(tiny, Context(store)))
    _, row, *_ = here("list", "--cache", store.root).stdout.decode().splitlines()
    assert tiny.key[:8] in row
    assert "kept   3 of 3" in row


def test_show_tells_the_card_and_the_levels_before(here, winner):
    level, store = winner
    done = here("show", level.info.key[:8], "--cache", store.root)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.decode()
    assert printed.startswith(f"# Lottery ticket {level.info.key[:8]}, level 2")
    assert "| random reinit |" in printed
    levels = printed.partition("Levels of this experiment that are kept:")[2].split("\n")
    assert [line.split()[0] for line in levels if line.strip()] == ["level", "0", "1", "2"]


def test_verify_finds_a_file_as_it_was_written(here, winner):
    level, store = winner
    here("export", level.info.key, "--out", "ticket", "--cache", store.root)
    done = here("verify", "ticket", "--cache", store.root)
    assert done.returncode == 0, done.stdout
    assert b"bit for bit" in done.stdout
    assert b"differs" not in done.stdout


def test_verify_fails_for_a_file_that_was_changed(here, winner, tmp_path):
    level, store = winner
    here("export", level.info.key, "--out", "ticket", "--cache", store.root)
    content = bytearray((tmp_path / "ticket").read_bytes())
    begins = 8 + int.from_bytes(content[:8], "little")
    facts = json.loads(content[8:begins])["trained/fc1.weight"]
    kept = int(np.flatnonzero(level.mask["fc1.weight"])[0])
    content[begins + facts["data_offsets"][0] + 4 * kept] ^= 1
    (tmp_path / "ticket").write_bytes(content)
    done = here("verify", "ticket", "--cache", store.root)
    assert done.returncode == 1, done.stdout
    assert b"differs" in done.stdout


def test_verify_refuses_what_is_no_ticket(here, tmp_path):
    (tmp_path / "note").write_text("hello")
    done = here("verify", "note", "--cache", tmp_path / "cache")
    assert done.returncode == 2
    assert b"is a text" in done.stderr
    done = here("verify", "nothing", "--cache", tmp_path / "cache")
    assert done.returncode == 2
    assert b"can't be read" in done.stderr


def test_a_network_can_be_named_where_shapes_leave_open_where_it_pools(here, tmp_path):
    text = "8 8 16 pool 16 pool 10"
    np.savez(tmp_path / "mask.npz", **masks(text))
    done = here("verify", "mask.npz", "--cache", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert b"taken for those of 8 8 pool 16 16 pool 10" in done.stdout
    done = here("verify", "mask.npz", "--network", text, "--cache", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert b"taken for" not in done.stdout
    for command in ("verify", "train"):
        done = here(command, "mask.npz", "--network", "conv-2", "--cache", tmp_path / "cache")
        assert done.returncode == 2
        assert b"the network that is named, conv-2" in done.stderr


def test_train_brings_a_file_back_and_tells_what_it_is_worth(here, winner):
    level, store = winner
    here("export", level.info.key, "--out", "again.safetensors", "--cache", store.root)
    done = here("train", "again.safetensors", "--cache", store.root)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.decode()
    assert "Used as:\n  mask/fc1.weight: mask of fc1\n" in printed
    assert "brought ticket, seed 3" in printed
    assert "random mask, seed 3" in printed
    assert "the ticket reaches" in printed.splitlines()[-1]


def test_train_refuses_what_it_can_not_train(here, tmp_path):
    (tmp_path / "not.npz").write_bytes(b"\x80\x04K\x01.")
    for arguments, words in (
        (("train", "not.npz"), b"pickle"),
        (("train", "nowhere.npz"), b"can't be read: No such file"),
    ):
        done = here(*arguments)
        assert done.returncode == 2
        assert words in done.stderr


# Caches and files as they are named


@pytest.mark.parametrize("name", ["note", "note/below"])
@pytest.mark.parametrize(
    "arguments", [["list"], ["show", KEY], ["export", KEY], ["verify", "note"], ["run"]]
)
def test_a_file_is_refused_as_a_cache(command, tmp_path, monkeypatch, arguments, name):
    (tmp_path / "note").write_bytes(mask_file())
    monkeypatch.chdir(tmp_path)
    code, printed = command(*arguments, "--cache", name)
    assert code == 2
    assert "note is a file, not a folder: choose another cache with --cache" in printed
    assert (tmp_path / "note").read_bytes() == mask_file()


def test_a_cache_that_can_not_be_made_is_refused(command, tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.mkdir", refuse)
    code, printed = command("run", "--cache", tmp_path / "cache")
    assert code == 2
    assert "cache can't be written here (permission denied): choose another cache" in printed


def test_looking_at_a_cache_makes_nothing(command, tmp_path, monkeypatch):
    (tmp_path / "mask.npz").write_bytes(mask_file())
    monkeypatch.chdir(tmp_path)
    code, printed = command("list", "--cache", "cache")
    assert code == 0
    assert "Nothing is kept in" in printed
    assert command("verify", "mask.npz", "--cache", "cache")[0] == 0
    assert command("show", KEY, "--cache", "cache")[0] == 2
    assert command("export", KEY, "--cache", "cache")[0] == 2
    assert os.listdir(tmp_path) == ["mask.npz"]


def test_a_tilde_is_the_home(command, winner, tmp_path, monkeypatch):
    level, store = winner
    key = level.info.key
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").symlink_to(store.root)
    code, printed = command("export", key, "--out", "~/ticket", "--cache", "~/mine")
    assert code == 0, printed
    assert (tmp_path / "ticket").exists()
    assert command("verify", "~/ticket", "--cache", "~/mine")[0] == 0
    for arguments in (["list", "--cache"], ["export", key, "--cache", store.root, "--out"]):
        code, printed = command(*arguments, "~nobody-of-this-name/x")
        assert code == 2
        assert "names" in printed


@pytest.mark.parametrize(("named", "found"), [("", ROOT / "cache"), ("~/mine", "/home/me/mine")])
def test_the_variable_names_the_cache_unless_it_is_empty(named, found):
    code = "from lottery_core.store import CACHE, Store; print(Store(CACHE).root)"
    environment = os.environ | {"LOTTERY_CACHE": named, "HOME": "/home/me"}
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment)
    assert Path(printed.decode().strip()) == Path(found).resolve()


def test_export_writes_to_what_is_no_file_without_replacing_it(command, winner, tmp_path):
    level, store = winner
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    for target in (tmp_path / "link", os.devnull):
        options = ["--format", "card", "--out", target, "--force", "--cache", store.root]
        assert command("export", level.info.key, *options)[0] == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text().startswith("# Lottery ticket")
    assert not Path(os.devnull).is_file()


# Terminals of all kinds


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_command_prints_on_every_terminal(winner, tmp_path, monkeypatch, command, encoding):
    level, store = winner
    key, cache = level.info.key, ["--cache", str(store.root)]
    ticket = tmp_path / os.fsdecode(b"ticket-\xff.safetensors")  # a name that no code has
    run_again = ["run", *SMALL, "--seed", "3", "--loop", "torch", *cache]
    train = ["train", str(ticket), "--iterations", "12", "--replicates", "2", "--loop", "torch"]
    commands = [
        ["--help"], ["run", "--help"], ["train", "--help"], ["list", *cache],
        ["list", "--levels", *cache], ["show", key, *cache],
        ["export", key, "--out", str(ticket), *cache], ["verify", str(ticket), *cache],
        run_again, [*train, *cache],
    ]  # fmt: skip
    for arguments in commands:
        terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            code, said = command(*arguments)
            terminal.flush()
        last = terminal.buffer.getvalue().decode(encoding)
        assert code == 0, (arguments, said)
        assert last
    assert "% interval" in last
    assert "?" not in last  # a space that has no code is a space


def test_a_terminal_of_a_bare_machine_is_printed_on(winner):
    level, store = winner
    bare = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "lottery_core", "show", level.info.key, "--cache", store.root],
        cwd=ROOT,
        env=os.environ | bare,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"# Lottery ticket")
    assert done.stdout.isascii()


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["export", "KEY", "--out", "-"]])
def test_a_reader_that_goes_away_hears_no_complaint(winner, arguments):
    level, store = winner
    cache = [] if arguments == ["--help"] else ["--cache", str(store.root)]
    named = [level.info.key if part == "KEY" else part for part in arguments]
    with subprocess.Popen(
        [sys.executable, "-m", "lottery_core", *named, *cache],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
