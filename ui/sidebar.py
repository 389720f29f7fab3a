"""The sidebar: presets, and every choice; the URL says the same at all times."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import streamlit as st

from lottery_core.choice import (
    PRESETS,
    SCHEDULES,
    UNITS,
    Choice,
    read_choice,
    write_choice,
    write_value,
)
from lottery_core.data import is_prepared
from lottery_core.datasets import DATASETS, NORMALISATIONS
from lottery_core.experiment import (
    INITS,
    OPTIMISERS,
    SCOPES,
    Experiment,
    InvalidValue,
)
from lottery_core.pruning import CRITERIA
from ui.runtime import runtime

_NETWORKS = {"128,64": "784-128-64-10 (notebook)", "300,100": "LeNet-300-100 (paper)"}
_OTHER = "other"
_RESTARTS = {
    "initial": "Their initial weights (winning ticket)",
    "later": "Weights from early in dense training",
    "keep": "Their trained weights (no rewind)",
    "reinit": "New random weights",
}
_PERCENT = ("rate", "sparsity")
_KNOWN = {
    "dataset": DATASETS,
    "normalisation": NORMALISATIONS,
    "init": INITS,
    "optimiser": OPTIMISERS,
    "unit": UNITS,
    "schedule": SCHEDULES,
    "scope": SCOPES,
    "criterion": CRITERIA,
    "restart": ("rewind", "keep", "reinit"),
}


@dataclass(frozen=True)
class Selection:
    """What is chosen; without `experiments` it can't run, and `problem` says why."""

    preset: str
    choice: Choice
    experiments: tuple[Experiment, ...]
    problem: str
    device: str
    folder: str | None


def choose() -> Selection:
    """Show the sidebar and return what is chosen in it."""
    for problem in _follow_url():
        st.warning(f"In the link: {problem}. The preset's value is used instead.")
    state = st.session_state
    with st.sidebar:
        _preset_cards(state.preset)
        choice, slots, device, folder = _widgets(state.choice)
        state.choice = choice
        experiments, problem = _check(choice, slots)
    params = write_choice(state.preset, choice)
    if params != state.url:
        st.query_params.from_dict(params)
        state.url = params
    return Selection(state.preset, choice, experiments, problem, device, folder)


def _check(choice: Choice, slots: dict) -> tuple[tuple[Experiment, ...], str]:
    try:
        return tuple(choice.experiments()), ""
    except InvalidValue as error:
        slot = slots.get(error.field)
        if slot is not None:
            slot.error(str(error))
        return (), str(error)


# From the URL to the widgets


def _follow_url() -> list[str]:
    """Take the choice from the URL when it is not the one written last; returns problems."""
    state, url = st.session_state, dict(st.query_params)
    if url == state.get("url") and _key("seed") in state:
        return []
    problems: list[str] = []
    if url or "choice" not in state:
        state.preset, state.choice, problems = _read(url)
    state.url = url
    _fill(state.choice)
    return problems


def _read(url: dict[str, str]) -> tuple[str, Choice, list[str]]:
    """As `read_choice`, but one bad value spoils only itself."""
    good, problems = {}, []
    for name, text in sorted(url.items(), key=lambda item: item[0] != "preset"):
        try:
            _, choice = read_choice({**good, name: text})
            value = getattr(choice, name, None)
            if name in _KNOWN and value not in _KNOWN[name]:
                known = ", ".join(_KNOWN[name])
                raise InvalidValue(name, value, f"is unknown; choose one of {known}")
        except InvalidValue as error:
            problems.append(str(error))
        else:
            good[name] = text
    return *read_choice(good), problems


def _key(field: str) -> str:
    return f"choice_{field}"


def _fill(choice: Choice) -> None:
    """Make the widgets show `choice`."""
    state = st.session_state
    for field in fields(Choice):
        value = getattr(choice, field.name)
        state[_key(field.name)] = round(100 * value, 10) if field.name in _PERCENT else value
    hidden = write_value(choice.hidden)
    state[_key("network")] = hidden if hidden in _NETWORKS else _OTHER
    state[_key("hidden")] = hidden
    state[_key("sparsities")] = ", ".join(f"{100 * value:.10g}" for value in choice.sparsities)
    if choice.restart == "rewind":
        state[_key("restart")] = "later" if choice.rewind_iteration else "initial"


def _use_preset(name: str) -> None:
    st.session_state.preset = name
    st.session_state.choice = PRESETS[name].choice
    _fill(PRESETS[name].choice)


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


def _widgets(current: Choice):
    """All widgets. Returns the choice, a place for an error under each field, device, folder."""
    slots: dict = {}
    new: dict = {}

    def number(field: str, label: str, **options) -> None:
        # Without a default, so that an emptied field is told from a zero.
        new[field] = st.number_input(label, value=None, key=_key(field), **options)
        slots[field] = st.empty()

    def pick(field: str, label: str, known, **options) -> None:
        new[field] = st.selectbox(label, list(known), key=_key(field), **options)
        slots[field] = st.empty()

    def described(known: dict[str, str]):
        return lambda name: known[name]

    st.subheader("Data and network")
    pick("dataset", "Data set", DATASETS, format_func=lambda name: DATASETS[name].title)
    folder = _folder(new["dataset"], slots)
    network = st.selectbox(
        "Network",
        [*_NETWORKS, _OTHER],
        key=_key("network"),
        format_func=lambda name: _NETWORKS.get(name, "Other hidden layers"),
    )
    if network == _OTHER:
        hidden = st.text_input(
            "Sizes of the hidden layers", key=_key("hidden"), placeholder="200, 100, 50"
        )
        new["hidden"] = _numbers(hidden, int)
    else:
        new["hidden"] = _numbers(network, int)
    slots["hidden"] = st.empty()

    st.subheader("Pruning schedule")
    pick("schedule", "Schedule", SCHEDULES, format_func=lambda name: _capital(SCHEDULES[name]))
    if new["schedule"] == "iterative":
        left, right = st.columns(2)
        with left:
            number("rate", "% per round", format="%.4g", help="Of the weights that are left.")
        with right:
            number("rounds", "Rounds", step=1)
    elif new["schedule"] == "one-shot":
        number("sparsity", "% of weights to remove", format="%.6g")
    else:
        text = st.text_input(
            "% of weights removed after each round",
            key=_key("sparsities"),
            placeholder="40, 64, 78.4, 95",
        )
        numbers = _numbers(text, float)
        new["sparsities"] = numbers and tuple(round(value / 100, 12) for value in numbers)
        slots["sparsities"] = st.empty()
    for field in _PERCENT:
        if new.get(field) is not None:
            new[field] = round(new[field] / 100, 12)

    st.subheader("Rewind or not")
    restart = st.radio(
        "After each round the survivors restart from",
        list(_RESTARTS),
        key=_key("restart"),
        format_func=described(_RESTARTS),
    )
    slots["restart"] = st.empty()
    new["restart"] = "rewind" if restart in ("initial", "later") else restart
    new["rewind_iteration"] = 0
    later = restart == "later"
    if later:
        grid = _grid(current)
        if st.session_state.get(_key("rewind_iteration")) not in grid:
            st.session_state[_key("rewind_iteration")] = grid[-1]
        pick("rewind_iteration", "Iteration of dense training", grid)
    if restart != "keep":
        new["control"] = st.checkbox(
            "Also run without rewinding, to compare",
            key=_key("control"),
            help="The same rounds; the survivors keep their trained weights (fine-tuning).",
        )

    st.subheader("Training")
    left, right = st.columns(2)
    with left:
        number("length", "Length", format="%.6g")
    with right:
        pick("unit", "in", UNITS)
    number("seed", "Seed", step=1, help="Initial weights, data order and split follow from it.")

    with st.expander("Advanced choices"):
        pick("optimiser", "Optimiser", OPTIMISERS, format_func=described(OPTIMISERS))
        number("learning_rate", "Learning rate", format="%.6g", step=None)
        if new["optimiser"] == "sgd":
            number("momentum", "Momentum", format="%.4g")
        number("weight_decay", "Weight decay", format="%.6g", step=None)
        number("batch_size", "Batch size", step=1)
        number(
            "evaluate_every",
            "Evaluate every so many iterations",
            step=1,
            help="0: five times an epoch.",
        )
        number("validation_size", "Training images held out for validation", step=1)
        pick("init", "Initial weights", INITS, format_func=described(INITS))
        pick(
            "normalisation", "Normalisation", NORMALISATIONS, format_func=described(NORMALISATIONS)
        )
        pick("scope", "Scope of pruning", SCOPES, format_func=lambda name: _capital(SCOPES[name]))
        number(
            "output_factor",
            "Output layer's rate, as a factor of the others'",
            format="%.4g",
            help="1: as the others (notebook). 0.5: half as fast (paper).",
        )
        pick("criterion", "What goes first", CRITERIA, format_func=_criterion)
        device = _device()
    return _complete(current, new, slots), slots, device, folder


def _complete(current: Choice, new: dict, slots: dict) -> Choice:
    """The new choice; a field left empty or unreadable keeps its value and says so."""
    for field, value in list(new.items()):
        if value is None:
            del new[field]
            slots[field].warning(
                f"{field} is empty or not a number; "
                f"{write_value(getattr(current, field))} is used."
            )
    new["length"] = float(new.get("length", current.length))
    return replace(current, **new)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _criterion(name: str) -> str:
    return {"magnitude": "Smallest final magnitude", "random": "Random (control)"}.get(name, name)


def _numbers(text: str, kind: type) -> tuple | None:
    try:
        parts = [part for part in text.replace("none", "").replace(" ", ",").split(",") if part]
        return tuple(kind(part) for part in parts)
    except ValueError:
        return None


def _grid(choice: Choice) -> list[int]:
    """The iterations of level 0 one can rewind to."""
    try:
        return [step for step in choice.recipe().snapshot_iterations if step] or [0]
    except InvalidValue:
        return [choice.rewind_iteration]


def _folder(dataset: str, slots: dict) -> str | None:
    slots["dataset_folder"] = None
    if is_prepared(dataset, runtime().store.datasets):
        return None
    text = st.text_input(
        "Folder with its original files, if there is no network",
        key="dataset_folder",
        placeholder="downloaded if left empty",
    )
    slots["dataset_folder"] = st.empty()
    return text.strip() or None


def _device() -> str:
    """Where to train; only asked where there is a choice."""
    devices = runtime().store.read_machine().get("devices", ["cpu"])
    if len(devices) == 1:
        return devices[0]
    return st.selectbox("Device", devices, key="device", help="Does not change what is computed.")
