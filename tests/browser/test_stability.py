"""The Stability page as people use it: what lies between a ticket and others is measured, and when
masks stand still."""

import pytest
from playwright.sync_api import expect

from lottery_core.findings import barriers, early
from lottery_core.spec.links import read_choice
from lottery_core.store import task_key
from tests.browser.server import fits, keep, wait_for_charts
from tests.browser.test_speed import SMALL

pytestmark = pytest.mark.browser


def test_a_visitor_sees_why_a_mask_fails_on_new_weights(visit, server):
    params = SMALL | {"network": "8", "length": "8", "rounds": "1", "controls": "none"}
    key = keep(server.store, params)
    page = visit(server.url({"key": key}, "stability"))
    page.get_by_role("button", name="Measure what lies between").click()
    wait_for_charts(page, 2)
    ticket = read_choice(params)[1].experiment()
    found = server.store.read_measurement(task_key("barriers", ticket.key))
    box = page.locator(".st-key-verdict_other_barriers")
    expect(box).to_contain_text("itself, trained in another data order")
    for one in barriers.barriers([found]):
        expect(page.get_by_test_id("stTable")).to_contain_text(one.title)
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)
        assert fits(page, width)


def test_a_visitor_sees_when_masks_stand_still_in_dense_training(visit, server):
    params = SMALL | {"network": "8", "length": "60", "evaluate_every": "10", "controls": "none"}
    key = keep(server.store, params)
    page = visit(server.url({"key": key}, "stability"))
    page.locator(".st-key-early_controls").get_by_role("button", name="Measure").click()
    wait_for_charts(page, 2)
    found = server.store.read_measurement(task_key("early", key))
    assert found.looks == (0, 10, 20, 30, 40, 50, 60)
    expect(page.locator(".st-key-plot_distances .lottery-plot")).to_be_visible()
    expect(page.get_by_text(early.in_words(found)[:40])).to_be_visible()
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)
        assert fits(page, width)

    # All that is measured of a run stands on the page together.
    page.locator(".st-key-controls").get_by_role("button", name="Measure").click()
    wait_for_charts(page, 5)
    page.get_by_role("button", name="Measure what lies between").click()
    wait_for_charts(page, 7)
    expect(page.locator("[class*=st-key-verdict_]")).to_have_count(3)
