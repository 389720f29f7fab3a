"""The pages' logic, without a browser: what is chosen, what is said, what is refused."""

import ast
import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from streamlit import net_util
from streamlit.testing.v1 import AppTest
from streamlit.web.server import server_util

import ui.shared.frame
import ui.shared.queue_line
import ui.shared.runtime
from lottery_core.data import DataUnavailable, identify, own, prepare, preparing
from lottery_core.findings import speed as catch
from lottery_core.findings import stability as paths
from lottery_core.running import measurement
from lottery_core.running.starts import starts_of
from lottery_core.running.time_left import in_words
from lottery_core.running.upkeep import LIMIT, size_of_cache
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.fields import FIELDS
from lottery_core.spec.links import read_choice, write_choice
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.spec.sizes import bytes_in_words
from lottery_core.store import TASKS, Job, measurement_key, task_key
from tests.images import draw_classes, write_files
from tests.kept_runs import record
from tests.pages import ROOT, go_to, open_page, said
from ui import speed, stability
from ui.runs.actions import again_of, exports, link_of, luck_of
from ui.shared import tasks
from ui.shared.queue_line import queue_in_words

pytestmark = pytest.mark.usefixtures("judged_on_few")

PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]
SMALL = {
    "preset": "quick",
    "replicates": "1",
    "learning_rate": "0.1",
    "network": "16",
    "length": "30",
    "unit": "iterations",
    "rounds": "2",
    "controls": "none",
}


def generation(page: AppTest) -> str:
    """How the keys of the Explorer's widgets end."""
    return f"_{page.session_state['link_explorer'].generation}"


def widget(page: AppTest, kind: str, field: str):
    return getattr(page, kind)(key=f"{field}{generation(page)}")


def unfold(page: AppTest, is_open: bool = True) -> AppTest:
    page.session_state["advanced"] = is_open
    return page.run()


def wait_until_done(shared, key: str) -> None:
    end = time.monotonic() + 120
    while (job := shared.store.job(key)) is None or job.active:
        assert time.monotonic() < end, job
        time.sleep(0.05)


def wait_until_running(shared) -> None:
    end = time.monotonic() + 120
    while {job.state for job in shared.store.jobs()} != {"running"}:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_page_opens_by_itself(shared, path):
    page = open_page(str(path.relative_to(ROOT)))
    assert not page.exception
    assert page.title


def test_nobody_outside_is_asked_for_this_machines_address(shared, monkeypatch):
    asked = []
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda *url, **how: asked.append(url))
    open_page()
    assert not server_util.is_url_from_allowed_origins("http://elsewhere.example")
    assert asked == []


def test_a_shorter_training_is_offered_with_a_warm_up_that_fits_it_and_back(shared):
    page = open_page(preset="vgg-16")
    assert "no more than 4 iterations" in said(page)
    assert "63,000 iterations" in said(page)
    length = next(widget for widget in page.number_input if widget.label == "Length")
    page = length.set_value(630.0).run()
    assert not page.button(key="start").disabled
    assert page.query_params["warmup"] == "4"
    assert page.query_params["decay_at"] == "320,480"
    length = next(widget for widget in page.number_input if widget.label == "Length")
    page = length.set_value(63_000.0).run()
    assert "warmup" not in page.query_params
    assert "decay_at" not in page.query_params


def test_every_page_is_listed_in_the_row_of_pages():
    listed = {path for path, _, _ in ui.shared.frame.PAGES}
    assert listed == {str(path.relative_to(ROOT)) for path in PAGES}


def test_a_first_visit_offers_the_quick_preset_and_says_what_to_do(shared):
    page = open_page()
    words = (
        "57 trainings of 1.5 epochs, 3 seeds, compared with: fine-tuned, no rewind; random reinit"
    )
    assert words in said(page)
    assert "Press Start" in said(page)
    assert not page.button(key="start").disabled


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_every_widget_and_the_url(shared, name):
    page = open_page()
    page.button(key=f"preset_{name}").click().run()
    assert not page.exception
    assert page.query_params == {"preset": name}
    assert page.session_state["choice"] == PRESETS[name].choice


def test_the_url_says_what_differs_from_the_preset(shared):
    page = open_page()
    widget(page, "number_input", "rounds").set_value(3)
    widget(page, "number_input", "seed").set_value(7)
    page.run()
    assert page.query_params == {"preset": "quick", "rounds": "3", "seed": "7"}


def test_a_link_shows_the_same_choice(shared):
    params = {
        "preset": "notebook",
        "schedule": "list",
        "sparsities": "0.3,0.784",
        "rewind_iteration": "100",
        "network": "40 20",
        "seed": "5",
    }
    page = open_page(**params)
    assert page.session_state["choice"] == read_choice(params)[1]
    assert page.query_params == params


def test_the_sidebar_asks_for_all_that_a_link_can_say(shared):
    links = (
        {"schedule": "iterative", "rewind_iteration": "100", "network": "40"},
        {"schedule": "one-shot", "network": "8 pool 16"},
        {"schedule": "list"},
        {"schedule": "until"},
    )
    asked = set()
    for params in links:
        page = unfold(open_page(preset="notebook", **params))
        kinds = ("selectbox", "number_input", "text_input", "radio", "multiselect")
        keys = [one.key for kind in kinds for one in page.sidebar.get(kind)]
        end = generation(page)
        asked |= {key.removesuffix(end) for key in keys if key}
    # The files of a data set are named by their folder, a percent is taken from a link alone.
    assert FIELDS.keys() - asked == {"content", "rewind_percent"}


def test_what_is_folded_counts_and_is_named(shared):
    page = open_page(batch_size="50", criterion="random")
    assert page.session_state["choice"].batch_size == 50
    assert "Not as in the preset: Batch size, Prune first, by." in said(page)
    assert "Not as in the preset" not in said(open_page())


def test_what_was_unfolded_and_changed_stays_when_it_is_folded(shared):
    page = unfold(open_page(batch_size="50"))
    assert widget(page, "number_input", "batch_size").value == 50
    widget(page, "number_input", "batch_size").set_value(64).run()
    page.selectbox(key="loop").set_value("torch").run()
    unfold(page, False)
    assert page.session_state["choice"].batch_size == 64
    assert page.query_params["batch_size"] == "64"
    assert "Not as in the preset: Batch size, Training loop." in said(page)
    widget(page, "number_input", "rounds").set_value(3).run()
    unfold(page)
    assert widget(page, "number_input", "batch_size").value == 64
    assert widget(page, "number_input", "rounds").value == 3
    assert page.selectbox(key="loop").value == "torch"


def test_the_criterion_is_explained_where_it_is_chosen(shared):
    page = unfold(open_page(**SMALL, criterion="obd"))
    assert "by its curvature. LeCun, Denker & Solla 1989" in said(page)
    box = widget(page, "selectbox", "criterion")
    assert "WANDA: smallest weight × norm of its input · what a weight reads" in box.options
    box.set_value("wanda").run()
    assert "Sun et al. 2023 (arXiv 2306.11695)" in said(page)
    assert page.query_params["criterion"] == "wanda"


def test_a_layer_budget_and_its_random_mask_are_choices_like_others(shared):
    page = unfold(open_page(**SMALL | {"controls": "random-erk"}, scope="erk"))
    assert not page.exception
    assert widget(page, "selectbox", "scope").value == "erk"
    assert widget(page, "multiselect", "controls").value == ["random-erk"]
    widget(page, "selectbox", "scope").set_value("balanced").run()
    assert page.query_params["scope"] == "balanced"
    assert page.query_params["controls"] == "random-erk"
    widget(page, "number_input", "output_factor").set_value(0.5).run()
    assert "cannot apply with scope=balanced, which says itself what each layer keeps" in said(page)


def test_arms_whose_mask_moves_are_choices_and_the_longer_ones_are_said_to_be_longer(shared):
    page = open_page(**SMALL | {"controls": "rigl-long,gradual"})
    assert not page.exception
    assert widget(page, "multiselect", "controls").value == ["rigl-long", "gradual"]
    assert ", some longer, compared with: RigL, as long as the search; gradual" in said(page)


def test_signs_only_is_a_restart_and_a_control(shared):
    page = open_page(**SMALL | {"controls": "signs"})
    assert widget(page, "multiselect", "controls").value == ["signs"]
    radio = widget(page, "radio", "restart")
    radio.set_value("signs").run()
    assert not page.exception
    assert page.query_params["restart"] == "signs"
    assert not any(box.key.startswith("rewind_iteration") for box in page.selectbox)
    radio.set_value("new-signs").run()  # of the weights at some iteration of level 0
    widget(page, "selectbox", "rewind_iteration").set_value(10).run()
    assert page.query_params["restart"] == "new-signs"
    assert page.session_state["choice"].experiment().rounds[0].rewind_iteration == 10


def test_what_is_wrong_with_a_folded_choice_is_said(shared):
    page = open_page(batch_size="0")
    assert "=0 must be a whole number" in page.sidebar.error[0].value


@pytest.mark.parametrize("value", ["nan", "inf", "-1e300", "9" * 40, "", " ", "0x10"])
@pytest.mark.parametrize("field", ["seed", "rounds", "length", "rate", "learning_rate"])
def test_no_number_in_a_link_breaks_the_page(shared, field, value):
    page = open_page(**{field: value})
    assert not page.exception
    assert f"{field}=" in said(page)


def test_a_bad_value_in_a_link_spoils_only_itself(shared):
    page = open_page(preset="notebook", rounds="many", dataset="<b>x</b>", seed="3", colour="red")
    text = said(page)
    assert "rounds='many' must be a whole number" in text
    assert "dataset='<b>x</b>' is unknown; choose one of mnist" in text
    assert "colour='red' is unknown" in text
    choice = page.session_state["choice"]
    assert (choice.seed, choice.rounds, choice.dataset) == (3, 6, "mnist")
    assert not page.exception


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"rounds": "1000"}, "rounds=1000 must be a whole number from 1 to 40"),
        ({"length": "1e9"}, "length=1000000000.0 must be a number"),
        ({"learning_rate": "-1"}, "learning_rate=-1.0 must be a number above 0"),
        ({"scope": "global", "output_factor": "0.5"}, "leave it out or choose scope=layerwise"),
        ({"rewind_iteration": "7"}, "rewind_iteration=7 is not a saved snapshot; choose one of 0"),
        ({"seed": "99999999999"}, "seed=99999999999 must be a whole number"),
    ],
)
def test_what_can_not_run_is_explained_and_can_not_be_started(shared, params, reason):
    page = open_page(preset="notebook", **params)
    assert not page.exception
    assert reason in said(page)
    (start,) = [button for button in page.button if button.label == "Start"]
    assert start.disabled


def test_sizes_that_can_not_be_read_leave_the_choice_as_it_was_and_say_so(shared):
    page = open_page(hidden="40,20")
    widget(page, "text_input", "network").set_value("forty").run()
    assert "network='forty' has 'forty', which is none of" in said(page)
    assert page.session_state["choice"].network == "40 20"


def test_a_choice_survives_a_visit_to_another_page(shared):
    page = open_page()
    widget(page, "number_input", "rounds").set_value(3).run()
    page.switch_page("pages/runs.py").run()
    page.query_params.clear()
    page.switch_page("app.py").run()
    assert page.session_state["choice"].rounds == 3
    assert page.query_params == {"preset": "quick", "rounds": "3"}


def test_start_runs_it_and_a_second_visitor_sees_the_result(shared):
    page = open_page(**SMALL)
    page.button(key="start").click().run()
    (experiment,) = read_choice(SMALL)[1].experiments()
    wait_until_done(shared, experiment.key)
    for visitor in (page.run(), open_page(**SMALL)):
        text = said(visitor)
        assert "all are in the cache" in text
        assert "the dense network's" in text
        assert "One seed." in text
        assert len(visitor.dataframe[0].value) == 3
        assert not visitor.exception
    assert "python -m lottery_core run --preset quick" in page.code[0].value


def test_levels_that_are_there_are_counted_and_not_trained_again(shared):
    page = open_page(**SMALL)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(SMALL)[1].experiment().key)
    page = open_page(**(SMALL | {"rounds": "3"}))
    assert "4 trainings of 30 iterations; 3 are already in the cache" in said(page)
    assert page.button(key="start").label == "Start"


def test_who_comes_upon_a_finished_run_reads_what_it_is_and_trains_another_seed(shared):
    page = open_page(**SMALL)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(SMALL)[1].experiment().key)
    page = open_page(**SMALL)
    assert (
        "A finished run: 784-16-10 on MNIST, 2 rounds to 25\u202f% of the weights, seed 0"
        in said(page)
    )
    assert not [button for button in page.button if button.key in ("start", "stop")]
    page.button(key="new_seed").click().run()
    assert not page.exception
    assert page.query_params["seed"] == "1"
    wait_until_done(shared, read_choice(SMALL | {"seed": "1"})[1].experiment().key)
    page = open_page(**SMALL)
    page.button(key="new_seed").click().run()
    assert page.query_params["seed"] == "2"  # the first that is not finished


def test_other_choices_leave_a_run_going_with_a_way_back_and_stop(shared):
    params = SMALL | {"length": "20000"}
    experiment = read_choice(params)[1].experiment()
    page = open_page(**params)
    page.button(key="start").click().run()
    widget(page, "number_input", "rounds").set_value(3).run()
    widget(page, "number_input", "rate").set_value(30).run()
    assert "Your run goes on" in said(page)
    page.button(key="back").click().run()
    assert page.query_params == params | {"preset": "quick"}
    assert "Your run goes on" not in said(page)
    widget(page, "number_input", "rate").set_value(30).run()
    page.button(key="stop_watched").click().run()
    wait_until_done(shared, experiment.key)
    assert shared.store.job(experiment.key).state == "cancelled"
    assert "Your run goes on" not in said(page.run())


def test_a_failed_run_says_why(shared, monkeypatch):
    def fail(*args):
        raise DataUnavailable("no network in this test")

    monkeypatch.setattr(preparing, "download", fail)
    params = SMALL | {"dataset": "kmnist"}
    page = open_page(**params)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(params)[1].experiment().key)
    assert "no network in this test" in said(page.run())


def may_start(page: AppTest) -> bool:
    (start,) = [button for button in page.button if button.label == "Start"]
    return not start.disabled


def test_what_is_wrong_with_a_folder_is_said_before_start(shared):
    page = open_page(**SMALL | {"dataset": "kmnist"})
    page.text_input(key="dataset_folder").set_value("/nowhere").run()
    assert "dataset_folder='/nowhere' is not a folder on this machine" in said(page)
    assert not may_start(page)
    page.text_input(key="dataset_folder").set_value("").run()
    assert may_start(page)


def test_files_that_nobody_can_verify_are_told_and_have_a_link_of_their_own(
    shared, tmp_path, monkeypatch
):
    facts = replace(DATASETS["kmnist"], train_size=6_000, test_size=10)
    monkeypatch.setitem(DATASETS, "kmnist", facts)
    (shared.store.root / "datasets").unlink()  # a link to the project's own
    folder = write_files(tmp_path / "files")
    content = identify("kmnist", folder)
    page = open_page(**SMALL | {"dataset": "kmnist"})
    assert "content" not in page.query_params
    page.text_input(key="dataset_folder").set_value(f" {folder} ").run()
    assert "These files could not be verified as KMNIST as published" in said(page)
    assert page.query_params["content"] == content
    assert may_start(page)

    linked = SMALL | {"dataset": "kmnist", "content": content}
    page = open_page(**linked)
    assert f"content={content[:8]}... is not in this cache; name the folder" in said(page)
    assert not may_start(page)
    prepare("kmnist", shared.store.datasets, content=content, folder=folder)
    page = open_page(**linked)
    assert "These files could not be verified as KMNIST as published" in said(page)
    assert may_start(page)
    widget(page, "button", "use_published").click().run()
    assert "content" not in page.query_params
    assert page.session_state["choice"].content == ""
    widget(page, "selectbox", "dataset").set_value("mnist").run()
    assert not [field for field in page.text_input if field.key == "dataset_folder"]


def test_own_images_are_chosen_trained_on_and_shown_on_every_page(shared, tmp_path):
    (shared.store.root / "datasets").unlink()  # a link to the project's own
    source = draw_classes(tmp_path / "photos", ("cat", "dog", "fox"), 40)
    own.add("photos", source, shared.store.datasets, own.Form(16))
    params = SMALL | {"network": "4 pool 8", "batch_size": "16", "learning_rate": "0.05"}
    page = open_page(**params)
    widget(page, "selectbox", "dataset").set_value("photos").run()
    assert page.session_state["choice"].validation_size == 9  # a tenth, and not the preset's 5,000
    assert may_start(page)
    page.button(key="start").click().run()
    choice = page.session_state["choice"]
    wait_until_done(shared, choice.experiment().key)
    link = write_choice("quick", choice)
    for path in ("app.py", "pages/ticket.py", "pages/compare.py", "pages/runs.py"):
        shown = open_page(path, **(link if path == "app.py" else {}))
        assert not shown.exception, path
    assert "guessing" not in said(open_page(**link))
    widget(page, "selectbox", "dataset").set_value("mnist").run()
    assert page.session_state["choice"].validation_size == 5_000
    own.remove("photos", shared.store.datasets)
    for path in map(str, (path.relative_to(ROOT) for path in PAGES)):
        assert not open_page(path).exception, path  # with results of images that are gone


def test_a_network_that_learned_nothing_has_no_ticket(shared):
    params = SMALL | {"learning_rate": "10"}
    page = open_page(**params)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(params)[1].experiment().key)
    assert "learned next to nothing" in said(page.run())


def test_the_runs_page_leads_back_to_a_run(shared):
    page = open_page(**SMALL)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(SMALL)[1].experiment().key)
    (row,) = rows_of(open_page("pages/runs.py"))
    assert (row["network"], row["state"], row["levels"]) == ("784-16-10", "done", "3 of 3")
    assert shared.store.jobs()[0].params == write_choice(*read_choice(SMALL))
    (run,) = shared.shelf.look().runs
    assert link_of(run) == ("app.py", write_choice(*read_choice(SMALL)))
    assert luck_of(run) == {"key": run.key}
    assert luck_of(replace(run, levels=run.levels[:-1])) is None
    assert luck_of(replace(run, facts=replace(run.facts, arm="reinit"))) is None


def rows_of(page: AppTest) -> list[dict]:
    """The rows of the Runs page's table."""
    assert not page.exception
    return page.dataframe[0].value.to_dict("records")


def test_seeds_are_one_row_or_a_row_each_and_filters_stay_in_the_link(shared):
    params = SMALL | {"replicates": "2", "controls": "reinit"}
    page = open_page(**params)
    page.button(key="start").click().run()
    for experiment in read_choice(params)[1].experiments():
        wait_until_done(shared, experiment.key)
    page = open_page("pages/runs.py")
    folded = {row["arm"]: (row["seeds"], row["levels"]) for row in rows_of(page)}
    assert folded == {"rewound ticket": ("0 to 1", "6 of 6"), "random reinit": ("0 to 1", "6 of 6")}
    page.toggle[1].set_value(False).run()
    assert sorted(row["seeds"] for row in rows_of(page)) == ["0", "0", "1", "1"]
    page.multiselect[0].set_value(["reinit"]).run()
    assert {row["arm"] for row in rows_of(page)} == {"random reinit"}
    assert page.query_params == {"seeds": "each", "arm": "reinit"}
    again = open_page("pages/runs.py", seeds="each", arm="reinit")
    assert [row["seeds"] for row in rows_of(again)] == ["1", "0"]
    nothing = open_page("pages/runs.py", words="no such run", state="asleep")
    assert "No run is of all that was asked for." in said(nothing)
    assert "State: no run here is of asleep." in said(nothing)


def test_marked_runs_lead_on_and_are_handed_out(shared):
    params = SMALL | {"controls": "reinit", "seed": "4"}
    page = open_page(**params)
    page.button(key="start").click().run()
    for experiment in read_choice(params)[1].experiments():
        wait_until_done(shared, experiment.key)
    rows = shared.shelf.rows(shared.shelf.look(), folded=True)
    for row in rows:
        again = read_choice(again_of(row))[1]
        assert (again.seed, again.replicates) == (5, 1)
        assert replace(again, seed=4) == read_choice(params)[1]
    stem, report, tables = exports(rows[:1])
    assert stem == f"run-{rows[0].facts.key[:8]}"
    assert b"784-16-10" in report()
    stem, report, tables = exports(rows)
    assert stem.startswith("comparison-")
    assert b"random reinit" in report()
    assert tables()[:2] == b"PK"


def test_the_runs_page_says_how_large_the_cache_is_and_what_its_limit_is(shared, tiny, monkeypatch):
    record(shared.store, tiny)
    size = bytes_in_words(size_of_cache(shared.store, shared.shelf.look()))
    assert f"The cache takes {size}; LOTTERY_CACHE_LIMIT sets a limit." in said(
        open_page("pages/runs.py")
    )
    monkeypatch.setenv(LIMIT, "2GB")
    assert "of 2\u202fGB." in said(open_page("pages/runs.py"))
    monkeypatch.setenv(LIMIT, "two")
    page = open_page("pages/runs.py")
    assert "LOTTERY_CACHE_LIMIT='two' must be a size above 0" in said(page)
    assert len(rows_of(page)) == 1


def speed_page(key: str = "") -> AppTest:
    return open_page("pages/speed.py", **({"key": key} if key else {}))


def measured(shared, monkeypatch) -> Experiment:
    """An experiment whose speed has been measured, in very short turns."""
    monkeypatch.setattr(measurement, "_SECONDS", 0.002)
    params = SMALL
    experiment = read_choice(params)[1].experiment()
    shared.queue.submit(experiment, params=params)
    wait_until_done(shared, experiment.key)
    page = speed_page(experiment.key)
    page.button(key="measure").click().run()
    wait_until_done(shared, measurement_key(experiment.key))
    return experiment


def test_the_speed_page_measures_at_the_press_of_a_button_and_labels_what_it_shows(
    shared, monkeypatch
):
    page = speed_page()
    assert "Nothing is measured yet" in said(page)
    assert "Trains the 7 levels that are not in the cache" in said(page)
    experiment = measured(shared, monkeypatch)
    page = speed_page(experiment.key)
    assert not page.exception
    assert page.query_params == {"key": experiment.key}
    found = shared.store.read_measurement(measurement_key(experiment.key))
    by_level = [catch.in_words(found, row) for row in found.levels]
    assert by_level[0][0] in said(page)
    assert sum(second in said(page) for _, second in by_level) == 1
    label = said(page)
    for fact in ("processor", "python", "torch", "numba", "numpy"):
        assert getattr(found.machine, fact) in label
    assert "1 thread" in label
    assert "GPUs multiply whole tiles at once" in label
    layers = [name.removesuffix(".weight") for name in experiment.recipe.shapes]
    (by_layer,) = [table.value for table in page.table if "layer" in table.value]
    assert by_layer["layer"].tolist() == layers
    assert page.table[0].value["images"].tolist() == [1, 32, 1024]
    assert page.button(key="measure").label == "Measure again"


def test_a_measurement_beside_other_runs_says_so(shared, monkeypatch):
    experiment = measured(shared, monkeypatch)
    key = measurement_key(experiment.key)
    found = shared.store.read_measurement(key)
    assert found.beside == 0
    assert "trained at the same time" not in said(speed_page(experiment.key))
    shared.store.write_measurement(key, replace(found, beside=1))
    assert "Another run trained at the same time" in said(speed_page(experiment.key))


def test_the_speed_page_says_when_a_link_names_no_run_of_this_cache(shared):
    page = speed_page("<b>none</b>")
    assert "The run in the link is not in this cache" in said(page)
    assert not page.exception


@pytest.mark.parametrize("name", ["speed", "stability"])
def test_a_measured_run_is_still_chosen_when_one_comes_back(shared, name):
    page = open_page(f"pages/{name}.py")
    page.selectbox[0].select_index(1).run()
    chosen = page.query_params["key"]
    go_to(page, "pages/runs.py")
    go_to(page, f"pages/{name}.py")
    assert page.query_params == {"key": chosen}
    assert page.selectbox[0].index == 1


@pytest.mark.parametrize("name", ["speed", "stability"])
def test_a_measurement_that_goes_on_is_not_called_missing(shared, monkeypatch, name):
    assert "Nothing is measured yet" in said(open_page(f"pages/{name}.py"))
    module = {"speed": speed, "stability": stability}[name]
    monkeypatch.setattr(module, "is_active", lambda task, experiment: True)
    assert "Nothing is measured yet" not in said(open_page(f"pages/{name}.py"))


def test_one_pruned_level_is_one_in_words(shared):
    one, two = (read_choice(SMALL | {"rounds": n})[1].experiment() for n in "12")
    assert "two of the pruned level" in stability.plan_in_words(one)
    assert "two of each of 2 pruned levels" in stability.plan_in_words(two)
    assert "Trains the 2 levels that are not in the cache" in stability.plan_in_words(one)


def test_the_runs_page_tells_a_measurement_from_a_run(shared, monkeypatch):
    measured(shared, monkeypatch)
    open_page("pages/runs.py")
    (run,) = shared.shelf.look().runs
    assert run.measured == ("measure",)


def test_the_stability_page_measures_a_run_and_shows_every_line(shared):
    params = SMALL | {"length": "8", "rounds": "1"}
    experiment = read_choice(params)[1].experiment()
    shared.queue.submit(experiment, params=params)
    wait_until_done(shared, experiment.key)
    page = open_page("pages/stability.py", key=experiment.key)
    assert "Nothing is measured yet. Press Measure." in said(page)
    shared.store.revise_machine(lambda facts: {})
    assert "about" not in stability.plan_in_words(experiment)
    facts = {"step": [[1_000_000, 0.1], [11_000_000, 0.1]], "evaluation": 1e-12}
    shared.store.revise_machine(lambda _: facts)
    # Two copies from each start, the dense network's from iteration k without its first k.
    steps = sum(2 * (8 - start.iteration) for start in starts_of(experiment))
    assert f": about {in_words(0.1 * steps)}." in said(page.run())
    page.button(key="measure").click().run()
    wait_until_done(shared, task_key("instability", experiment.key))
    page.run()
    assert not page.exception
    assert "Measured. The same copies would end at the same weights again." in said(page)
    assert not any(button.key == "measure" for button in page.button)
    found = shared.store.read_measurement(task_key("instability", experiment.key))
    assert paths.in_words(found) in said(page)
    assert page.selectbox[1].options == [paths.name(one, found.total) for one in found.paths]
    page.selectbox[1].select_index(1).run()
    link = {"key": experiment.key, "part": "1"}
    assert page.query_params == link
    assert open_page("pages/stability.py", **link).selectbox[1].index == 1
    (run,) = shared.shelf.look().runs
    assert run.measured == ("instability",)


def test_what_is_written_large_stays_so_on_every_page_and_in_links(shared):
    page = open_page(large="1", **SMALL)
    assert page.toggle[0].value is True
    assert page.query_params == SMALL | {"large": "1"}
    go_to(page, "pages/compare.py")
    assert page.query_params["large"] == "1"
    assert page.toggle[0].value is True
    page.toggle[0].set_value(False).run()
    assert "large" not in page.query_params
    assert go_to(page, "app.py").query_params == SMALL


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (["running mine"], "1 run trains; all yours"),
        (["running mine", "running", "queued"], "2 runs train, 1 waits; 1 of them is yours"),
        (["running", "running", "queued mine", "queued"], "2 runs train, 2 wait; yours is next"),
        (["running", "queued", "queued mine"], "1 run trains, 2 wait; 1 before yours"),
    ],
)
def test_the_queue_is_told_to_whom_it_concerns(states, words):
    jobs = [
        Job(str(n), state.split()[0], "", 0, {}, visitor="me" if "mine" in state else "other")
        for n, state in enumerate(states)
    ]
    assert queue_in_words(jobs, "me", {}) == words


def test_a_visitor_reads_on_another_page_that_a_run_goes_on(shared, monkeypatch):
    page = open_page(**SMALL | {"length": "100000"})
    assert "yours" not in said(page)
    page.button(key="start").click().run()
    wait_until_running(shared)
    assert "1 run trains; all yours" in said(go_to(page, "pages/runs.py"))
    with monkeypatch.context() as other:
        other.setattr(ui.shared.queue_line, "visitor", lambda: "somebody else")
        assert "yours" not in said(open_page("pages/runs.py"))
    go_to(page, "app.py")
    page.button(key="stop").click().run()


def test_the_web_process_imports_no_torch(store):
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
import ui.shared.runtime
page = AppTest.from_file("app.py", default_timeout=60).run()
assert not page.exception
for name in {[f"pages/{path.name}" for path in PAGES[1:]]!r}:
    assert not page.switch_page(name).run().exception
ui.shared.runtime.runtime().queue.close()
print(bool({{"torch", "numba", "scipy"}} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"LOTTERY_CACHE": str(store.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split()[-1] == "False"


def test_pages_and_app_only_compose():
    for path in PAGES:
        tree = ast.parse(path.read_text())
        assert len(path.read_text().splitlines()) < 90, path
        assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(tree)), path


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_another_version_left_in_the_cache_breaks_no_page(shared, path):
    store = ui.shared.runtime.runtime().store
    fields = Experiment(Recipe(network="4"), rounds_of([0.5])).as_dict()
    for n, odd in enumerate(
        (
            {},
            {"recipe": 1, "rounds": 2},
            {**fields, "rounds": [{"new": 1}]},
            {**fields, "recipe": {"x": 1}},
            {**fields, "until": {"points": 1}},
        )
    ):
        for task in TASKS:
            store.write_job(Job(f"{task}-{n}", "done", "", 1.0, odd, task=task, params={"a": "b"}))
    page = open_page(str(path.relative_to(ROOT)))
    assert not page.exception


def test_runs_that_differ_in_what_a_list_does_not_say_are_told_apart(monkeypatch):
    """A list takes two entries with the same words for one, and would measure another run."""
    asked = [
        read_choice(SMALL | changes)[1].experiment()
        for changes in ({}, {"learning_rate": "0.05"}, {"criterion": "snip"})
    ]
    jobs = [SimpleNamespace(experiment=one.as_dict(), params=SMALL) for one in asked]
    store = SimpleNamespace(jobs=lambda: jobs, has=lambda key: True)
    monkeypatch.setattr(tasks, "runtime", lambda: SimpleNamespace(store=store))
    known = tasks.runs()
    assert {one.key for one in asked} <= known.keys()
    assert len({words for _, _, words in known.values()}) == len(known)
    assert "by snip" in known[asked[2].key][2]
