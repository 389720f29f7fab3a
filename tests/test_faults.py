"""What breaks beneath a page is said in a sentence, and there is a way on."""

import errno
import shutil
import warnings

import pytest

import ui.shared.runtime
from lottery_core.spec.links import read_choice
from tests.pages import ROOT, open_page, said
from tests.test_pages import PAGES, SMALL, wait_until_done
from ui.shared import plot

EXPERIMENT = read_choice(SMALL)[1].experiment()
FILES = ["level.json", "weights.safetensors", "history.parquet", "SHA256SUMS"]


@pytest.fixture
def finished(shared):
    """The runtime over a store with all levels of a small run."""
    shared.queue.submit(EXPERIMENT, params=SMALL)
    wait_until_done(shared, EXPERIMENT.key)
    return shared


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def freshly(open_it, *args, **params):
    """What a server that has just started shows: nothing is remembered of what it read before."""
    shared = ui.shared.runtime.runtime()
    for known in (shared.levels, shared.wholes, shared.looks, shared.charts, shared.tables):
        known.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the store warns of what it found, on the server's log
        return open_it(*args, **params)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("n", [0, 1])
def test_a_damaged_level_is_told_and_start_computes_it_again(finished, n, file):
    flip(finished.store.root / "levels" / EXPERIMENT.keys[n] / file)
    page = freshly(open_page, **SMALL)
    assert not page.exception
    assert f"Level {n} was found damaged" in said(page)
    assert "all are in the cache" not in said(page)
    assert not page.button(key="start").disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page.button(key="start").click().run()
        wait_until_done(finished, EXPERIMENT.key)
    page = freshly(open_page, **SMALL)
    assert "all are in the cache" in said(page)
    assert "damaged" not in said(page)
    assert finished.store.read(EXPERIMENT.keys[n])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_page_breaks_over_damaged_levels(finished, path):
    for key in EXPERIMENT.keys:
        flip(finished.store.root / "levels" / key / "weights.safetensors")
    page = freshly(open_page, str(path.relative_to(ROOT)))
    assert not page.exception


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_cache_that_is_no_folder_is_a_sentence_on_every_page(shared, path, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setattr(ui.shared.runtime, "CACHE", file)
    shared.queue.close()
    ui.shared.runtime.forget_runtime()
    page = open_page(str(path.relative_to(ROOT)))
    assert not page.exception
    assert str(file) in said(page)
    monkeypatch.undo()


def test_start_on_a_full_disk_is_refused_with_the_remedy_and_works_afterwards(shared, monkeypatch):
    page = open_page(**SMALL)

    def no_space(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("lottery_core.store.files.write", no_space)
        page.button(key="start").click().run()
        assert not page.exception
        assert "is full" in said(page)
    assert shared.store.job(EXPERIMENT.key) is None
    page.button(key="start").click().run()
    wait_until_done(shared, EXPERIMENT.key)
    assert "all are in the cache" in said(freshly(open_page, **SMALL))


def test_a_cache_deleted_under_a_running_app_comes_back_with_the_next_start(finished):
    for folder in finished.store.root.iterdir():
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
    page = freshly(open_page, **SMALL)
    assert not page.exception
    page.button(key="start").click().run()
    assert not page.exception
    wait_until_done(finished, EXPERIMENT.key)
    assert finished.store.job(EXPERIMENT.key).state == "done"
    assert all(map(finished.store.read, EXPERIMENT.keys))


def test_a_choice_that_does_not_fit_the_queue_is_told_before_start(shared, monkeypatch):
    monkeypatch.setattr("lottery_core.running.fair.MAX_QUEUED", 1)
    page = open_page(**SMALL | {"replicates": "5"})
    assert "has no room for 5 more runs (it holds 1)" in said(page)
    assert page.button(key="start").disabled


def test_a_number_of_workers_that_is_none_is_a_sentence(shared, monkeypatch):
    shared.queue.close()
    ui.shared.runtime.forget_runtime()
    with monkeypatch.context() as setting:
        setting.setenv("LOTTERY_WORKERS", "many")
        page = open_page()
    assert not page.exception
    assert "LOTTERY_WORKERS='many' must be a whole number from 1 to 64" in said(page)


def test_two_first_starts_and_a_read_only_installation_find_plotlys_script(tmp_path):
    target = tmp_path / "static" / "plotly.min.js"
    assert plot.provide_script(target)
    assert target.stat().st_size > 1_000_000
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    file = tmp_path / "file"
    file.write_text("no folder can be made in here")
    assert not plot.provide_script(file / "plotly.min.js")


def test_charts_bring_their_script_where_it_cannot_be_served(finished, monkeypatch):
    monkeypatch.setattr(plot, "_IS_SERVED", False)
    page = open_page(**SMALL)
    assert not page.exception
