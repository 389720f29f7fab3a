"""Are the times that are said before Start true? `python -m benchmarks.time_left`.

Jobs are asked for one after another, as a visitor would, of a queue with its own workers over a
store of its own: of a server that has just started (its workers are cold and nothing is known of
the machine but what a worker measured first), then warm, with several seeds, with controls added,
and behind another job. Beside each stands what the page would have said when it was asked for, what
it took, and the ratio; the rule is a factor of 1.5 in nine of ten. In the middle the server starts
again: the machine is known then, and the workers are cold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from lottery_core.data import prepare
from lottery_core.running.forecast import plan
from lottery_core.running.queue import Queue
from lottery_core.running.workers import workers_here
from lottery_core.spec.choice import Choice
from lottery_core.spec.presets import PRESETS
from lottery_core.store import CACHE, Store

FACTOR = 1.5
_TRIES = 0.1  # seconds between two looks


@dataclass(frozen=True)
class Case:
    """One request: `before` is asked for first and not waited for."""

    title: str
    choice: Choice
    before: Choice | None = None
    restart: bool = False


def cases(*, notebook: bool) -> list[Case]:
    """What is asked for, in this order."""
    quick = replace(PRESETS["quick"].choice, controls=())
    three = replace(quick, seed=10, replicates=3)
    found = [
        Case("Quick, first of all", quick),
        Case("Quick, another seed", replace(quick, seed=1)),
        Case("Quick, three seeds", three),
        Case("Quick, its controls added", replace(three, controls=("reinit", "random-mask"))),
        Case("Quick, behind three seeds", replace(quick, seed=30), replace(three, seed=20)),
        Case("Quick, cold workers", replace(quick, seed=40), restart=True),
        Case("Quick, wider and never trained", replace(quick, network="300 100", seed=50)),
    ]
    if notebook:
        book = replace(PRESETS["notebook"].choice, controls=())
        found += [Case("Notebook, never trained", book), Case("Notebook", replace(book, seed=1))]
    return found


def measure(case: Case, store: Store, queue: Queue) -> tuple[float, float]:
    """Seconds said and seconds taken."""
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
    while any(store.job(key).active for key in keys):
        time.sleep(_TRIES)
    ended = {store.job(key).state for key in keys}
    if ended != {"done"}:
        raise RuntimeError(f"{case.title}: {ended}")
    return said, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--notebook", action="store_true", help="the Notebook preset too: minutes")
    parser.add_argument("--workers", type=int, default=workers_here())
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.datasets.parent.mkdir(parents=True, exist_ok=True)
        (store.root / "datasets").symlink_to(Store(CACHE).datasets)
        prepare("mnist", store.datasets)
        print(f"{'':34}{'said':>8}{'took':>8}{'ratio':>8}")
        queue, within = Queue(store, given.workers), []
        try:
            for case in cases(notebook=given.notebook):
                if case.restart:
                    queue.close()
                    queue = Queue(store, given.workers)
                said, took = measure(case, store, queue)
                within.append(1 / FACTOR <= said / took <= FACTOR)
                print(f"{case.title:34}{said:7.1f}s{took:7.1f}s{said / took:8.2f}", flush=True)
        finally:
            queue.close()
        print(
            f"{sum(within)} of {len(within)} within a factor of {FACTOR}, {given.workers} workers"
        )
    sys.exit(0 if sum(within) >= 0.9 * len(within) else 1)


if __name__ == "__main__":
    main()
