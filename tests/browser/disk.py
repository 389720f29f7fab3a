"""Files that a page hands out, opened from disk in a browser that reaches nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Route


def downloaded(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@contextmanager
def from_disk(browser: BrowserContext, path: Path, width: int = 1440) -> Iterator[Page]:
    """A file as somebody opens it who has no network; in the end it may not have complained, nor
    asked for anything."""
    asked, complaints = [], []
    page = browser.new_page()

    def only_itself(route: Route) -> None:
        if route.request.url == path.as_uri():
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", only_itself)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: message.type in ("error", "warning") and complaints.append(message.text),
    )
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(path.as_uri())
    try:
        yield page
    finally:
        page.close()
    assert asked == []
    assert complaints == []


def drawn(page: Page) -> None:
    """Waits until each chart that is shown has drawn its axes."""
    page.wait_for_function(
        "() => [...document.querySelectorAll('.plot')].filter(one => one.clientWidth)"
        ".every(one => one.querySelector('.main-svg .cartesianlayer .subplot'))"
    )
