"""The Compare page's parts: which lines, what can be added, their charts and differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from lottery_core.findings import comparison, replicates
from lottery_core.findings.comparison import Line, Runs, View
from lottery_core.findings.tables import empty_in_words, percent_remaining
from lottery_core.report import compared_figures, figures
from lottery_core.running.time_left import plan
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import PRESETS, write_choice
from lottery_core.spec.experiment import MAX_REPLICATES, Experiment
from ui.charts import BANDS, HISTORY, training_now
from ui.frame import one_of
from ui.plot import legend, plot
from ui.reading import finished, infos
from ui.runtime import runtime
from ui.status import finished_keys, rest_in_words, show_jobs
from ui.text import plain
from ui.trouble import asking, show_refused

GROUP = "compare"
_FIRST_SEEDS = 3  # of the run that an empty cache is offered
_CURVES = {"accuracy": "Test accuracy", "loss": "Validation loss"}
_COLUMNS = {"accuracy": "test_accuracy", "loss": "validation_loss"}


@dataclass(frozen=True)
class Compared:
    """What is compared: the lines in the order of choice, what each is called and how it is
    drawn, the infos of its finished levels by seed, and where its levels are drawn if elsewhere
    than at their weights; `signature` is from before they were read, so that what ended since
    asks for a new look; `percent` is the size looked at."""

    view: View
    lines: tuple[Line, ...]
    words: dict[str, str]
    styles: dict[str, figures.Style]
    runs: dict[str, Runs]
    places: dict[str, list[float] | None]
    signature: tuple
    percent: float = 100.0

    @property
    def experiments(self) -> list[Experiment]:
        """All experiments of all lines."""
        return [experiment for line in self.lines for experiment in line.experiments]

    @property
    def reference(self) -> Line:
        """The line the others are compared with."""
        named = [line for line in self.lines if line.id == self.view.reference]
        return (*named, *self.lines)[0]

    @property
    def seeds(self) -> int:
        """How many seeds the line with the most has finished."""
        return max((len(known) for known in self.runs.values()), default=0)


# Which lines


def choose() -> Compared | None:
    """Show the picker; None where there is nothing to pick from."""
    state, store = st.session_state, runtime().store
    known = comparison.lines(store.jobs())
    told = st.container()
    problems = _follow_url(known)
    asked = state.compare.lines
    offered = [n for n, line in known.items() if n in asked or _begun(line) or _active(line)]
    if not offered:
        for problem in problems:
            told.warning(f"In the link: {plain(problem)}.")
        del state.compare
        return None
    words = comparison.names([known[name] for name in offered])
    labels = {name: f"{words[name]}, {_seeds(len(known[name].seeds))}" for name in offered}
    picked = st.multiselect(
        "Compare",
        offered,
        default=[name for name in asked if name in offered],
        max_selections=comparison.MAX_LINES,
        format_func=labels.__getitem__,
        # Other options are another widget: they come with the choice as it is.
        key=_key("lines", labels),
        placeholder="Pick up to 8 of the runs in this cache",
    )[: comparison.MAX_LINES]
    state.compare = replace(state.compare, lines=tuple(picked))
    if state.compare.reference not in picked:
        state.compare = replace(state.compare, reference="")
    if state.compare_problems[1] == state.compare:
        for problem in problems:
            told.warning(f"In the link: {plain(problem)}. It is left out.")
    return _compared(tuple(known[name] for name in picked))


def _compared(lines: tuple[Line, ...]) -> Compared:
    before = signature(lines)
    styles = figures.distinct_styles([line.arm for line in lines])
    found = {line.id: infos(line.experiments) for line in lines}
    every = list(found.values())
    return Compared(
        view=st.session_state.compare,
        lines=lines,
        words=comparison.names(lines),
        styles={line.id: style for line, style in zip(lines, styles, strict=True)},
        runs=found,
        places={
            line.id: comparison.percents_of(line.main, lines, every)
            if line.arm == "dense-longer"
            else None
            for line in lines
        },
        signature=before,
    )


def _follow_url(known: dict[str, Line]) -> list[str]:
    """Take the view from the URL when it is not the one written last, as the sidebar does;
    returns what was wrong with it."""
    state, url = st.session_state, dict(st.query_params)
    if "compare" in state and (not url or url == state.compare_url):
        if not url and state.compare_url:  # back from another page, which has no parameters
            _offer(state.compare)
            state.compare_url = url
        return state.compare_problems[0]
    view, problems = comparison.read_view(url, known)
    if not view.lines:
        done = {n for n, line in known.items() if _finished(line)}
        view = replace(view, lines=comparison.usual_lines(known, done))
    _offer(view)
    state.compare_url, state.compare_problems = url, (problems, view)
    return problems


def _offer(view: View) -> None:
    """Show `view` in new widgets."""
    st.session_state.compare = view
    st.session_state.compare_generation = st.session_state.get("compare_generation", 0) + 1


def _key(name: str, options: object = "") -> str:
    # A widget whose options changed would otherwise come back with its first one.
    return f"compare_{name}_{st.session_state.compare_generation}_{abs(hash(str(options))):x}"


def write_url() -> None:
    """Say in the URL what is shown, once all widgets have been."""
    params = comparison.write_view(st.session_state.compare)
    if params != dict(st.query_params):
        st.query_params.from_dict(params)
    st.session_state.compare_url = params


def _begun(line: Line) -> bool:
    return any(map(runtime().store.has, line.own_keys))


def _finished(line: Line) -> bool:
    return any(map(_complete, line.experiments))


def _complete(experiment: Experiment) -> bool:
    return all(map(runtime().store.has, experiment.keys))


def _active(line: Line) -> bool:
    jobs = (runtime().store.job(experiment.key) for experiment in line.experiments)
    return any(job is not None and job.active for job in jobs)


def _seeds(n: int) -> str:
    return f"{n} seeds" if n > 1 else "one seed"


# What can be added


def show_empty() -> None:
    """Nothing to compare yet: what to do about it."""
    st.info(
        "Nothing has been run yet, so there is nothing to compare. Choose an experiment in the "
        f"Explorer, or start one here: the Quick preset over {_FIRST_SEEDS} seeds, with its "
        "controls.",
        icon=":material/compare_arrows:",
    )
    choice = replace(PRESETS["quick"].choice, replicates=_FIRST_SEEDS)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Start the Quick preset",
            icon=":material/play_arrow:",
            type="primary",
            key="start_quick",
            on_click=_start_quick,
            args=(choice,),
        )
        st.page_link("app.py", label="To the Explorer", icon=":material/explore:")
    st.caption(_cost(choice.experiments()))
    show_refused()


def _start_quick(choice) -> None:
    def start() -> tuple[str, ...]:
        params = write_choice("quick", choice)
        runtime().queue.submit_all(choice.experiments(), params=params)
        return tuple(comparison.line_id(arm[0]) for arm in choice.arms().values())

    _ask(start)


def show_actions(compared: Compared) -> None:
    """Add the controls, more seeds, Stop or Resume; what they cost."""
    if not compared.lines:
        st.info("Pick at least one run above.", icon=":material/compare_arrows:")
        return
    store = runtime().store
    main = next((line for line in compared.lines if line.arm == "ticket"), compared.lines[0])
    arms = comparison.controls_of(main)
    missing = [name for name, arm in arms.items() if not _shown_whole(compared, arm)]
    active = any(map(_active, compared.lines))
    begun = [e for e in compared.experiments if store.job(e.key) and not _complete(e)]
    if len(compared.lines) == 1:
        st.info(
            "One line alone: pick another above, or add its controls to see what the mask and "
            "the initial weights are each worth.",
            icon=":material/compare_arrows:",
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if missing:
            st.button(
                "Add the controls",
                icon=":material/add:",
                type="primary" if len(compared.lines) == 1 else "secondary",
                on_click=_add_controls,
                args=(main, compared.view.lines),
                key="add_controls",
            )
        n = st.number_input("More seeds", 1, MAX_REPLICATES, 1, key="more_seeds", width=120)
        st.button(
            f"Add {_seeds(n)} to each" if n > 1 else "Add a seed to each",
            on_click=_add_seeds,
            args=(compared.lines, n),
            key="add_seeds",
        )
        if active:
            st.button(
                "Stop",
                icon=":material/stop:",
                on_click=_stop,
                args=(compared.experiments,),
                key="stop",
            )
        elif begun:
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                on_click=_resume,
                args=(begun,),
                key="resume",
            )
    if missing:
        titles = ", ".join(ARMS[name].title for name in missing)
        cost = _cost([experiment for name in missing for experiment in arms[name]])
        st.caption(f"The controls ({titles}) with the same seeds: {cost}")
    show_refused()


def _shown_whole(compared: Compared, arm: tuple[Experiment, ...]) -> bool:
    shown = set(compared.experiments)
    jobs = (runtime().store.job(experiment.key) for experiment in arm)
    return shown.issuperset(arm) and all(
        _complete(experiment) or (job is not None and job.active)
        for experiment, job in zip(arm, jobs, strict=True)
    )


def _cost(experiments: list[Experiment]) -> str:
    todo = plan(runtime().store, experiments, runtime().workers)
    return f"{todo.trainings} trainings{rest_in_words(todo)}"


@asking
def _ask(start: Callable[[], tuple[str, ...]]) -> None:
    """Ask the queue for something, and show the lines that `start` returns."""
    lines = start()
    _offer(replace(st.session_state.get("compare", View()), lines=lines))
    st.session_state.setdefault("compare_url", dict(st.query_params))
    st.session_state.setdefault("compare_problems", ([], None))


def _submit(line: Line, experiments: list[Experiment], params: dict[str, str]) -> None:
    options = {"device": line.device, "loop": line.loop, "params": params}
    runtime().queue.submit_all(experiments, **options)


def _add_controls(line: Line, shown: tuple[str, ...]) -> None:
    def start() -> tuple[str, ...]:
        arms = comparison.controls_of(line)
        names = tuple(dict.fromkeys((*shown, *(comparison.line_id(a[0]) for a in arms.values()))))
        if len(names) > comparison.MAX_LINES:
            raise InvalidValue(
                "lines",
                len(names),
                f"are more than the {comparison.MAX_LINES} that are shown at once; take some away",
            )
        store = runtime().store
        experiments = [
            experiment
            for arm in arms.values()
            for experiment in arm
            if not _complete(experiment) or store.job(experiment.key) is None
        ]
        comparison.check_work(experiments)
        _submit(line, experiments, comparison.params_for(line, line.seeds, tuple(arms)))
        return names

    _ask(start)


def _add_seeds(lines: tuple[Line, ...], n: int) -> None:
    def start() -> tuple[str, ...]:
        for line, experiments in comparison.more_seeds(lines, n):
            seeds = {*line.seeds, *(experiment.recipe.seed for experiment in experiments)}
            _submit(line, experiments, comparison.params_for(line, sorted(seeds)))
        return tuple(line.id for line in lines)

    _ask(start)


@asking
def _stop(experiments: list[Experiment]) -> None:
    for experiment in experiments:
        job = runtime().store.job(experiment.key)
        if job is not None and job.active:
            runtime().queue.cancel(experiment.key)


@asking
def _resume(experiments: list[Experiment]) -> None:
    for experiment in experiments:
        job = runtime().store.job(experiment.key)
        if job is not None:
            options = {"device": job.device, "loop": job.loop, "params": job.params}
            runtime().queue.submit(experiment, **options)


# How far they are


def signature(lines: tuple[Line, ...]) -> tuple:
    """What, when it changes, changes more of the page than its live parts."""
    experiments = [experiment for line in lines for experiment in line.experiments]
    jobs = [runtime().store.job(experiment.key) for experiment in experiments]
    return tuple(job and job.state for job in jobs), finished_keys(experiments)


def is_active(compared: Compared) -> bool:
    """Whether any of what is compared is queued or running."""
    return any(map(_active, compared.lines))


def show_progress(compared: Compared) -> None:
    """A bar for each experiment that is running, and how many wait."""
    show_jobs(
        (experiment, runtime().store.job(experiment.key), _name(compared, line, experiment))
        for line in compared.lines
        for experiment in line.experiments
    )


def _name(compared: Compared, line: Line, experiment: Experiment) -> str:
    return f"{_capital_words(compared.words[line.id])}, seed {experiment.recipe.seed}: "


def _capital_words(words: str) -> str:
    return plain(f"{words[0].upper()}{words[1:]}")


# Charts


def show_view_options(compared: Compared) -> Compared:
    """The legend of all charts, and how they are drawn."""
    view = compared.view
    together = comparison.in_common(compared.lines)
    st.caption(f"{'All: ' if len(compared.lines) > 1 else ''}{plain(together)}.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = {"whole": "Everything", "near": "Near the dense network"}
        axis = one_of("Accuracy axis", _key("axis"), words, view.axis)
        bands = view.bands
        if compared.seeds > 1:
            bands = one_of("Bands over the seeds", _key("bands"), BANDS, bands)
        names = list(view.lines)
        reference = st.selectbox(
            "Compare with",
            names,
            names.index(compared.reference.id),
            key=_key("reference", (names, list(compared.words.values()))),
            format_func=compared.words.__getitem__,
            width=340,
        )
    if compared.seeds == 1:
        st.caption("One seed: no band can say how far others would lie from it.")
    named = "" if reference == names[0] else reference
    found = _change(compared, axis=axis, bands=bands, reference=named)
    legend(_curves(found, "test_accuracy"), "compare_legend", GROUP)
    return found


def _change(compared: Compared, **changes) -> Compared:
    st.session_state.compare = replace(st.session_state.compare, **changes)
    return replace(compared, view=st.session_state.compare)


def _frames(compared: Compared, field: str) -> dict[str, pd.DataFrame]:
    """By line: its curve of a field of its levels, without levels that have no such value."""
    found = {}
    for line in compared.lines:
        frame = replicates.curve(compared.runs[line.id], field, compared.view.bands)
        if (places := compared.places[line.id]) is not None:
            frame["percent"] = places[: len(frame)]
        found[line.id] = frame[frame["n"] > 0]
    return found


def _curve(compared: Compared, line: Line, x: str, frame: pd.DataFrame) -> figures.Curve:
    n = int(frame["n"].max()) if len(frame) else len(compared.runs[line.id])
    return figures.Curve(
        f"{compared.words[line.id]}, {_seeds(n)}" if n else compared.words[line.id],
        frame[x].tolist(),
        frame["mean"].tolist(),
        compared.styles[line.id],
        frame["low"].tolist(),
        frame["high"].tolist(),
        n,
        group=line.id,
    )


def _curves(compared: Compared, field: str) -> list[figures.Curve]:
    frames = _frames(compared, field)
    return [_curve(compared, line, "percent", frames[line.id]) for line in compared.lines]


def show_overview(compared: Compared) -> None:
    """Test accuracy and early stop against weights remaining."""
    left, right = st.columns(2)
    curves = [curve for curve in _curves(compared, "test_accuracy") if len(curve.x)]
    known = compared.runs[compared.reference.id].values()
    dense = replicates.band([levels[0]["test_accuracy"] for levels in known], "range")
    with left:
        figure = compared_figures.compared_accuracy_figure(
            curves, dense.mean if dense.n else None, near_dense=compared.view.axis == "near"
        )
        plot(figure, "plot_compared_accuracy", GROUP)
    stops = [curve for curve in _curves(compared, "early_stop_iteration") if len(curve.x)]
    with right:
        if stops:
            plot(compared_figures.early_stop_figure(stops), "plot_early_stop", GROUP)
        without = [line for line in compared.lines if not line.main.recipe.validation_size]
        if len(without) == len(compared.lines):
            st.info("No early stop: these recipes hold out no images to find it with.")
        elif without:
            named = "; ".join(compared.words[line.id] for line in without)
            st.caption(f"No early stop without images held out: {plain(named)}.")


def choose_level(compared: Compared) -> Compared:
    """Which size and which curve to look at, among those that any line has."""
    options = _percents(compared)
    usual = _usual_percent(compared, options)
    asked = compared.view.percent
    value = min(options, key=lambda percent: abs(percent - (usual if asked is None else asked)))
    if asked is not None and not comparison.same_density(value, asked):
        st.warning(
            f"No run here has a network with {asked:g}\u202f% of the weights; the nearest is shown."
        )
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        if len(options) > 1:
            value = st.select_slider(
                "Weights remaining",
                options,
                value,
                key=_key("percent", (options, usual)),
                format_func=lambda percent: f"{percent:.4g}\u202f%",
            )
    with right:
        curve = one_of("Training curve", _key("curve"), _CURVES, compared.view.curve)
    found = _change(compared, percent=None if value == usual else value, curve=curve)
    return replace(found, percent=value)


def _percents(compared: Compared) -> list[float]:
    """All densities that any line has, each once."""
    frames = _frames(compared, "test_accuracy").values()
    found: list[float] = []
    for percent in sorted({p for frame in frames for p in frame["percent"]}, reverse=True):
        if not found or not comparison.same_density(percent, found[-1]):
            found.append(round(percent, 2 if percent > 1 else 4))
    return found or [100.0]


def _usual_percent(compared: Compared, options: list[float]) -> float:
    """The reference's smallest winning ticket, or the smallest network that all have."""
    found = replicates.smallest_winning(compared.runs[compared.reference.id])
    shared = options
    for frame in _frames(compared, "test_accuracy").values():
        if len(frame):
            shared = [p for p in shared if any(_there(frame, p))] or shared
    won = [p for p in options if found and comparison.same_density(found.percent, p)]
    return (won or shared)[-1]


def _there(frame: pd.DataFrame, percent: float) -> np.ndarray:
    """Which rows have that density."""
    return np.array([comparison.same_density(at, percent) for at in frame["percent"]], bool)


def show_training(compared: Compared) -> None:
    """How the networks of the chosen size learned, or learn this moment."""
    what, percent = compared.view.curve, compared.percent
    frames = _training_frames(compared, what, percent)
    curves = [
        _curve(compared, line, "iteration", frames[line.id])
        for line in compared.lines
        if len(frames[line.id])
    ]
    if not curves:
        reason = "hold out no images for validation" if what == "loss" else "have none of that size"
        st.info(f"No curve to draw: these runs {reason}.")
        return
    lengths = {line.main.recipe.iterations for line in compared.lines}
    total = lengths.pop() if len(lengths) == 1 else None
    plot(
        compared_figures.training_figure(curves, what, percent, total=total), "plot_training", GROUP
    )


def _training_frames(compared: Compared, what: str, percent: float) -> dict[str, pd.DataFrame]:
    found = {}
    for line in compared.lines:
        frame = replicates.history_curve(
            _histories(compared, line, percent), _COLUMNS[what], compared.view.bands
        )
        found[line.id] = frame[frame["n"] > 0]
    return found


def _histories(compared: Compared, line: Line, percent: float) -> dict[int, pd.DataFrame]:
    places, found = compared.places[line.id], {}
    for experiment in line.experiments:
        known = [(level.info, level.history) for level in finished(experiment)]
        if live := training_now(experiment, len(known)):
            known.append((live, pd.DataFrame(live["history"], columns=HISTORY).astype(float)))
        for n, (info, history) in enumerate(known):
            at = percent_remaining(info) if places is None else places[n]
            if len(history) and comparison.same_density(at, percent):
                found[experiment.recipe.seed] = history
                break
    return found


# Words, tables, files


def show_verdict(compared: Compared) -> None:
    """What came of the line that the others are compared with, and which lines lost a layer."""
    reference = compared.reference
    _show_empty(compared)
    if reference.arm in ("dense", "dense-longer") or not compared.runs[reference.id]:
        return
    name = "ticket" if reference.arm == "ticket" else "network"
    words = replicates.verdict_in_words(compared.runs[reference.id], name)
    who = _capital_words(compared.words[reference.id])
    st.success(f"**{who}.** {words}", icon=":material/balance:")


def _show_empty(compared: Compared) -> None:
    for line in compared.lines:
        seeds = compared.runs[line.id].values()
        if found := next(filter(None, map(empty_in_words, seeds)), ""):
            st.caption(f"{_capital_words(compared.words[line.id])}:{plain(found)}")


def _differences(compared: Compared) -> pd.DataFrame:
    others = [line for line in compared.lines if line.id != compared.reference.id]
    return comparison.differences_table(compared.reference, others, compared.runs)


def show_sentences(compared: Compared) -> None:
    """One sentence per comparison at the chosen size."""
    table, percent = _differences(compared), compared.percent
    reference = compared.reference
    for line in compared.lines:
        if line.id == reference.id:
            continue
        rows = table[(table["line"] == line.id) & _there(table, percent)]
        a, b = (f"**{plain(compared.words[one.id])}**" for one in (line, reference))
        if len(rows):
            st.markdown(comparison.row_in_words(next(rows.itertuples()), a, b))
        else:
            st.markdown(f"{_capital(a)}: {comparison.why_none(line, reference, percent)}.")
    if len(compared.lines) == 1:
        st.caption("With a second line, the difference is said here.")


def _capital(text: str) -> str:
    """With the first letter large, behind what makes it bold."""
    return f"{text[:2]}{text[2].upper()}{text[3:]}"


def show_differences(compared: Compared) -> None:
    """At every size that two lines share."""
    if len(compared.lines) < 2:
        return
    table = _differences(compared)
    st.subheader("Differences at equal size")
    if not len(table):
        st.caption("There is no size that another line shares with the one compared with yet.")
        return
    st.caption(
        f"Each line minus **{plain(compared.words[compared.reference.id])}**, seed by seed; then "
        "the mean, with its 95\u202f% interval (Student's t)."
    )
    shown = pd.DataFrame(
        {
            "line": table["line"].map(compared.words),
            "% of weights": table["percent"],
            "accuracy, points": 100 * table["mean"],
            "95\u202f% interval": _intervals(table, "", 100, "+.2f"),
            "early stop, iterations": table["mean_early_stop"],
            "95\u202f% interval, iterations": _intervals(table, "_early_stop", 1, "+,.0f"),
            "pairs of seeds": table["n"],
        }
    )
    if table["n_early_stop"].sum() == 0:
        shown = shown.drop(columns=list(shown.columns[4:6]))
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        key="compare_differences",
        column_config={
            "% of weights": number(format="%.2f"),
            "accuracy, points": number(format="%+.2f"),
            "early stop, iterations": number(format="%+.0f"),
        },
    )


def _intervals(table: pd.DataFrame, suffix: str, by: float, form: str) -> list[str]:
    return [
        f"{by * low:{form}} to {by * high:{form}}" if n > 1 else "one seed" if n else ""
        for low, high, n in zip(
            table[f"low{suffix}"], table[f"high{suffix}"], table[f"n{suffix}"], strict=True
        )
    ]


def show_downloads(compared: Compared) -> None:
    """What is drawn and said, as CSV."""
    view, words = compared.view, compared.words

    def named(frames: dict[str, pd.DataFrame]) -> dict[str, tuple[str, pd.DataFrame]]:
        return {name: (words[name], frame) for name, frame in frames.items()}

    fields = ("test_accuracy", "early_stop_iteration")
    curves = [comparison.curves_table(named(_frames(compared, f)), f) for f in fields]
    percent = compared.percent
    training = comparison.curves_table(
        named(_training_frames(compared, view.curve, percent)), _COLUMNS[view.curve]
    )
    differences = _differences(compared)
    differences.insert(1, "name", differences["line"].map(words))
    tables = {
        "curves.csv": pd.concat([c for c in curves if len(c)] or curves, ignore_index=True),
        "training.csv": training.assign(percent=percent),
        "differences.csv": differences,
    }
    with st.container(horizontal=True):
        for name, table in tables.items():
            st.download_button(
                name,
                table.to_csv(index=False).encode(),
                name,
                on_click="ignore",
                icon=":material/download:",
                key=f"download_{name.removesuffix('.csv')}",
                disabled=not len(table),
            )
    st.caption(
        f"Means over seeds with their bands ({replicates.KINDS[view.bands]}); training.csv is the "
        "chart at the chosen size. Accuracies are fractions, early stops iterations. Each chart's "
        "own toolbar saves it as PNG or SVG, with the legend."
    )
