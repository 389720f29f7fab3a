"""The Explorer at a glance: what there is to watch stands on one screen, and stands still."""

import json
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from lottery_core.spec.links import read_choice
from tests.browser.server import Server, overflow, wait_for_charts, wait_until

pytestmark = pytest.mark.browser

# Three layers and two controls, as in the quick preset; held in the middle by the tests.
WATCHED = {
    "preset": "quick", "replicates": "1", "learning_rate": "0.1", "network": "32 16",
    "length": "6000", "unit": "iterations", "rounds": "2",
}  # fmt: skip
HEAD = (".st-key-now [data-testid=stProgress]", ".st-key-stop button")
CURVES = ".st-key-plot_accuracy .lottery-plot"
CHOICES = ("[class*=st-key-schedule_]", "[class*=st-key-rate_]", "[class*=st-key-restart_]")
NETWORK = ".lottery-network .layers"  # inside a component, which the page's own script can't enter
WATCHABLE = (
    *HEAD,
    NETWORK,
    CURVES,
    ".st-key-screen_legend .lottery-legend",
    ".st-key-plot_level .lottery-plot",
    *(f".st-key-plot_weights_fc{n} .lottery-plot" for n in (1, 2, 3)),
)
SPARSITY = ".st-key-plot_sparsity .lottery-plot"
# With the area inside the axes, which a longer number beside it could squeeze.
PLACED = (
    *(part for part in WATCHABLE if part != NETWORK),
    ".st-key-screen_network",
    SPARSITY,
    ".st-key-screen_which",
    ".st-key-screen_network",
    *(f"{part} .nsewdrag" for part in WATCHABLE if part.endswith(".lottery-plot")),
)


def keys_of(params: dict[str, str]) -> tuple[str, ...]:
    return read_choice(params)[1].experiment().keys


def start(visit, server: Server, params: dict[str, str]) -> Page:
    page = visit(server.url(params))
    page.get_by_role("button", name="Start", exact=True).click()
    return page


def is_on_screen(page: Page, parts: tuple[str, ...]) -> bool:
    """Whether all of these stand within the window as it was opened, without scrolling."""
    window = page.viewport_size
    boxes = [page.locator(part).first.bounding_box() for part in parts]
    return all(
        box
        and box["x"] >= 0
        and box["y"] >= 0
        and box["x"] + box["width"] <= window["width"]
        and box["y"] + box["height"] <= window["height"]
        for box in boxes
    )


def test_all_there_is_to_watch_is_on_one_screen_while_it_trains(server, visit):
    params = WATCHED | {"seed": "51"}
    page = start(visit, server, params)
    with server.paused(keys_of(params), 1):
        for size, parts in (
            ((1440, 900), (*CHOICES, *WATCHABLE, SPARSITY)),
            ((1024, 768), (*CHOICES, *WATCHABLE)),
        ):
            page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
            page.reload()
            expect(page.locator(".st-key-plot_weights_fc3 .main-svg").first).to_be_attached()
            wait_until(lambda parts=parts: is_on_screen(page, parts))
            for part in CHOICES:
                assert page.locator(part).locator("input").first.is_enabled()
        page.set_viewport_size({"width": 390, "height": 844})
        page.reload()
        expect(page.locator(f"{CURVES} .main-svg").first).to_be_attached()
        wait_until(lambda: is_on_screen(page, (*HEAD, CURVES)))
        assert overflow(page) <= 0
        schedule = page.locator(CHOICES[0])
        expect(schedule).not_to_be_in_viewport()
        page.get_by_test_id("stExpandSidebarButton").click()
        expect(schedule).to_be_in_viewport()
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
        expect(schedule).not_to_be_in_viewport()
        page.evaluate("localStorage.clear()")  # where the browser keeps that for the next visit


def test_five_layers_and_a_layer_of_many_are_on_one_screen_too(server, visit):
    head = (*HEAD, CURVES, ".st-key-plot_level .lottery-plot")
    five = ("conv1", "conv2", "fc1", "fc2", "fc3")
    many = ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2", "fc3")
    for network, layers, last in (
        ("4 4 pool 16 8", five, "fc3"),
        ("4 4 pool 4 4 pool 16 8", many, "conv1"),
    ):
        params = WATCHED | {"network": network, "seed": "53", "controls": "none"}
        page = start(visit, server, params)
        with server.paused(keys_of(params), 0):
            shown = f".st-key-plot_weights_{last} .lottery-plot"
            expect(page.locator(f"{shown} .main-svg").first).to_be_attached()
            seen = [f".st-key-plot_weights_{name} .lottery-plot" for name in layers]
            parts = (*head, *(seen if last == "fc3" else [shown, ".lottery-network"]))
            for width, height in ((1440, 900), (1024, 768)):
                page.set_viewport_size({"width": width, "height": height})
                wait_until(lambda parts=parts, page=page: is_on_screen(page, parts))
            assert last == "fc3" or page.locator(".lottery-network .layer").count() == len(layers)
        page.locator(".st-key-stop button").click()


# Where everything is, at every animation frame in which that is not where it was.
PROBE = """parts => {
  window.places = [];
  window.still = 0;  // frames since something moved
  const place = part => {
    const box = document.querySelector(part)?.getBoundingClientRect();
    return box && [box.x, box.y, box.width, box.height].map(Math.round).join(' ');
  };
  const look = () => {
    const now = JSON.stringify(parts.map(place));
    window.still += 1;
    if (now !== window.places.at(-1)) {
      window.places.push(now);
      window.still = 0;
    }
    window.looked = (window.looked || 0) + 1;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def test_nothing_moves_while_it_trains(server, visit):
    params = WATCHED | {"seed": "52", "controls": "none"}
    page = start(visit, server, params)
    with server.paused(keys_of(params), 0):
        wait_for_charts(page, 7)
        page.evaluate(PROBE, list(PLACED))
        page.wait_for_function("window.still > 60")  # the first picture is drawn
        page.evaluate("window.places = window.places.slice(-1)")
    with server.paused(keys_of(params), 2):
        expect(page.get_by_text("level 2 of 2, iteration")).to_be_visible()
        page.wait_for_timeout(1_500)  # for the drawing that shows it
        probed = page.evaluate("window.places")
    places = [dict(zip(PLACED, json.loads(one), strict=True)) for one in probed]
    moved = [
        (part, box, later[part])
        for before, later in pairwise(places)
        for part, box in before.items()
        if box != later[part]
    ]
    assert moved == []
    assert page.evaluate("window.looked") > 50
    assert all(places[0].values()), places[0]
