"""What is handed out: a report, opened from disk in a browser that reaches nothing else."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.disk import downloaded, drawn, from_disk
from tests.browser.server import visiting
from tests.browser.test_explorer import SHORT, open_finished, with_seed

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(browser, server, tmp_path_factory):
    """The file of a finished run, and what the Explorer says of it."""
    with visiting(browser) as visit:
        page = open_finished(visit, server, with_seed(SHORT, 2))
        verdict = page.locator("[class*=st-key-verdict_]")
        said = verdict.filter(has_text="It can't say how much").inner_text()
        yield downloaded(page, "Report, one HTML file", tmp_path_factory.mktemp("report")), said


def test_a_report_from_disk_says_what_the_page_says_and_draws_its_charts(browser, report):
    path, said = report
    assert path.stat().st_size < 8_000_000
    assert "784-32-10-mnist-magnitude" in path.name
    with from_disk(browser, path) as page:
        drawn(page)
        sentences = page.locator(".verdict p, .verdict li").all_inner_texts()
        assert len(sentences) > 1
        for sentence in sentences:
            assert sentence in said
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4')].map(one => Number(one.tagName[1]))"
        )
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        unnamed = "img:not([alt]), .plot:not([aria-label]), input:not([aria-label])"
        assert page.locator(unnamed).count() == 0
        assert page.locator("html").get_attribute("lang") == "en"


def test_its_slider_shows_the_training_and_the_weights_of_any_level(browser, report):
    with from_disk(browser, report[0]) as page:
        slider, pictures = page.get_by_label("Level", exact=True), page.locator(".layer img")
        for n, title in ((0, "Loss of level 0"), (2, "Loss of level 2"), (1, "Loss of level 1")):
            slider.fill(str(n))
            expect(page.locator(".scrubber output")).to_contain_text(f"Level {n}:")
            shown = page.locator(".gtitle:visible", has_text="Loss of level")
            expect(shown).to_have_text(title)
            for picture in pictures.all():
                assert f"level {n}:" in picture.get_attribute("alt")
                assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") > 1
        page.get_by_role("button", name="Play").click()
        expect(page.locator(".scrubber output")).to_contain_text("Level 2:")
        expect(page.get_by_role("button", name="Play")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser, report, scheme):
    with from_disk(browser, report[0], 390) as page:
        page.emulate_media(color_scheme=scheme)
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.wait_for_function(
            "light => ['body', '.main-svg'].every(name => light === (128 < Number("
            "getComputedStyle(document.querySelector(name)).backgroundColor.match(/\\d+/)[0])))",
            arg=scheme == "light",
        )


def test_a_chart_of_it_is_saved_as_svg_under_a_name_that_says_what_it_is(browser, report):
    with from_disk(browser, report[0]) as page:
        drawn(page)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Save as SVG: Accuracy against").click()
        name = waiting.value.suggested_filename
        assert re.fullmatch(r"784-32-10-mnist-magnitude-\w{8}-accuracy-against-.*\.svg", name)
        assert Path(waiting.value.path()).read_bytes().startswith(b"<svg")


def copied(page: Page, name: str, begins: str) -> None:
    """Press that button, and wait until what it copies begins so."""
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_function(
        "begins => navigator.clipboard.readText().then(text => text.startsWith(begins))",
        arg=begins,
    )


def test_link_command_and_python_are_copied_each_by_its_button(browser, visit, server):
    browser.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_finished(visit, server, with_seed(SHORT, 2))
    page.bring_to_front()
    for name, begins in (
        ("Copy link", page.url),
        ("Copy command", "python -m lottery_core run --preset quick"),
        ("Copy Python", "import lottery_core as lt\n"),
    ):
        copied(page, name, begins)


def test_a_comparison_is_copied_as_a_command_and_as_python_too(browser, visit, server):
    browser.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_finished(visit, server, with_seed(SHORT, 2))
    page.bring_to_front()
    page.get_by_role("link", name="Compare in detail").click()
    for name, begins in (
        ("Copy command", "python -m lottery_core report "),
        ("Copy Python", 'import lottery_core as lt\n\nlt.compare("'),
    ):
        copied(page, name, begins)
