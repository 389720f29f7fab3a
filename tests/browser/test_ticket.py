"""The Ticket page as people use it: drawn digits, files taken away and brought back."""

import math
import re

import pytest
from playwright.sync_api import Page, expect

from lottery_core.findings.by_hand import accuracy, as_many, sample
from lottery_core.spec.links import read_choice
from lottery_core.spec.sizes import as_percent
from lottery_core.store import Store
from lottery_core.tickets.incoming import read_upload
from tests.browser.server import keep, overflow, wait_until
from ui.ticket.subject import VIEWS

pytestmark = pytest.mark.browser

SMALL = {
    "preset": "quick",
    "replicates": "1",
    "learning_rate": "0.1",
    "network": "64",
    "length": "400",
    "unit": "iterations",
    "rounds": "2",
    "controls": "none",
}
EXPERIMENT = read_choice(SMALL)[1].experiment()


@pytest.fixture
def trained(server) -> Store:
    """The server's store with a finished small experiment."""
    keep(server.store, SMALL)
    return server.store


def open_view(visit, server, view: str, **options) -> Page:
    return visit(
        server.url({"key": EXPERIMENT.key, "level": "2", "view": view}, "ticket"), **options
    )


def ring(box: dict) -> list[tuple[float, float]]:
    """Points of an upright oval in the middle of a canvas: a zero."""
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    radii = box["width"] / 5.5, box["height"] / 3.2
    turns = [2 * math.pi * step / 40 for step in range(41)]
    return [(centre[0] + radii[0] * math.sin(t), centre[1] - radii[1] * math.cos(t)) for t in turns]


def answers(page: Page):
    return page.get_by_text(re.compile(r"They (dis)?agree: dense says"))


def drawn(page: Page) -> dict:
    canvas = page.locator(".lottery-sketch canvas")
    canvas.scroll_into_view_if_needed()
    return canvas.bounding_box()


def test_a_zero_drawn_with_the_mouse_is_read_by_both_networks(visit, server, trained):
    page = open_view(visit, server, "try")
    expect(page.get_by_text("Both networks answer as soon as")).to_be_visible()
    first, *others = ring(drawn(page))
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point)
    page.mouse.up()
    expect(answers(page)).to_be_visible()
    expect(answers(page)).to_contain_text("dense says 0")
    expect(page.get_by_text("what they see")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Both networks answer as soon as")).to_be_visible()


def test_a_zero_drawn_with_a_finger_is_read_too(visit, server, trained):
    page = open_view(visit, server, "try", width=390)
    expect(page.get_by_text("Both networks answer as soon as")).to_be_visible()
    points = ring(drawn(page))
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *where: tuple[float, float]) -> None:
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in where]},
        )

    send("touchStart", points[0])
    for point in points[1:]:
        send("touchMove", point)
    send("touchEnd")
    expect(answers(page)).to_be_visible()
    expect(answers(page)).to_contain_text("dense says 0")


def test_a_unit_is_pressed_and_shows_what_it_reads(visit, server, trained):
    page = open_view(visit, server, "inside")
    units = page.locator(".lottery-gallery button")
    expect(units).to_have_count(64)
    kept = trained.read(EXPERIMENT.key).mask["fc1.weight"].sum(axis=1)
    expect(units.first).to_contain_text(f"reads {kept.max()}")
    units.nth(5).click()
    number = units.nth(5).get_attribute("data-number")
    title = page.locator(".st-key-plot_unit_reads .gtitle")
    expect(title).to_have_text(f"Unit {number} of fc1 reads {kept[int(number)]} of 784")
    units.nth(5).press("ArrowRight")
    expect(title).to_contain_text(f"Unit {units.nth(6).get_attribute('data-number')} of fc1")


def test_what_is_rubbed_out_is_counted_and_comes_back(visit, server, trained):
    level = trained.read(EXPERIMENT.key)
    kept, recipe = level.mask["fc1.weight"], EXPERIMENT.recipe
    page = open_view(visit, server, "hand")

    def told(label: str):
        metric = page.get_by_test_id("stMetric").filter(has_text=label)
        return metric.get_by_test_id("stMetricValue")

    def press(button: str) -> None:
        page.locator(".lottery-rubber").get_by_role("button", name=button, exact=True).click()

    left, by_hand, magnitude = told("Weights left, fc1"), told("By hand"), told("By magnitude")
    expect(left).to_have_text(f"{kept.sum():,}")
    images = sample(recipe, trained.datasets)
    whole = as_percent(accuracy(recipe, level.end, level.mask, images), 2)
    expect(by_hand).to_have_text(whole)
    expect(magnitude).to_have_text(whole)

    # A unit, with the mouse; then one beside it, with the keys.
    press("Units")
    press("1")
    canvas = page.locator(".lottery-rubber canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + 30, box["y"] + 10.5 / 64 * box["height"])
    expect(left).to_have_text(f"{kept.sum() - kept[10].sum():,}")
    canvas.press("ArrowDown")
    canvas.press(" ")
    mask = level.mask | {"fc1.weight": kept.copy()}
    mask["fc1.weight"][10:12] = False
    expect(left).to_have_text(f"{mask['fc1.weight'].sum():,}")
    expect(by_hand).to_have_text(as_percent(accuracy(recipe, level.end, mask, images), 2))
    smallest_gone = as_many("magnitude", level.end, level.mask, mask)
    expected = accuracy(recipe, level.end, smallest_gone, images)
    expect(magnitude).to_have_text(as_percent(expected, 2))

    # It is still so after a look elsewhere, and can be taken back from there.
    page.get_by_role("radio", name="Survival map").click()
    expect(page.locator(".st-key-plot_survival_fc1 .gtitle")).to_be_visible()
    page.get_by_role("radio", name="Prune by hand").click()
    expect(left).to_have_text(f"{mask['fc1.weight'].sum():,}")
    press("Undo")
    expect(left).to_have_text(f"{kept.sum() - kept[10].sum():,}")
    press("Start over")
    expect(left).to_have_text(f"{kept.sum():,}")
    expect(by_hand).to_have_text(whole)


def test_rounds_are_scrubbed_through(visit, server, trained):
    page = open_view(visit, server, "survival")
    title = page.locator(".st-key-plot_survival_fc1 .gtitle")
    expect(title).to_contain_text("fc1 after round 2: 25\u202f% alive")
    assert page.get_by_role("button", name="Play").count() == 1
    page.get_by_role("slider", name="Level").press("ArrowLeft")
    expect(title).to_contain_text("fc1 after round 1: 50\u202f% alive")


def test_files_are_made_when_they_are_asked_for(visit, server, trained):
    page = open_view(visit, server, "take")
    for label, suffix in (
        ("Ticket, .safetensors", ".safetensors"),
        ("Ticket, .pt", ".pt"),
        ("All of it, .zip", ".zip"),
    ):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=label).click()
        assert waiting.value.suggested_filename == f"ticket-{EXPERIMENT.key[:8]}-level2{suffix}"
        assert waiting.value.path().stat().st_size > 10_000


def test_a_ticket_goes_out_and_comes_back_and_is_trained_again(visit, server, trained, tmp_path):
    page = open_view(visit, server, "take")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Ticket, .safetensors").click()
    path = tmp_path / "away.safetensors"
    waiting.value.save_as(path)
    digest = read_upload("", path.read_bytes()).content_digest

    page.get_by_text("Bring it back", exact=True).click()
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("This is level 2 of an experiment in this cache")).to_be_visible()
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text("Compare in detail")).to_be_visible()
    expect(page.get_by_text("the ticket reaches", exact=False).first).to_be_visible()
    assert f"ticket={digest}" in page.url

    page.reload()  # the file is gone, what came of it is not
    expect(page.get_by_text("Compare in detail")).to_be_visible()


def test_a_bad_file_is_refused_in_a_sentence(visit, server, trained, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x02}q\x00.")
    page = open_view(visit, server, "bring")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("pickle", exact=False).last).to_be_visible()
    expect(page.get_by_role("button", name="Train", exact=True)).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1024, "light")])
def test_nothing_is_wider_than_the_window(visit, server, trained, width, scheme):
    page = open_view(visit, server, "inside", width=width, scheme=scheme)
    for view, title in VIEWS.items():
        page.get_by_role("radio", name=title).click()
        page.wait_for_url(re.compile(f"view={view}"))
        expect(page.get_by_role("heading", level=2).first).to_be_visible()
        wait_until(lambda: overflow(page) == 0)  # the page settles once its styles are there
