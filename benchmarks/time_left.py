"""Are the times that are said before Start true? `python -m benchmarks.time_left`.

Jobs are asked for one after another, as a visitor would, of a queue with its own workers over a
store of its own: of a server that has just started (its workers are cold and nothing is known of
the machine but what a worker measured first), then warm, with several seeds, with controls added,
and behind another job; ten in all, of the Quick preset as it is and of the Notebook for one epoch a
level. Beside each stands what the page would have said when it was asked for, what it took, and the
ratio; the rule is a factor of 1.5 in nine of ten. Then what the bar said at its first look and
half-way, with the time gone by until then, each over what it took. Twice the server starts again:
the machine is known then, and the workers are cold.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from lottery_core.data import prepare
from lottery_core.running.crew import Crew
from lottery_core.running.forecast import plan
from lottery_core.running.queue import Queue
from lottery_core.running.workers import workers_here
from lottery_core.spec.choice import Choice
from lottery_core.spec.presets import PRESETS
from lottery_core.store import CACHE, Store
from lottery_core.training import kept, loops

FACTOR = 1.5
_TRIES = 0.1  # seconds between two looks


@dataclass(frozen=True)
class Case:
    """One request: `before` is asked for first and not waited for."""

    title: str
    choice: Choice
    before: Choice | None = None
    restart: bool = False


@dataclass(frozen=True)
class Found:
    """Seconds that a request took, and that it was said to take: by the headline before Start, and
    by the bar at its first look and half-way, each with what had gone by."""

    took: float
    headline: float
    bar: float
    half_way: float

    def ratios(self) -> tuple[float, float, float]:
        """What was said over what it took."""
        return self.headline / self.took, self.bar / self.took, self.half_way / self.took


def cases(*, whole: bool) -> list[Case]:
    """What is asked for, in this order; with the `whole` of the Notebook's epochs if so."""
    quick = replace(PRESETS["quick"].choice, controls=())
    three = replace(quick, seed=10, replicates=3)
    book = replace(PRESETS["notebook"].choice, controls=())
    book = book if whole else replace(book, length=1.0)
    return [
        Case("Quick, first of all", quick),
        Case("Quick, another seed", replace(quick, seed=1)),
        Case("Quick, three seeds", three),
        Case("Quick, its controls added", replace(three, controls=("reinit", "random-mask"))),
        Case("Quick, behind three seeds", replace(quick, seed=30), replace(three, seed=20)),
        Case("Quick, cold workers", replace(quick, seed=40), restart=True),
        Case("Quick, wider and never trained", replace(quick, network="300 100", seed=50)),
        Case("Notebook, never trained", book),
        Case("Notebook, three seeds", replace(book, seed=10, replicates=3)),
        Case(
            "Notebook, controls, cold workers",
            replace(book, controls=("fine-tune", "reinit")),
            restart=True,
        ),
    ]


def measure(case: Case, store: Store, queue: Queue) -> Found:
    """Have it done, and look at what is said meanwhile."""
    if case.before:
        queue.submit_all(case.before.experiments())
    experiments = case.choice.experiments()
    began = time.monotonic()
    said = plan(store, experiments, queue.queued()).seconds
    while said is None:  # a page says no time either until the first worker has measured
        time.sleep(_TRIES)
        said = plan(store, experiments, queue.queued()).seconds
        began = time.monotonic()
    keys = [job.key for job in queue.submit_all(experiments)]
    bars: list[float] = []
    while any(store.job(key).active for key in keys):
        time.sleep(_TRIES)
        gone = time.monotonic() - began
        left = plan(store, experiments, queue.queued()).seconds if gone < said or not bars else None
        if left is not None and (not bars or (len(bars) == 1 and gone >= said / 2)):
            bars.append(gone + left)
    ended = {store.job(key).state for key in keys}
    if ended != {"done"}:
        raise RuntimeError(f"{case.title}: {ended}")
    return Found(time.monotonic() - began, said, bars[0], bars[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--whole", action="store_true", help="all of the Notebook's epochs: longer")
    parser.add_argument("--workers", type=int, default=workers_here())
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.datasets.parent.mkdir(parents=True, exist_ok=True)
        (store.root / "datasets").symlink_to(Store(CACHE).datasets)
        prepare("mnist", store.datasets)
        # Compiled before: on a fresh install that goes on beside the first trainings.
        kept.place()
        loops.prepare(store)
        (store.root / "compiled").symlink_to(kept.folder().parent)
        print(f"{'':34}{'said':>8}{'took':>8}{'ratio':>8}{'bar':>8}{'half-way':>10}{'load':>7}")
        queue, within = Queue(store, Crew(given.workers)), []
        try:
            for case in cases(whole=given.whole):
                if case.restart:
                    queue.close()
                    queue = Queue(store, Crew(given.workers))
                found = measure(case, store, queue)
                ratio, bar, half = found.ratios()
                within.append(1 / FACTOR <= ratio <= FACTOR)
                print(
                    f"{case.title:34}{found.headline:7.1f}s{found.took:7.1f}s{ratio:8.2f}"
                    f"{bar:8.2f}{half:10.2f}{os.getloadavg()[0]:7.1f}",
                    flush=True,
                )
        finally:
            queue.close()
        print(
            f"{sum(within)} of {len(within)} within a factor of {FACTOR}, {given.workers} workers"
        )
    sys.exit(0 if sum(within) >= 0.9 * len(within) else 1)


if __name__ == "__main__":
    main()
