"""A class in real browsers: a teacher's screen and two students, each in a browser of their own."""

from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.browser import executable
from tests.browser.server import ARGUMENTS, PATIENCE, fits, visiting, wait_for_rest, wait_until
from tests.browser.test_accessible import LOOKS, RULES, broken

pytestmark = pytest.mark.browser

CHOICE = {
    "preset": "quick", "learning_rate": "0.1", "network": "16", "length": "60",
    "unit": "iterations", "rounds": "2", "controls": "reinit",
}  # fmt: skip


@pytest.fixture
def browsers(chromium):
    """Opens pages, each in a browser that shares no cookies with the others."""
    running = chromium.launch(executable_path=executable(), args=ARGUMENTS)
    with apart(running) as visit:
        yield visit
    running.close()


@contextmanager
def apart(running: Browser):
    contexts = []

    class Apart:
        def new_page(self) -> Page:
            contexts.append(running.new_context())
            contexts[-1].set_default_timeout(1000 * PATIENCE)
            return contexts[-1].new_page()

    with visiting(Apart()) as visit:
        yield visit
    for context in contexts:
        context.close()


def settle(page: Page) -> None:
    """Until all of a page is there: what is under way when one leaves it counts as a fault."""
    wait_for_rest(page)
    page.wait_for_load_state("networkidle")


def test_a_class_trains_one_recipe_with_a_seed_each_and_is_one_chart(server, browsers):
    teacher = browsers(server.url(CHOICE | {"class": "browsers"}))
    teacher.get_by_role("button", name="Open it as its teacher").click()
    expect(teacher.get_by_text("Nobody has come yet")).to_be_visible()
    code = teacher.get_by_role("img", name="QR code of http")
    expect(code).to_be_visible()
    assert code.evaluate("picture => picture.complete && picture.naturalWidth > 20")
    link = teacher.locator(".st-key-class_board pre code").first.inner_text()
    assert link == server.url({"class": "browsers"})
    assert "teach" not in teacher.url

    students = [browsers(link, width) for width in (1440, 390)]
    lines = [student.locator(".st-key-class_line") for student in students]
    said = [line.get_by_text("your seed is").inner_text() for line in lines]
    assert said[0] != said[1]
    settle(students[0])
    students[0].reload()
    expect(lines[0].get_by_text("your seed is")).to_have_text(said[0])

    rounds = students[0].locator("[class*=st-key-rounds_] input")
    expect(rounds).to_be_enabled()
    teacher.locator(".st-key-class_reins").get_by_text("Lock the choices").click()
    for line in lines:
        expect(line.get_by_text("has locked the choices")).to_be_visible()
    expect(rounds).to_be_disabled()
    settle(students[0])
    students[0].goto(f"{link}&rounds=1&lock=0")
    expect(lines[0].get_by_text("has locked the choices")).to_be_visible()
    expect(rounds).to_be_disabled()
    expect(rounds).to_have_value("2")

    for student in students:
        student.locator(".st-key-start button").click()
    expect(teacher.get_by_text("2 students came, 2 started, 2 finished.")).to_be_visible()
    chart = teacher.locator(".st-key-plot_class .lottery-plot")
    expect(chart.get_by_text("rewound ticket, 2 seeds")).to_be_visible()

    settle(teacher)
    for page in (teacher, students[0]):
        page.evaluate(RULES)
        for width, scheme in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            wait_until(lambda page=page, width=width: fits(page, width))
            page.wait_for_timeout(300)  # for what is drawn anew
            assert broken(page, scheme) == [], (width, scheme)
