"""Reports and tables to hand out: they say what the store holds and what the pages say."""

import base64
import csv
import html
import io
import re
import statistics
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageColor

import lottery_core as lt
from lottery_core.findings.handout import paper
from lottery_core.findings.handout.asked import Asked, asked_for
from lottery_core.findings.handout.comparison_page import comparison_page
from lottery_core.findings.handout.page import MAX_BYTES, Page
from lottery_core.findings.handout.run_page import run_page
from lottery_core.findings.handout.weights import cells_that_fit, frames
from lottery_core.findings.lines import lines_of
from lottery_core.report.figures import PRUNED
from lottery_core.spec.links import python
from lottery_core.spec.networks import network
from lottery_core.spec.presets import PRESETS
from lottery_core.store import Level
from lottery_core.store.pictures import shrink
from tests.infos import info_of

pytestmark = pytest.mark.usefixtures("judged_on_few")

SMALL = {
    "replicates": 2,
    "learning_rate": 0.1,
    "network": "8",
    "length": 12,
    "unit": "iterations",
    "evaluate_every": 6,
    "batch_size": 16,
    "rounds": 2,
    "controls": ["reinit"],
}
TWO_SEEDS = 12.706205  # Student's t, quantile 0.975 of one degree of freedom


@pytest.fixture(scope="module")
def run(make_store, tmp_path_factory):
    """A run of two seeds with a control."""
    store = make_store(tmp_path_factory.mktemp("handout") / "store")
    return lt.run(lt.preset("quick", **SMALL), store.root, loop="torch")


@pytest.fixture(scope="module")
def asked(run):
    return asked_for(run.store, run.arms["main"][0].key)


def words_of(page: bytes) -> str:
    """What a page says, without its scripts."""
    text = re.sub(r"<(script|style).*?</\1>", "", page.decode(), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def test_any_level_of_a_request_leads_to_all_of_it(run, asked):
    assert asked.arms == run.arms
    control = run.arms["reinit"][1]
    assert asked_for(run.store, control.key) == asked
    assert asked_for(run.store, run.arms["main"][1].keys[1]) == asked


def test_a_report_says_the_result_the_recipe_the_seeds_and_what_repeats_it(run, asked):
    page = run_page(run.store, asked)
    said = words_of(page)
    assert " ".join(asked.outcome(run.store).sentences()) == repr(run)
    repeated = (asked.command, asked.python, "learning rate", "SGD, momentum 0.9")
    for part in (*asked.outcome(run.store).sentences(), *repeated):
        assert part in said
    for arm in run.arms.values():
        for experiment in arm:
            assert experiment.key in said
    for name in ("main", "reinit"):
        for level in (1, 2):
            infos = [run.levels_of(name, seed)[level].info for seed in (0, 1)]
            mean = statistics.mean(info.test_accuracy for info in infos)
            assert f"{100 * mean:.2f}" in said


def test_a_report_asks_for_nothing_from_elsewhere_and_is_small(run, asked):
    page = run_page(run.store, asked)
    assert len(page) < MAX_BYTES
    text = page.decode()
    assert "default-src 'none'" in text
    without_code = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=\"(?!data:)", without_code)
    assert "@import" not in without_code


def test_a_report_waits_for_the_first_level_and_has_no_verdict_before_the_last(
    make_store, tmp_path
):
    store = make_store(tmp_path / "store")
    half = lt.Run(lt.preset("quick", **SMALL), store.root, loop="torch")
    asked = Asked(half.arms)
    with pytest.raises(lt.InvalidValue, match="no finished level"):
        run_page(store, asked)
    next(iter(half))
    said = words_of(run_page(store, asked))
    assert "1 of 6 levels are finished, so there is no verdict yet." in said


def test_text_from_outside_is_no_html(run):
    hostile = '</script><img src=x onerror="alert(1)">'
    page = Page(hostile, "stem")
    page.heading(hostile)
    page.text(hostile)
    page.table((hostile,), [[hostile]], hostile)
    page.code(hostile, hostile)
    page.chart(run.figure("accuracy").update_layout(title_text=hostile, meta={"alt": hostile}))
    written = page.write().decode()
    assert "<img" not in written
    assert hostile not in written


# For a paper


def test_means_and_intervals_are_those_of_the_seeds(run, asked):
    table = paper.by_level(asked.outcome(run.store))
    assert list(table["arm"]) == ["dense", *["rewound ticket", "random reinit"] * 2]
    for row in table.itertuples():
        arm = "reinit" if row.arm == "random reinit" else "main"
        infos = [run.levels_of(arm, seed)[row.level].info for seed in (0, 1)]
        for suffix, field in (("", "test_accuracy"), ("_early_stop", "early_stop_iteration")):
            values = [getattr(info, field) for info in infos]
            half = TWO_SEEDS * statistics.stdev(values) / 2**0.5
            mean = statistics.mean(values)
            found = [getattr(row, f"{name}{suffix}") for name in ("mean", "low", "high", "n")]
            assert found == pytest.approx([mean, mean - half, mean + half, 2])


def test_latex_and_markdown_have_the_same_cells(run, asked):
    with zipfile.ZipFile(io.BytesIO(paper.archive(run.store, asked))) as made:
        texts = {name.partition(".")[2]: made.read(name).decode() for name in made.namelist()}
        names = made.namelist()
    assert all("mnist" in name and "magnitude" in name and "784-8-10" in name for name in names)
    cells = paper.cells(paper.by_level(asked.outcome(run.store)))
    rows = [line.strip("| ").split(" | ") for line in texts["md"].splitlines() if line[:1] == "|"]
    assert rows[2:] == cells
    body = texts["tex"].partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    rows = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if "&" in line]
    assert rows == cells  # none of which has a sign that LaTeX reads in its own way
    # Each percent sign of the head and the caption is escaped: else the rest of the line is gone.
    assert not re.search(r"(?<!\\)%", texts["tex"].partition("\n")[2])


@pytest.mark.parametrize("sign", "&%$#_{}~^\\")
def test_latex_reads_no_sign_in_its_own_way(sign):
    text = paper.latex(("a", "b"), [[f"x{sign}y", "1"]], "caption", "label", "ll")
    row = next(line for line in text.splitlines() if line.startswith("x"))
    assert row.startswith((f"x\\{sign}y", "x\\text"))


@pytest.mark.parametrize("name", ["levels", "layers", "history"])
def test_every_row_of_a_csv_says_its_run_seed_schedule_criterion_and_arm(run, asked, name):
    table = pd.read_csv(io.BytesIO(paper.csv(run.store, asked.arms.values(), name)))
    keys = {one.key for arm in run.arms.values() for one in arm}
    assert set(table["run"]) <= keys
    assert set(table["arm"]) == {"dense", "rewound ticket", "random reinit"}
    assert set(table["criterion"]) == {"magnitude"}
    assert set(table["schedule"]) == {"50 25 % of weights"}
    assert set(table["seed"]) == {0, 1}
    counted = table.drop_duplicates(["run", "level"])
    assert len(counted) == 2 * (1 + 2 + 2)  # the dense network, which both arms share, once
    if name == "levels":
        for row in table.itertuples():
            arm = "reinit" if row.arm == "random reinit" else "main"
            info = run.levels_of(arm, row.seed)[row.level].info
            assert row.test_accuracy == info.test_accuracy
            assert row.weights_remaining == info.weights_kept


# Comparisons


def test_a_comparison_has_the_verdict_and_each_difference_in_words(run, asked):
    lines = [*lines_of(run.store.jobs()).values()]
    main = next(line for line in lines if line.arm == "ticket")
    said = words_of(comparison_page(run.store, lines, main.id))
    assert asked.outcome(run.store).sentences()[0] in said
    accuracy = [
        statistics.mean(run.levels_of(arm, seed)[2].info.test_accuracy for seed in (0, 1))
        for arm in ("reinit", "main")
    ]
    words = f"At 25\u202f% of the weights random reinit reaches {100 * accuracy[0]:.2f}\u202f%"
    assert words in said


# Weights


def _level(shapes: dict, kept: float, seed: int = 0) -> Level:
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    mask = {name: rng.random(shape) < kept for name, shape in shapes.items()}
    counts = {name: (one.size, int(one.sum())) for name, one in mask.items()}
    return Level(info_of(layers=counts), mask, weights, weights, np.empty(0), pd.DataFrame())


def test_a_pruned_weight_is_dark_and_the_others_have_the_colour_of_their_sign():
    net = network("8", (1, 28, 28), 10)
    level = _level(net.shapes, 0.5)
    shown = frames([level], net, 240_000)[0]["levels"][0]
    picture = Image.open(io.BytesIO(base64.b64decode(shown["png"]))).convert("RGB")
    pixels = np.asarray(picture).astype(int)
    name, kept = next(iter(level.mask.items()))
    dark = (pixels == ImageColor.getrgb(PRUNED)).all(axis=-1)
    np.testing.assert_array_equal(dark, ~kept)
    large = kept & (np.abs(level.end[name]) > 0.5)
    red = pixels[..., 0] > pixels[..., 2]
    np.testing.assert_array_equal(red[large], level.end[name][large] > 0)


@pytest.mark.parametrize("kept", [1.0, 0.3])
@pytest.mark.parametrize("text", [PRESETS["conv-2"].choice.network, "300 100"])
def test_pictures_take_no_more_room_than_there_is(text, kept):
    image = (3, 32, 32) if "pool" in text else (1, 28, 28)
    net = network(text, image, 10)
    level = _level(net.shapes, kept)
    for room in (60_000, 500_000):
        cells = cells_that_fit([level.info] * 2, net, room)
        found = frames([level, level], net, cells)
        assert sum(len(one["png"]) for layer in found for one in layer["levels"]) <= room
        told = {one["coarse"] for layer in found for one in layer["levels"]}
        shrunk = any(shrink(level.end[n], level.mask[n], cells)[1] > 1 for n in net.shapes)
        assert any("mean of" in words for words in told) == shrunk


# Python and the command line


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("quick", {"seed": 3}),
        ("paper", {"layer_factors": (("fc1", 1.0), ("fc2", 0.5)), "replicates": 2}),
        ("notebook", {"schedule": "list", "sparsities": (0.5, 0.9), "controls": ()}),
        ("conv-2", {"criterion": "snip", "output_factor": 1.0, "decay_at": (100, 200)}),
        ("lenet-5", {"restart": "rate-rewind", "rewind_percent": 2.0, "length": 0.5,
                     "unit": "epochs"}),
    ],
)  # fmt: skip
def test_the_copied_python_makes_the_same_choice(preset, changes, monkeypatch):
    choice = replace(PRESETS[preset].choice, **changes)
    made = []

    class Made:
        def figure(self) -> None:
            """What the last line calls."""

    monkeypatch.setattr(lt, "run", lambda asked: made.append(asked) or Made(), raising=False)
    exec(python(preset, choice), {})  # noqa: S102
    (asked,) = made
    assert asked == choice
    assert [one.keys for one in asked.experiments()] == [one.keys for one in choice.experiments()]


def test_the_command_writes_a_report_or_tables_and_refuses_what_it_cannot(run, command, tmp_path):
    key, control = (run.arms[name][0].key for name in ("main", "reinit"))
    cache = ("--cache", run.store.root)
    out = tmp_path / "a.html"
    assert command("report", key[:8], "--out", out, *cache)[0] == 0
    sentence = asked_for(run.store, key).outcome(run.store).sentences()[0]
    assert sentence in words_of(out.read_bytes())
    assert command("report", key[:8], "--out", out, *cache)[0] != 0  # it is there
    assert command("report", key, control, "--out", out, "--force", *cache)[0] == 0
    assert "Differences at equal size" in words_of(out.read_bytes())
    tables = tmp_path / "b.zip"
    assert command("report", key, control, "--seeds", "1", "--out", tables, *cache)[0] == 0
    with zipfile.ZipFile(tables) as made:
        name = next(name for name in made.namelist() if name.endswith("levels.csv"))
        rows = [*csv.DictReader(io.StringIO(made.read(name).decode()))]
    assert {row["seed"] for row in rows} == {"1"}
    for wrong in (("--out", tmp_path / "c.pdf"), ("--seeds", "7"), ("--seeds", "x")):
        status, _ = command("report", key, *wrong, *cache)
        assert status != 0


def test_a_notebook_writes_the_same_report(run, asked, tmp_path):
    run.report(tmp_path / "run.html")
    assert (tmp_path / "run.html").read_bytes() == run_page(run.store, asked)
    with pytest.raises(lt.InvalidValue, match="path"):
        run.report(tmp_path / "run.pdf")
