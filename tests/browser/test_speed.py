"""The Speed page as people use it: a real server, real workers, a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import load

from lottery_core.store import measurement_key
from tests.browser.server import choose, keep, overflow
from tests.browser.test_runs import mark

pytestmark = pytest.mark.browser

SMALL = {
    "preset": "quick", "replicates": "1", "learning_rate": "0.1", "network": "32", "length": "60",
    "unit": "iterations", "rounds": "2",
}  # fmt: skip
WAYS = (
    "masked dense tensors, plain torch",
    "torch.sparse CSR",
    "compiled loop, here",
    "dense matrix products alone",
)


def measure(page: Page, name: str = "Measure") -> None:
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Measure again")).to_be_visible()


def test_a_visitor_measures_a_run_and_reads_what_sparse_is_worth_here(visit, server):
    key = keep(server.store, SMALL)
    page = visit(server.url({"key": key}, "speed"))
    expect(page.get_by_text("Nothing is measured yet")).to_be_visible()
    measure(page)
    expect(page.get_by_text("On this machine sparse")).to_be_visible()
    expect(page.get_by_text("an epoch takes", exact=False).first).to_be_visible()
    measured = server.store.read_measurement(measurement_key(key))
    label = page.get_by_text(re.compile(r"1 thread, Python"))
    expect(label).to_contain_text(measured.machine.processor)
    expect(label).to_contain_text(f"torch {measured.machine.torch}")
    for name in WAYS:
        entry = page.locator(".st-key-plot_epochs .legendtext", has_text=name)
        expect(entry).to_have_count(1)
    expect(page.get_by_text("What this does not claim")).to_be_visible()

    table = page.get_by_test_id("stTable").first
    times = measured.levels[-1].forward[1]
    choose(page, "Level", re.compile("^level 2"))
    expect(table).to_contain_text(f"{times.dense.median / times.ticket.median:.1f}")

    # Kept: another visitor sees it without measuring.
    other = visit(server.url({"key": key}, "speed"), 390, "dark")
    expect(other.get_by_text("On this machine sparse")).to_be_visible()
    assert overflow(other) <= 0


def test_a_network_without_whole_units_is_taken_away_and_timed_beside_the_dense_one(visit, server):
    alone = {"criterion": "unit-norm", "seed": "31", "rounds": "1"}  # no other test has that seed
    key = keep(server.store, SMALL | alone)
    page = visit(server.url({"key": key, "level": "1", "view": "take"}, "ticket"))
    expect(page.get_by_text("it has 16 of 32 in fc1")).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("button", name="Smaller network, .safetensors").click()
    shapes = {name: values.shape for name, values in load(taken.value.path().read_bytes()).items()}
    assert shapes["fc1.weight"] == (16, 784)

    page = visit(server.url({"key": key}, "speed"))
    measure(page)
    expect(page.get_by_text("Without the units that are gone")).to_be_visible()
    expect(page.get_by_test_id("stTable").nth(1)).to_contain_text("smaller dense network")
    expect(page.get_by_text("No finished run of this recipe by magnitude")).to_be_visible()
    assert overflow(page) <= 0


def test_convolutions_are_measured_by_the_same_button_and_by_layer(visit, server):
    key = keep(server.store, SMALL | {"network": "lenet-5", "rounds": "1"})
    page = visit(server.url({"key": key}, "speed"))
    measure(page)
    expect(page.get_by_text("On this machine sparse")).to_be_visible()
    expect(page.locator(".st-key-plot_epochs .legendtext")).to_have_count(2)
    layers = page.get_by_test_id("stTable").last
    for name in ("conv1", "conv2", "fc1", "fc2", "fc3"):
        expect(layers).to_contain_text(name)
    assert overflow(visit(server.url({"key": key}, "speed"), 390, "dark")) <= 0


def test_a_measurement_can_be_stopped_and_begun_again(visit, server):
    key = keep(server.store, SMALL)
    page = visit(server.url({"key": key}, "speed"))
    first = page.get_by_role("button", name=re.compile("^Measure"))
    first.click()
    expect(page.get_by_text("Measuring level")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name=re.compile("^Measure"))).to_be_visible()
    assert server.store.job(measurement_key(key)).state == "cancelled"
    assert server.store.read_progress(measurement_key(key)) is None


def test_a_marked_run_leads_to_its_measurement(visit, server):
    key = keep(server.store, SMALL)
    if server.store.read_measurement(measurement_key(key)) is None:
        measure(visit(server.url({"key": key}, "speed")))
    page = visit(server.url({"words": "784-32-10"}, "runs"))
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    mark(page, 0)
    expect(page.get_by_role("link", name="Repeat with changes")).to_be_visible()
    page.get_by_role("link", name="Speed").last.click()  # the first is that of all pages
    expect(page.get_by_role("heading", name="Speed", exact=True)).to_be_visible()
    chosen = page.get_by_role("combobox", name="Network and masks")
    expect(chosen).to_have_value(re.compile("^784-32-10 on MNIST"))
