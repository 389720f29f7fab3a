"""A real server over a store of its own, and how to visit it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, TimeoutError, expect

from lottery_core.running.worker import perform
from lottery_core.spec.links import read_choice
from lottery_core.store import Job, LevelProgress, Store
from lottery_core.training import kept, loops
from tests.images import judged_on_few

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds
# How to start the browser: as root, in a container, without asking anybody outside.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]


def wait_until(condition: Callable[[], bool], pause: float = 0.1) -> None:
    """Look again and again until something holds, with so many seconds between two looks: a page
    that is asked all the time is slow to get there."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} s in vain"
        time.sleep(pause)


@contextmanager
def visiting(browser: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Inside, a function that opens a page as a visitor of its own; in the end no page may have
    complained."""
    pages, complaints = [], []

    def open_page(url: str, width: int = 1440, scheme: str = "light") -> Page:
        page = browser.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
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
            "data-test-connection-state", "CONNECTED"
        )
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        pages.append(page)
        return page

    try:
        yield open_page
        for page in pages:
            faults = page.get_by_test_id("stException").all_inner_texts()
            assert faults == [], faults
    finally:
        for page in pages:
            page.close()
    assert complaints == [], complaints


def wait_for_charts(page: Page, charts: int) -> None:
    """Until there are that many charts, and each has drawn its axes: a chart is several pictures
    on top of one another, and the first of them is there before there is anything to see."""
    page.wait_for_function(
        """charts => {
          const nodes = [...document.querySelectorAll('.lottery-plot')];
          return nodes.length >= charts
            && nodes.every(node => node.querySelector('.main-svg .cartesianlayer .subplot'));
        }""",
        arg=charts,
    )


def wait_for_rest(page: Page) -> None:
    """Until the page's script has ended and nothing of what it left is still fading.

    The browser's word that it runs comes half a second late, so its absence says nothing.
    """
    page.wait_for_function(
        """() => document.querySelector('[data-test-script-state=notRunning]')
          && !document.querySelector('[data-stale=true]')
          && document.getAnimations().every(one => one.playState !== 'running'
            || one.effect.getComputedTiming().iterations === Infinity)"""
    )


def choose(page: Page, label: str, option: re.Pattern) -> None:
    """Choose in a list; it is opened again where it has closed or the press came too early, as
    while a page that was just opened still grows."""
    box = page.get_by_role("combobox", name=label, exact=True)

    def chosen() -> bool:
        box.click()
        try:
            page.get_by_role("option", name=option).click(timeout=5_000)
        except TimeoutError:
            page.keyboard.press("Escape")  # a second press would close what is still open
            return False
        return True

    wait_until(chosen)


def keep(store: Store, params: dict[str, str]) -> str:
    """A run without its controls, trained here and kept as if its visitor had pressed Start, if it
    is not there; its key."""
    experiment = read_choice(params)[1].experiment()
    if not store.has(experiment.key):
        asked = {"experiment": experiment.as_dict(), "params": params, "loop": "torch"}
        with judged_on_few():
            perform(store, Job(experiment.key, "queued", "", time.time(), **asked))
    return experiment.key


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window; its main part is what scrolls."""
    return page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]');"
        " return m.scrollWidth - m.clientWidth })()"
    )


def fits(page: Page, width: int) -> bool:
    """Whether nothing hangs over the edge and every chart is wide enough to be read."""
    boxes = [chart.bounding_box() for chart in page.locator(".lottery-plot").all()]
    return overflow(page) <= 0 and all(box and 150 < box["width"] <= width for box in boxes)


class Server:
    """A streamlit server over a store of its own."""

    def __init__(self, store: Store):
        self.store = store
        # Compiled once for all servers: it would take a minute of both cores each time.
        loops.prepare(store)
        if not (store.root / "compiled").exists():
            (store.root / "compiled").symlink_to(kept.folder().parent)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "streamlit", "run", "app.py"]
        self.process = subprocess.Popen(
            [*command, "--server.port", str(self.port), "--server.headless", "true"],
            cwd=ROOT,
            env=os.environ | {"LOTTERY_CACHE": str(store.root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_stcore/health"):
                return True
        except OSError:
            return False

    def url(self, params: dict[str, str] | None = None, page: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{page}?{urlencode(params or {})}"

    @contextmanager
    def paused(self, keys: tuple[str, ...], level: int) -> Iterator[None]:
        """Inside, the run of these levels stands still while it trains the given one.

        So that a page can be looked at in the middle of a run, however fast it trains.
        """
        key = keys[level]

        def begun() -> bool:
            progress = self.store.read_progress(key)
            return self.store.has(key) or isinstance(progress, LevelProgress)

        wait_until(begun, pause=0.005)
        worker = self.store.job(keys[-1]).process
        assert worker, "the run was over too soon: train it for longer"
        os.kill(worker, signal.SIGSTOP)
        assert not self.store.has(key), "the level was over too soon: train it for longer"
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
