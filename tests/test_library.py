"""lottery_core as a researcher types it: run, watch, read, and go on where it stopped."""

import io
import shutil
import sys
import time
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

import lottery_core as lt
from lottery_core.running import engine
from lottery_core.running.bar import bar
from lottery_core.spec.links import read_choice
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import Store
from lottery_core.training.base import TrainingDiverged
from tests.infos import progress_of
from tests.test_imports import loaded_by

pytestmark = pytest.mark.usefixtures("judged_on_few")

SMALL = {
    "replicates": 1,
    "learning_rate": 0.1,
    "network": "8",
    "length": 12,
    "unit": "iterations",
    "evaluate_every": 6,
    "batch_size": 16,
    "rounds": 2,
    "controls": ["reinit"],
}


def small(**changes) -> lt.Choice:
    return lt.preset("quick", **SMALL | changes)


@pytest.fixture(scope="module")
def run(make_store, tmp_path_factory):
    """A run of two seeds with a control, what it printed, and its store, to which nobody writes."""
    store, printed = make_store(tmp_path_factory.mktemp("library") / "store"), io.StringIO()
    with redirect_stdout(printed):
        found = lt.run(small(replicates=2), store.root, loop="torch")
    return found, printed.getvalue(), store


def test_importing_it_and_choosing_loads_no_torch():
    loaded = loaded_by(
        "import lottery_core as lt\nlt.preset('quick', rounds=2).arms()\nlt.InvalidValue"
    )
    assert "lottery_core.spec.choice" in loaded
    assert not {"torch", "numba", "streamlit"} & loaded


def test_it_has_at_most_ten_names_and_each_says_what_it_is():
    assert len(lt.__all__) <= 10
    assert dir(lt) == sorted(lt.__all__)
    for name in lt.__all__:
        assert getattr(lt, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lt.nothing  # noqa: B018


def test_a_preset_is_changed_by_field():
    assert lt.preset("paper") == read_choice({"preset": "paper"})[1]
    changed = lt.preset("quick", controls=["reinit"], layer_factors={"fc1": 0.5})
    assert (changed.controls, changed.layer_factors) == (("reinit",), (("fc1", 0.5),))
    with pytest.raises(lt.InvalidValue, match="preset='best' is unknown; choose one of quick"):
        lt.preset("best")
    with pytest.raises(lt.InvalidValue, match="field='round' is unknown; choose one of"):
        lt.preset("quick", round=3)


def test_levels_are_told_as_they_finish_and_a_table_has_them_all(run):
    found, printed, _ = run
    table = found.table()
    assert len(table) == len(found) == 2 * 2 * 3  # arms, seeds, levels
    assert table["arm"].unique().tolist() == ["rewound ticket", "random reinit"]
    assert table["seed"].value_counts().to_dict() == {0: 6, 1: 6}
    assert len(printed.splitlines()) == 2 * 3 + 2 * 2  # level 0 is shared, and told once a seed
    for level in found.levels:
        info = level.info
        row = table.query(f"arm == 'rewound ticket' and seed == 0 and level == {info.level}")
        assert row["test_accuracy"].item() == info.test_accuracy
        size = size_in_words(info.percent_remaining)
        assert f"rewound ticket, seed 0, level {info.level}: {size} of" in printed
    assert len(found.table("history")) == len(table) * 3
    assert set(found.table("layers")["layer"]) == {"fc1", "fc2"}


def test_arms_are_compared_as_on_the_page(run, tmp_path):
    found, _, store = run
    ticket, reinit = (found.levels_of(arm)[-1].info.key for arm in ("main", "reinit"))
    both = lt.compare(ticket[:8], reinit, cache=store.root)
    assert both.names == ["rewound ticket", "random reinit"]
    table, levels = both.table(), found.table()
    assert table["percent"].tolist() == [50.0, 25.0]
    assert table["n"].tolist() == [2, 2]
    means = levels.groupby(["arm", "level"])["test_accuracy"].mean()
    for row in table.itertuples():
        assert row.test_accuracy == pytest.approx(means["random reinit", row.level])
        assert row.test_accuracy_of_reference == pytest.approx(means["rewound ticket", row.level])
        assert row.mean == pytest.approx(row.test_accuracy - row.test_accuracy_of_reference)
        assert f"{100 * row.test_accuracy:.2f}" in repr(both)
    assert lt.compare(ticket, reinit, seeds=[1], cache=store.root).table()["n"].tolist() == [1, 1]
    names = {trace.name for trace in both.figure().data}
    assert all(f"{name}, 2 seeds" in names for name in both.names)
    with pytest.raises(lt.InvalidValue, match="bands='wide' is unknown; choose one of range"):
        both.figure(bands="wide")
    both.report(tmp_path / "both.html")
    assert b"random reinit" in (tmp_path / "both.html").read_bytes()
    with pytest.raises(
        lt.InvalidValue, match=r"path='\.pdf' is unknown; choose one of \.html, \.zip"
    ):
        both.report(tmp_path / "both.pdf")
    with pytest.raises(lt.InvalidValue, match="seeds='7' were not run"):
        lt.compare(ticket, seeds=[7], cache=store.root)
    with pytest.raises(lt.InvalidValue, match="key='000000' is of no level"):
        lt.compare("000000", cache=store.root)
    with pytest.raises(lt.InvalidValue, match="keys=0 runs or arms are named; compare 1 to 8"):
        lt.compare(cache=store.root)


def test_levels_have_their_masks_and_weights(run):
    found, *_ = run
    last = found.levels[-1]
    assert last.mask["fc1.weight"].mean() == 0.25
    assert not last.end["fc1.weight"][~last.mask["fc1.weight"]].any()
    assert [level.info.level for level in found.levels[1:]] == [1, 2]
    other = found.levels_of("reinit", seed=1)[-1]
    assert other.info.experiment["control"] == "reinit"
    assert other.info.seed == 1
    with pytest.raises(lt.InvalidValue, match="seed=7 was not run; choose one of 0, 1"):
        found.levels_of("main", seed=7)
    with pytest.raises(lt.InvalidValue, match="arm='fine-tune' is unknown; choose one of main, re"):
        found.levels_of("fine-tune")


def test_figures_show_what_the_levels_say(run):
    found, *_ = run
    accuracy = found.figure("accuracy")
    rows = found.table().query("arm == 'rewound ticket'").groupby("level")["test_accuracy"].mean()
    (curve,) = (trace for trace in accuracy.data if trace.name == "rewound ticket, 2 seeds")
    np.testing.assert_allclose(curve.y, 100 * rows, rtol=1e-12)
    assert any(trace.name == "random reinit, 2 seeds" for trace in accuracy.data)
    early = found.figure("early-stop").data
    assert sum(trace.mode == "lines+markers" for trace in early) == 2
    assert found.figure("sparsity").data[0].y[-1] == pytest.approx(75)
    assert found.figure("loss", level=1).layout.title.text == "Loss of level 1"
    assert found.figure("training").layout.title.text == "Accuracy of level 2"
    with pytest.raises(lt.InvalidValue, match="figure='pie' is unknown; choose one of accuracy"):
        found.figure("pie")
    with pytest.raises(lt.InvalidValue, match="level=3 is not finished; the last is 2"):
        found.figure("loss", level=3)


def test_in_a_notebook_the_bar_is_drawn_in_its_place_and_goes_in_the_end(store, monkeypatch):
    drawn: list[str] = []
    place = SimpleNamespace(update=lambda shown: drawn.append(text_of(shown)))

    def text_of(shown: object) -> str:
        if isinstance(shown, str):
            return shown
        told = Console(file=io.StringIO(), width=200)
        told.print(shown)
        return told.file.getvalue()

    def display(shown: object, display_id: bool) -> SimpleNamespace:
        drawn.append(text_of(shown))
        return place

    fake = SimpleNamespace(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    (experiment,) = small(controls=[]).arms()["main"]
    finished = [None]
    notebook = Console(file=io.StringIO(), force_jupyter=True)
    with bar(notebook, store, experiment, finished, "a run, "):
        store.write_progress(experiment.keys[1], progress_of(iteration=7))
        while not any("7/12" in shown for shown in drawn):
            time.sleep(0.05)
    assert "a run, level 0" in drawn[0]
    assert any("a run, level 1 of 2" in shown for shown in drawn)
    assert drawn[-1] == ""
    assert notebook.file.getvalue() == ""


def test_what_is_there_is_not_trained_again(run, monkeypatch):
    found, _, store = run
    monkeypatch.setattr(engine, "train", None)  # it would fail
    again = lt.run(small(replicates=2), store.root, loop="torch")
    assert again.table().equals(found.table())
    assert repr(again) == repr(found)
    assert repr(found).startswith("Over 2 seeds")


def test_iterating_trains_level_by_level_and_stopping_keeps_them(store):
    found = lt.Run(small(), store.root, loop="torch")
    assert found.table().empty
    assert (len(found.levels), found.ticket) == (0, None)
    with pytest.raises(lt.InvalidValue, match="nothing to show before a level is finished"):
        found.figure()
    levels = iter(found)
    assert next(levels).info.level == 0
    main = found.arms["main"][0]
    assert [store.has(key) for key in main.keys] == [True, False, False]
    assert store.job(main.key).state == "running"
    assert repr(found) == "1 of 6 levels are finished."
    levels.close()
    assert store.job(main.key).state == "cancelled"
    assert [level.info.level for level in found] == [0, 1, 2] * 2
    assert store.job(main.key).state == "done"


def test_the_app_is_led_to_the_same_choice(run):
    found, _, store = run
    for arm in found.arms.values():
        for experiment in arm:
            job = store.job(experiment.key)
            assert job.state == "done"
            assert read_choice(job.params)[1] == small(replicates=2)


def test_the_ticket_is_the_smallest_that_wins_on_validation_images(store):
    choice = small(network="16", length=60, evaluate_every=30, rate=0.2, rounds=3, controls=[])
    found = lt.run(choice, store.root, loop="torch")
    dense, *pruned = (level.info for level in found.levels)
    good = [
        info.level
        for info in pruned
        if info.validation_accuracy >= dense.validation_accuracy
        and info.early_stop_iteration <= dense.early_stop_iteration
    ]
    ticket = found.ticket
    assert (ticket and ticket.info.level) == (good[-1] if good else None)
    said = "The smallest" if good else "There is no winning ticket"
    assert repr(found).startswith(said)


def test_what_goes_wrong_is_raised_and_recorded(store):
    choice = small(network="128 64", learning_rate=10, weight_decay=1, length=500)
    with pytest.raises(TrainingDiverged, match="choose a learning rate below 10"):
        lt.run(choice, store.root, loop="torch")
    job = store.job(choice.arms()["main"][0].key)
    assert job.state == "failed"
    assert "learning rate" in job.message
    with pytest.raises(lt.InvalidValue, match="rate=2 must be a number"):
        lt.run(small(rate=2), store.root)
    with pytest.raises(lt.InvalidValue, match="loop='fast' is unknown"):
        lt.run(small(), store.root, loop="fast")


def test_a_level_that_is_gone_is_missed_with_the_remedy(run, tmp_path):
    shutil.copytree(run[2].root, tmp_path / "copy", symlinks=True)
    store = Store(tmp_path / "copy")
    found = lt.Run(small(replicates=2), store.root, loop="torch")
    list(found)
    for file in (store.root / "levels" / found.arms["main"][0].keys[1]).iterdir():
        file.unlink()
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(lt.InvalidValue, match=r"level=1 is gone from .*; run it again"),
    ):
        found.levels[1]
