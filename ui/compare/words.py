"""What came of it in words, and differences at equal size as a table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lottery_core.findings import ending
from lottery_core.findings.comparison import at_density, differences_table, row_in_words, why_none
from lottery_core.findings.lines import Line
from lottery_core.findings.tables import empty_in_words
from lottery_core.findings.verdict import has_won, verdict_in_words
from ui.compare.chosen import Compared
from ui.shared.text import plain
from ui.shared.words import say_verdict, show_words


def show_verdict(compared: Compared) -> None:
    """What came of the line that the others are compared with, which lines lost a layer, and where
    those that stop early did."""
    reference = compared.reference
    _show_emptied(compared)
    if reference.arm not in ("dense", "dense-longer") and compared.runs[reference.id]:
        _show_verdict_on(compared, reference)
    _show_ends(compared)


def _show_verdict_on(compared: Compared, reference: Line) -> None:
    name = "ticket" if reference.arm == "ticket" else "network"
    runs = compared.runs[reference.id]
    words = f"**{compared.title(reference)}.** {verdict_in_words(runs, name)}"
    say_verdict(words, won=has_won(runs))
    show_words(*compared.words.values())  # in the charts


def _show_emptied(compared: Compared) -> None:
    for line in compared.lines:
        seeds = compared.runs[line.id].values()
        if found := next(filter(None, map(empty_in_words, seeds)), ""):
            st.caption(f"{compared.title(line)}:{plain(found)}")


def _show_ends(compared: Compared) -> None:
    """Where the seeds of lines that stop when accuracy falls have ended."""
    for line in compared.lines:
        if words := ending.arm_in_words(line.asked, compared.runs[line.id]):
            st.caption(f"{compared.title(line)}: {words[:1].lower()}{words[1:]}")


def differences(compared: Compared) -> pd.DataFrame:
    """Each line minus the one the others are compared with, at every size they share."""
    others = [line for line in compared.lines if line.id != compared.reference.id]
    return differences_table(compared.reference, others, compared.runs)


def show_sentences(compared: Compared) -> None:
    """One sentence per comparison at the chosen size."""
    table, percent = differences(compared), compared.percent
    reference = compared.reference
    for line in compared.lines:
        if line.id == reference.id:
            continue
        rows = table[(table["line"] == line.id) & at_density(table, percent)]
        a, b = (f"**{plain(compared.words[one.id])}**" for one in (line, reference))
        if len(rows):
            st.markdown(row_in_words(next(rows.itertuples()), a, b))
        else:
            st.markdown(f"{_capital(a)}: {why_none(line, reference, percent)}.")
    if len(compared.lines) == 1:
        st.caption("With a second line, the difference is said here.")


def _capital(text: str) -> str:
    """With the first letter large, behind what makes it bold."""
    return f"{text[:2]}{text[2].upper()}{text[3:]}"


def show_differences(compared: Compared) -> None:
    """At every size that two lines share."""
    if len(compared.lines) < 2:
        return
    table = differences(compared)
    st.header("Differences at equal size")
    if not len(table):
        st.caption("There is no size that another line shares with the one compared with yet.")
        return
    st.caption(
        f"Each line minus **{plain(compared.words[compared.reference.id])}**, seed by seed; then "
        "the mean, with its 95\u202f% interval (Student's t)."
    )
    shown = pd.DataFrame(
        {
            "line": table["line"].map(compared.words),
            "% of weights": table["percent"],
            "accuracy, points": 100 * table["mean"],
            "95\u202f% interval": _intervals(table, "", 100, "+.2f"),
            "early stop, iterations": table["mean_early_stop"],
            "95\u202f% interval, iterations": _intervals(table, "_early_stop", 1, "+,.0f"),
            "pairs of seeds": table["n"],
        }
    )
    if table["n_early_stop"].sum() == 0:
        shown = shown.drop(columns=list(shown.columns[4:6]))
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        key="compare_differences",
        column_config={
            "% of weights": number(format="%.2f"),
            "accuracy, points": number(format="%+.2f"),
            "early stop, iterations": number(format="%+.0f"),
        },
    )


def _intervals(table: pd.DataFrame, suffix: str, by: float, form: str) -> list[str]:
    return [
        f"{by * low:{form}} to {by * high:{form}}" if n > 1 else "one seed" if n else ""
        for low, high, n in zip(
            table[f"low{suffix}"], table[f"high{suffix}"], table[f"n{suffix}"], strict=True
        )
    ]
