"""The same job without a browser, through a real process and the same store."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lottery_core.choice import read_choice
from lottery_core.store import Store

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--hidden", "16", "--length", "40", "--unit", "iterations", "--rounds", "2"]
PARAMS = {"hidden": "16", "length": "40", "unit": "iterations", "rounds": "2"}


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lottery_core", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


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
    result = run("run", *SMALL[:2], "--length", 2, "--batch-size", 4096, "--rounds", 1,
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
        assert table["test_accuracy"].tolist() == [x.info["test_accuracy"] for x in levels]
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
def test_bad_input_is_refused_with_the_rule_and_the_remedy(arguments, reason, tmp_path):
    result = run("run", *arguments, "--cache", tmp_path)
    assert result.returncode == 2
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("levels/*"))


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
