"""Jobs that measure something of a run: which run, the button or the bar, how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from lottery_core.findings import luck
from lottery_core.findings.lines import Line, lines_of
from lottery_core.findings.replicates import by_level, mean_percent
from lottery_core.findings.verdict import level_to_show
from lottery_core.running.time_left import in_words
from lottery_core.spec.arms import arm_of, title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_REPLICATES
from lottery_core.spec.links import write_choice
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.sizes import schedule_in_words
from lottery_core.store import Job, Measurement, PartsDone, Waiting, task_key
from ui.shared.jobs import current_level
from ui.shared.link import Link
from ui.shared.reading import asked_together
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.shared.trouble import asking, show_problem, show_refused

Runs = dict[str, tuple[Experiment, dict[str, str], str]]


def runs() -> Runs:
    """What can be measured, by key: (experiment, its choice as in a link, words). Finished
    runs, newest first, those with tickets before those without; then the presets, whose missing
    levels are trained before."""
    store, found = runtime().store, {}
    asked = [(Experiment.known(job.experiment), job) for job in store.jobs()]
    known = [(experiment, job) for experiment, job in asked if experiment]
    for experiment, job in sorted(known, key=lambda one: arm_of(one[0]) != "ticket"):
        if (
            job.params
            and experiment.rounds
            and experiment.key not in found
            and all(map(store.has, experiment.keys))
        ):
            found[experiment.key] = (experiment, job.params, f"{_words(experiment)}, finished")
    for name, preset in PRESETS.items():
        experiment = preset.choice.experiment()
        if experiment.key not in found:
            params = write_choice(name, preset.choice)
            found[experiment.key] = (experiment, params, f"{preset.title}: {_words(experiment)}")
    # Two with the same words would be one to the list they stand in.
    count = Counter(words for _, _, words in found.values())
    return {
        key: (*one, words if count[words] == 1 else f"{words}, {key[:8]}")
        for key, (*one, words) in found.items()
    }


def _words(experiment: Experiment) -> str:
    recipe, last = experiment.recipe, experiment.rounds[-1]
    optimiser = {"sgd": "SGD", "adam": "Adam"}[recipe.optimiser]
    return (
        f"{recipe.net.sizes} on "
        f"{recipe.data_title}, {optimiser}, batch {recipe.batch_size}, "
        f"{schedule_in_words(experiment.rounds)}{_criterion(last.criterion)}, "
        f"{title_of(experiment)}, seed {recipe.seed}"
    )


def _criterion(name: str) -> str:
    return "" if name == "magnitude" else f" by {name}"


def choose(known: Runs, link: Link) -> str:
    """The key of the run to look at; in the page's `link`, which finds it again."""
    link.follow()
    keys = list(known)
    asked = link.asked.get("key")
    if asked and asked not in known:
        st.warning("The run in the link is not in this cache; another one is shown.")
    chosen = st.selectbox(
        "Network and masks",
        keys,
        keys.index(asked) if asked in known else 0,
        key=link.widget_key("measured_run"),
        format_func=lambda key: known[key][2],
    )
    same = link.params.get("key", chosen) == chosen
    link.write((link.params if same else {}) | {"key": chosen})
    return chosen


def choose_part(
    label: str,
    options: Sequence[str],
    usual: int,
    experiment: Experiment,
    link: Link,
    name: str = "part",
) -> int:
    """Which of the things that were measured of an experiment to look at, by its position; to
    begin with the `usual` one, or the one that the page's `link` says under `name`."""
    asked = _asked(link, experiment, name)
    begin = int(asked) if asked in map(str, range(len(options))) else usual
    chosen = st.selectbox(
        label,
        range(len(options)),
        begin,
        format_func=options.__getitem__,
        # Other options are another widget: it begins with its own.
        key=link.widget_key(f"{name}_{experiment.key}_{len(options)}"),
    )
    link.change(**{name: None if chosen == usual else str(chosen)})
    return chosen


def line_and_levels(experiment: Experiment) -> tuple[Line, list[str], int]:
    """The line that an experiment is of, what its tickets' levels are called from level 1 on, and
    which of these to look at first, by its position."""
    lines = lines_of(runtime().store.jobs()).values()
    line = next((one for one in lines if experiment in one.experiments), Line("", (experiment,)))
    together = asked_together(experiment)
    percents = {n: mean_percent(infos.values()) for n, infos in by_level(together).items()}
    names = luck.level_names(experiment, percents)
    usual = (level_to_show(together) or len(names)) - 1
    return line, names, usual


def choose_seeds(experiment: Experiment, usual: int, link: Link) -> int:
    """Over how many seeds to look; to begin with the `usual` number, or that of the page's
    `link`."""
    asked = _asked(link, experiment, "seeds")
    begin = int(asked) if asked in map(str, range(1, MAX_REPLICATES + 1)) else usual
    key = link.widget_key(f"seeds_{experiment.key}_{usual}")
    count = st.number_input("Seeds", 1, MAX_REPLICATES, begin, key=key)
    link.change(seeds=None if count == usual else str(count))
    return count


def _asked(link: Link, experiment: Experiment, name: str) -> str:
    """What the link says under a name, if it is of that experiment."""
    return link.asked.get(name, "") if link.asked.get("key") == experiment.key else ""


def is_active(task: str, experiment: Experiment) -> bool:
    """Whether its measurement is queued or running."""
    job = runtime().store.job(task_key(task, experiment.key))
    return job is not None and job.active


def measured_of(task: str, experiment: Experiment) -> Measurement | None:
    """What was measured last."""
    return runtime().store.read_measurement(task_key(task, experiment.key))


# What begins a task that shares its page with another.
_LABELS = {"early": "Measure when masks settle"}


def show_controls(
    task: str,
    experiment: Experiment,
    params: dict[str, str],
    plan: str,
    part: str,
    *,
    again: bool = True,
    name: str = "",
) -> None:
    """Measure, or Stop, and how far it is. `plan` says what Measure does, `part` what it does
    one after another; not `again` where it would find the same. A second one on a page has a
    `name`."""
    store, key = runtime().store, task_key(task, experiment.key)
    job, measured = store.job(key), store.read_measurement(key)
    show_problem()
    if job is not None and job.active:
        show_running([job.key], partial(_show_progress, experiment, job, part), name)
        return
    words, button = st.columns([3, 1], vertical_alignment="center")
    words.markdown(f"**{plan}**")
    if measured and not again:
        return
    button.button(
        "Measure again" if measured else _LABELS.get(task, "Measure"),
        type="secondary" if measured else "primary",
        on_click=_start,
        args=(task, experiment, params),
        width="stretch",
        key=f"measure{name}",
    )
    show_refused()
    if job is not None and job.state != "done" and job.message:
        st.error(f"The measurement was not finished: {plain(job.message)}")


@asking
def _start(task: str, experiment: Experiment, params: dict[str, str]) -> None:
    runtime().queue.submit(experiment, params=params, task=task)


def show_running(keys: Sequence[str], show_progress: Callable[[], None], name: str = "") -> None:
    """How far some jobs are, and Stop, which ends them all. A second one on a page has a
    `name`."""
    bar, button = st.columns([4, 1], vertical_alignment="center")
    with bar:
        show_progress()
    button.button(
        "Stop",
        icon=":material/stop:",
        on_click=_stop,
        args=(keys,),
        width="stretch",
        key=f"stop_measuring{name}",
    )


@asking
def _stop(keys: Sequence[str]) -> None:
    for key in keys:
        runtime().queue.cancel(key)


def show_parts(found: PartsDone, what: str, of: str = "") -> None:
    """A bar of how many parts of a measurement are done, each called `what`, and how long the rest
    takes; `of` names what they are parts of."""
    left = ""
    if found.seconds_each and found.done < found.of:
        left = f", about {in_words(found.seconds_each * (found.of - found.done))} left"
    text = f"{what} {min(found.done + 1, found.of)} of {found.of}{of}{left}"
    st.progress(found.done / found.of, text)


def _show_progress(experiment: Experiment, job: Job, part: str) -> None:
    last = len(experiment.rounds)
    measuring = runtime().store.read_progress(job.key)
    n = current_level(experiment)
    if job.state == "queued":
        st.progress(0.0, "Waiting for a free worker")
    elif isinstance(measuring, Waiting):
        st.progress(0.0, f"First: {measuring.words}")
    elif isinstance(measuring, PartsDone):
        show_parts(measuring, f"Measuring {part}")
    elif n is not None:
        st.progress(0.0, f"Training level {n} of {last}, which is not in the cache yet")
    else:
        st.progress(0.0, "Getting ready")
