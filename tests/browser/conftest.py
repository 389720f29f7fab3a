"""One server and one browser for all tests, each of which looks at experiments of its own."""

import pytest
from playwright.sync_api import BrowserContext, expect, sync_playwright

from tests.browser.browser import executable
from tests.browser.server import ARGUMENTS, PATIENCE, Server, visiting

# What a busy machine takes long for is no fault: only what never comes is.
expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture(scope="package")
def server(compiled, make_store, tmp_path_factory):
    running = Server(make_store(tmp_path_factory.mktemp("server") / "store"))
    yield running
    running.stop()


@pytest.fixture(scope="package")
def chromium():
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="package")
def browser(chromium, tmp_path_factory):
    # With a profile on disk, what was compiled of the app's scripts serves the next page too.
    running = chromium.launch_persistent_context(
        tmp_path_factory.mktemp("profile"), executable_path=executable(), args=ARGUMENTS
    )
    running.set_default_timeout(1000 * PATIENCE)
    yield running
    running.close()


@pytest.fixture
def visit(browser: BrowserContext):
    """Opens a page as a visitor of its own; afterwards no page may have complained."""
    with visiting(browser) as open_page:
        yield open_page
