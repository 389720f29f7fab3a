"""The dense network as it is pruned and left alone, computed in this process by a thread."""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass, field

import numpy as np
import streamlit as st
from threadpoolctl import threadpool_limits

from lottery_core.findings import walk
from lottery_core.findings.answers import answers, reader, unseen_images
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Store
from ui.shared.runtime import runtime
from ui.story.run import StoryRun

FEW = 12  # digits to look at


@dataclass
class Fall:
    """What a thread has found so far of the dense network as it is pruned."""

    points: list[walk.Point] = field(default_factory=list)
    answers: np.ndarray | None = None
    misread: int = 0
    wrong: np.ndarray | None = None
    wrong_labels: np.ndarray | None = None
    wrong_answers: np.ndarray | None = None
    problem: str = ""
    done: bool = False


def fall_of(run: StoryRun) -> Fall:
    """What is known of the dense network, which has to be there, as it is pruned."""
    experiment = run.main
    return _computed(experiment.keys[0], walk.sparsities_of(experiment), experiment)


@st.cache_resource(show_spinner=False, max_entries=8)
def _computed(key: str, sparsities: list[float], _experiment: Experiment) -> Fall:
    fall, store = Fall(), runtime().store
    threading.Thread(target=_compute, args=(fall, store, key, _experiment), daemon=True).start()
    return fall


def _compute(fall: Fall, store: Store, key: str, experiment: Experiment) -> None:
    try:
        level = store.read(key)
        if level is None:
            raise RuntimeError("the trained network could not be read; press Go on")
        trained = level.end
        del level
        images, labels = unseen_images("mnist", store.datasets)
        read = reader(experiment.recipe, store.datasets)(images)
        # The cores are busy with trainings: two threads would wait for each other.
        with threadpool_limits(1, "blas"):
            named = answers(experiment.recipe, trained, read)
            wrong = np.flatnonzero(named != labels)
            few = wrong[:FEW]
            fall.misread, fall.wrong = len(wrong), images[few]
            fall.wrong_labels, fall.wrong_answers = labels[few], named[few]
            fall.answers = named[:FEW]
            fall.points.extend(walk.falling(experiment, trained, read, labels))
    except Exception as error:  # noqa: BLE001 - a thread's fault must reach the page too
        traceback.print_exc()
        fall.problem = str(error)
    fall.done = True
