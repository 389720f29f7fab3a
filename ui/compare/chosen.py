"""Which lines are compared, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lottery_core.findings.comparison import places_of
from lottery_core.findings.lines import MAX_LINES, Line, Runs, lines_of, with_seeds
from lottery_core.findings.naming import line_names
from lottery_core.findings.outcome import Axes, axes_of
from lottery_core.findings.view import View
from lottery_core.report import compared_figures, figures
from lottery_core.spec.experiment import Experiment
from ui.compare.link import follow_url, widget_key
from ui.compare.states import begun, is_running, signature
from ui.shared.reading import infos
from ui.shared.runtime import runtime
from ui.shared.text import capital, plain, seeds_in_words


@dataclass(frozen=True)
class Compared:
    """What is compared: the lines in the order of choice, what each is called and how it is
    drawn, the infos of its finished levels by seed, and at which percents of the weights they are
    drawn, as far as that is known; `signature` is from before they were read, so that what ended
    since asks for a new look; `percent` is the size looked at."""

    view: View
    lines: tuple[Line, ...]
    words: dict[str, str]
    styles: dict[str, figures.Style]
    runs: dict[str, Runs]
    places: dict[str, list[float]]
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
    def axes(self) -> Axes:
        """What its charts have to hold."""
        return axes_of([line.main for line in self.lines])

    def title(self, line: Line) -> str:
        """What a line is called, at the beginning of a sentence, as Markdown."""
        return plain(capital(self.words[line.id]))

    @property
    def seeds(self) -> int:
        """How many seeds the line with the most has finished."""
        return max((len(known) for known in self.runs.values()), default=0)


def choose() -> Compared | None:
    """Show the picker; None where there is nothing to pick from."""
    state, store = st.session_state, runtime().store
    known = lines_of(store.jobs())
    told = st.container()
    problems = follow_url(known)
    asked = state.compare.lines
    offered = [n for n, line in known.items() if n in asked or begun(line) or is_running(line)]
    if not offered:
        for problem in problems:
            told.warning(f"In the link: {plain(problem)}.")
        del state.compare
        return None
    words = line_names([known[name] for name in offered])
    labels = {name: f"{words[name]}, {seeds_in_words(len(known[name].seeds))}" for name in offered}
    picked = st.multiselect(
        "Compare",
        offered,
        default=[name for name in asked if name in offered],
        max_selections=MAX_LINES,
        format_func=labels.__getitem__,
        # Other options are another widget: they come with the choice as it is.
        key=widget_key("lines", labels),
        placeholder="Pick up to 8 of the runs in this cache",
    )[:MAX_LINES]
    state.compare = replace(state.compare, lines=tuple(picked))
    if state.compare.reference not in picked:
        state.compare = replace(state.compare, reference="")
    if state.compare_problems[1] == state.compare:
        for problem in problems:
            told.warning(f"In the link: {plain(problem)}. What can't be shown is left out.")
    return _compared(_with_chosen_seeds(tuple(known[name] for name in picked)))


def _with_chosen_seeds(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """The lines with the seeds that one came with, which the link keeps; more can be added."""
    view = st.session_state.compare
    every = sorted({seed for line in lines for seed in line.seeds})
    chosen = [seed for seed in view.seeds if seed in every] or every
    if len(every) > 1:
        key = widget_key("seeds", every)
        chosen = sorted(st.multiselect("Seeds", every, default=chosen, key=key) or every)
    st.session_state.compare = replace(view, seeds=tuple(chosen))
    found = tuple(with_seeds(line, chosen or every) for line in lines)
    for line in found:
        if chosen and not set(line.seeds) & set(chosen):
            st.caption(
                f"{plain(capital(line_names(found)[line.id]))} has none of these seeds: all of "
                "its own are shown, and no pair can be made with the others."
            )
    return found


def _compared(lines: tuple[Line, ...]) -> Compared:
    before = signature(lines)
    styles = compared_figures.distinct_styles([line.arm for line in lines])
    found = {line.id: infos(line.experiments) for line in lines}
    return Compared(
        view=st.session_state.compare,
        lines=lines,
        words=line_names(lines),
        styles={line.id: style for line, style in zip(lines, styles, strict=True)},
        runs=found,
        places={line.id: places_of(line, lines, found) for line in lines},
        signature=before,
    )
