"""What a class sees of itself: the teacher's screen, and a student's line."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit

import segno
import streamlit as st

from lottery_core.findings.ending import ended_arms
from lottery_core.findings.outcome import Outcome
from lottery_core.report import figures
from lottery_core.running import classroom
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Class
from ui.explorer.classroom import Seat, leave, named, open_class, problem, take_recipe
from ui.explorer.sidebar import Selection
from ui.explorer.status import state_of
from ui.shared.chart_options import choose_bands
from ui.shared.frame import wrapping
from ui.shared.plot import drawn, plot
from ui.shared.reading import infos
from ui.shared.runtime import runtime
from ui.shared.text import many, plain
from ui.shared.trouble import asking, live
from ui.shared.visitor import visitor
from ui.shared.words import say, show_words

_DRAW = 1.5  # seconds between two drawings of the one screen that all look at
_HERE = ("localhost", "127.0.0.1", "::1")
_TO_OTHERS = (
    "Other machines can't reach `{host}`. Start the app with an address that they reach, and open "
    "this page under it (docs/teaching.md)."
)

Arms = dict[str, tuple[Experiment, ...]]


def show_class(selection: Selection) -> None:
    """Whatever there is to see of the class that the link names; without one, the way to open
    one below the choices."""
    seat = selection.seat
    if not named():
        _show_opening(selection)
        return
    with st.container(key="class"):
        with st.container():
            if problem():
                st.warning(plain(problem()))
        with st.container():
            if seat is None:
                if not problem():
                    _show_no_class(selection)
            elif seat.teaches:
                _show_board(selection, seat)
            else:
                _show_line(selection, seat)


def _show_opening(selection: Selection) -> None:
    folded = st.sidebar.expander("A class", key="a_class", on_change="rerun")
    if not folded.open:
        return
    with folded:
        st.caption(
            "A link and a QR code for your class: everyone trains what is chosen here with a seed "
            "of their own, and all runs are one chart on your screen."
        )
        name = st.text_input(
            "Name of the class",
            key="class_to_open",
            placeholder="physics-10b",
            persist_state="page",
        )
        args = (name, selection.preset, selection.choice)
        st.button("Open the class", on_click=open_class, args=args, disabled=not name.strip())


def _show_no_class(selection: Selection) -> None:
    name = named()
    with st.container(border=True):
        st.markdown(
            f"**There is no class {plain(name)} here.** If you were sent here, check the name; "
            "this page lets you in as soon as your teacher opens it. If you teach, choose what "
            "your class is to train, and open it."
        )
        with st.container(horizontal=True):
            st.button(
                "Open it as its teacher",
                key="open_class",
                on_click=open_class,
                args=(name, selection.preset, selection.choice),
                disabled=bool(selection.problem),
            )
            st.button("Go on without a class", key="leave_class", on_click=leave)


# A student


def _show_line(selection: Selection, seat: Seat) -> None:
    name = f"**Class {seat.found.name}**, your seed is **{seat.seed}**."
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", border=True, key="class_line"
    ):
        if state_of(selection).complete and _trains_it(selection, seat):
            st.markdown(f"{name} What you trained is in the chart of the class.")
        elif seat.locked:
            st.markdown(f"{name} The teacher has locked the choices: press Start.")
        elif _trains_it(selection, seat):
            st.markdown(f"{name} What you train goes into the chart of the class.")
        else:
            st.markdown(
                f"{name} What is chosen now is not what the class trains: such a run is yours "
                "alone, and not in the chart of the class."
            )
            st.button(
                "Choose what the class trains",
                key="take_recipe",
                on_click=take_recipe,
                args=(seat,),
            )
        st.button("Leave the class", key="leave_class", on_click=leave)


def _trains_it(selection: Selection, seat: Seat) -> bool:
    return selection.choice == seat.asked()[1]


# The teacher


def _show_board(selection: Selection, seat: Seat) -> None:
    with wrapping("class_board", 14):
        chart, about = st.columns([7, 4], gap="medium")
    with about:
        _show_way_in(seat.found)
        kind = choose_bands("Bands over the seeds", "class_bands", "interval")
        _show_reins(selection, seat)
        arms = [ARMS[name].title for name in seat.asked()[1].controls]
        show_words("dense, pruned, seed, ticket", *arms)  # in the chart

    @live(_DRAW, first=True)
    def show_chart() -> None:
        found = _now(seat)
        if found is None:
            return
        arms, outcome = _pool(found)
        shown = tuple((name, _counts(of_arm)) for name, of_arm in outcome.runs.items())
        what = ("class", arms["main"][0].key, shown, kind)
        plot(drawn(what, lambda: _figure(found.name, outcome, kind)), "plot_class", styled=True)

    @live(_DRAW, first=True)
    def show_seats() -> None:
        found = _now(seat)
        if found is None:
            st.rerun()
        _show_seats(found, *_pool(found))

    with chart:
        show_chart()
    with st.container():
        show_seats()


def _now(seat: Seat) -> Class | None:
    return classroom.find(runtime().store, seat.found.name)


def _pool(found: Class) -> tuple[Arms, Outcome]:
    """What all train, and what came of it over the seeds that have begun."""
    what = ("class", tuple(found.recipe.items()), tuple(found.seeds))
    asked = runtime().tables.get(what, lambda: classroom.arms_of(found))
    arms = ended_arms(runtime().store, asked)
    return arms, classroom.pooled(arms, {name: infos(arm) for name, arm in arms.items()})


def _counts(of_arm: dict) -> tuple[tuple[int, int], ...]:
    return tuple((seed, len(levels)) for seed, levels in of_arm.items())


def _figure(name: str, outcome: Outcome, kind: str) -> figures.Figure:
    figure = outcome.accuracy(kind=kind)
    return figure.update_layout(title_text=f"Class {name}: accuracy against weights remaining")


def _show_way_in(found: Class) -> None:
    """The QR code and the link that lead into the class."""
    st.header(f"Class {found.name}")
    link = link_to(found.name)
    code = segno.make(link, micro=False, error="m").svg_data_uri(light="#fff")
    st.html(f'<img class="class-code" src="{escape(code)}" alt="QR code of {escape(link)}">')
    st.code(link, language=None, wrap_lines=True)
    host = urlsplit(link).hostname
    if host in _HERE:
        st.caption(_TO_OTHERS.format(host=host))


def link_to(name: str, **more: str) -> str:
    """The link into a class, under the address by which this page was reached."""
    here = (st.context.url or "").partition("?")[0].partition("#")[0].removesuffix("/")
    return f"{here}/?{urlencode({'class': name, **more})}"


def _show_reins(selection: Selection, seat: Seat) -> None:
    """What only a teacher may do; the core checks that it is one."""
    name = seat.found.name
    with st.container(horizontal=True, vertical_alignment="center", key="class_reins"):
        st.toggle(
            "Lock the choices",
            seat.found.locked,
            key=f"class_lock_{seat.found.locked}",
            on_change=_lock,
            args=(name, not seat.found.locked),
            help="Students see what the class trains and can change nothing: they press Start.",
        )
        with st.popover("More", icon=":material/more_horiz:"):
            _show_more(name)
    if not _trains_it(selection, seat):
        st.info("What is chosen here is not what the class trains.", icon=":material/difference:")
        with st.container(horizontal=True):
            st.button(
                "Give it to the class",
                key="give_recipe",
                type="primary",
                on_click=_give,
                args=(name, selection),
                disabled=bool(selection.problem),
            )
            st.button("Back to the class's", key="take_recipe", on_click=take_recipe, args=(seat,))


def _show_more(name: str) -> None:
    if word := st.session_state.get("class_word"):
        st.markdown("**Your link as the teacher**, for another browser or another day:")
        st.code(link_to(name, teach=word), language=None, wrap_lines=True)
        st.caption("Who has it can lock the choices and close the class. It is shown here only.")
    st.button("A new link for the teacher", key="new_word", on_click=_new_word, args=(name,))
    st.button("Stop all runs of the class", key="stop_class", on_click=_stop_all, args=(name,))
    st.button("Close the class", key="close_class", on_click=_close, args=(name,))
    st.caption("What was trained is kept. A class that nobody visits for 30 days is over.")


def _show_seats(found: Class, arms: Arms, outcome: Outcome) -> None:
    """Who has come, how far each is, and what came of those that are finished."""
    main = arms["main"]
    done = {seed: len(levels) for seed, levels in outcome.runs["main"].items()}
    of_all = max((len(one.keys) for one in main if one.recipe.seed in done), default=0)
    at_work = {job.key for job in runtime().queue.jobs()}
    taught = found.first_seed  # who opened the class may train too
    shown = [
        (one, done.get(one.recipe.seed, 0), one.key in at_work)
        for one in main
        if one.recipe.seed != taught or done.get(taught) or one.key in at_work
    ]
    students = len(main) - 1
    finished = sum(levels == len(one.keys) for one, levels, _ in shown)
    begun = sum(levels > 0 or works for _, levels, works in shown)
    if not students and not shown:
        st.markdown("**Nobody has come yet.** Have the class scan the code, or open the link.")
        return
    st.markdown(
        f"**{many(students, 'student')}** came, **{begun}** started, **{finished}** finished. "
        f"{_seeds_by_level(list(done.values()), of_all)}"
    )
    chips = "".join(_chip(one.recipe.seed, levels, len(one.keys)) for one, levels, _ in shown)
    st.html(f'<ul class="class-seats" aria-label="Levels done, by seed">{chips}</ul>')
    if finished:
        runs = {name: infos(arm) for name, arm in arms.items()}
        until = classroom.choice_of(found, found.first_seed)[1].until()
        verdict, *beside = classroom.pooled(arms, runs, finished=True, until=until).sentences()
        say("\n".join([f"{verdict}\n", *(f"- {one}" for one in beside)]))


def _seeds_by_level(done: list[int], of_all: int) -> str:
    """On how many seeds each point of the chart rests."""
    if not done:
        return ""
    counts = [sum(levels > n for levels in done) for n in range(of_all)]
    return f"Seeds at levels 0 to {of_all - 1}: {', '.join(map(str, counts))}."


def _chip(seed: int, levels: int, of_all: int) -> str:
    part = round(100 * levels / of_all)
    return f'<li style="--done: {part}%">{seed}: {levels}/{of_all}</li>'


@asking
def _lock(name: str, locked: bool) -> None:
    classroom.lock(runtime().store, name, visitor(), locked)


@asking
def _give(name: str, selection: Selection) -> None:
    classroom.give(runtime().store, name, visitor(), selection.preset, selection.choice)


@asking
def _new_word(name: str) -> None:
    st.session_state.class_word = classroom.new_word(runtime().store, name, visitor())


@asking
def _close(name: str) -> None:
    classroom.close(runtime().store, name, visitor())
    leave()


@asking
def _stop_all(name: str) -> None:
    found = classroom.find(runtime().store, name)
    if found is None or visitor() not in found.teachers:
        raise InvalidValue("class", name, "is another's: only its teacher may stop all")
    arms = ended_arms(runtime().store, classroom.arms_of(found))
    keys = {one.key for arm in arms.values() for one in arm}
    for job in runtime().queue.jobs():
        if job.key in keys:
            runtime().queue.cancel(job.key)
