"""No page breaks a rule of the WCAG that a program can check, in any theme, at any width."""

from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from lottery_core.running import engine, measurement
from lottery_core.spec.glossary import WORDS
from lottery_core.spec.links import read_choice
from lottery_core.store import measurement_key
from lottery_core.training.context import Context
from tests.browser.server import wait_for_charts, wait_for_rest, wait_until
from ui.shared.frame import PAGES
from ui.ticket.subject import VIEWS

pytestmark = pytest.mark.browser

SMALL = {
    "preset": "quick", "replicates": "1", "learning_rate": "0.1", "network": "16", "length": "60",
    "unit": "iterations", "rounds": "1", "controls": "none",
}  # fmt: skip
EXPERIMENT = read_choice(SMALL)[1].experiment()
RULES = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
# Streamlit's own field for a file, which has a name and is said to be decoration.
NOT_OURS = "[data-testid=stFileUploaderDropzone]"
# At 1024 the dark has no colour beside another that it has not at 1440.
LOOKS = [(1440, "light"), (1024, "light"), (390, "light"), (390, "dark"), (1440, "dark")]


def broken(page: Page, scheme: str) -> list[str]:
    """Every rule that the page breaks, with where. In the dark the page has other colours and
    nothing else: there the rules on colours are enough."""
    only = ["color-contrast", "link-in-text-block"] if scheme == "dark" else []
    found = page.evaluate(
        """([ours, only]) => axe.run(
          {include: [['body']], exclude: [[ours]]},
          {resultTypes: ['violations'], ...(only.length ? {runOnly: only} : {})}
        ).then(said => said.violations.map(one =>
          `${one.id}: ${one.nodes.map(node => node.html.slice(0, 200)).join(' ... ')}`))""",
        [NOT_OURS, only],
    )
    return list(found)


def cut(page: Page) -> list[str]:
    """What can't be read to its end: a heading that lies below what follows it, or words that are
    wider than the room they have."""
    found = page.get_by_test_id("stMain").evaluate(
        """main => {
          const said = [];
          for (const heading of main.querySelectorAll("h1, h2, h3")) {
            const next = heading.closest(".stElementContainer")?.nextElementSibling;
            const at = heading.getBoundingClientRect(), there = next?.getBoundingClientRect();
            const end = at.bottom - parseFloat(getComputedStyle(heading).paddingBottom);
            if (there?.height && there.left < at.right && there.top < end - 1)
              said.push(`below what follows: ${heading.innerText}`);
          }
          for (const words of main.querySelectorAll("p, :is(button, a), :is(button, a) *")) {
            const room = getComputedStyle(words).overflowX;
            if (room !== "visible" && words.scrollWidth > words.clientWidth + 1)
              said.push(`too wide: ${words.innerText}`);
          }
          return said;
        }"""
    )
    return list(found)


@pytest.fixture(scope="module")
def trained(server):
    """A run to look at, trained and measured once for all pages."""
    context = Context(server.store)
    list(engine.run(EXPERIMENT, context))
    measured = measurement.measure(EXPERIMENT, context)
    server.store.write_measurement(measurement_key(EXPERIMENT.key), measured)


def places() -> list[tuple[str, dict[str, str]]]:
    """Every page with what it shows of that run, and every view of the Ticket page."""
    key = EXPERIMENT.key
    found = [("", SMALL), ("", SMALL | {"seed": "99"}), ("", SMALL | {"steps": "on", "at": "1"})]
    for path, _, _ in PAGES[1:]:
        name = Path(path).stem
        if name == "ticket":
            found += [(name, {"key": key, "level": "1", "view": view}) for view in VIEWS]
        else:
            found.append((name, {"key": key} if name in ("luck", "speed", "stability") else {}))
    return found


@pytest.mark.parametrize(("name", "params"), places())
def test_no_page_breaks_a_rule(server, visit, trained, name, params):
    page = visit(server.url(params, name))
    wait_until(lambda: page.get_by_test_id("stAppViewContainer").locator("h1").count() == 1)
    wait_for_rest(page)
    wait_for_charts(page, 0)
    page.evaluate(RULES)
    papers = {}
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)  # for what is drawn anew
        wait_for_rest(page)
        assert broken(page, scheme) == [], (width, scheme)
        assert cut(page) == [], (width, scheme)
        app = page.get_by_test_id("stApp")
        papers[scheme] = app.evaluate("node => getComputedStyle(node).backgroundColor")
    assert papers["light"] != papers["dark"]  # both themes were looked at


def test_a_word_is_explained_to_whom_points_at_it_or_reaches_it_with_tab(server, visit, trained):
    page = visit(server.url({"key": EXPERIMENT.key}, "ticket"), 390)
    word = page.locator(".word", has_text="mask").first
    meaning = word.locator(".meaning")
    expect(meaning).to_be_hidden()
    word.focus()
    expect(meaning).to_have_text(WORDS["mask"].meaning)
    expect(meaning).to_be_in_viewport(ratio=1)
    word.blur()
    expect(meaning).to_be_hidden()
    word.hover()
    expect(meaning).to_be_visible()
