"""A Chromium to test with: one that is here, or else one that can be installed.

`python -m tests.browser.browser` prints where it is, and installs it where there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ELSEWHERE = (
    "/usr/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# Playwright's own build goes into the virtual environment, so that `make clean` removes it.
_OWN = Path(sys.prefix) / "browsers"
_OWN_NAMES = (
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
    "chromium-*/chrome-win*/chrome.exe",
)
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-y")
_MINUTES = 10  # for one install step


@cache
def executable() -> str:
    """Path of a Chromium that starts; installed first if there is none.

    Tried in turn: `CHROMIUM` in the environment, the usual names on PATH, Playwright's own
    build, and as root the system's package. Raises `RuntimeError` when all of that fails.
    """
    if named := os.environ.get("CHROMIUM"):
        if not _starts(named):
            raise RuntimeError(f"CHROMIUM={named} does not start; unset it or name another")
        return named
    tried = []
    if found := _found():
        return found
    for step in _steps():
        print(f"No browser yet; trying: {' '.join(step)}", file=sys.stderr, flush=True)
        tried.append(_perform(step))
        if found := _found():
            return found
    raise RuntimeError(
        "The browser tests need Chromium or Chrome, and none is on PATH or could be installed:\n"
        + "\n".join(tried)
        + "\nInstall one, or name it: CHROMIUM=/path/to/chromium make test"
    )


def _found() -> str | None:
    candidates = [shutil.which(name) for name in _NAMES]
    candidates += [path for path in _ELSEWHERE if os.access(path, os.X_OK)]
    candidates += [str(path) for pattern in _OWN_NAMES for path in sorted(_OWN.glob(pattern))]
    return next((path for path in candidates if path and _starts(path)), None)


def _starts(path: str) -> bool:
    # Not just there: Playwright's build on a bare system lacks libraries, and a name on PATH
    # may be a stub that only tells how to install the browser.
    try:
        version = subprocess.run(
            [path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return version.returncode == 0 and b"Chrom" in version.stdout


def _steps() -> Iterator[tuple[str, ...]]:
    """Commands that may bring a browser, the least invasive first."""
    playwright = (sys.executable, "-m", "playwright")
    yield (*playwright, "install", "--no-shell", "chromium")
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        yield (*_APT, "update")
        if any(_OWN.glob("chromium-*")):
            yield (*playwright, "install-deps", "chromium")
        yield (*_APT, "install", "--no-install-recommends", "chromium")


def _perform(step: tuple[str, ...]) -> str:
    """Run an install step; what to say of it if there still is no browser."""
    settings = {
        "PLAYWRIGHT_BROWSERS_PATH": str(_OWN),
        "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "15000",  # ms: without a network, on to the next
        "DEBIAN_FRONTEND": "noninteractive",
    }
    try:
        done = subprocess.run(
            step,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60 * _MINUTES,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"- {error}"
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    reason = next((line for line in lines if line.lower().startswith(("error", "e:"))), "")
    return f"- {' '.join(step)}: exit status {done.returncode}. {reason}".rstrip()


if __name__ == "__main__":
    try:
        print(executable())
    except RuntimeError as error:
        sys.exit(str(error))
