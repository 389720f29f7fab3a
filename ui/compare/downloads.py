"""What is drawn and said, as files."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lottery_core.findings import replicates
from lottery_core.findings.comparison import curves_table
from ui.compare.chosen import Compared
from ui.compare.curves import COLUMNS, level_frames, training_frames
from ui.compare.words import differences


def show_downloads(compared: Compared) -> None:
    """What is drawn and said, as CSV."""
    view, words = compared.view, compared.words

    def named(frames: dict[str, pd.DataFrame]) -> dict[str, tuple[str, pd.DataFrame]]:
        return {name: (words[name], frame) for name, frame in frames.items()}

    fields = ("test_accuracy", "early_stop_iteration")
    curves = [curves_table(named(level_frames(compared, f)), f) for f in fields]
    percent = compared.percent
    training = curves_table(
        named(training_frames(compared, view.curve, percent)), COLUMNS[view.curve]
    )
    means = {"a": "test_accuracy", "b": "test_accuracy_of_reference"}
    gaps = differences(compared).rename(columns=means)
    gaps.insert(1, "name", gaps["line"].map(words))
    tables = {
        "curves.csv": pd.concat([c for c in curves if len(c)] or curves, ignore_index=True),
        "training.csv": training.assign(percent=percent),
        "differences.csv": gaps,
    }
    with st.container(horizontal=True):
        for name, table in tables.items():
            st.download_button(
                name,
                table.to_csv(index=False).encode(),
                name,
                on_click="ignore",
                icon=":material/download:",
                key=f"download_{name.removesuffix('.csv')}",
                disabled=not len(table),
            )
    st.caption(
        f"Means over seeds with their bands ({replicates.KINDS[view.bands]}); training.csv is the "
        "chart at the chosen size. Accuracies are fractions, early stops iterations. Each chart's "
        "own toolbar saves it as PNG or SVG, with the legend."
    )
