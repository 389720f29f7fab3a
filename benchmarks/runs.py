"""How long the Runs page works over 5,000 recorded runs: `python -m benchmarks.runs`.

Writes the runs (200 choices over five seeds, each of five arms and criteria, seven levels a run)
without training them, then times what the page does when it is opened: by a server that has never
seen the cache, by one that is started again, by one that is warm, and after one run has changed.
With a folder as its argument the runs are written there and stay, to be looked at in a browser.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from lottery_core.findings.shelf import Shelf
from lottery_core.findings.shelf_filter import Filter
from lottery_core.running.upkeep import size_of_cache
from lottery_core.spec.arms import ARMS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import iterative, rounds_of
from lottery_core.store import Job, LayerCounts, Level, LevelInfo, Store
from ui.runs.table import frame_of

LINES, SEEDS, ROUNDS = 1_000, 5, 6
CRITERIA = ("magnitude", "snip", "grasp", "synflow")
READ, JUDGE = 0.7, 0.5  # as pages/runs.py has them


def experiments() -> Iterator[Experiment]:
    """As many as are to be recorded, equal ones of several seeds after one another."""
    for n in range(LINES):
        choice, arm = divmod(n, 5)
        recipe = Recipe(
            network=f"{16 + choice % 20} {8 + choice // 20}",
            iterations=100 + choice,
            evaluate_every=20,
            learning_rate=0.05,
        )
        rounds = rounds_of(iterative(0.4, ROUNDS), criterion=CRITERIA[arm % 4])
        for seed in range(SEEDS):
            made = Experiment(replace(recipe, seed=seed), rounds)
            yield ARMS["reinit"].of(made) if arm == 4 else made


def record(store: Store, experiment: Experiment, when: float) -> None:
    """A run as if it had been trained, with numbers by chance."""
    chance = np.random.default_rng(int(experiment.key[:8], 16))
    history = pd.DataFrame({"iteration": [0, experiment.recipe.iterations]})
    shapes = experiment.recipe.shapes
    for n, key in enumerate(experiment.keys):
        if store.has(key):
            continue
        kept = 0.6**n
        layers = {
            name: LayerCounts(int(np.prod(shape)), max(1, round(kept * float(np.prod(shape)))))
            for name, shape in shapes.items()
        }
        accuracy = 0.95 + 0.01 * float(chance.standard_normal()) - 0.004 * max(0, n - 3)
        info = LevelInfo(
            level=n,
            experiment=replace(experiment, rounds=experiment.rounds[:n]).as_dict(),
            weights=tuple(layers),
            layers=layers,
            iterations_trained=experiment.recipe.iterations,
            test_accuracy=accuracy,
            validation_accuracy=accuracy,
            early_stop_iteration=80,
            test_accuracy_at_early_stop=accuracy,
            device="cpu",
            seconds=1.5,
            data="0" * 64,
            versions={},
            key=key,
        )
        little = {name: np.zeros((2, 2), np.float32) for name in shapes}
        mask = {name: np.ones((2, 2), bool) for name in shapes}
        store.write(key, Level(info, mask, little, little, np.zeros(3, np.float32), history))
    times = {"submitted": when, "started": when, "finished": when + 10}
    store.write_job(Job(experiment.key, "done", "", experiment=experiment.as_dict(), **times))


def fill(store: Store) -> None:
    """Record all runs; nothing of them has to outlast a power cut."""
    synced, os.fsync = os.fsync, lambda handle: None
    try:
        for n, experiment in enumerate(experiments()):
            record(store, experiment, 1.7e9 + 60 * n)
    finally:
        os.fsync = synced


def timed(what: Callable[[], object]) -> tuple[float, object]:
    """How many seconds something takes, and what it gives."""
    began = time.perf_counter()
    made = what()
    return time.perf_counter() - began, made


def work(shelf: Shelf, store: Store) -> tuple[int, int]:
    """What the page works out for one look; how many rows it shows, and how many wait."""
    found = shelf.look(READ)
    rows = shelf.rows(found, True, JUDGE)
    shown = Filter(words="mnist").of(rows)
    frame_of(shown)
    size_of_cache(store, found)
    return len(shown), found.unread + sum(row.result is None for row in rows)


def measure(store: Store) -> None:
    """Time the page's work, and print a line a figure."""
    shelf = Shelf(store)
    took, (rows, waiting) = timed(lambda: work(shelf, store))
    print(f"first look at a cache never seen: {took:.2f} s, {rows} rows, {waiting} wait")
    looks, total = 1, took
    while waiting:
        took, (rows, waiting) = timed(lambda: work(shelf, store))
        looks, total = looks + 1, total + took
    print(f"  all {rows} rows after {looks} looks, {total:.1f} s of work")
    shelf._known.is_new, shelf._keep_after = True, {}  # as after half a minute
    work(shelf, store)

    again = [timed(lambda: work(Shelf(Store(store.root)), store)) for _ in range(3)]
    print(f"server started again: median {statistics.median(t for t, _ in again):.2f} s, "
          f"{again[0][1][1]} wait (wanted: under 2 s)")  # fmt: skip
    warm = statistics.median(timed(lambda: work(shelf, store))[0] for _ in range(5))
    print(f"warm server: median {warm:.2f} s (wanted: under 2 s)")
    ticks = statistics.median(timed(lambda: shelf.look(0.0))[0] for _ in range(5))
    print(f"one look every two seconds, nothing new: median {1000 * ticks:.0f} ms")
    store.write_job(replace(store.jobs()[0], message="changed"))
    took, _ = timed(lambda: work(shelf, store))
    print(f"after one run has changed: {took:.2f} s")


def main(folder: str = "") -> None:
    """Record the runs and measure."""
    with tempfile.TemporaryDirectory() as made:
        store = Store(Path(folder or made))
        took, _ = timed(lambda: fill(store))
        runs, levels = len(store.jobs()), len(store.marks())
        print(f"{runs:,} runs of {levels:,} levels recorded in {took:.0f} s")
        measure(store)


if __name__ == "__main__":
    main(*sys.argv[1:])
