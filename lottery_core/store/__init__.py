"""Levels on disk, each under the key that names its content, and the news of running jobs.

The store is the only place where workers and pages meet. A level is one folder that appears
whole: it is written under a temporary name, synced and renamed, and carries the SHA-256 of
each of its files. What does not match is treated as absent, with a warning; whoever needs it
computes it again. Nothing here is pickled.

    levels/<key>/      level.json  weights.safetensors  snapshots.safetensors  history.parquet
                       SHA256SUMS (the form `sha256sum -c` reads)
    tickets/           <digest>.safetensors: masks and weights from outside, by their `digest`
    measurements/      <key>.json: what was measured on an experiment's levels (see `task_key`)
    progress/<key>     what a level that is being trained looks like right now
    classes/           <name>.json: classes that are taught, who has which seat, who teaches
    jobs/<key>.json    what became of an experiment: queued, running, done, ...
    locks/             one lock a level, a job and a queue; the system frees a dead owner's
    labels/            <line>.json: what people call a run, its tags and a note
    shelf.json         what was worked out of all runs, so that nobody need do it again
    machine.json       what this machine can do (see running/time_left.py)
    machines/          <name>.json: the same of others that train for it

A folder is made when something is first written to it, and made again when it was deleted.
"""

from __future__ import annotations

from pathlib import Path

from lottery_core.store.classes import Class, Classes
from lottery_core.store.distances import Distances, LevelDistances
from lottery_core.store.files import StoreUnavailable
from lottery_core.store.info import LayerCounts, LevelInfo, Pruned, counts_of
from lottery_core.store.jobs import STOPPED, TASKS, Job, measurement_key, path_key, task_key
from lottery_core.store.labels import MAX_NAME, MAX_NOTE, NO_LABEL, Label, Labels
from lottery_core.store.levels import Level
from lottery_core.store.measurements import (
    AnswerTimes,
    Barriers,
    Copies,
    Instability,
    LayerTimes,
    LevelSpeed,
    Line,
    LineTo,
    Machine,
    Measurement,
    Sizes,
    Speed,
    StepTimes,
    Timed,
    Unstructured,
)
from lottery_core.store.notes import processor
from lottery_core.store.places import CACHE
from lottery_core.store.progress import LevelProgress, PartsDone, Progress, Waiting
from lottery_core.store.room import Room, on_disk
from lottery_core.store.tickets import Tickets, digest

__all__ = [
    "CACHE",
    "MAX_NAME",
    "MAX_NOTE",
    "NO_LABEL",
    "STOPPED",
    "TASKS",
    "AnswerTimes",
    "Barriers",
    "Class",
    "Copies",
    "Distances",
    "Instability",
    "Job",
    "Label",
    "LayerCounts",
    "LayerTimes",
    "Level",
    "LevelDistances",
    "LevelInfo",
    "LevelProgress",
    "LevelSpeed",
    "Line",
    "LineTo",
    "Machine",
    "Measurement",
    "PartsDone",
    "Progress",
    "Pruned",
    "Sizes",
    "Speed",
    "StepTimes",
    "Store",
    "StoreUnavailable",
    "Timed",
    "Unstructured",
    "Waiting",
    "counts_of",
    "digest",
    "measurement_key",
    "on_disk",
    "path_key",
    "processor",
    "task_key",
]


class Store(Room, Labels, Tickets, Classes):
    """All that is kept under one folder; any number of processes may use it at once.

    What the system refuses (no space, no permission, not a folder) is a `StoreUnavailable`,
    whose message can be shown as it is.
    """

    @property
    def datasets(self) -> Path:
        """Where data sets lie."""
        return (self.root / "datasets").resolve()
