"""A real server to visit, over a store of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from lottery_core.store import Store

ROOT = Path(__file__).resolve().parents[2]
# How to start the browser: as root, in a container, without asking anybody outside.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]


class Server:
    """A streamlit server over a store of its own."""

    def __init__(self, store: Store):
        self.store = store
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
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_stcore/health"):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def url(self, params: dict[str, str] | None = None, page: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{page}?{urlencode(params or {})}"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
