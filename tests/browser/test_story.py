"""The Story page as a newcomer uses it: a real server, real workers, a real browser."""

import re
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page, expect

from lottery_core.findings import walk as story
from lottery_core.store import measurement_key
from tests.browser.server import overflow, wait_for_charts

pytestmark = pytest.mark.browser

SMALL = {"network": "32", "length": "120", "unit": "iterations", "sparsities": "0.5,0.95"}
KEYS = story.read_story(SMALL)[1].experiment().keys
DONE = "All of this is computed"


def finish(visit, server, width: int = 1440, scheme: str = "light", **params: str) -> Page:
    """The page with everything on it, which it computes if need be."""
    page = visit(server.url(SMALL | params, "story"), width, scheme)
    begin = page.get_by_role("button", name=re.compile("^(Begin|Go on)$"))
    expect(begin.or_(page.get_by_text(DONE))).to_be_visible()
    if begin.is_visible():
        begin.click()
    expect(page.get_by_text(DONE)).to_be_visible()
    return page


def test_a_newcomer_presses_begin_and_reads_six_steps_of_own_numbers(visit, server):
    page = visit(server.url(SMALL, "story"))
    expect(page.get_by_text("without any network, reads")).to_be_visible()
    expect(page.get_by_text("Your network has")).to_have_count(0)
    wait_for_charts(page, 6)
    mark = "document.querySelectorAll('.lottery-plot').forEach(node => node.dataset.old = 1)"
    page.evaluate(mark)
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.locator(".st-key-story_learn .point").first).to_be_attached()
    expect(page.get_by_text(DONE)).to_be_visible()
    for sentence in (
        "Your network has",
        "pruned to 50",
        "After 2 rounds",
        "places: with their own",
        "On this machine sparse",
    ):
        expect(page.get_by_text(sentence).first).to_be_visible()
    expect(page.locator(".lottery-plot[data-old]")).to_have_count(6)  # updated in place
    infos = [server.store.read(key).info for key in KEYS]
    shown = f"{infos[-1].test_accuracy:.1%}".replace("%", "\u202f%")
    expect(page.locator(".st-key-story_step4")).to_contain_text(shown)
    assert server.store.read_measurement(measurement_key(KEYS[-1])) is not None
    for key in ("learn", "fall", "rewind", "again", "matter", "epochs"):
        assert page.locator(f".st-key-story_{key} .scatterlayer .trace").count() > 0, key


def test_the_slider_prunes_at_once_and_asks_no_server(visit, server):
    page = finish(visit, server, step="2")
    slider = page.get_by_role("slider", name="Sparsity")
    expect(slider).to_be_visible()
    dense = server.store.read(KEYS[0]).info.test_accuracy
    shown = page.locator(".lottery-pruner .accuracy")
    expect(shown).to_have_text(f"{100 * dense:.1f}\u202f%")
    place = page.locator(".st-key-story_fall .scatterlayer .trace").last.locator(".point")
    before = place.get_attribute("transform")
    page.context.set_offline(True)
    try:
        slider.focus()
        slider.press("End")
        expect(page.locator(".lottery-pruner .gone")).to_have_text("99\u202f%")
        expect(shown).not_to_have_text(f"{100 * dense:.1f}\u202f%")
        expect(slider).to_have_attribute("aria-valuetext", re.compile("^99.*read correctly$"))
        assert place.get_attribute("transform") != before
        slider.press("ArrowLeft")
        expect(page.locator(".lottery-pruner .gone")).to_have_text("98\u202f%")
    finally:
        page.context.set_offline(False)


def test_steps_have_links_and_lead_to_each_other(visit, server):
    if server.store.read_measurement(measurement_key(KEYS[-1])) is None:
        finish(visit, server)  # a step alone would compute what it needs and no more
    page = finish(visit, server, step="3")
    expect(page.get_by_role("heading", level=2)).to_have_count(1)
    page.get_by_role("button", name="4. Again and again").click()
    expect(page.get_by_role("heading", name="Again and again")).to_be_visible()
    assert parse_qs(urlparse(page.url).query)["step"] == ["4"]
    page.get_by_role("radio", name="All").click()
    expect(page.get_by_role("heading", level=2)).to_have_count(6)
    assert "step" not in parse_qs(urlparse(page.url).query)
    # A page that is left in the middle of loading would miss its images.
    page.wait_for_function("[...document.images].every((image) => image.naturalWidth)")
    page.get_by_role("link", name="Look at every weight in the Explorer").click()
    expect(page.get_by_role("heading", name="Lottery Ticket Explorer")).to_be_visible()
    expect(page.get_by_text("all are in the cache")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1024])
def test_nothing_hangs_over_the_edge_of_a_narrow_dark_screen(visit, server, width):
    page = finish(visit, server, width, "dark")
    assert overflow(page) <= 0
    for chart in page.locator(".lottery-plot").all():
        chart.scroll_into_view_if_needed()
        assert chart.bounding_box()["width"] >= 280
