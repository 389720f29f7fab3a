"""The sidebar: every choice, and the presets; the URL says the same at all times.

A field is asked for as its row in the table of fields says; the few that are asked for in a way of
their own stand in `_OWN`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import streamlit as st

from lottery_core.findings.outcome import Outcome
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice, held_out_for, rates_for
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.fields import ADVANCED, FIELDS, GROUPS, in_words
from lottery_core.spec.limits import SNAPSHOT_BYTES
from lottery_core.spec.notation import NAMED, shortest
from lottery_core.spec.presets import PRESETS
from lottery_core.training.base import LOOPS
from ui.explorer.classroom import Seat, take_seat
from ui.explorer.form import Form
from ui.explorer.link import follow_url, keep, offer, widget_key
from ui.explorer.source import choose_source
from ui.shared.reading import finished, infos
from ui.shared.runtime import runtime
from ui.shared.text import capital, plain
from ui.shared.words import meaning

_OTHER = "other"
_RESTARTS = {
    "initial": "Their initial weights (rewinding)",
    "later": "Weights from early in dense training",
    "keep": "Their trained weights (no rewind)",
    "rate-rewind": "Their trained weights; the learning rate starts over",
    "reinit": "New random weights",
}


@dataclass(frozen=True)
class Selection:
    """What is chosen, as `Choice.arms`; without any it can't run, and `problem` says why. `seat` is
    that of a class, where the link names one."""

    preset: str
    choice: Choice
    arms: dict[str, tuple[Experiment, ...]]
    problem: str
    device: str
    loop: str
    folder: str | None
    seat: Seat | None = None

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """All of them, in the order in which they are run."""
        return tuple(experiment for arm in self.arms.values() for experiment in arm)

    @property
    def main(self) -> Experiment:
        """The experiment itself with its first seed."""
        return self.arms["main"][0]

    @property
    def is_judged(self) -> bool:
        """Whether every seed has all its levels, so that there is something to say of it."""
        return all(len(finished(one)) == len(one.keys) for one in self.arms["main"])

    def level_to_show(self) -> int | None:
        """The level to begin with once all are there: the one of which everything speaks."""
        return self.outcome().level if self.is_judged else None

    def outcome(self) -> Outcome:
        """What came of it so far; one for all who look at the same."""
        runs = {name: infos(arm) for name, arm in self.arms.items()}
        done = (tuple((seed, len(one)) for seed, one in arm.items()) for arm in runs.values())
        what = ("outcome", *(one.key for one in self.experiments), *self.arms, *done)
        return runtime().tables.get(what, lambda: Outcome(self.arms, runs))


def choose() -> Selection:
    """Show the sidebar and return what is chosen in it."""
    with st.container():
        for problem in follow_url():
            st.warning(f"In the link: {plain(problem)}. The preset's value is used instead.")
    seat = take_seat()
    locked = bool(seat and seat.locked)
    state = st.session_state
    with st.sidebar:
        with st.container():  # whether it is there or not moves no widget to another place
            if locked:
                st.info(
                    f"The teacher of class {seat.found.name} has locked the choices, so that all "
                    "train the same. You can press Start.",
                    icon=":material/lock:",
                )
        form = Form(state.base, state.choice, _fixed(seat))
        for group in GROUPS:
            if group != ADVANCED:
                st.header(group)
                _ask(form, group)
        with st.expander(ADVANCED):
            _ask(form, ADVANCED)
            device, loop = _device(locked), _loop(locked)
        choice, source = form.choice, form.source
        if locked:
            choice = seat.asked()[1]  # whatever a forged client says
        else:
            _fit_rates(choice)
        arms, problem = ({}, source.problem) if source.problem else _check(choice, form.slots)
    keep(choice)
    return Selection(state.preset, choice, arms, problem, device, loop, source.folder, seat)


def _fixed(seat: Seat | None) -> Collection[str]:
    """The fields that a visitor with this seat can't change."""
    if seat is None:
        return ()
    return FIELDS if seat.locked else ("seed", "replicates")


def _check(choice: Choice, slots: dict) -> tuple[dict[str, tuple[Experiment, ...]], str]:
    try:
        return choice.arms(), ""
    except InvalidValue as error:
        slot = slots.get(error.field)
        if slot is not None:
            slot.error(plain(in_words(error)))
        return {}, in_words(error)


def _use_preset(name: str) -> None:
    offer(name, PRESETS[name].choice)


def show_presets() -> None:
    """A row of small buttons, which say what they are about when pointed at."""
    chosen = st.session_state.preset
    with st.container(horizontal=True, gap="xsmall", key="presets"):
        for name, preset in PRESETS.items():
            st.button(
                preset.title,
                key=f"preset_{name}",
                on_click=_use_preset,
                args=(name,),
                type="primary" if name == chosen else "secondary",
                help=preset.summary,
            )


def _ask(form: Form, group: str) -> None:
    """Ask for the fields of a group that mean anything beside what is chosen so far."""
    names = [name for name, field in FIELDS.items() if field.group == group]
    beside = {FIELDS[name].beside: name for name in names if FIELDS[name].beside}
    for name in names:
        if FIELDS[name].beside or not form.applies(FIELDS[name]):
            continue
        if name in _OWN:
            _OWN[name](form)
        elif name in beside:
            for column, one in zip(st.columns(2), (name, beside[name]), strict=True):
                with column:
                    form.ask(one)
        else:
            form.ask(name)


# Fields that are asked for in a way of their own


def _ask_dataset(form: Form) -> None:
    form.ask("dataset")
    if form.new["dataset"] != form.base.dataset:
        _hold_out_for(form)
    form.source = choose_source(form.new["dataset"], form.base, "dataset" in form.fixed)
    form.new["content"] = form.source.content


def _hold_out_for(form: Form) -> None:
    """Another data set holds out as many images as suit it, unless somebody chose how many."""
    state = st.session_state
    preset = PRESETS[state.preset].choice
    before = held_out_for(replace(preset, dataset=form.base.dataset))
    now = replace(state.choice, dataset=form.new["dataset"])
    fitting = held_out_for(replace(preset, dataset=now.dataset))
    if now.validation_size == before != fitting:
        offer(state.preset, replace(now, content="", validation_size=fitting))
        st.rerun()


def _fit_rates(choice: Choice) -> None:
    """Another length has the preset's warm-up and decay fitted to it, if nobody chose them."""
    state = st.session_state
    preset = PRESETS[state.preset].choice
    before, fitting = (rates_for(one, preset) for one in (state.choice, choice))
    if {"warmup": choice.warmup, "decay_at": choice.decay_at} == before != fitting:
        offer(state.preset, replace(choice, **fitting))
        st.rerun()


def _ask_network(form: Form) -> None:
    known = {shortest(name): words for name, (_, words) in NAMED.items()}
    chosen = st.selectbox(
        FIELDS["network"].words,
        [*known, _OTHER],
        [*known].index(form.base.network) if form.base.network in known else len(known),
        key=widget_key("network_name"),
        format_func=lambda text: capital(known.get(text, "another, as a text")),
        disabled="network" in form.fixed,
    )
    if chosen == _OTHER:
        form.ask("network", "Its layers, or a name with a factor")
    else:
        form.new["network"] = chosen
        form.slot("network")


def _ask_restart(form: Form) -> None:
    picked = st.radio(
        FIELDS["restart"].words,
        list(_RESTARTS),
        list(_RESTARTS).index(_restart_of(form.base)),
        key=widget_key("restart"),
        format_func=lambda name: _RESTARTS[name],
        help=meaning("rewind"),
        disabled="restart" in form.fixed,
    )
    form.slot("restart")
    form.new["restart"] = "rewind" if picked in ("initial", "later") else picked
    form.new |= {"rewind_iteration": 0, "rewind_percent": 0.0}
    if picked in ("later", "rate-rewind"):
        _ask_rewind(form, [] if picked == "later" else [0])


def _restart_of(choice: Choice) -> str:
    if choice.restart == "rewind":
        return "later" if choice.rewind_iteration or choice.rewind_percent else "initial"
    return choice.restart


def _ask_rewind(form: Form, extra: list[int]) -> None:
    """To which iteration of level 0; a link's percent stays one while it is what is chosen."""
    grid, left_out, total = _grid(form.current)
    percent = form.base.rewind_percent
    at = round(percent / 100 * total) if percent else form.base.rewind_iteration
    options = sorted({*extra, *grid, *([at] if at else [])}) or [0]
    chosen = st.selectbox(
        FIELDS["rewind_iteration"].words,
        options,
        options.index(at) if at in options else len(options) - 1,
        key=widget_key("rewind_iteration"),
        format_func=lambda i: f"{i:,} ({100 * i / total:.3g} %)" if total else f"{i:,}",
        disabled="rewind_iteration" in form.fixed,
    )
    form.slot("rewind_iteration", "rewind_percent")
    if left_out:
        st.caption(
            f"{SNAPSHOT_BYTES // 2**20} MiB hold the weights of so large a network at no more than "
            f"{len(grid) + 1} iterations, the first included."
        )
    if percent and chosen == at:
        form.new["rewind_percent"] = percent
    else:
        form.new["rewind_iteration"] = chosen


def _grid(choice: Choice) -> tuple[list[int], int, int]:
    """The iterations of level 0 one can rewind to, how many a smaller network has besides, and how
    long it trains; 0 if unknown."""
    try:
        recipe = choice.recipe()
    except InvalidValue:
        return [], 0, 0
    kept = recipe.snapshot_iterations
    return [i for i in kept if i], len(recipe.snapshot_grid) - len(kept), recipe.iterations


def _ask_conv_factor(form: Form) -> None:
    if any(word in form.value("network") for word in ("pool", "mean", "resnet")):
        form.ask("conv_factor")
    else:
        form.new["conv_factor"] = 1.0


_OWN = {
    "dataset": _ask_dataset,
    "network": _ask_network,
    "restart": _ask_restart,
    "conv_factor": _ask_conv_factor,
}


# What is no part of the choice


def _device(locked: bool) -> str:
    """Where to train; only asked where there is a choice."""
    devices = runtime().store.read_machine().get("devices", ["cpu"])
    if len(devices) == 1:
        return devices[0]
    return st.selectbox(
        "Device", devices, key="device", help="Does not change what is computed.", disabled=locked
    )


def _loop(locked: bool) -> str:
    return st.selectbox(
        "Training loop",
        list(LOOPS),
        key="loop",
        format_func=lambda name: capital(LOOPS[name]),
        help="Does not change what is computed, only how long it takes.",
        disabled=locked,
    )
