"""Runs: all runs of this cache, what came of them, and what can be done with them."""

import streamlit as st

from lottery_core.findings.shelf_filter import options
from lottery_core.running.upkeep import LIMIT, limit_of_cache, size_of_cache
from lottery_core.spec.sizes import bytes_in_words
from ui.runs.actions import show_actions
from ui.runs.choices import LINK, choose
from ui.runs.table import show_table
from ui.shared.frame import page
from ui.shared.runtime import runtime
from ui.shared.text import many
from ui.shared.trouble import live, show_problem, told

TICK = 2.0  # seconds between two looks
GO_ON = 0.5  # while there is more to read
READ, JUDGE = 0.7, 0.5  # seconds that one look reads and judges for; the next goes on

with page("Runs"):
    st.title("Runs")
    shelf = runtime().shelf
    found = shelf.look(READ)
    show_problem()
    waiting = found.unread

    if not found.runs and not waiting:
        st.info(
            "Nothing has been run yet. Choose an experiment in the Explorer and press Start: each "
            "run is listed here with what came of it, to open, compare, repeat, name, hand out or "
            "delete."
        )
        st.page_link("app.py", label="To the Explorer", icon=":material/explore:")
    else:
        asked, folded = choose(found.runs, not found.unread)
        rows = shelf.rows(found, folded, JUDGE)
        waiting += sum(row.result is None for row in rows)
        shown = asked.of(rows)
        if shown:
            marked = show_table(shown, folded)
        else:
            marked = []
            st.info("No run is of all that was asked for.")
        words = f"{many(len(shown), 'row')} of {len(rows):,}." if len(shown) < len(rows) else ""
        if waiting:
            words += f" {waiting:,} more to be read."
        with told():
            size, limit = size_of_cache(runtime().store, found), limit_of_cache()
            words += f" The cache takes {bytes_in_words(size)}"
            words += f" of {bytes_in_words(limit)}." if limit else f"; {LIMIT} sets a limit."
        st.caption(words)
        show_actions(marked, options(found.runs)["tag"])
    LINK.write(LINK.params)

    looks = []

    @live(GO_ON if waiting else TICK)
    def look_again() -> None:
        """A new look at the whole page when there is something new."""
        # Not while the page itself is drawn: what is shown has just been looked at.
        if looks and (waiting or shelf.look(0.0) is not found):
            st.rerun()
        looks.append(True)

    look_again()
