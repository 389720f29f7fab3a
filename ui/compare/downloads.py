"""What is drawn and said, as files."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lottery_core.findings import replicates
from lottery_core.findings.comparison import curves_table
from lottery_core.findings.handout.asked import stem_of
from lottery_core.findings.handout.comparison_page import comparison_archive, comparison_page
from lottery_core.findings.handout.paper import facts_of
from ui.compare.chosen import Compared
from ui.compare.curves import COLUMNS, level_frames, training_frames
from ui.compare.words import differences
from ui.shared.copies import copies
from ui.shared.download import download
from ui.shared.runtime import runtime


def show_downloads(compared: Compared) -> None:
    """What is drawn and said, as files, and what leads back to it."""
    reference = compared.reference
    stem = f"comparison-{stem_of(reference.main)}"
    with st.container(horizontal=True):
        if compared.runs[reference.id]:
            _hand_out(compared, stem)
        for name, table in _tables(compared).items():
            csv = _with_facts(compared, table).to_csv(index=False).encode()
            download(name, f"{stem}-{name}", csv, disabled=not len(table))
    st.caption(
        f"Means over seeds with their bands ({replicates.KINDS[compared.view.bands]}); "
        "training.csv is the chart at the chosen size. Accuracies are fractions, early stops "
        "iterations. Each chart's own toolbar saves it as PNG or SVG, with the legend. The report "
        "opens from disk without a network; the tables for a paper are LaTeX, Markdown and CSV."
    )
    # The first is what the others are compared with.
    lines = (reference, *(line for line in compared.lines if line.id != reference.id))
    keys = [line.main.key[:8] for line in lines]
    seeds = sorted({seed for line in lines for seed in line.seeds})
    said = f"python -m lottery_core report {' '.join(keys)} --seeds {','.join(map(str, seeds))}"
    asked = ", ".join(f'"{key}"' for key in keys)
    python = f"import lottery_core as lt\n\nlt.compare({asked}, seeds={seeds})\n"
    copies({"command": said, "Python": python}, "copy_compare")


def _hand_out(compared: Compared, stem: str) -> None:
    """The report and the tables for a paper."""
    store, bands = runtime().store, compared.view.bands
    lines, reference = compared.lines, compared.reference.id
    # Made when the button is pressed, on another thread without a session.
    download(
        "Report, one HTML file",
        f"{stem}-report.html",
        lambda: comparison_page(store, lines, reference, bands),
    )
    download(
        "Tables for a paper",
        f"{stem}-tables.zip",
        lambda: comparison_archive(store, lines, reference),
    )


def _tables(compared: Compared) -> dict[str, pd.DataFrame]:
    """What is drawn and said, by the name of its file."""
    view, words, percent = compared.view, compared.words, compared.percent

    def named(frames: dict[str, pd.DataFrame]) -> dict[str, tuple[str, pd.DataFrame]]:
        return {name: (words[name], frame) for name, frame in frames.items()}

    fields = ("test_accuracy", "early_stop_iteration")
    curves = [curves_table(named(level_frames(compared, f)), f) for f in fields]
    training = curves_table(
        named(training_frames(compared, view.curve, percent)), COLUMNS[view.curve]
    )
    means = {"a": "test_accuracy", "b": "test_accuracy_of_reference"}
    gaps = differences(compared).rename(columns=means)
    gaps.insert(1, "name", gaps["line"].map(words))
    return {
        "curves.csv": pd.concat([c for c in curves if len(c)] or curves, ignore_index=True),
        "training.csv": training.assign(percent=percent),
        "differences.csv": gaps,
    }


def _with_facts(compared: Compared, table: pd.DataFrame) -> pd.DataFrame:
    """With what each line is: its network, data set, schedule, criterion and others."""
    facts = {line.id: facts_of(line.main) for line in compared.lines}
    names = ("dataset", "network", "schedule", "scope", "criterion", "restart", "arm")
    columns = {
        name: table["line"].map({n: one[name] for n, one in facts.items()}) for name in names
    }
    return table.assign(**columns)
