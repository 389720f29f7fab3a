"""The sidebar: presets, and every choice; the URL says the same at all times."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lottery_core.data import identify, is_prepared
from lottery_core.findings.outcome import Outcome
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import (
    PRESETS,
    Choice,
    read_choice,
    read_value,
    write_choice,
    write_value,
)
from lottery_core.spec.datasets import DATASETS, unverified_in_words
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.fields import FIELDS
from lottery_core.spec.networks import NAMED, shortest
from lottery_core.training.base import LOOPS
from ui.reading import infos
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

    def outcome(self) -> Outcome:
        """What came of it so far."""
        return Outcome(self.arms, {name: infos(arm) for name, arm in self.arms.items()})


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

    def number(field: str, **options) -> None:
        told, value = FIELDS[field], getattr(base, field)
        shown = round(100 * value, 10) if told.percent else value
        options.setdefault("help", told.more or None)
        given = st.number_input(told.words, value=shown, key=_key(field), **options)
        new[field] = round(given / 100, 12) if told.percent else given
        slots[field] = st.empty()

    def pick(field: str) -> None:
        told, value = FIELDS[field], getattr(base, field)
        options = list(told.known)
        new[field] = st.selectbox(
            told.words,
            options,
            options.index(value) if value in options else len(options) - 1,
            key=_key(field),
            format_func=lambda name: _capital(told.words_of(name)),
        )
        slots[field] = st.empty()

    def numbers(field: str, placeholder: str) -> None:
        told = FIELDS[field]
        kind, by = told.item, 100 if told.percent else 1
        shown = ", ".join(f"{by * value:.10g}" for value in getattr(base, field))
        text = st.text_input(told.words, shown, key=_key(field), placeholder=placeholder)
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

    def texts(field: str, placeholder: str) -> None:
        shown = write_value(getattr(base, field)).replace("none", "")
        text = st.text_input(FIELDS[field].words, shown, key=_key(field), placeholder=placeholder)
        slots[field] = st.empty()
        try:
            new[field] = read_value(field, text)
        except InvalidValue as error:
            slots[field].warning(plain(str(error)))

    st.subheader("Data and network")
    pick("dataset")
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
        texts("network", "64 64 pool 256 256")
    else:
        new["network"] = chosen
        slots["network"] = st.empty()

    st.subheader("Pruning schedule")
    pick("schedule")
    if new["schedule"] == "iterative":
        left, right = st.columns(2)
        with left:
            number("rate", format="%.4g")
        with right:
            number("rounds", step=1)
    elif new["schedule"] == "one-shot":
        number("sparsity", format="%.6g")
    else:
        numbers("sparsities", "40, 64, 78.4, 95")

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
        number("length", format="%.6g")
    with right:
        pick("unit")
    left, right = st.columns(2)
    with left:
        number("seed", step=1)
    with right:
        number("replicates", step=1)

    with st.expander("Advanced choices"):
        pick("optimiser")
        number("learning_rate", format="%.6g", step=0.0001)
        if new["optimiser"] == "sgd":
            number("momentum", format="%.4g", step=0.1)
        number("weight_decay", format="%.6g", step=0.0001)
        number("warmup", step=1)
        numbers("decay_at", "none")
        number("decay_factor", format="%.4g", step=0.1)
        number("batch_size", step=1)
        number("evaluate_every", step=1)
        number("validation_size", step=1)
        pick("init")
        pick("normalisation")
        pick("scope")
        number("output_factor", format="%.4g", step=0.1)
        if _has_convolutions(new.get("network", current.network)):
            number("conv_factor", format="%.4g", step=0.1)
        else:
            new["conv_factor"] = 1.0
        texts("layer_factors", "fc1=1, fc2=0.5")
        pick("criterion")
        device = _device()
        loop = st.selectbox(
            "Training loop",
            list(LOOPS),
            key="loop",
            format_func=lambda name: _capital(LOOPS[name]),
            help="Does not change what is computed, only how long it takes.",
        )
    return replace(current, **new), slots, device, loop, source


def _has_convolutions(text: str) -> bool:
    return any(word in text for word in ("pool", "mean", "resnet"))


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
