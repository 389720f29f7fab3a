"""What is lost when things break: `python -m benchmarks.faults`.

A run with its controls is killed a hundred times, at moments drawn by chance, and a hundred bytes
are flipped in the cache that it leaves. Counted are levels that had been finished and are gone
(lost), levels that are there with other numbers than an undisturbed run gives (wrong), and pages
that offer no way on (stuck). Ten of the kills are of a whole server with its workers, after each of
which no process may be left.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from lottery_core.data import prepare
from lottery_core.running import engine
from lottery_core.running.crew import Crew
from lottery_core.running.queue import Queue
from lottery_core.spec.links import read_choice
from lottery_core.store import Store, digest
from lottery_core.training.context import Context

ROOT = Path(__file__).resolve().parent.parent
PARAMS = {
    "preset": "quick",
    "replicates": "1",
    "learning_rate": "0.1",
    "network": "64 32",
    "length": "400",
    "unit": "iterations",
    "evaluate_every": "200",
    "rounds": "3",
    "controls": "reinit,random-mask,fine-tune",
}
EXPERIMENTS = read_choice(PARAMS)[1].experiments()
KEYS = list(dict.fromkeys(key for one in EXPERIMENTS for key in one.keys))
SERVERS = 10  # of the kills


def new_store(folder: Path) -> Store:
    """An empty store that knows MNIST."""
    folder.mkdir(parents=True)
    (folder / "datasets").symlink_to(ROOT / "cache" / "datasets")
    return Store(folder)


def run_all(store: Store) -> None:
    """All levels, in this process; torch, so that each run gives the same bits."""
    for experiment in EXPERIMENTS:
        for _ in engine.run(experiment, Context(store, loop="torch")):
            pass


def contents(store: Store) -> dict[str, str]:
    """Key -> what a level holds; levels that are absent or damaged are left out."""
    found = {}
    for key in KEYS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            level = store.read(key)
        if level is not None:
            parts = {"mask": level.mask, "start": level.start, "end": level.end}
            arrays = {f"{p}/{name}": a for p, some in parts.items() for name, a in some.items()}
            found[key] = digest({**arrays, "losses": level.losses})
    return found


class Count:
    """Levels lost and wrong, against what an undisturbed run gives."""

    def __init__(self, expected: dict[str, str]):
        self.expected, self.before = expected, {}
        self.lost = self.wrong = 0

    def look(self, store: Store) -> dict[str, str]:
        """Count what changed since the last look."""
        now = contents(store)
        self.lost += len(self.before.keys() - now.keys())
        self.wrong += sum(self.expected[key] != held for key, held in now.items())
        self.before = now
        return now


def kills(folder: Path, times: int, expected: dict[str, str], chance: random.Random) -> Count:
    """Kill a run at any moment, again and again; a new one begins where it got to."""
    store, count, seconds = new_store(folder / "killed"), Count(expected), 0.5
    servers = set(chance.sample(range(times), min(SERVERS, times)))
    for n in range(times):
        if len(count.before) == len(KEYS):
            shutil.rmtree(store.root / "levels")
            count.before = {}
        if n in servers:
            _kill_server(store, chance.uniform(0.2, 12))
        else:
            child = os.fork()
            if child == 0:
                with suppress(BaseException):
                    run_all(store)
                os._exit(0)
            time.sleep(chance.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        count.look(store)
    run_all(store)
    count.lost += len(KEYS) - len(count.look(store))
    return count


def _kill_server(store: Store, seconds: float) -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--serve", str(store.root)]
    server = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    server.kill()
    server.wait()
    end = time.monotonic() + 30
    while left := _in_session(server.pid):
        if time.monotonic() > end:
            raise RuntimeError(f"processes left behind: {left}")
        time.sleep(0.1)


def _in_session(session: int) -> list[str]:
    command = ["ps", "-A", "-o", "sess=,stat=,pid=,args="]
    every = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in every.splitlines()]
    return [what for sess, state, what in rows if int(sess) == session and state[0] != "Z"]


def serve(root: Path) -> None:
    """What a server does with a choice, until it is killed."""
    queue = Queue(Store(root), Crew(2))
    queue.submit_all(EXPERIMENTS, loop="torch")
    time.sleep(600)


def flips(folder: Path, times: int, expected: dict[str, str], chance: random.Random) -> tuple:
    """Flip a byte of a finished run, open the page, press Start; again and again."""
    import ui.shared.runtime
    from tests.pages import open_page, said
    from ui.shared import reading

    store, count, stuck, unnoticed = new_store(folder / "flipped"), Count(expected), 0, 0
    run_all(store)
    ui.shared.runtime.CACHE = store.root
    ui.shared.runtime.Crew = lambda count: Crew(1, lambda root: ThreadPoolExecutor(1))

    def fresh_page():
        for cached in (reading._summary, reading._whole, reading._look):
            cached.clear()
        return open_page(**PARAMS)

    for _ in range(times):
        path = chance.choice(sorted(store.root.glob("levels/*/*")))
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        page = fresh_page()
        unnoticed += "damaged" not in said(page)
        ways = [button for button in page.button if button.key == "start" and not button.disabled]
        if page.exception or not ways:
            stuck += 1
        else:
            ways[0].click().run()
            _wait(store)
            stuck += "all are in the cache" not in said(fresh_page())
        count.wrong += sum(expected[key] != held for key, held in contents(store).items())
        count.lost += len(KEYS) - len(contents(store))
    ui.shared.runtime.runtime().queue.close()
    return count, stuck, unnoticed


def _wait(store: Store) -> None:
    while any(job.active for job in store.jobs()):
        time.sleep(0.02)


def main() -> None:
    """Print the counts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--flips", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        serve(given.serve)
        return
    warnings.simplefilter("ignore")
    logging.getLogger("streamlit").setLevel(logging.ERROR)
    prepare("mnist", ROOT / "cache" / "datasets")
    with tempfile.TemporaryDirectory() as temporary:
        folder, chance = Path(temporary), random.Random(given.seed)
        undisturbed = new_store(folder / "undisturbed")
        run_all(undisturbed)
        expected = contents(undisturbed)
        print(f"a run of {len(EXPERIMENTS)} experiments, {len(KEYS)} levels")
        count = kills(folder, given.kills, expected, chance)
        print(f"{given.kills} kills: levels lost {count.lost}, wrong {count.wrong}", flush=True)
        count, stuck, unnoticed = flips(folder, given.flips, expected, chance)
        print(
            f"{given.flips} flipped bytes: levels lost {count.lost}, wrong {count.wrong}, pages "
            f"stuck {stuck}, damage not told {unnoticed}"
        )


if __name__ == "__main__":
    main()
