"""A sweep asks for every combination, trains each level once, goes on after a failure, and writes
one table over everything."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lottery_core.cli import app
from lottery_core.data import identify
from lottery_core.findings import view
from lottery_core.running import many
from lottery_core.running.crew import Crew
from lottery_core.running.upkeep import LIMIT
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.notation import shortest
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.sweep import MAX_CHOICES, Sweep, read_grid, read_seeds, read_toml
from lottery_core.store import Store
from lottery_core.training import kept
from tests.images import write_files

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "network": "6",
    "length": "4",
    "unit": "iterations",
    "evaluate_every": "4",
    "validation_size": "100",
    "rounds": "2",
    "controls": "none",
    "replicates": "1",
}
OPTIONS = [part for name, text in TINY.items() for part in (f"--{name.replace('_', '-')}", text)]
TOML = """
preset = "quick"
length = 2
seeds = "3:5"

[grid]
criterion = ["magnitude", "snip"]
sparsities = [[0.5, 0.75], [0.9]]

[[choice]]
network = "8"

[[choice]]
network = "lenet-5"
learning_rate = 0.05
"""


def test_a_file_asks_for_every_combination_with_every_seed():
    points = read_toml(TOML).points()
    assert len(points) == 2 * 2 * 2 * 2
    assert [point.choice.seed for point in points] == [3] * 8 + [4] * 8
    assert {point.choice.replicates for point in points} == {1}
    assert {point.choice.length for point in points} == {2.0}
    found = {
        (point.choice.network, point.choice.learning_rate, point.choice.criterion)
        for point in points
    }
    quick = PRESETS["quick"].choice
    assert found == {
        (network, rate, criterion)
        for network, rate in (("8", quick.learning_rate), (shortest("lenet-5"), 0.05))
        for criterion in ("magnitude", "snip")
    }
    assert {point.choice.sparsities for point in points} == {(0.5, 0.75), (0.9,)}
    assert points[0].varied == {"network": "8", "criterion": "magnitude", "sparsities": "0.5,0.75"}


def test_seeds_and_grids_read_as_on_the_command_line():
    assert read_seeds("0:3") == (0, 1, 2)
    assert read_seeds("5, 1,5") == (5, 1)
    assert read_grid(["rate=0.2, 0.5", "learning-rate=1"]) == {
        "rate": ("0.2", "0.5"),
        "learning_rate": ("1",),
    }


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: read_seeds("3:3"), "seeds='3:3' must be numbers"),
        (lambda: read_seeds("-1"), "must be numbers from 0"),
        (lambda: read_seeds("a"), "1,5,7"),
        (lambda: read_grid(["rate"]), "a field and values"),
        (lambda: read_grid(["rate="]), "grid='rate=' must be a field"),
        (lambda: read_grid(["ratte=1"]), "field='ratte' is unknown"),
        (lambda: read_grid(["rate=1", "rate=2"]), "named twice"),
        (lambda: read_grid(["sparsities=0.5,0.6"]), "TOML"),
        (lambda: read_toml("rate = "), "is no TOML"),
        (lambda: read_toml("[grid]\nrate = 0.5"), "must be a table of lists"),
        (lambda: read_toml("[grid]\nrate = []"), "has no values"),
        (lambda: read_toml("choice = 3"), "must be tables"),
        (lambda: read_toml("rounds = true"), "must be a text, a number"),
        (lambda: read_toml("seeds = '0:2'\nreplicates = 3"), "leave out one"),
        (lambda: Sweep({}, {"rate": ["0.5"]}, seeds=range(MAX_CHOICES + 1)), "too many choices"),
        (lambda: read_seeds("0:999999999999"), "seeds='0:9999"),
        (
            lambda: Sweep({}, {"rate": ["0.5", "7"]}).points(),
            r"sweep='rate=7' can't be run: rate=7.0 must be a number above 0",
        ),
    ],
)
def test_what_can_not_be_swept_is_refused_with_value_rule_and_remedy(make, rule):
    with pytest.raises(InvalidValue, match=rule):
        make()


def of_seeds(*seeds: int, **changes: object) -> list[many.Asked]:
    choice = replace(PRESETS["quick"].choice, replicates=1, **changes)
    experiments = [replace(choice, seed=seed).experiment() for seed in seeds]
    return [many.Asked(one, {"preset": "quick"}) for one in experiments]


SMALL = {
    "network": "6",
    "length": 4.0,
    "unit": "iterations",
    "evaluate_every": 4,
    "validation_size": 100,
    "rounds": 2,
}


def test_more_experiments_than_wait_at_once_are_all_trained_and_shared_levels_once(store):
    asked = [
        *of_seeds(*range(6), **SMALL),
        *of_seeds(*range(6), **SMALL, criterion="random"),
    ]
    keys = {key for one in asked for key in one.experiment.keys}
    assert len(keys) == 6 * 5  # the dense network is that of both criteria
    standings = list(many.run_all(store, Crew(1), asked))
    assert standings[0].done == 0
    assert standings[-1].is_over
    assert standings[-1].of == len(keys)
    assert all(map(store.has, keys))
    (again,) = many.run_all(store, Crew(1), asked)
    assert again.is_over


def test_one_that_fails_does_not_keep_the_others_and_is_named(store):
    bad = of_seeds(0, **{**SMALL, "learning_rate": 10.0, "weight_decay": 1.0, "length": 500.0})
    good = of_seeds(1, **SMALL)
    *_, last = many.run_all(store, Crew(1), [*bad, *good])
    assert [*last.failed] == [bad[0].experiment.key]
    assert "learning rate" in last.failed[bad[0].experiment.key].message
    assert not last.is_over
    assert all(map(store.has, good[0].experiment.keys))


def test_the_command_says_how_much_it_is_trains_and_writes_one_table(store, tmp_path):
    given = ["sweep", *OPTIONS[:-2], "--grid", "criterion=magnitude,random", "--grid"]
    given += ["batch_size=64,128", "--seeds", "0:2", "--cache", str(store.root), "--workers", "1"]
    run = CliRunner().invoke(app, [*given, "--dry-run"])
    assert run.exit_code == 0, run.output
    assert "8 runs, 20 trainings" in run.output
    assert not store.keys()
    out = tmp_path / "out"
    run = CliRunner().invoke(app, [*given, "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "20 of 20 levels are finished" in run.output
    table = pd.read_csv(out / "levels.csv")
    assert len(table) == 8 * 3
    assert set(table["batch_size"]) == {64, 128}
    assert set(table["criterion"]) == {"magnitude", "random"}
    by_run = table.groupby("run")["level"].apply(list)
    assert by_run.map(lambda levels: levels == [0, 1, 2]).all()
    assert len(pd.read_parquet(out / "levels.parquet")) == len(table)
    assert re.search("<html", (out / "report.html").read_text())
    run = CliRunner().invoke(app, [*given, "--dry-run"])
    assert "all are in the cache" in run.output


def test_a_file_and_fields_together_are_refused(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(TOML)
    run = CliRunner().invoke(app, ["sweep", str(file), "--rate", "0.3"])
    assert run.exit_code == 2
    assert "says all of it" in run.output
    run = CliRunner().invoke(app, ["sweep", str(tmp_path / "none.toml")])
    assert "can't be read" in run.output


def test_the_command_line_may_go_beyond_the_limits_and_says_so(tmp_path):
    command = [sys.executable, "-m", "lottery_core", "sweep", "--grid", "rate=0.2", "--dry-run"]
    command += ["--length", "300000", "--unit", "iterations", "--cache", str(tmp_path)]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "at most 200000" in refused.stderr
    lifted = subprocess.run([*command, "--no-limits"], cwd=ROOT, capture_output=True, text=True)
    assert lifted.returncode == 0, lifted.stderr
    assert lifted.stdout.startswith("No limits")


def test_a_folder_with_other_files_is_trained_on_and_its_content_named(tmp_path):
    folder = write_files(tmp_path / "files")
    content = identify("kmnist", folder)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "compiled").symlink_to(kept.folder().parent)
    given = ["sweep", *OPTIONS, "--dataset", "kmnist", "--grid", "criterion=magnitude,random"]
    given += ["--dataset-folder", str(folder), "--cache", str(cache), "--workers", "1"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert "5 of 5 levels are finished" in done.output
    jobs = Store(cache).jobs()
    assert {job.params["content"] for job in jobs} == {content}
    assert len(jobs) == 2
    # By its content from now on: neither the folder nor what was trained on it is asked for again.
    shutil.rmtree(folder)
    again = CliRunner().invoke(app, [*given[:-6], "--content", content, *given[-4:], "--dry-run"])
    assert "all are in the cache" in again.output


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    given = ["sweep", *OPTIONS, "--dataset-folder", str(tmp_path / "none"), "--dry-run"]
    refused = CliRunner().invoke(app, given, env={"COLUMNS": "400"})
    assert refused.exit_code == 2
    assert re.search("dataset_folder='.*none' is not a folder on this machine", refused.output)


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_a_limit_that_is_none_is_refused_before_anything_is_trained(store, monkeypatch, command):
    monkeypatch.setenv(LIMIT, "5 apples")
    given = [command, *OPTIONS, "--cache", str(store.root)]
    refused = CliRunner().invoke(app, given, env={"COLUMNS": "400"})
    assert refused.exit_code == 2
    said = "LOTTERY_CACHE_LIMIT='5 apples' must be a size above 0, as in 500MB or 5GB; leave it out"
    assert said in refused.output
    assert not store.keys()
    assert not store.jobs()


@pytest.mark.parametrize("text", ["²", "٣", "0,²", "9" * 5_000], ids=range(4))
@pytest.mark.parametrize("read", [read_seeds, view.read_seeds], ids=["sweep", "link"])
def test_digits_that_are_no_numbers_are_refused_as_seeds(read, text):
    """`int` refuses a superscript, and thousands of digits."""
    with pytest.raises(InvalidValue, match=r"must be (whole )?numbers from 0"):
        read(text)
