"""The sidebar: presets, and every choice; the URL says the same at all times."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lottery_core.data import identify, is_prepared
from lottery_core.method.criteria import CRITERIA
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import (
    PRESETS,
    SCHEDULES,
    UNITS,
    Choice,
    read_choice,
    read_value,
    write_choice,
    write_value,
)
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS, unverified_in_words
from lottery_core.spec.experiment import INITS, OPTIMISERS, SCOPES, Experiment
from lottery_core.spec.networks import NAMED, shortest
from lottery_core.training.base import LOOPS
from ui.runtime import runtime
from ui.text import plain

_OTHER = "other"
_RESTARTS = {
    "initial": "Their initial weights (winning ticket)",
    "later": "Weights from early in dense training",
    "keep": "Their trained weights (no rewind)",
    "rate-rewind": "Their trained weights; the learning rate starts over",
    "reinit": "New random weights",
}


@dataclass(frozen=True)
class Selection:
    """What is chosen, as `Choice.arms`; without any it can't run, and `problem` says why."""

    preset: str
    choice: Choice
    arms: dict[str, tuple[Experiment, ...]]
    problem: str
    device: str
    loop: str
    folder: str | None

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """All of them, in the order in which they are run."""
        return tuple(experiment for arm in self.arms.values() for experiment in arm)

    @property
    def main(self) -> Experiment:
        """The experiment itself with its first seed."""
        return self.arms["main"][0]


def choose() -> Selection:
    """Show the sidebar and return what is chosen in it."""
    with st.container():
        for problem in _follow_url():
            st.warning(f"In the link: {plain(problem)}. The preset's value is used instead.")
    state = st.session_state
    with st.sidebar:
        _preset_cards(state.preset)
        choice, slots, device, loop, source = _widgets(state.base, state.choice)
        state.choice = choice
        arms, problem = ({}, source.problem) if source.problem else _check(choice, slots)
    params = write_choice(state.preset, choice)
    if params != state.url:
        st.query_params.from_dict(params)
        state.url = params
    return Selection(state.preset, choice, arms, problem, device, loop, source.folder)


def _check(choice: Choice, slots: dict) -> tuple[dict[str, tuple[Experiment, ...]], str]:
    try:
        return choice.arms(), ""
    except InvalidValue as error:
        slot = slots.get(error.field)
        if slot is not None:
            slot.error(plain(str(error)))
        return {}, str(error)


# From the URL to the widgets
#
# Widgets are never set from here once they are mounted: what the browser sends at that moment
# would overwrite it. A new choice from outside makes a new generation of widgets instead, with
# `state.base` for their defaults.


def _follow_url() -> list[str]:
    """Take the choice from the URL when it is not the one written last; returns problems."""
    state, url = st.session_state, dict(st.query_params)
    if "choice" in state and (url == state.url or not url):
        if not url:  # back from another page, which has no parameters
            _offer(state.preset, state.choice)
            state.url = url
        return []
    preset, choice, problems = _read(url)
    _offer(preset, choice)
    state.url = url
    return problems


def _offer(preset: str, choice: Choice) -> None:
    """Show `choice` in new widgets."""
    state = st.session_state
    state.preset, state.base, state.choice = preset, choice, choice
    state.generation = state.get("generation", 0) + 1


def _read(url: dict[str, str]) -> tuple[str, Choice, list[str]]:
    """As `read_choice`, but one bad value spoils only itself."""
    good, problems = {}, []
    for name, text in sorted(url.items(), key=lambda item: item[0] != "preset"):
        try:
            read_choice({**good, name: text})
        except InvalidValue as error:
            problems.append(str(error))
        else:
            good[name] = text
    return *read_choice(good), problems


def _key(field: str) -> str:
    return f"{field}_{st.session_state.generation}"


def _use_preset(name: str) -> None:
    _offer(name, PRESETS[name].choice)


def _preset_cards(chosen: str) -> None:
    st.subheader("Start from")
    for name, preset in PRESETS.items():
        with st.container(border=True, gap="small", key=f"preset_card_{name}"):
            st.button(
                preset.title,
                key=f"preset_{name}",
                on_click=_use_preset,
                args=(name,),
                type="primary" if name == chosen else "secondary",
                icon=":material/check:" if name == chosen else None,
                width="stretch",
            )
            st.caption(preset.summary)


# From the widgets to the choice


def _widgets(base: Choice, current: Choice):
    """All widgets. Returns the choice, a place for an error under each field, device, loop and
    where the data comes from.

    `base` holds the widgets' defaults; a field without a widget keeps its `current` value.
    """
    slots: dict = {}
    new: dict = {}

    def number(field: str, label: str, *, percent: bool = False, **options) -> None:
        value = getattr(base, field)
        shown = round(100 * value, 10) if percent else value
        given = st.number_input(label, value=shown, key=_key(field), **options)
        new[field] = round(given / 100, 12) if percent else given
        slots[field] = st.empty()

    def pick(field: str, label: str, known, words=str) -> None:
        options, value = list(known), getattr(base, field)
        index = options.index(value) if value in options else len(options) - 1
        new[field] = st.selectbox(label, options, index, key=_key(field), format_func=words)
        slots[field] = st.empty()

    def numbers(field: str, label: str, kind: type, by: float, placeholder: str) -> None:
        shown = ", ".join(f"{by * value:.10g}" for value in getattr(base, field))
        text = st.text_input(label, shown, key=_key(field), placeholder=placeholder)
        slots[field] = st.empty()
        try:
            parts = [kind(part) for part in text.replace(",", " ").split()]
        except ValueError:
            kept = write_value(getattr(current, field))
            slots[field].warning(
                f"{plain(repr(text))} is not numbers with commas between; {kept} is used."
            )
        else:
            new[field] = tuple(parts) if by == 1 else tuple(round(v / by, 12) for v in parts)

    def texts(field: str, label: str, placeholder: str) -> None:
        shown = write_value(getattr(base, field)).replace("none", "")
        text = st.text_input(label, shown, key=_key(field), placeholder=placeholder)
        slots[field] = st.empty()
        try:
            new[field] = read_value(field, text)
        except InvalidValue as error:
            slots[field].warning(plain(str(error)))

    st.subheader("Data and network")
    pick("dataset", "Data set", DATASETS, lambda name: DATASETS[name].title)
    source = _source(new["dataset"], base)
    new["content"] = source.content
    known = {shortest(name): words for name, (_, words) in NAMED.items()}
    chosen = st.selectbox(
        "Network",
        [*known, _OTHER],
        [*known].index(base.network) if base.network in known else len(known),
        key=_key("network_name"),
        format_func=lambda text: _capital(known.get(text, "another, as a text")),
    )
    if chosen == _OTHER:
        texts("network", "Its layers", "64 64 pool 256 256")
    else:
        new["network"] = chosen
        slots["network"] = st.empty()

    st.subheader("Pruning schedule")
    pick("schedule", "Schedule", SCHEDULES, lambda name: _capital(SCHEDULES[name]))
    if new["schedule"] == "iterative":
        left, right = st.columns(2)
        with left:
            number(
                "rate",
                "% per round",
                percent=True,
                format="%.4g",
                help="Of the weights that are left.",
            )
        with right:
            number("rounds", "Rounds", step=1)
    elif new["schedule"] == "one-shot":
        number("sparsity", "% of weights to remove", percent=True, format="%.6g")
    else:
        label = "% of all weights removed after each round"
        numbers("sparsities", label, float, 100, "40, 64, 78.4, 95")

    st.subheader("Rewind or not")
    restart = st.radio(
        "After each round the survivors restart from",
        list(_RESTARTS),
        list(_RESTARTS).index(_restart_of(base)),
        key=_key("restart"),
        format_func=lambda name: _RESTARTS[name],
    )
    slots["restart"] = st.empty()
    new["restart"] = "rewind" if restart in ("initial", "later") else restart
    new["rewind_iteration"], new["rewind_percent"] = 0, 0.0
    if restart in ("later", "rate-rewind"):
        new |= _rewind_to(base, current, slots, [] if restart == "later" else [0])
    new["controls"] = tuple(
        st.multiselect(
            "Run beside it, to compare",
            list(ARMS),
            base.controls,
            key=_key("controls"),
            format_func=lambda name: _capital(ARMS[name].title),
            help="  \n".join(f"{_capital(arm.title)}: {arm.summary}." for arm in ARMS.values()),
        )
    )
    slots["controls"] = st.empty()

    st.subheader("Training")
    left, right = st.columns(2)
    with left:
        number("length", "Length", format="%.6g")
    with right:
        pick("unit", "in", UNITS)
    left, right = st.columns(2)
    with left:
        help_text = "Initial weights, data order, split and controls follow from it."
        number("seed", "Seed", step=1, help=help_text)
    with right:
        help_text = "How many seeds, from that one on: with more than one, curves have bands."
        number("replicates", "Seeds", step=1, help=help_text)

    with st.expander("Advanced choices"):
        pick("optimiser", "Optimiser", OPTIMISERS, OPTIMISERS.get)
        number("learning_rate", "Learning rate", format="%.6g", step=0.0001)
        if new["optimiser"] == "sgd":
            number("momentum", "Momentum", format="%.4g", step=0.1)
        number("weight_decay", "Weight decay", format="%.6g", step=0.0001)
        number("warmup", "Warm-up: iterations until the rate is reached", step=1)
        numbers("decay_at", "Iterations at which the rate falls", int, 1, "none")
        number("decay_factor", "Factor by which it falls", format="%.4g", step=0.1)
        number("batch_size", "Batch size", step=1)
        number(
            "evaluate_every",
            "Evaluate every so many iterations",
            step=1,
            help="0: five times an epoch.",
        )
        number("validation_size", "Training images held out for validation", step=1)
        pick("init", "Initial weights", INITS, INITS.get)
        pick("normalisation", "Normalisation", NORMALISATIONS, NORMALISATIONS.get)
        pick("scope", "Scope of pruning", SCOPES, lambda name: _capital(SCOPES[name]))
        number(
            "output_factor",
            "Output layer's rate, as a factor of the others'",
            format="%.4g",
            step=0.1,
            help="1: as the others (notebook). 0.5: half as fast (paper).",
        )
        texts("layer_factors", "Layers with a factor of their own", "fc1=1, fc2=0.5")
        pick("criterion", "What goes first", CRITERIA, lambda name: _capital(CRITERIA[name].title))
        device = _device()
        loop = st.selectbox(
            "Training loop",
            list(LOOPS),
            key="loop",
            format_func=lambda name: _capital(LOOPS[name]),
            help="Does not change what is computed, only how long it takes.",
        )
    return replace(current, **new), slots, device, loop, source


def _restart_of(choice: Choice) -> str:
    if choice.restart == "rewind":
        return "later" if choice.rewind_iteration or choice.rewind_percent else "initial"
    return choice.restart


def _rewind_to(base: Choice, current: Choice, slots: dict, extra: list[int]) -> dict:
    """To which iteration of level 0; a link's percent stays one while it is what is chosen."""
    grid, total = _grid(current)
    percent = base.rewind_percent
    at = round(percent / 100 * total) if percent else base.rewind_iteration
    options = sorted({*extra, *grid, *([at] if at else [])}) or [0]
    chosen = st.selectbox(
        "Iteration of dense training",
        options,
        options.index(at) if at in options else len(options) - 1,
        key=_key("rewind_iteration"),
        format_func=lambda i: f"{i:,} ({100 * i / total:.3g} %)" if total else f"{i:,}",
    )
    slots["rewind_iteration"] = slots["rewind_percent"] = st.empty()
    if percent and chosen == at:
        return {"rewind_percent": percent}
    return {"rewind_iteration": chosen}


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _grid(choice: Choice) -> tuple[list[int], int]:
    """The iterations of level 0 one can rewind to, and how long it trains; 0 if unknown."""
    try:
        recipe = choice.recipe()
    except InvalidValue:
        return [], 0
    return [i for i in recipe.snapshot_iterations if i], recipe.iterations


@dataclass(frozen=True)
class _Source:
    """A folder with a data set's files, where one is named, the content of these files as in
    `Recipe`, and what is wrong."""

    folder: str | None = None
    content: str = ""
    problem: str = ""


def _source(dataset: str, base: Choice) -> _Source:
    """Where a folder can matter, ask for it, and say at once what it holds."""
    linked = base.content if dataset == base.dataset else ""
    is_there = is_prepared(dataset, runtime().store.datasets)
    if is_there and DATASETS[dataset].digest and not linked:
        return _Source()
    text = st.text_input(
        "Folder with its original files",
        key="dataset_folder",
        placeholder="not needed" if is_there or linked else "downloaded if left empty",
        help="A folder of the machine that runs this app: of use where there is no network, or "
        "for other files than the published ones.",
    ).strip()
    if not text:
        return _linked(dataset, linked)
    try:
        with st.spinner("Looking at the files"):
            content = identify(dataset, text)
    except InvalidValue as error:
        st.error(plain(str(error)))
        return _Source(problem=str(error))
    if content:
        st.caption(unverified_in_words(dataset, content))
    return _Source(text, content)


def _linked(dataset: str, content: str) -> _Source:
    """The content that a link names, and the way back to what was published."""
    if not content:
        return _Source()
    problem = ""
    if is_prepared(dataset, runtime().store.datasets, content):
        st.caption(unverified_in_words(dataset, content))
    else:
        problem = f"content={content[:8]}... is not in this cache; name the folder with its files"
        st.error(plain(problem))
    st.button("Use the published files", key=_key("use_published"), on_click=_use_published)
    return _Source(content=content, problem=problem)


def _use_published() -> None:
    state = st.session_state
    _offer(state.preset, replace(state.choice, content=""))


def _device() -> str:
    """Where to train; only asked where there is a choice."""
    devices = runtime().store.read_machine().get("devices", ["cpu"])
    if len(devices) == 1:
        return devices[0]
    return st.selectbox("Device", devices, key="device", help="Does not change what is computed.")
