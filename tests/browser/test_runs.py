"""The Runs page: found, named, compared and deleted in a real browser."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from lottery_core.findings.lines import line_id, with_seed
from lottery_core.findings.shelf import Shelf
from lottery_core.running import upkeep
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.spec.sizes import bytes_in_words
from lottery_core.store import Job, Label
from tests.browser.server import Server, overflow, wait_until
from tests.kept_runs import record

pytestmark = pytest.mark.browser

RECIPE = Recipe(network="8 9 10", iterations=12, evaluate_every=6, batch_size=16)
LONG = Experiment(RECIPE, rounds_of([0.5, 0.75]))
SHORT = replace(LONG, rounds=LONG.rounds[:1])
OURS = {"words": "784-8-9-10-10"}


def cell(page: Page, row: int, column: str):
    """A cell of the table, as it is read aloud; the grid itself is a picture."""
    head = page.locator("th", has_text=re.compile(f"^{column}$"))
    return page.get_by_test_id(f"glide-cell-{head.get_attribute('aria-colindex')}-{row}")


def mark(page: Page, row: int) -> None:
    """Mark a row at its left."""
    table = page.get_by_test_id("stDataFrame")
    table.click(position={"x": 17, "y": 36 + 35 * row + 17})


def test_runs_are_found_named_and_deleted(server, visit):
    store = server.store
    for seed in range(3):
        record(store, with_seed(LONG, seed), submitted=2e9)
    record(store, SHORT, submitted=1.9e9)
    page = visit(server.url(OURS, "runs"))
    expect(cell(page, 0, "Seeds")).to_have_text("0 to 2")
    expect(cell(page, 0, "Weights left, %")).to_have_text("50")
    expect(cell(page, 1, "Levels")).to_have_text("2 of 2")
    for width in (390, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until(lambda: overflow(page) <= 0)

    page.get_by_text("Fold seeds").click()
    expect(cell(page, 2, "Seeds")).to_have_text(re.compile("^[012]$"))
    expect(page).to_have_url(re.compile("seeds=each"))
    page.get_by_text("Fold seeds").click()
    expect(cell(page, 0, "Seeds")).to_have_text("0 to 2")

    mark(page, 0)
    page.get_by_role("textbox", name="Name").fill("Mine")
    page.get_by_role("textbox", name="Note").fill("to be kept")
    page.get_by_role("button", name="Save").click()
    wait_until(lambda: store.label(line_id(LONG)) == Label("Mine", (), "to be kept"))
    expect(cell(page, 0, "Name")).to_have_text("Mine")
    expect(page.get_by_role("heading", name="Mine: 784-8-9-10-10")).to_be_visible()

    chosen = {with_seed(LONG, seed).key for seed in range(3)}
    planned = upkeep.plan(store, Shelf(store).look(), chosen)
    page.get_by_role("button", name="Delete", exact=True).click()
    said = f"3 runs go, with {len(planned.levels)} levels that only they use: "
    expect(page.get_by_text(said + bytes_in_words(planned.frees))).to_be_visible()
    assert all(store.has(key) for key in planned.levels)
    page.get_by_role("button", name="Delete for good").click()
    wait_until(lambda: not any(store.has(key) for key in planned.levels))
    expect(cell(page, 0, "Levels")).to_have_text("2 of 2")
    assert all(map(store.has, SHORT.keys))
    assert store.label(line_id(LONG)) == Label()


def test_five_thousand_runs_are_listed_and_searched(make_store, tmp_path, visit):
    store = make_store(tmp_path / "store")
    recipes = [replace(RECIPE, network=f"{width} 9") for width in range(16, 116)]
    for n, recipe in enumerate(recipes):
        for seed in range(50):
            asked = Experiment(replace(recipe, seed=seed), SHORT.rounds)
            fields = {"owner": "", "submitted": 50.0 * n + seed, "experiment": asked.as_dict()}
            store.write_job(Job(asked.key, "cancelled", **fields))
    done = record(store, Experiment(replace(recipes[7], seed=0), SHORT.rounds), submitted=1e9)
    server = Server(store)
    try:
        page = visit(server.url({}, "runs"))
        # Only cells near the screen are there; the table says how many rows it has.
        rows = page.locator("table[role=grid]")
        expect(rows).to_have_attribute("aria-rowcount", "101", timeout=120_000)
        expect(page.get_by_text("more to be read")).to_have_count(0, timeout=120_000)
        page.get_by_text("Fold seeds").click()
        expect(rows).to_have_attribute("aria-rowcount", "5001", timeout=120_000)
        expect(cell(page, 0, "Network")).to_have_text("784-23-9-10")
        expect(cell(page, 0, "Levels")).to_have_text("2 of 2")
        search = page.get_by_role("textbox", name="Search")
        search.fill(done.key[:8])
        search.press("Enter")
        expect(rows).to_have_attribute("aria-rowcount", "2")
        expect(page.get_by_text("1 row of 5,000")).to_be_visible()
        page.goto("about:blank")  # before its server goes, which it would miss
    finally:
        server.stop()
