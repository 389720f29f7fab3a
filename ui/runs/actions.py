"""What can be done with the marked runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from lottery_core.findings.handout.asked import asked_for, line_of
from lottery_core.findings.handout.comparison_page import comparison_archive, comparison_page
from lottery_core.findings.handout.paper import archive
from lottery_core.findings.handout.run_page import run_page
from lottery_core.findings.lines import MAX_LINES
from lottery_core.findings.shelf import Row, Run
from lottery_core.running import upkeep
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.limits import MAX_SEED
from lottery_core.store import MAX_NAME, MAX_NOTE, Label
from ui.shared.download import download
from ui.shared.runtime import runtime
from ui.shared.text import many, plain
from ui.shared.trouble import asking, show_refused

_REMOVING = "runs_removing"
_MEASURES = {
    "measure": ("Speed", "pages/speed.py"),
    "instability": ("Stability", "pages/stability.py"),
    "barriers": ("Barriers", "pages/stability.py"),
    "early": ("Early birds", "pages/stability.py"),
}


def show_actions(marked: Sequence[Row], tags: Sequence[str]) -> None:
    """What can be done with these rows; `tags` are all that there are."""
    show_refused()
    if not marked:
        st.caption("Mark rows at their left to open, compare, repeat, name, hand out or delete.")
        st.session_state.pop(_REMOVING, None)
        return
    st.header(_title(marked))
    for message in _messages(marked):
        st.caption(plain(message))
    with st.container(horizontal=True, vertical_alignment="center", key="runs_links"):
        if len(marked) == 1:
            _show_links(marked[0])
        _show_compare(marked)
        _show_exports(marked)
        _show_stop(marked)
        _show_delete(marked)
    _confirm_delete(marked)
    if len(marked) == 1:
        _show_label(marked[0], tags)


def link_of(run: Run) -> tuple[str, dict[str, str]] | None:
    """The page that shows a run, and its parameters; None if none does yet."""
    if run.facts.ticket:
        return "pages/ticket.py", {"view": "bring", "ticket": run.facts.ticket}
    if run.params:
        return "app.py", dict(run.params)
    if run.levels:
        return "pages/ticket.py", {"key": run.key, "level": str(len(run.levels) - 1)}
    return None


def luck_of(run: Run) -> dict[str, str] | None:
    """The parameters with which the Luck page shows a run; None where it would not: it takes
    finished ones with tickets of their own."""
    facts = run.facts
    is_whole = len(run.levels) == len(facts.levels)
    if facts.arm == "ticket" and not facts.ticket and is_whole and run.params:
        return {"key": run.key}
    return None


def again_of(row: Row) -> dict[str, str] | None:
    """The parameters of the same choice with the next seed, to change and to start; None where no
    choice is known."""
    seed = max(run.facts.seed for run in row.runs) + 1
    if not row.first.params or row.facts.ticket or seed > MAX_SEED:
        return None
    return {**row.first.params, "seed": str(seed), "replicates": "1"}


def _title(marked: Sequence[Row]) -> str:
    if len(marked) > 1:
        return f"{many(len(marked), 'row')} marked"
    row = marked[0]
    facts, name = row.facts, plain(row.label.name)
    what = plain(f"{facts.network} on {facts.data_title}, {facts.title}")
    return f"{name}: {what}" if name else what


def _messages(marked: Sequence[Row]) -> dict[str, None]:
    jobs = (job for row in marked for run in row.runs for job in run.jobs.values())
    return dict.fromkeys(job.message for job in jobs if job.message)


def _show_links(row: Row) -> None:
    if link := link_of(row.first):
        page, params = link
        st.page_link(page, label="Open", icon=":material/open_in_new:", query_params=params)
    for run in row.runs:
        for task in run.measured:
            title, page = _MEASURES[task]
            many_seeds = f", seed {run.facts.seed}" if len(row.runs) > 1 else ""
            label, params = f"{title}{many_seeds}", {"key": run.key}
            if task == "barriers":  # of the last level, as it was asked for
                params["ticket"] = str(len(run.facts.levels) - 2)
            st.page_link(page, label=label, icon=":material/speed:", query_params=params)
    if params := luck_of(row.first):
        st.page_link(
            "pages/luck.py",
            label="Luck",
            icon=":material/casino:",
            query_params=params,
            help="Which of its mask, signs, magnitudes and data order, changed, loses the ticket.",
        )
    if params := again_of(row):
        st.page_link(
            "app.py",
            label="Repeat with changes",
            icon=":material/replay:",
            query_params=params,
            help="The same choice in the Explorer with the next seed: change what you like there.",
        )


def _show_compare(marked: Sequence[Row]) -> None:
    if not all(row.first.jobs for row in marked):
        return  # Compare knows of what was asked for
    lines = list(dict.fromkeys(row.facts.line for row in marked))
    if len(lines) > MAX_LINES:
        st.caption(f"At most {MAX_LINES} can be compared.")
        return
    seeds = sorted({run.facts.seed for row in marked for run in row.runs})
    params = {"lines": ",".join(lines), "seeds": ",".join(map(str, seeds))}
    icon = ":material/compare_arrows:"
    st.page_link("pages/compare.py", label="Compare", icon=icon, query_params=params)


def _show_exports(marked: Sequence[Row]) -> None:
    there = [row for row in marked if row.first.levels]
    known = there and len(there) == len(marked) and len(there) <= MAX_LINES
    stem, report, tables = exports(there) if known else ("run", bytes, bytes)
    download("Report", f"{stem}-report.html", report, disabled=not known)
    download("Tables", f"{stem}-tables.zip", tables, disabled=not known)


# Made when the button is pressed, on another thread without a session.
def exports(rows: Sequence[Row]) -> tuple[str, Callable[[], bytes], Callable[[], bytes]]:
    """What the files of these rows are called, and what makes their report and their tables: those
    of a run with its controls, or of several rows as a comparison with the first."""
    store, first = runtime().store, rows[0].first
    if len(rows) == 1:
        key = first.levels[-1]
        return (
            f"run-{first.key[:8]}",
            lambda: run_page(store, asked_for(store, key)),
            lambda: archive(store, asked_for(store, key)),
        )
    asked = [(row.first.levels[-1], [run.facts.seed for run in row.runs]) for row in rows]

    def lines() -> list:
        return [line_of(store, key, seeds) for key, seeds in asked]

    return (
        f"comparison-{first.key[:8]}",
        lambda: comparison_page(store, lines()),
        lambda: comparison_archive(store, lines()),
    )


def _show_stop(marked: Sequence[Row]) -> None:
    active = [
        job.key for row in marked for run in row.runs for job in run.jobs.values() if job.active
    ]
    if active:
        icon = ":material/stop:"
        st.button("Stop", icon=icon, on_click=_stop, args=(active,), key="runs_stop")


@asking
def _stop(keys: Sequence[str]) -> None:
    for key in keys:
        runtime().queue.cancel(key)


def _show_delete(marked: Sequence[Row]) -> None:
    def ask() -> None:
        st.session_state[_REMOVING] = _keys(marked)

    st.button("Delete", icon=":material/delete:", on_click=ask, key="runs_delete")


def _confirm_delete(marked: Sequence[Row]) -> None:
    keys = _keys(marked)
    if st.session_state.get(_REMOVING) != keys:  # others are marked since
        st.session_state.pop(_REMOVING, None)
        return
    store, shelf = runtime().store, runtime().shelf
    try:
        planned = upkeep.plan(store, shelf.look(), keys)
    except InvalidValue as error:
        st.session_state.pop(_REMOVING, None)
        st.error(plain(str(error)))
        return
    with st.container(border=True, key="runs_confirm"):
        st.markdown(f"{planned.in_words()} That can't be undone.")
        with st.container(horizontal=True):
            st.button("Delete for good", type="primary", on_click=_remove, args=(keys,),
                      key="runs_delete_now")  # fmt: skip
            st.button("Keep", on_click=_keep, key="runs_keep")


@asking
def _remove(keys: frozenset[str]) -> None:
    _keep()
    upkeep.remove(runtime().shelf, runtime().store, keys)


def _keep() -> None:
    st.session_state.pop(_REMOVING, None)


def _show_label(row: Row, tags: Sequence[str]) -> None:
    label, line = row.label, row.facts.line
    with st.form(f"runs_label_{line}_{hash(label):x}", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name", label.name, max_chars=MAX_NAME, width=260)
            chosen = st.multiselect(
                "Tags",
                list(dict.fromkeys((*label.tags, *tags))),
                label.tags,
                accept_new_options=True,
                placeholder="choose or type",
                width=260,
            )
        note = st.text_area("Note", label.note, max_chars=MAX_NOTE, height=80)
        saved = st.form_submit_button("Save", icon=":material/save:")
    st.caption(
        "A name, tags and a note are those of all seeds of a run. A limit of the cache takes no "
        "level of a run that has a name."
    )
    if saved:
        _save(line, name, chosen, note)
        st.rerun()


@asking
def _save(line: str, name: str, tags: Sequence[str], note: str) -> None:
    runtime().store.write_label(line, Label.of(name, tags, note))


def _keys(marked: Sequence[Row]) -> frozenset[str]:
    return frozenset(run.key for row in marked for run in row.runs)
