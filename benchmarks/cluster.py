"""A sweep on this machine's workers, and on a Dask cluster: `python -m benchmarks.cluster`.

    python -m benchmarks.cluster [--what quick] [--only here] [--seeds 5] [--workers 2] [--turns 1]
                                [--before CHECKOUT]

Four criteria with several seeds of the Quick preset (or `--what quick`: the preset with its
controls), each time into an empty cache: on worker processes here (loky), on a cluster of as many
with a cache each, and on such a cluster while one of its workers is killed every 20 seconds.
`--before` names a checkout of another version, whose sweep runs in turns with this one's. Beside
the seconds, which begin with the command, stand those until the first training began; those that
the trainings took, all together; the share of the workers' time in which none trained, from the
first training's beginning to the last one's end; levels that are lost; and trainings that came to
their end twice. Last, from the seconds that each level took: how much
shorter the queue would be with 2, 4 and 8 workers.

A training that shares its processor takes longer and counts as work all the same.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lottery_core.data import prepare
from lottery_core.running.forecast import played
from lottery_core.running.parts import parts_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sweep import Sweep
from lottery_core.store import Job, Store

ROOT = Path(__file__).resolve().parent.parent
# What is asked for: fields and their values, as `sweep --grid` has them, and other options.
ASKED = {
    "sweep": ({"criterion": ("magnitude", "movement", "snip", "random")}, {"controls": "none"}),
    "quick": ({"rate": ("0.5",)}, {}),
}
_EVERY = 20.0  # seconds between two kills


@dataclass(frozen=True)
class Result:
    """One sweep: wall `seconds`, those before the first training and those that all took, the
    workers' `idle` share, and what went wrong."""

    name: str
    seconds: float
    before: float
    trained: float
    idle: float
    levels: int
    lost: int
    twice: int
    kills: int = 0


def experiments(given: argparse.Namespace) -> list[Experiment]:
    """Those of the sweep, as the command below asks for them."""
    grid, fixed = ASKED[given.what]
    points = Sweep({"preset": "quick", **fixed}, grid, seeds=range(given.seeds)).points()
    found = {one.key: one for point in points for one in point.choice.experiments()}
    return [*found.values()]


def new_store(folder: Path, checkout: Path = ROOT) -> Store:
    """An empty store that knows MNIST and has that checkout's loop, which is compiled first."""
    subprocess.run([sys.executable, "-m", "lottery_core.training.loops"], cwd=checkout, check=True)
    folder.mkdir(parents=True)
    (folder / "datasets").symlink_to(ROOT / "cache" / "datasets")
    (folder / "compiled").symlink_to(checkout / "cache" / "compiled")
    return Store(folder)


def sweep(store: Store, given: argparse.Namespace, checkout: Path, *options: str) -> float:
    """Seconds of the command, in that checkout, with that cache."""
    grid, fixed = ASKED[given.what]
    command = [sys.executable, "-m", "lottery_core", "sweep", "--cache", str(store.root)]
    command += ["--seeds", f"0:{given.seeds}", *options]
    command += [part for name, text in fixed.items() for part in (f"--{name}", text)]
    command += [part for name in grid for part in ("--grid", f"{name}={','.join(grid[name])}")]
    began = time.monotonic()
    subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def judge(name: str, seconds: float, store: Store, there: list[Store], given) -> Result:
    """What came of a sweep: `store` is where it was asked for, `there` the workers' own."""
    keys = {key for one in experiments(given) for key in one.keys}
    held = {key: found for key in keys if (found := store.take_out(key))}
    # A level says how many seconds it took: one that was trained twice differs from the other.
    copies = ((key, other.take_out(key)) for other in there for key in sorted(other.keys()))
    twice = sum(held.get(key) != copy for key, copy in copies)
    spans = [(store.computed(key) - store.info(key).seconds, store.computed(key)) for key in held]
    worked = sum(end - begin for begin, end in spans)
    window = max(end for _, end in spans) - min(begin for begin, _ in spans)
    idle = 1 - worked / (window * given.workers)
    lost = len(keys) - len(held)
    return Result(name, seconds, seconds - window, worked, idle, len(held), lost, twice)


class Cluster:
    """A scheduler and workers on the loopback address, each with a cache of its own."""

    def __init__(self, folder: Path, workers: int):
        self.folder, self.stores, self.processes = folder, [], []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"
        )
        for n in range(workers):
            self.stores.append(new_store(folder / f"worker-{n}"))
            self.processes.append(self._worker(n))

    def kill(self, n: int) -> None:
        """End a worker without a word, and start another in its place."""
        self.processes[n].send_signal(signal.SIGKILL)
        self.processes[n].wait()
        self.processes[n] = self._worker(n)

    def stop(self) -> None:
        for process in (*self.processes, self.scheduler):
            process.kill()
            process.wait()

    def _worker(self, n: int) -> subprocess.Popen:
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        options += ["--local-directory", str(self.folder / "dask")]
        environment = {"LOTTERY_CACHE": str(self.stores[n].root)}
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"
        return self._start("dask_worker", self.address, *options, **environment)

    def _start(self, command: str, *options: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command}", *options],
            cwd=ROOT,
            env=os.environ | environment,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def killing(cluster: Cluster, is_on: bool) -> Iterator[list[int]]:
    """Inside, if it is on, a worker drawn by chance is killed every 20 seconds; which ones."""
    ended, killed, chance = threading.Event(), [], random.Random(0)

    def go_on() -> None:
        while not ended.wait(_EVERY):
            killed.append(chance.randrange(len(cluster.processes)))
            cluster.kill(killed[-1])

    thread = threading.Thread(target=go_on)
    if is_on:
        thread.start()
    try:
        yield killed
    finally:
        ended.set()
        if is_on:
            thread.join()


def here(folder: Path, given: argparse.Namespace, checkout: Path = ROOT) -> Result:
    """The sweep on processes of this machine, whose times this or another version tells."""
    store = new_store(folder / "here", checkout)
    seconds = sweep(store, given, checkout, "--workers", str(given.workers))
    name = "this machine" if checkout == ROOT else f"this machine, {checkout.name}"
    return judge(name, seconds, store, [], given)


def on_cluster(folder: Path, given: argparse.Namespace, *, kills: bool) -> Result:
    """The sweep on a cluster, whose workers start with it, as processes here do."""
    cluster = Cluster(folder / "cluster", given.workers)
    try:
        store = new_store(folder / "here")
        with killing(cluster, kills) as killed:
            seconds = sweep(store, given, ROOT, "--scheduler", cluster.address)
        name = "cluster, one killed every 20 s" if kills else "cluster"
        found = judge(name, seconds, store, cluster.stores, given)
        return replace(found, kills=len(killed))
    finally:
        cluster.stop()


def simulated(store: Store, given: argparse.Namespace, workers: int) -> float:
    """Seconds that the queue would take with so many workers, by what each level took."""
    asked, seconds = [], {}
    for one in experiments(given):
        parts = parts_of(one, "run", lambda key: False)
        asked.append((Job(one.key, "queued", "", 0.0, one.as_dict()), parts))
        seconds |= {part.key: store.info(part.key).seconds for part in parts}
    return max(found.ends for found in played(asked, seconds, (0.0,) * workers).values())


def main() -> int:
    """Print a table; 1 if something was lost or trained twice."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--what", choices=ASKED, default="sweep")
    parser.add_argument("--only", choices=("here", "cluster", "kills"), nargs="*")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--before", type=Path, help="a checkout of another version")
    given = parser.parse_args()
    prepare("mnist", ROOT / "cache" / "datasets")
    known = {
        "here": here,
        "cluster": partial(on_cluster, kills=False),
        "kills": partial(on_cluster, kills=True),
    }
    ways = [known[name] for name in given.only or known]
    if given.before:
        ways.insert(0, partial(here, checkout=given.before.resolve()))
    found: list[Result] = []
    print(
        f"{'':34}{'seconds':>9}{'before':>8}{'trained':>9}{'idle':>7}{'levels':>8}{'lost':>6}{'twice':>7}{'kills':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.turns):
            for n, way in enumerate(ways):
                place = Path(folder) / f"{turn}-{n}"
                found.append(one := way(place, given))
                print(
                    f"{one.name:34}{one.seconds:9.1f}{one.before:8.1f}{one.trained:9.1f}{one.idle:7.0%}"
                    f"{one.levels:8}{one.lost:6}{one.twice:7}{one.kills:7}",
                    flush=True,
                )
                if way is here:
                    store = Store(place / "here")
        if here not in ways:
            return int(any(one.lost or one.twice for one in found))
        alone = simulated(store, given, 1)
        for workers in (2, 4, 8):
            ratio = alone / simulated(store, given, workers)
            print(f"simulated, {workers} workers: {ratio:.2f} times as fast as one")
    return int(any(one.lost or one.twice for one in found))


if __name__ == "__main__":
    sys.exit(main())
