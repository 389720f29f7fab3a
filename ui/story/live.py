"""When the page has to be drawn again."""

from __future__ import annotations

from ui.shared.jobs import current_level
from ui.shared.runtime import has_level, runtime
from ui.story.falling import fall_of
from ui.story.run import NEEDS, StoryRun, active, job_of, measured_of, measures_next


def signature(run: StoryRun) -> tuple:
    """What, when it changes, changes more of the page than its live parts."""
    jobs = [job_of(run, need) for need in NEEDS[0]]
    store, keys = runtime().store, {*run.main.keys, *run.reinit.keys}
    fallen = store.has(run.main.keys[0]) and fall_of(run).done
    return (
        tuple(job and job.state for job in jobs),
        sum(map(store.has, keys)),
        measured_of(run) is not None,
        fallen,
        measures_next(run),
    )


def is_live(run: StoryRun, step: int) -> bool:
    """Whether a step has to be drawn again and again."""
    there = map(has_level, run.main.keys)
    if step == 2:  # nobody needs to press anything for it
        return has_level(run.main.keys[0]) and not fall_of(run).done
    if not active(run):
        return False
    n = current_level(run.main)
    return {
        1: n == 0,
        3: n is not None and n > 0,
        4: False,
        5: all(there) or n == len(run.main.rounds),
        6: False,
    }[step]
