"""A server, a browser, and a visitor whose pages must not complain."""

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.browser import executable
from tests.browser.server import ARGUMENTS, Server


@pytest.fixture(scope="module")
def server(make_store, tmp_path_factory):
    running = Server(make_store(tmp_path_factory.mktemp("server") / "store"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser():
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS) as running,
    ):
        yield running


@pytest.fixture
def visit(browser: Browser):
    """Opens a page as a visitor of its own; afterwards no page may have complained."""
    pages, complaints = [], []

    def open_page(url: str, width: int = 1440, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        page = context.new_page()
        page.on(
            "console",
            # On a deep link Streamlit itself asks for its health below the page's path first.
            lambda message: (
                message.type == "error"
                and "/_stcore/" not in message.location["url"]
                and complaints.append(f"{message.text} {message.location}")
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        expect(page.get_by_test_id("stApp")).to_have_attribute(
            "data-test-connection-state", "CONNECTED", timeout=30_000
        )
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.get_by_test_id("stException").count() == 0
        page.context.close()
    assert complaints == []
