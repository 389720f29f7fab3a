"""A real server to visit, over a store of its own."""

import os
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

from playwright.sync_api import Page

from lottery_core.store import Store
from lottery_core.training import kept, loops

ROOT = Path(__file__).resolve().parents[2]
# How to start the browser: as root, in a container, without asking anybody outside.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Look again and again until something holds; a failure if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.005)


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window; its main part is what scrolls."""
    return page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]');"
        " return m.scrollWidth - m.clientWidth })()"
    )


class Server:
    """A streamlit server over a store of its own."""

    def __init__(self, store: Store):
        self.store = store
        # Compiled once for all servers: it would take half a minute of both cores each time.
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
        wait_until(self._answers, 60)

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
            return self.store.has(key) or bool(progress and progress[0].get("iteration"))

        wait_until(begun, 60)
        worker = self.store.job(keys[-1]).process
        os.kill(worker, signal.SIGSTOP)
        assert not self.store.has(key), "the level was over too soon: train it for longer"
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
