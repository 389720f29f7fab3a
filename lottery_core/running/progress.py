"""What can be seen of a level while it trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.experiment import Experiment
from lottery_core.store import LayerCounts, LevelProgress, Store, Waiting, counts_of
from lottery_core.store.pictures import pack
from lottery_core.training.base import Moment

_EVERY = 0.35  # seconds between two looks
_LEISURE = 20  # between two pictures so many times what one takes: of millions of weights, long
_POINTS = 300  # of the loss curve


class Watch:
    """Writes a level's progress to the store a few times a second; a training loop's `report`.

    As a context manager it forgets the progress when the level ends, however it ends.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        level: int,
        experiment: Experiment,
        check: Callable[[], None],
    ):
        self._store, self._key, self.check = store, key, check
        self._iterations = experiment.iterations(level)
        self._level, self._first = level, 0
        self._counts: dict[str, LayerCounts] = {}
        self._accuracies: dict[str, float] = {}
        self._began = self._written = 0.0
        self._rows = 0
        self._waits = False
        self._pictures: tuple[Arrays, dict] = {}, {}
        self._picture_due = 0.0
        self.waited = 0.0
        """Seconds spent on what `say` spoke of, which are not the level's."""

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self._store.clear_progress(self._key)

    def begin(self, mask: Arrays, first_iteration: int, accuracies: dict[str, float]) -> None:
        """Say what is about to be trained; `accuracies` are those of `LevelProgress` that are
        known before."""
        self._began, self._counts = time.perf_counter(), counts_of(mask)
        self._first, self._accuracies = first_iteration, accuracies

    def say(self, words: str) -> None:
        """Show what has to be waited for before the training begins."""
        self._waits = True
        self._store.write_progress(self._key, Waiting(words))

    def __call__(self, moment: Moment) -> None:
        self.check()
        now = time.perf_counter()
        if self._waits:
            self._waits, self.waited, self._began = False, now - self._began, now
        news = len(moment.history) > self._rows and self._rows < 2
        if now - self._written < _EVERY and not news:
            return
        self._written, self._rows = now, len(moment.history)
        done, seconds = moment.iteration - self._first, now - self._began
        left = seconds / done * (self._iterations - moment.iteration) if done else None
        if now >= self._picture_due:
            self._counts = counts_of(moment.mask)
            self._pictures = pack(moment.weights(), moment.mask)
            cost = time.perf_counter() - now
            self._picture_due = now + _LEISURE * cost
        pictures, scales = self._pictures
        at, losses = thin(moment.losses, self._first)
        progress = LevelProgress(
            level=self._level,
            iterations=self._iterations,
            first_iteration=self._first,
            layers=self._counts,
            **self._accuracies,
            iteration=moment.iteration,
            seconds=seconds,
            seconds_left=left,
            # JSON has no NaN.
            history=[
                {name: None if np.isnan(value) else value for name, value in asdict(row).items()}
                for row in moment.history
            ],
            loss_iterations=at.tolist(),
            losses=losses.tolist(),
            scales=scales,
            pictures=pictures,
        )
        self._store.write_progress(self._key, progress)


def thin(losses: np.ndarray, first_iteration: int) -> tuple[np.ndarray, np.ndarray]:
    """At most 300 points of a loss curve: (last iteration, mean loss) of equal stretches."""
    if not len(losses):
        return np.empty(0, int), np.empty(0)
    width = -(-len(losses) // _POINTS)
    starts = np.arange(0, len(losses), width)
    counts = np.diff(np.append(starts, len(losses)))
    means = np.add.reduceat(losses.astype(np.float64), starts) / counts
    return first_iteration + starts + counts, means
