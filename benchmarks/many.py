"""Ten thousand levels asked for at once: `python -m benchmarks.many [--seconds 60]`.

A sweep of networks that train in a blink, as a command of its own with an empty cache: the seconds
until it has said how much it is, and until the first level is finished; the command's memory
then and at the end; and how many levels were finished by then. It is stopped there, and asked once
more, in a dry run, how much is left.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lottery_core.data import prepare
from lottery_core.store import Store
from tests.browser.server import wait_until

ROOT = Path(__file__).resolve().parent.parent
CRITERIA = ("magnitude", "movement", "magnitude-increase", "random")
SEEDS = 401  # each a dense network and six rounds of four criteria: 10,025 levels
FIXED = {
    "preset": "quick", "network": "8", "length": "4", "unit": "iterations", "rounds": "6",
    "evaluate-every": "4", "validation-size": "100", "controls": "none", "loop": "torch",
}  # fmt: skip


def megabytes(process: subprocess.Popen) -> float:
    """What a process has in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def main() -> None:
    """Print a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="after the first level")
    given = parser.parse_args()
    prepare("mnist", ROOT / "cache" / "datasets")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.datasets.symlink_to(ROOT / "cache" / "datasets")
        command = [sys.executable, "-m", "lottery_core", "sweep", "--cache", folder]
        command += [part for name, text in FIXED.items() for part in (f"--{name}", text)]
        command += ["--grid", f"criterion={','.join(CRITERIA)}", "--seeds", f"0:{SEEDS}"]
        began = time.monotonic()
        asked = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            print(asked.stdout.readline().strip())
            print(f"said after {time.monotonic() - began:.1f} s")
            wait_until(store.keys)
            print(f"first level after {time.monotonic() - began:.1f} s, {megabytes(asked):.0f} MB")
            time.sleep(given.seconds)
            print(
                f"{given.seconds:.0f} s later: {megabytes(asked):.0f} MB, "
                f"{len(store.keys()):,} levels finished"
            )
        finally:
            asked.terminate()
            asked.communicate()
        began = time.monotonic()
        left = subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        print(f"asked once more, after {time.monotonic() - began:.1f} s: {left.stdout.strip()}")


if __name__ == "__main__":
    main()
