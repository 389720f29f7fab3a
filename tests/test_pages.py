"""The pages' logic, without a browser: what is chosen, what is said, what is refused."""

import ast
import functools
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import ui.frame
import ui.runtime
from lottery_core.choice import PRESETS, read_choice, write_choice
from lottery_core.queue import Queue

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]
SMALL = {
    "preset": "quick",
    "hidden": "16",
    "length": "30",
    "unit": "iterations",
    "rounds": "2",
    "control": "no",
}


@pytest.fixture
def shared(store, monkeypatch):
    """The pages' runtime over an empty store, with a thread for a worker."""
    monkeypatch.setattr(ui.runtime, "CACHE", store.root)
    threads = functools.partial(Queue, start=lambda root: ThreadPoolExecutor(1))
    monkeypatch.setattr(ui.runtime, "Queue", threads)
    ui.runtime.runtime.clear()
    yield ui.runtime.runtime()
    ui.runtime.runtime().queue.close()
    ui.runtime.runtime.clear()


def explorer(**params: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in params.items():
        page.query_params[name] = value
    return page.run()


def open_page(path: Path) -> AppTest:
    """A page as a deep link opens it: run alone, with app.py as the entry point."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    return (page if path.name == "app.py" else page.switch_page(f"pages/{path.name}")).run()


def widget(page: AppTest, kind: str, field: str):
    return getattr(page, kind)(key=f"{field}_{page.session_state['generation']}")


def said(page: AppTest) -> str:
    parts = [*page.markdown, *page.success, *page.info, *page.error, *page.warning]
    # As a reader sees it: an escaped sign is the sign.
    return re.sub(r"\\(.)", r"\1", "\n".join(part.value for part in parts))


def wait_until_done(shared, experiment) -> None:
    end = time.monotonic() + 60
    while (job := shared.store.job(experiment.key)) is None or job.active:
        assert time.monotonic() < end, job
        time.sleep(0.05)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_page_opens_by_itself(shared, path):
    page = open_page(path)
    assert not page.exception
    assert page.title


def test_every_page_is_listed_in_the_sidebar():
    listed = {path for path, _, _ in ui.frame.PAGES}
    assert listed == {str(path.relative_to(ROOT)) for path in PAGES}


def test_a_first_visit_offers_the_quick_preset_and_says_what_to_do(shared):
    page = explorer()
    assert "13 trainings of 1.5 epochs, with and without rewinding" in said(page)
    assert "Press Start" in said(page)
    assert not page.button(key="start").disabled


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_card_fills_every_widget_and_the_url(shared, name):
    page = explorer()
    page.button(key=f"preset_{name}").click().run()
    assert not page.exception
    assert page.query_params == {"preset": name}
    assert page.session_state["choice"] == PRESETS[name].choice


def test_the_url_says_what_differs_from_the_preset(shared):
    page = explorer()
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
        "hidden": "40,20",
        "seed": "5",
    }
    page = explorer(**params)
    assert page.session_state["choice"] == read_choice(params)[1]
    assert page.query_params == params


@pytest.mark.parametrize("value", ["nan", "inf", "-1e300", "9" * 40, "", " ", "0x10"])
@pytest.mark.parametrize("field", ["seed", "rounds", "length", "rate", "learning_rate"])
def test_no_number_in_a_link_breaks_the_page(shared, field, value):
    page = explorer(**{field: value})
    assert not page.exception
    assert f"{field}=" in said(page)


def test_a_bad_value_in_a_link_spoils_only_itself(shared):
    page = explorer(preset="notebook", rounds="many", dataset="<b>x</b>", seed="3", colour="red")
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
        ({"hidden": "5000"}, "hidden=5000 must be a whole number from 1 to 2,048"),
        ({"learning_rate": "-1"}, "learning_rate=-1.0 must be a number above 0"),
        ({"scope": "global", "output_factor": "0.5"}, "set it to 1 or choose scope=layerwise"),
        ({"rewind_iteration": "7"}, "rewind_iteration=7 is not a saved snapshot; choose one of 0"),
        ({"seed": "99999999999"}, "seed=99999999999 must be a whole number"),
    ],
)
def test_what_can_not_run_is_explained_and_can_not_be_started(shared, params, reason):
    page = explorer(preset="notebook", **params)
    assert not page.exception
    assert reason in said(page)
    (start,) = [button for button in page.button if button.label == "Start"]
    assert start.disabled


def test_sizes_that_can_not_be_read_leave_the_choice_as_it_was_and_say_so(shared):
    page = explorer(hidden="40,20")
    widget(page, "text_input", "hidden").set_value("forty").run()
    assert "'forty' is not numbers with commas between; 40,20 is used" in said(page)
    assert page.session_state["choice"].hidden == (40, 20)


def test_a_choice_survives_a_visit_to_another_page(shared):
    page = explorer()
    widget(page, "number_input", "rounds").set_value(3).run()
    page.switch_page("pages/runs.py").run()
    page.query_params.clear()
    page.switch_page("app.py").run()
    assert page.session_state["choice"].rounds == 3
    assert page.query_params == {"preset": "quick", "rounds": "3"}


def test_start_runs_it_and_a_second_visitor_sees_the_result(shared):
    page = explorer(**SMALL)
    page.button(key="start").click().run()
    (experiment,) = read_choice(SMALL)[1].experiments()
    wait_until_done(shared, experiment)
    for visitor in (page.run(), explorer(**SMALL)):
        text = said(visitor)
        assert "all are in the cache" in text
        assert "of the dense network" in text or "of the dense network's" in text
        assert "One seed." in text
        assert len(visitor.dataframe[0].value) == 3
        assert not visitor.exception
    assert "python -m lottery_core run --preset quick" in page.code[0].value


def test_levels_that_are_there_are_counted_and_not_trained_again(shared):
    page = explorer(**SMALL)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(SMALL)[1].experiment())
    page = explorer(**(SMALL | {"rounds": "3"}))
    assert "4 trainings of 30 iterations; 3 are already in the cache" in said(page)
    assert page.button(key="start").label == "Start"


def test_a_failed_run_says_why(shared):
    params = SMALL | {"dataset": "kmnist"}
    page = explorer(**params)
    page.text_input(key="dataset_folder").set_value("/nowhere").run()
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(params)[1].experiment())
    assert "dataset_folder='/nowhere' is not a folder on this machine" in said(page.run())


def test_a_network_that_learned_nothing_has_no_ticket(shared):
    params = SMALL | {"learning_rate": "10"}
    page = explorer(**params)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(params)[1].experiment())
    assert "learned next to nothing" in said(page.run())


def test_the_runs_page_leads_back_to_a_run(shared):
    page = explorer(**SMALL)
    page.button(key="start").click().run()
    wait_until_done(shared, read_choice(SMALL)[1].experiment())
    runs = open_page(ROOT / "pages" / "runs.py")
    assert "784-16-10" in said(runs)
    assert "done, 3 of 3 levels" in said(runs)
    assert shared.store.jobs()[0].params == write_choice(*read_choice(SMALL))


def test_the_web_process_imports_no_torch(store):
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
import ui.runtime
page = AppTest.from_file("app.py", default_timeout=60).run()
assert not page.exception
for name in {[f"pages/{path.name}" for path in PAGES[1:]]!r}:
    assert not page.switch_page(name).run().exception
ui.runtime.runtime().queue.close()
print("torch" in sys.modules)
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
