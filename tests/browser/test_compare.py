"""The Compare page as people use it: a real server, real workers, a real browser."""

import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from lottery_core.findings.lines import line_id
from lottery_core.findings.replicates import curve, differences
from lottery_core.running import worker
from lottery_core.spec.links import read_choice
from lottery_core.store import Job
from tests.browser.disk import downloaded, drawn, from_disk
from tests.browser.server import Server, fits, wait_until

pytestmark = pytest.mark.browser

SMALL = {
    "preset": "quick", "learning_rate": "0.1", "network": "32", "length": "60",
    "unit": "iterations", "rounds": "2", "controls": "reinit", "replicates": "2",
}  # fmt: skip
CHARTS = ("plot_compared_accuracy", "plot_early_stop", "plot_training")


def lines() -> dict[str, str]:
    return {name: line_id(arm[0]) for name, arm in read_choice(SMALL)[1].arms().items()}


@pytest.fixture(autouse=True, scope="module")
def finished_runs(server):
    """A ticket and its random reinit over two seeds, in the server's store."""
    for experiment in read_choice(SMALL)[1].experiments():
        job = Job(
            experiment.key, "queued", "", time.time(), experiment.as_dict(), loop="torch",
            params=SMALL,
        )  # fmt: skip
        worker.perform(server.store, job)


def open_compared(visit, server: Server, *options) -> Page:
    """The page with these two lines, all its charts drawn."""
    page = visit(server.url({"lines": ",".join(lines().values())}, "compare"), *options)
    for chart in CHARTS:
        expect(page.locator(f".st-key-{chart} .main-svg").first).to_be_attached()
    return page


def infos(server: Server, name: str) -> dict[int, list[dict]]:
    return {
        experiment.recipe.seed: [server.store.read(key).info for key in experiment.keys]
        for experiment in read_choice(SMALL)[1].arms()[name]
    }


def shown(page: Page, chart: str) -> int:
    """How many curves and bands a chart draws."""
    return page.locator(f".st-key-{chart} .scatterlayer .trace").count()


def test_what_is_pointed_at_in_one_chart_is_shown_in_the_other(visit, server):
    page = open_compared(visit, server)
    first, second, third = (page.locator(f".st-key-{chart}") for chart in CHARTS)
    for here, there, words in (
        (first, second, r"iteration \d+ at 50\.\d+\s% of weights"),
        (second, first, r"\d+\.\d+\s% at 50\.\d+\s% of weights"),
    ):
        # The middle one of a curve's three markers: half of the weights.
        here.locator(".scatterlayer .trace .points path").nth(1).hover(force=True)
        expect(there.locator(".hoverlayer")).to_have_text(re.compile(words))
        # Two curves may lie on each other: whichever it is, both charts mean the same.
        name = here.locator(".hoverlayer .name").text_content()
        expect(there.locator(".hoverlayer .name")).to_have_text(name)
        expect(third.locator(".hoverlayer")).to_be_empty()  # its x axis is another
        page.get_by_role("heading", level=1).hover()
        expect(there.locator(".hoverlayer")).to_be_empty()


def test_one_legend_hides_a_curve_in_all_charts(visit, server):
    page = open_compared(visit, server)
    assert page.locator(".js-plotly-plot .legend").count() == 0
    entry = page.get_by_role("button", name="random reinit, 2 seeds", exact=True)
    before = [shown(page, chart) for chart in CHARTS]
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "false")
    for chart, n in zip(CHARTS, before, strict=True):
        traces = page.locator(f".st-key-{chart} .scatterlayer .trace")
        expect(traces).to_have_count(n // 2)  # the ticket's band and curve are left
    # Still hidden when the server sends a new figure.
    page.get_by_text("95\u202f% interval of the mean", exact=True).click()
    page.wait_for_url(re.compile("bands=interval"))
    page.get_by_text("Validation loss", exact=True).click()
    page.wait_for_url(re.compile("curve=loss"))
    expect(page.locator(".st-key-plot_training .gtitle")).to_contain_text("Validation loss")
    for chart, n in zip(CHARTS, before, strict=True):
        traces = page.locator(f".st-key-{chart} .scatterlayer .trace")
        expect(traces).to_have_count(n // 2)
    entry.press("Enter")
    for chart, n in zip(CHARTS, before, strict=True):
        expect(page.locator(f".st-key-{chart} .scatterlayer .trace")).to_have_count(n)


def test_csv_holds_the_numbers_of_the_store_and_a_picture_its_legend(visit, server, tmp_path):
    page = open_compared(visit, server)

    def table_of(name: str) -> pd.DataFrame:
        return pd.read_csv(downloaded(page, name, tmp_path))

    columns = ["level", "percent", "mean", "low", "high", "n"]
    curves = table_of("curves.csv")
    for name, line in lines().items():
        for field in ("test_accuracy", "early_stop_iteration"):
            rows = curves[(curves["line"] == line) & (curves["measured"] == field)]
            wanted = curve(infos(server, name), field)
            pd.testing.assert_frame_equal(
                rows[columns].reset_index(drop=True), wanted, check_dtype=False
            )
    table = table_of("differences.csv")
    wanted = differences(infos(server, "reinit"), infos(server, "main"), "test_accuracy")
    wanted = wanted[wanted["level"] > 0].reset_index(drop=True)  # level 0 is one training
    pd.testing.assert_frame_equal(table[columns], wanted[columns], check_dtype=False)
    for column, mean in (("test_accuracy", "a"), ("test_accuracy_of_reference", "b")):
        np.testing.assert_allclose(table[column], wanted[mean])
    assert set(table["line"]) == {lines()["reinit"]}
    assert set(table["criterion"]) == {"magnitude"}
    assert len(table_of("training.csv")) > 0

    chart = page.locator(".st-key-plot_early_stop .lottery-plot")
    chart.hover()
    with page.expect_download() as waiting:
        chart.locator(".modebar-btn[data-title^='Download as SVG']").click()
    content = Path(waiting.value.path()).read_text()
    assert "random reinit, 2 seeds" in content
    assert "rewound ticket, 2 seeds" in content
    expect(chart.locator(".legend")).to_have_count(0)  # the chart itself is as before


def test_the_controls_of_a_run_are_added_live_at_one_press(visit, server):
    page = open_compared(visit, server)
    curves = page.locator(".st-key-plot_compared_accuracy .scatterlayer .trace")
    expect(curves).to_have_count(4)  # each with its band
    page.get_by_role("button", name="Add the controls", exact=True).click()
    # Without a reload, each gets its curve as it is trained.
    expect(curves).to_have_count(8)
    for name in ("random mask, 2 seeds", "fine-tuned, no rewind (up to 3x as long), 2 seeds"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    page.wait_for_url(lambda url: len(re.findall("[0-9a-f]{10}", url.partition("lines=")[2])) == 4)


def test_it_fits_a_phone_in_the_dark(visit, server):
    page = open_compared(visit, server, 390, "dark")
    expect(page.get_by_text("Differences at equal size")).to_be_visible()
    wait_until(lambda: fits(page, 390))


def test_a_comparison_from_disk_says_what_the_page_says(browser, visit, server, tmp_path):
    compared = open_compared(visit, server)
    sentences = compared.get_by_text(re.compile("^At .* of the weights .* on the test images"))
    expect(sentences.first).to_be_visible()
    said = [one.inner_text() for one in sentences.all()]
    path = downloaded(compared, "Report, one HTML file", tmp_path)
    with from_disk(browser, path) as page:
        drawn(page)
        found = page.locator("main").inner_text()
        for sentence in said:
            assert sentence in found
