"""The sidebar: every choice, and the presets; the URL says the same at all times.

A field is asked for as its row in the table of fields says; the few that are asked for in a way of
their own stand in `_OWN`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial

import streamlit as st

from lottery_core.findings.ending import ended_arms
from lottery_core.findings.outcome import Outcome
from lottery_core.findings.recipe_words import units_in_words
from lottery_core.method.criteria import CRITERIA
from lottery_core.method.restart import RULES
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice, held_out_for, rates_for
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.fields import ADVANCED, FIELDS, GROUPS, in_words
from lottery_core.spec.limits import SNAPSHOT_BYTES
from lottery_core.spec.notation import NAMED, shortest
from lottery_core.spec.presets import PRESETS
from lottery_core.store import Level
from lottery_core.training.base import LOOPS
from ui.explorer.classroom import Seat, take_seat
from ui.explorer.form import Form
from ui.explorer.link import follow_url, keep, offer, widget_key
from ui.explorer.machine import ask_device, ask_loop, device, loop
from ui.explorer.source import choose_source
from ui.explorer.stepping import Place, choose_mode, place_in
from ui.shared.reading import finished, infos
from ui.shared.runtime import runtime
from ui.shared.text import capital, plain
from ui.shared.words import meaning

_OTHER = "other"
RESTARTS = {
    "initial": "Their initial weights (rewinding)",
    "later": "Weights from early in dense training",
    "keep": "Their trained weights (no rewind)",
    "rate-rewind": "Their trained weights; the learning rate starts over",
    "reinit": "New random weights",
    "signs": "Their initial signs, of one magnitude in each layer",
    "new-magnitudes": "Their own signs, of new random magnitudes",
    "new-signs": "Their own magnitudes, of new random signs",
}


@dataclass(frozen=True)
class Selection:
    """What is chosen, as `Choice.arms`; without any it can't run, and `problem` says why. `seat` is
    that of a class, where the link names one; `place` where its visitor is who goes step by step,
    with the first seed alone."""

    preset: str
    choice: Choice
    arms: dict[str, tuple[Experiment, ...]]
    problem: str
    device: str
    loop: str
    folder: str | None
    seat: Seat | None = None
    place: Place | None = None
    _whole: list[Outcome] = field(default_factory=list, compare=False)

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """All of them, in the order in which they are run."""
        return tuple(experiment for arm in self.arms.values() for experiment in arm)

    @property
    def main(self) -> Experiment:
        """The experiment itself with its first seed."""
        return self.arms["main"][0]

    @property
    def may_stop_early(self) -> bool:
        """Whether it is not known yet how many rounds there will be."""
        return any(one.until for one in self.experiments)

    @property
    def is_judged(self) -> bool:
        """Whether every seed has all its levels, so that there is something to say of it."""
        return not self.place and all(
            len(finished(one)) == len(one.keys) for one in self.arms["main"]
        )

    def level_to_show(self) -> int | None:
        """The level to begin with once all are there: the one of which everything speaks."""
        return self.outcome().level if self.is_judged else None

    def levels(self) -> list[Level]:
        """The levels of the first seed that are there, as far as they may be shown."""
        return finished(self.main)[: self.place.levels if self.place else None]

    def outcome(self) -> Outcome:
        """What came of it so far; one for all who look at the same."""
        if self._whole:  # nothing is added to it
            return self._whole[0]
        runs = {name: infos(arm) for name, arm in self.arms.items()}
        if self.place:
            runs = {
                name: {seed: levels[: self.place.levels] for seed, levels in arm.items()}
                for name, arm in runs.items()
            }
        done = [tuple((seed, len(one)) for seed, one in arm.items()) for arm in runs.values()]
        what = ("outcome", *(one.key for one in self.experiments), *self.arms, *done)
        make = partial(Outcome, self.arms, runs, self.choice.until())
        found = runtime().tables.get((*what, self.choice.fall), make)
        if sum(levels for arm in done for _, levels in arm) == sum(
            len(one.keys) for one in self.experiments
        ):
            self._whole.append(found)
        return found


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
        steps = False
        for group in GROUPS:
            if group != ADVANCED:
                st.header(group)
                _ask(form, group)
                if "restart" in (name for name, one in FIELDS.items() if one.group == group):
                    steps = choose_mode(disabled=seat is not None)
        _ask_folded(form, locked)
        choice, source = form.choice, form.source
        if locked:
            choice = seat.asked()[1]  # whatever a forged client says
        else:
            _fit_rates(choice)
        arms, problem = ({}, source.problem) if source.problem else _check(choice, form.slots)
    keep(choice)
    place = None
    if steps and arms:
        arms = {"main": arms["main"][:1]}
        place = place_in(arms["main"][0])
    where = (device(), loop(), source.folder)
    return Selection(state.preset, choice, arms, problem, *where, seat, place)


def _fixed(seat: Seat | None) -> Collection[str]:
    """The fields that a visitor with this seat can't change."""
    if seat is None:
        return ()
    return FIELDS if seat.locked else ("seed", "replicates")


def _check(choice: Choice, slots: dict) -> tuple[dict[str, tuple[Experiment, ...]], str]:
    try:
        # For all who choose the same, with their keys reckoned; a data set of one's own may be
        # another under its old name.
        dataset = DATASETS.get(choice.dataset)
        what = ("arms", choice, dataset and dataset.digest)
        return ended_arms(runtime().store, runtime().tables.get(what, choice.arms)), ""
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
                    form.ask(one, _words(form, one))
        else:
            form.ask(name)


def _words(form: Form, name: str) -> str:
    """Other words than a field's own, where it means less than it says."""
    at_most = name == "rounds" and form.value("schedule") == "until"
    return "Rounds, at most" if at_most else ""


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
        list(RESTARTS),
        list(RESTARTS).index(restart_of(form.base)),
        key=widget_key("restart"),
        format_func=lambda name: RESTARTS[name],
        help=meaning("rewind"),
        disabled="restart" in form.fixed,
    )
    form.slot("restart")
    form.new["restart"] = "rewind" if picked in ("initial", "later") else picked
    form.new |= {"rewind_iteration": 0, "rewind_percent": 0.0}
    if picked == "later" or (picked in RULES and RULES[picked].asks_iteration):
        _ask_rewind(form, [] if picked == "later" else [0])


def restart_of(choice: Choice) -> str:
    """A choice's restart, as a name in `RESTARTS`."""
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
        format_func=lambda i: f"{i:,} ({100 * i / total:.3g}\u202f%)" if total else f"{i:,}",
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
    if _has_convolutions(form):
        form.ask("conv_factor")


def _ask_criterion(form: Form) -> None:
    form.ask("criterion")
    if known := CRITERIA.get(form.value("criterion")):
        st.caption(plain(known.summary))
        if known.takes_units:
            st.caption(plain(units_in_words(form.value("scope"))))


def _has_convolutions(form: Form) -> bool:
    return any(word in form.value("network") for word in ("pool", "mean", "resnet"))


_OWN = {
    "dataset": _ask_dataset,
    "network": _ask_network,
    "restart": _ask_restart,
    "conv_factor": _ask_conv_factor,
    "criterion": _ask_criterion,
}


# What is folded, with what is no part of the choice


def _ask_folded(form: Form, locked: bool) -> None:
    """The advanced choices, whose widgets are a third of the page's and made only for who unfolds
    them; folded, a line says which are not the preset's, and what is wrong with them."""
    if not _has_convolutions(form):
        form.new["conv_factor"] = 1.0
    with st.container(gap="xsmall"):
        part = st.expander(ADVANCED, key="advanced", on_change="rerun")
        if part.open:
            with part:
                _ask(form, ADVANCED)
                ask_device(locked)
                ask_loop(locked)
            return
        if changed := _not_the_presets(form):
            st.caption(f"Not as in the preset: {', '.join(changed)}.")
        names = [name for name, one in FIELDS.items() if one.group == ADVANCED]
        form.slot(*names)
    # Widgets that are folded are forgotten: the next begin with what is chosen now.
    now = {name: form.value(name) for name in names}
    st.session_state.base = replace(form.base, **now)


def _not_the_presets(form: Form) -> list[str]:
    """What is folded and differs from the preset, in words."""
    preset, choice = PRESETS[st.session_state.preset].choice, form.choice
    words = [
        one.words
        for name, one in FIELDS.items()
        if one.group == ADVANCED and form.applies(one)
        if getattr(choice, name) != getattr(preset, name)
    ]
    return words + ["Training loop"] * (loop() != next(iter(LOOPS)))
