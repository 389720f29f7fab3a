"""What came of it: in words, as a table, and as files to take away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import pyarrow as pa
import streamlit as st

from lottery_core.findings.handout.asked import Asked, stem_of
from lottery_core.findings.handout.paper import TABLES, archive, csv
from lottery_core.findings.handout.run_page import run_page
from lottery_core.findings.lines import MAX_LINES, line_id
from lottery_core.findings.tables import levels_table
from lottery_core.spec.arms import ARMS
from lottery_core.spec.links import command, python
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import Level, LevelInfo
from lottery_core.tickets import files
from ui.explorer.sidebar import Selection, show_presets
from ui.explorer.status import FEW
from ui.shared.copies import copies
from ui.shared.download import download
from ui.shared.reading import finished
from ui.shared.runtime import runtime
from ui.shared.text import many
from ui.shared.words import meaning, say, say_small, say_verdict, show_words


def show_title(selection: Selection, begun: bool) -> None:
    """The title and the presets: with an introduction, or once something has been run here or
    before this visitor's eyes, or in a class, in one line. Where the choices are locked, presets
    are of no use."""
    state, seat = st.session_state, selection.seat
    state.has_seen_a_run = begun or state.get("has_seen_a_run", False)
    if state.has_seen_a_run or seat:
        with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="top"):
            st.title("Lottery Ticket Explorer", width="content")
            if not (seat and seat.locked):
                show_presets()
        return
    st.title("Lottery Ticket Explorer")
    say(
        "Inside a dense network that trains well sits a sparse one that, restarted from its own "
        "initial weights, trains just as well. Choose how to look for it in the sidebar, press "
        "Start, and watch."
    )
    show_presets()
    say_small(PRESETS[state.preset].summary)


def show_what_will_happen() -> None:
    """For a choice that nothing is known of yet: what Start does, in three steps."""
    st.info(
        "Nothing is trained yet with these choices. Press Start: the first curve begins as soon as "
        "the untrained network has been tested.",
        icon=":material/play_arrow:",
    )
    steps = (
        ("1. Train", "A dense network learns from the images. Its initial weights are kept."),
        ("2. Prune", "Some of its weights go for good: as a rule, the smallest ones."),
        ("3. Restart", "The survivors go back to where they began, and train again. And so on."),
    )
    for column, (title, text) in zip(st.columns(3), steps, strict=True):
        with column.container(border=True):
            st.markdown(f"**{title}**")
            say_small(text)


def show_words_of_charts(selection: Selection) -> None:
    """The words of the charts that nothing above them explains: all, until there is a sentence."""
    arms = [ARMS[name].title for name in selection.arms if name in ARMS]
    before = [] if selection.is_judged else ["dense", "ticket", *arms]
    show_words("cross-entropy, iteration, pruned, sparsity", *before)


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {one}" for one in sentences)


def show_sentence(selection: Selection) -> None:
    """The result in a sentence once all levels are there, and the mask it speaks of."""
    main = selection.main
    levels = finished(main)
    if not selection.is_judged:
        return
    outcome = selection.outcome()
    n = outcome.level
    beside = outcome.beside
    few = beside if len(beside) <= FEW else []
    words = _listed([*few, *outcome.notes])
    say_verdict(f"{outcome.verdict_in_words}\n\n{words}", won=outcome.has_won)
    if beside and not few:  # the charts stay in sight
        with st.expander(f"What each of {many(len(beside), 'arm')} beside it reaches"):
            say(_listed(beside))
    with st.container(horizontal=True, vertical_alignment="center"):
        if outcome.verdict:
            st.download_button(
                f"Download the mask of level {n}",
                _file_of(main.keys[n], "mask-npz"),
                files.file_name(levels[n].info, "mask-npz"),
                on_click="ignore",
                icon=":material/download:",
                type="primary",
                key="download_found",
            )
        st.page_link(
            "pages/ticket.py",
            label=f"Look inside level {n} and try it",
            icon=":material/search:",
            query_params={"key": main.key, "level": str(n), "view": "inside"},
        )
        # Of a run that is not through some arms have nothing yet.
        begun = [
            line_id(arm[0])
            for name, arm in selection.choice.arms().items()
            if name == "main" or any(len(levels) > 1 for levels in outcome.runs[name].values())
        ]
        seeds = ",".join(str(one.recipe.seed) for one in selection.arms["main"])
        st.page_link(
            "pages/compare.py",
            label="Compare in detail",
            icon=":material/compare_arrows:",
            query_params={"lines": ",".join(begun[:MAX_LINES]), "seeds": seeds},
        )


def show_results(selection: Selection) -> None:
    """Tables, downloads, and the command that repeats it, as far as levels are there."""
    levels = selection.levels()
    if not levels:
        return
    st.header("Take it away")
    _downloads(selection, levels)
    st.header("Level by level")
    _table(levels)
    st.header("Share it or run it again")
    said = command(selection.preset, selection.choice)
    copies({"command": said, "Python": python(selection.preset, selection.choice)}, "copy_explorer")
    st.code(said, language="bash", wrap_lines=True)


def _table(levels: list[Level]) -> None:
    what = ("table", *(level.info.key for level in levels))
    st.dataframe(
        runtime().tables.get(what, lambda: _level_by_level(levels)),
        hide_index=True,
        width="stretch",
        column_config={
            "weights left": st.column_config.NumberColumn(format="localized"),
            "% left": st.column_config.NumberColumn(format="%.2f", help=meaning("P_m")),
            "test accuracy, %": st.column_config.NumberColumn(format="%.2f"),
            "before retraining, %": st.column_config.NumberColumn(format="%.2f"),
            "seconds": st.column_config.NumberColumn(format="%.1f"),
            "explored, %": st.column_config.NumberColumn(
                format="%.1f", help="Weights that were in its mask at any time."
            ),
            "early stop, iteration": st.column_config.NumberColumn(
                format="localized", help=meaning("early stop", "iteration")
            ),
        }
        | {
            f"{name.removesuffix('.weight')} kept": st.column_config.NumberColumn(
                format="localized"
            )
            for name in levels[0].info.layers
        },
    )


def _level_by_level(levels: list[Level]) -> pa.Table:
    """As it is sent: made of a data frame once for all visitors, not for each."""
    table = levels_table(levels)
    frame = pd.DataFrame(
        {
            "level": table["level"],
            "weights left": table["weights_remaining"],
            "% left": [level.info.percent_remaining for level in levels],
            "test accuracy, %": 100 * table["test_accuracy"],
            "before retraining, %": 100 * table["test_accuracy_before_retraining"],
            "early stop, iteration": table["early_stop_iteration"],
            "seconds": table["seconds"],
            "trained by": table["loop"],
        }
        | ({"explored, %": 100 * table["explored"]} if table["explored"].notna().any() else {})
        | {
            f"{name.removesuffix('.weight')} kept": [
                level.info.layers[name].kept for level in levels
            ]
            for name in levels[0].info.layers
        }
    )
    return pa.Table.from_pandas(frame)


def _downloads(selection: Selection, levels: list[Level]) -> None:
    experiment = selection.main
    with st.container(horizontal=True, vertical_alignment="bottom"):
        n = st.selectbox(
            "Level",
            range(len(levels)),
            index=min(selection.outcome().level, len(levels) - 1),
            # Another choice of levels is another widget, so that it starts at the best of them.
            key=f"download_level_{experiment.key}_{len(levels)}",
            width=260,
            format_func=lambda n: _size(levels[n].info),
        )
        for name in ("mask-npz", "mask", "ticket"):
            file = files.file_name(levels[n].info, name)
            download(files.FORMATS[name].title, file, _file_of(experiment.keys[n], name))
    say_small(
        "A mask says which weights are kept. A ticket is a mask with the weights its survivors "
        "restart from, not trained, and beside them those they end with. Each chart's own toolbar "
        "saves it as PNG or SVG."
    )
    st.page_link(
        "pages/ticket.py",
        label=f"Level {n} in other formats: torch, ONNX, a card, a script that trains it",
        icon=":material/confirmation_number:",
        query_params={"key": experiment.key, "level": str(n), "view": "take"},
    )
    _hand_out(selection)


def _hand_out(selection: Selection) -> None:
    """The run as one file, and all of its tables."""
    asked = Asked.of(selection.arms, selection.preset, selection.choice)
    store, stem = runtime().store, stem_of(selection.main)
    # Made when the button is pressed, on another thread without a session.
    with st.container(horizontal=True):
        download("Report, one HTML file", f"{stem}-report.html", lambda: run_page(store, asked))
        download("Tables for a paper", f"{stem}-tables.zip", lambda: archive(store, asked))
        for name in TABLES:
            download(f"{name}.csv", f"{stem}-{name}.csv", _csv(asked, name))
    st.caption(
        "The report opens from disk without a network: sentences, charts, tables, the weights of "
        "every level, the recipe and what repeats it. Its charts save as SVG. The tables are LaTeX "
        "and Markdown with mean, 95\u202f% interval and n, and CSV; every row says its run, seed, "
        "schedule, criterion and arm."
    )


def _size(info: LevelInfo) -> str:
    percent = size_in_words(info.percent_remaining)
    return f"{info.level}: {percent} of the weights ({info.weights_kept:,})"


# Made when the button is pressed, on another thread without a session: bound to keys alone.
def _file_of(key: str, name: str) -> Callable[[], bytes]:
    store = runtime().store
    return lambda: files.export(store, key, name)


def _csv(asked: Asked, name: str) -> Callable[[], bytes]:
    store = runtime().store
    return lambda: csv(store, asked.arms.values(), name)
