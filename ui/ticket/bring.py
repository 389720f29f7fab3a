"""A mask or ticket that is brought along: read, verified, and trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from lottery_core.data import is_prepared
from lottery_core.findings.anatomy import kept_per_pixel, short
from lottery_core.findings.lines import line_id
from lottery_core.findings.replicates import band
from lottery_core.report import weight_figures
from lottery_core.running.time_left import plan
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, unverified_in_words
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.terms import OPTIMISERS
from lottery_core.store import LevelInfo
from lottery_core.tickets import transfer, unpacking
from lottery_core.tickets.incoming import Upload, read_upload
from lottery_core.tickets.reading import Reading
from lottery_core.tickets.transfer import Trial
from lottery_core.tickets.verify import Finding, verify, verify_in_words
from ui.shared.jobs import finished_keys, rest_in_words, show_jobs
from ui.shared.plot import plot
from ui.shared.reading import infos
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.shared.trouble import asking, live, show_refused
from ui.ticket.takeaway import finished_count

_TICK, _IDLE = 0.7, 3.0  # seconds between two looks at the trainings
_SIGNS = {"matches": "✓ matches", "differs": "✗ differs", "unknown": "? unknown"}


@dataclass(frozen=True)
class _Read:
    """What came of a file: an upload, or why there is none."""

    upload: Upload | None
    problem: str = ""


def show_bring(ticket: str) -> str:
    """Upload, verify, train; `ticket` is the content hash that the link names. Returns that of
    the ticket on the screen."""
    st.subheader("Bring a mask or a ticket")
    left, right = st.columns([3, 2])
    with left:
        given = st.file_uploader(
            "A .npz or .safetensors file, from here or from elsewhere",
            max_upload_size=unpacking.MAX_FILE // 2**20,
            key="bring_file",
        )
        network = st.text_input(
            "Its network, if the file can't tell",
            key="bring_network",
            placeholder="lenet-5, or 8 8 pool 16 16 pool 32",
            help="Shapes of convolutions do not tell where pools are. If it is left empty, what "
            "the layers were taken for stands under Worked out.",
        )
    with right:
        st.caption(
            "A mask has one boolean array for each layer, fully connected or convolution, as torch "
            "or TensorFlow stores it; a ticket has weights besides. Names may be anybody's: what "
            "became of each is shown. Nothing in a file is ever executed: pickles are refused."
        )
    upload = None
    if given is not None:
        found = _read(given, network)
        if found.upload is None:
            st.error(plain(found.problem), icon=":material/block:")
        else:
            upload = found.upload
            ticket = upload.content_digest
            _show_findings(upload)
            _show_form(upload)
    if ticket:
        _show_trials(ticket)
    return ticket


def _read(given, network: str) -> _Read:
    # Once a file and network, not once a look at the page.
    asked, known = (given.file_id, network), st.session_state.get("bring_read")
    if known is None or known[0] != asked:
        try:
            found = _Read(read_upload(given.name, given.getvalue(), network))
        except InvalidValue as error:
            found = _Read(None, str(error))
        known = st.session_state.bring_read = (asked, found)
    return known[1]


# What is true of it


@st.cache_data(show_spinner="Looking for it in the cache", max_entries=8)
def _findings(sha256: str, network: str, levels: int, _upload: Upload) -> list[Finding]:
    return verify(_upload, runtime().store)


def _show_findings(upload: Upload) -> None:
    findings = _findings(upload.sha256, upload.network, finished_count(), upload)
    words = plain(verify_in_words(findings))
    verdicts = {finding.verdict for finding in findings}
    show = st.info if "unknown" in verdicts else st.success
    (st.warning if "differs" in verdicts else show)(words, icon=":material/fact_check:")
    _show_reading(upload.reading)
    left, right = st.columns([3, 2])
    with left:
        rows = pd.DataFrame(
            {
                "what": [finding.what for finding in findings],
                "verdict": [_SIGNS[finding.verdict] for finding in findings],
                "the file says": [finding.claimed for finding in findings],
                "found": [finding.found for finding in findings],
            }
        )
        st.dataframe(rows, hide_index=True, width="stretch")
        st.dataframe(
            pd.DataFrame(
                {
                    "layer": [short(name) for name in upload.mask],
                    "shape": [" x ".join(map(str, kept.shape)) for kept in upload.mask.values()],
                    "kept": [int(kept.sum()) for kept in upload.mask.values()],
                    "density, %": [100 * kept.mean() for kept in upload.mask.values()],
                }
            ),
            hide_index=True,
            width="stretch",
            column_config={"density, %": st.column_config.NumberColumn(format="%.2f")},
        )
    with right:
        units = len(next(iter(upload.mask.values())))
        per_pixel = kept_per_pixel(upload.mask, upload.net.input)
        if per_pixel is not None:
            plot(weight_figures.pixels_figure(per_pixel, units, 360), "plot_brought_pixels")
        key = upload.claims.get("key")
        if key and runtime().store.has(key):
            st.page_link(
                "pages/ticket.py",
                label="Look inside that level",
                icon=":material/search:",
                query_params={"key": key, "view": "inside"},
            )


def _show_reading(reading: Reading) -> None:
    """What became of every name in the file."""
    left, right = st.columns([3, 2])
    with left:
        st.markdown("**Used as**")
        rows = pd.DataFrame(reading.used_as, columns=["name in the file", "used as"])
        st.dataframe(rows, hide_index=True, width="stretch")
    with right:
        st.markdown("**Left out**")
        why: dict[str, list[str]] = {}
        for name, reason in reading.left_out:
            why.setdefault(reason, []).append(name)
        _list(f"{plain(', '.join(names))}: {reason}" for reason, names in why.items())
        st.markdown("**Worked out**")
        _list(map(plain, reading.worked_out))


def _list(lines: Iterable[str]) -> None:
    st.caption("\n".join(f"- {line}" for line in lines) or "Nothing.")


# How it is to be trained


def _show_form(upload: Upload) -> None:
    st.subheader("Train it")
    try:
        base = transfer.recipe_of(upload)
    except InvalidValue as error:
        st.info(plain(str(error)), icon=":material/image_not_supported:")
        return
    claimed = (
        "the recipe in the file" if upload.claims.get("experiment") else "the Quick preset's recipe"
    )
    st.caption(
        f"To begin with, {claimed}. Beside it runs the dense network, and controls of its size. "
        "Another data set, optimiser or seed shows whether the ticket transfers."
    )
    # Another file is another form, with its own recipe for defaults.
    key = f"bring_{upload.sha256[:12]}"
    first, second, third = st.columns(3)
    datasets, optimisers = transfer.datasets_of(upload.net), list(OPTIMISERS)
    with first:
        dataset = st.selectbox(
            "Data set",
            datasets,
            datasets.index(base.dataset),
            key=f"{key}_dataset",
            format_func=lambda name: DATASETS[name].title,
        )
        content = base.content if dataset == base.dataset else ""
        if content:
            st.caption(unverified_in_words(dataset, content))
        elif not is_prepared(dataset, runtime().store.datasets):
            st.caption("It is downloaded first: the Explorer can read it from a folder instead.")
        weights = "initial"
        if upload.restart is not None:
            weights = st.radio(
                "Survivors start from",
                ["file", "initial"],
                key=f"{key}_weights",
                format_func={
                    "file": "The weights in the file",
                    "initial": "Initial weights drawn with the seed",
                }.get,
            )
        else:
            st.caption("The file has no weights: survivors start from those of the seed.")
    with second:
        optimiser = st.selectbox(
            "Optimiser",
            optimisers,
            optimisers.index(base.optimiser),
            key=f"{key}_optimiser",
            format_func=lambda name: OPTIMISERS[name].title,
        )
        usual = transfer.rate_of(base, optimiser)
        rate = st.number_input(
            "Learning rate", value=usual, format="%.6g", step=0.001, key=f"{key}_rate_{optimiser}"
        )
        iterations = st.number_input(
            "Iterations", value=base.iterations, step=100, key=f"{key}_iterations"
        )
    with third:
        seed = st.number_input("Seed", value=base.seed, step=1, key=f"{key}_seed")
        replicates = st.number_input(
            "Seeds", value=1, step=1, key=f"{key}_seeds", help="How many, from that one on."
        )
        controls = st.multiselect(
            "Run beside it",
            list(transfer.CONTROLS),
            ["random-mask"],
            key=f"{key}_controls",
            format_func=lambda name: ARMS[name].title.capitalize(),
        )
    try:
        recipe = transfer.adapted(
            base,
            dataset=dataset,
            optimiser=optimiser,
            learning_rate=rate,
            iterations=iterations,
            seed=seed,
        )
        arms = transfer.arms(
            upload,
            recipe,
            replicates=replicates,
            controls=controls,
            own_weights=weights == "file",
        )
    except InvalidValue as error:
        st.error(plain(str(error)))
        st.button("Train", type="primary", disabled=True, key="bring_train")
        return
    experiments = [one for arm in arms.values() for one in arm]
    todo = plan(runtime().store, experiments, runtime().queue.queued())
    st.markdown(f"**{todo.trainings} trainings{rest_in_words(todo)}**")
    st.button(
        "Train",
        type="primary",
        icon=":material/play_arrow:",
        on_click=_start,
        args=(upload, experiments),
        key="bring_train",
    )
    show_refused()


@asking
def _start(upload: Upload, experiments: list[Experiment]) -> None:
    runtime().store.write_ticket(upload.content_digest, upload.mask, upload.restart)
    runtime().queue.submit_all(experiments)


# What came of it


def _show_trials(ticket: str) -> None:
    found = transfer.trials(ticket, runtime().store.jobs())
    if not found:
        return
    active = any(_active(trial) for trial in found)
    title, button = st.columns([4, 1], vertical_alignment="bottom")
    title.subheader("Does it hold, and does it transfer?")
    if active:
        button.button(
            "Stop", icon=":material/stop:", on_click=_stop, args=(found,), width="stretch",
            key="bring_stop",
        )  # fmt: skip
    shown = _signature(found)

    @live(_TICK if active else _IDLE)
    def progress() -> None:
        now = transfer.trials(ticket, runtime().store.jobs())
        if _signature(now) != shown:
            st.rerun()
        for trial in now:
            show_jobs(_rows(trial))

    with st.container():
        progress()
    table = _table(found)
    if len(table):
        st.dataframe(
            table,
            hide_index=True,
            width="stretch",
            column_config={
                name: st.column_config.TextColumn(help="Mean test accuracy (least to greatest).")
                for name in table.columns[4:-1]
            },
        )
    for n, trial in enumerate(found):
        runs = {name: _complete(arm) for name, arm in trial.arms.items()}
        if not runs["main"]:
            continue
        with st.container(border=True, key=f"trial_{n}"):
            st.markdown(f"**{_title(trial)}.** {plain(transfer.in_words(runs))}")
            with st.container(horizontal=True):
                st.page_link(
                    "pages/compare.py",
                    label="Compare in detail",
                    icon=":material/compare_arrows:",
                    query_params={
                        "lines": ",".join(line_id(arm[0]) for arm in trial.arms.values())
                    },
                )
                st.page_link(
                    "pages/ticket.py",
                    label="Look inside",
                    icon=":material/search:",
                    query_params={"key": trial.main.key, "level": "1", "view": "inside"},
                )


@asking
def _stop(found: list[Trial]) -> None:
    for trial in found:
        for one in _experiments(trial):
            runtime().queue.cancel(one.key)


def _experiments(trial: Trial) -> list[Experiment]:
    return [one for arm in trial.arms.values() for one in arm]


def _active(trial: Trial) -> bool:
    jobs = (runtime().store.job(one.key) for one in _experiments(trial))
    return any(job is not None and job.active for job in jobs)


def _signature(found: list[Trial]) -> tuple:
    return tuple(
        (trial.main.key, _active(trial), finished_keys(_experiments(trial))) for trial in found
    )


def _rows(trial: Trial):
    for name, arm in trial.arms.items():
        for one in arm:
            job = runtime().store.job(one.key)
            if job is not None and job.state != "done":
                what = "Ticket" if name == "main" else ARMS[name].title.capitalize()
                yield one, job, f"{what}, seed {one.recipe.seed}: "


def _complete(arm: tuple[Experiment, ...]) -> dict[int, list[LevelInfo]]:
    return {seed: levels for seed, levels in infos(arm).items() if len(levels) > 1}


def _title(trial: Trial) -> str:
    recipe = trial.main.recipe
    start = "its own weights" if trial.main.rounds[0].restart == "ticket" else "initial weights"
    return (
        f"On {recipe.data_title}, {OPTIMISERS[recipe.optimiser].title} at "
        f"{recipe.learning_rate:g}, {recipe.iterations:,} iterations, from {start}"
    )


def _table(found: list[Trial]) -> pd.DataFrame:
    rows = []
    for trial in found:
        runs = {name: _complete(arm) for name, arm in trial.arms.items()}
        if not runs["main"]:
            continue
        recipe = trial.main.recipe
        accuracies = {
            "dense": [levels[0].test_accuracy for levels in runs["main"].values()],
            "ticket": [levels[1].test_accuracy for levels in runs["main"].values()],
        } | {
            ARMS[name].title: [levels[1].test_accuracy for levels in runs.get(name, {}).values()]
            for name in transfer.CONTROLS
        }
        rows.append(
            {
                "data set": recipe.data_title,
                "optimiser": f"{OPTIMISERS[recipe.optimiser].title}, {recipe.learning_rate:g}",
                "iterations": recipe.iterations,
                "from": "own" if trial.main.rounds[0].restart == "ticket" else "initial",
            }
            | {name: _spread(values) for name, values in accuracies.items()}
            | {"seeds": len(runs["main"])}
        )
    return pd.DataFrame(rows)


def _spread(values: list[float]) -> str:
    if not values:
        return "not run"
    found = band(values, "range")
    words = f"{found.mean:.2%}"
    return f"{words} ({found.low:.2%} to {found.high:.2%})" if found.n > 1 else words
