"""Lines beside each other as one HTML file, and their differences as tables for a paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from lottery_core.findings import replicates
from lottery_core.findings.comparison import differences_table, drawn, level_frames, row_in_words
from lottery_core.findings.ending import ended_arms
from lottery_core.findings.handout import paper
from lottery_core.findings.handout.asked import runs_of, stem_of
from lottery_core.findings.handout.page import Page
from lottery_core.findings.lines import Line, Runs
from lottery_core.findings.naming import in_common, line_names, what_differs
from lottery_core.findings.outcome import axes_of
from lottery_core.findings.tables import empty_in_words
from lottery_core.findings.verdict import has_won, verdict_in_words
from lottery_core.report.compared_figures import distinct_styles, early_stop_figure
from lottery_core.report.figures import Curve, Figure, accuracy_figure
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.links import command, read_choice
from lottery_core.store import Store

_HEAD = (
    "line",
    "weights left, %",
    "test accuracy, points",
    "95\u202f% interval",
    "early stop, iterations",
    "95\u202f% interval",
    "n",
)


@dataclass(frozen=True)
class Known:
    """The lines, what each is called, and the infos of their levels by seed."""

    lines: tuple[Line, ...]
    words: dict[str, str]
    runs: dict[str, Runs]
    reference: Line

    @property
    def stem(self) -> str:
        """How names of files begin: with what the others are compared."""
        return f"comparison-{stem_of(self.reference.main)}"

    def differences(self) -> pd.DataFrame:
        """See `comparison.differences_table`."""
        others = [line for line in self.lines if line.id != self.reference.id]
        return differences_table(self.reference, others, self.runs)


def gather(store: Store, lines: Sequence[Line], reference: str = "") -> Known:
    """The lines with what came of them so far; the `reference`, the id of the line that others are
    compared with, is the first where it is empty. Raises `InvalidValue` while that line has no
    finished level."""
    named = [line for line in lines if line.id == reference]
    runs = {line.id: runs_of(store, line.experiments) for line in lines}
    first = (*named, *lines)[0]
    if not runs[first.id]:
        rule = "has no finished level yet; wait for it, or compare with another"
        raise InvalidValue("line", first.id, rule)
    return Known(tuple(lines), line_names(lines), runs, first)


def comparison_page(
    store: Store, lines: Sequence[Line], reference: str = "", bands: str = "range"
) -> bytes:
    """The file; see `gather` and `figures_of`. Raises `InvalidValue`."""
    known = gather(store, lines, reference)
    recipe = known.reference.main.recipe
    title = f"Comparison: {' and '.join(known.words.values())}"
    if len(title) > 100:
        title = f"Comparison of {len(lines)} arms or runs on {recipe.data_title}"
    page = Page(title, known.stem)
    _verdict(page, known)
    page.text(f"All: {in_common(lines)}.")
    if differing := what_differs(lines):
        page.text(f"What differs besides the arm: {'; '.join(differing)}.")
    page.heading("Accuracy and early stop")
    _charts(page, known, bands)
    page.heading("Differences at equal size")
    rows = list(_rows(known))
    if rows:
        page.table(_HEAD, rows, _caption(known), numbers=1)
    else:
        page.text("There is no size that another line shares with the one compared with.")
    _sentences(page, known)
    _lines(page, store, known)
    return page.write()


def _verdict(page: Page, known: Known) -> None:
    line = known.reference
    if line.arm not in ("dense", "dense-longer"):
        runs = known.runs[line.id]
        name = "ticket" if line.arm == "ticket" else "network"
        words = f"**{_capital(known.words[line.id])}.** {verdict_in_words(runs, name)}"
        page.text(words, "verdict won" if has_won(runs) else "verdict")
    for one in known.lines:
        emptied = filter(None, map(empty_in_words, known.runs[one.id].values()))
        if found := next(emptied, ""):
            page.text(f"{_capital(known.words[one.id])}:{found}", "note")


def figures_of(known: Known, bands: str) -> dict[str, Figure]:
    """The charts of a comparison by name: accuracy, and early stop where there is one; `bands` are
    one of `replicates.KINDS`."""
    styles = distinct_styles([line.arm for line in known.lines])

    def curves(field: str) -> list[Curve]:
        frames = level_frames(known.lines, known.runs, field, bands)
        found = [
            drawn(line, frames[line.id], "percent", known.words[line.id], style, 0)
            for line, style in zip(known.lines, styles, strict=True)
        ]
        return [curve for curve in found if len(curve.x)]

    dense = [infos[0].test_accuracy for infos in known.runs[known.reference.id].values()]
    axes = axes_of([line.main for line in known.lines])
    mean = replicates.band(dense, "range").mean
    options = {"sizes": axes.sizes, "chance": axes.chance}
    found = {"accuracy": accuracy_figure(curves("test_accuracy"), mean, **options)}
    if stops := curves("early_stop_iteration"):
        below = 100 + 19 * len(stops)
        figure = early_stop_figure(stops, axes.sizes, axes.iterations, height=440)
        found["early-stop"] = figure.update_layout(showlegend=True, margin={"b": below})
    return found


def _charts(page: Page, known: Known, bands: str) -> None:
    page.html('<div class="charts">')
    for figure in figures_of(known, bands).values():
        page.chart(figure)
    page.html("</div>")
    if max(map(len, known.runs.values())) > 1:
        page.text(f"Bands: {replicates.KINDS[bands]}.", "note")
    page.html(
        '<p class="save-all"><button type="button" class="save-all">Save all charts as SVG</button>'
        "</p>"
    )


def _caption(known: Known) -> str:
    return (
        f"Each line minus {known.words[known.reference.id]} at equal size, seed by seed; then the "
        "mean over n pairs of seeds, with its 95\u202f% interval (Student's t)."
    )


def _rows(known: Known) -> Iterator[list[str]]:
    for row in known.differences().itertuples():
        yield [
            known.words[row.line],
            f"{row.percent:.3g}",
            *paper.measured(100 * row.mean, 100 * row.low, 100 * row.high, "+.2f"),
            *paper.measured(row.mean_early_stop, row.low_early_stop, row.high_early_stop, "+,.0f"),
            str(row.n),
        ]


def sentences(known: Known, line: Line, mark: str = "") -> Iterator[str]:
    """What is said of a line's differences from the reference, size by size; names stand between
    two `mark`s."""
    table = known.differences()
    a, b = (f"{mark}{known.words[one.id]}{mark}" for one in (line, known.reference))
    for row in table[table["line"] == line.id].itertuples():
        yield row_in_words(row, a, b)


def _sentences(page: Page, known: Known) -> None:
    for line in known.lines:
        for n, words in enumerate(sentences(known, line, "**")):
            if not n:
                page.heading(_capital(known.words[line.id]), 3)
            page.text(words)


def _lines(page: Page, store: Store, known: Known) -> None:
    page.heading("Runs and keys")
    rows = [
        [known.words[line.id], str(one.recipe.seed), f"`{one.key}`"]
        for line in known.lines
        for one in line.experiments
    ]
    page.table(
        ("line", "seed", "key"), rows, "The key of a run's last level names all that leads to it"
    )
    commands = dict.fromkeys(filter(None, (_command(store, line) for line in known.lines)))
    if commands:
        page.heading("Repeat it")
        page.code("\n".join(commands), "In a terminal")


def _command(store: Store, line: Line) -> str:
    """What asks for the line again; empty where that is not known."""
    with suppress(InvalidValue):
        if line.params:
            preset, choice = read_choice(line.params)
            if any(line.main in arm for arm in ended_arms(store, choice.arms()).values()):
                return command(preset, choice)
    return ""


def named_differences(known: Known) -> pd.DataFrame:
    """`comparison.differences_table` with what its lines are called, and what its means are of."""
    means = {"a": "test_accuracy", "b": "test_accuracy_of_reference"}
    gaps = known.differences().rename(columns=means)
    for n, column in enumerate(("line", "reference")):
        gaps.insert(2 * n + 1, f"{column}_name", gaps[column].map(known.words))
    return gaps


def comparison_archive(store: Store, lines: Sequence[Line], reference: str = "") -> bytes:
    """The differences in LaTeX, Markdown and CSV, and all levels of all lines as CSV."""
    known = gather(store, lines, reference)
    rows, caption, stem = list(_rows(known)), _caption(known), known.stem
    gaps = named_differences(known)
    arms = [line.experiments for line in known.lines]
    name = f"{stem}-differences"
    files: dict[str, str | bytes] = {
        f"{name}.tex": paper.latex(_HEAD, rows, caption, stem, "lrrrrrr"),
        f"{name}.md": paper.markdown(_HEAD, rows, caption),
        f"{name}.csv": gaps.to_csv(index=False),
    }
    files |= {f"{stem}-{one}.csv": paper.csv(store, arms, one) for one in paper.TABLES}
    return paper.zipped(files)


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
