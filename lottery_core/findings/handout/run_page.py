"""A run with its controls and seeds as one HTML file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape

import pandas as pd

from lottery_core.findings.handout import paper
from lottery_core.findings.handout.asked import Asked, infos_of, stem_of
from lottery_core.findings.handout.page import Page, chart_html
from lottery_core.findings.handout.weights import cells_that_fit, frames, html_of
from lottery_core.findings.outcome import Outcome, chance_of, sparsity
from lottery_core.findings.recipe_words import recipe_rows
from lottery_core.report.figures import level_accuracy_figure, loss_figure
from lottery_core.spec.arms import ARMS, title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import as_percent, size_in_words
from lottery_core.store import Level, LevelInfo, Store

_POINTS = 100  # of a training curve: a chart is no wider than some hundred pixels
_SPARE = 60_000  # bytes for what comes below the pictures


def run_page(store: Store, asked: Asked) -> bytes:
    """The file. Raises `InvalidValue` before the first level of the first seed is there."""
    outcome = asked.outcome(store)
    if not outcome.first:
        raise InvalidValue(
            "key", asked.main.key, "has no finished level of its first seed yet; wait for it"
        )
    recipe = asked.main.recipe
    page = Page(f"Lottery tickets: {recipe.net.sizes} on {recipe.data_title}", stem_of(asked.main))
    _result(page, asked, outcome)
    _overview(page, asked, outcome)
    _levels(page, store, outcome)
    _recipe(page, asked)
    return page.write()


def _result(page: Page, asked: Asked, outcome: Outcome) -> None:
    done = sum(len(infos) for infos in outcome.runs["main"].values())
    whole = sum(len(one.keys) for one in asked.arms["main"])
    if done == whole:
        page.said(outcome.sentences(), "verdict won" if outcome.has_won else "verdict")
    else:
        page.text(f"{done} of {whole} levels are finished, so there is no verdict yet.", "verdict")
    arms = [
        title_of(arm[0]) if name == "main" else f"{ARMS[name].title} ({ARMS[name].summary})"
        for name, arm in asked.arms.items()
    ]
    page.text(
        f"Seeds: {', '.join(map(str, asked.seeds))}. Arms: {'; '.join(arms)}. Made by the Lottery "
        "Ticket Explorer. This file is whole: it opens without a network and asks nobody for "
        "anything.",
        "note",
    )


def _overview(page: Page, asked: Asked, outcome: Outcome) -> None:
    several = len(asked.seeds) > 1
    page.heading("Accuracy and early stop")
    page.html('<div class="charts">')
    page.chart(outcome.accuracy())
    stop = outcome.early_stop()
    if stop.data:
        # There is no legend elsewhere on this page, as there is beside it in the app.
        page.chart(stop.update_layout(showlegend=True, margin={"b": 138}))
    page.chart(sparsity(asked.main, outcome.first), f"seed-{asked.seeds[0]}")
    page.html("</div>")
    if several:
        page.text("Bands reach from the least seed to the greatest.", "note")
    page.html(
        '<p class="save-all"><button type="button" class="save-all">Save all charts as SVG</button>'
        "</p>"
    )
    page.heading("Level by level")
    page.table(
        paper.HEAD,
        paper.cells(paper.by_level(outcome)),
        paper.caption_of(asked, outcome),
        numbers=3,
    )


def _levels(page: Page, store: Store, outcome: Outcome) -> None:
    """The training and the weights of each level of the first seed, one at a time."""
    infos = infos_of(store, outcome.main)
    first = min(outcome.level, len(infos) - 1)
    page.heading("One level at a time")
    page.text(
        f"Levels of seed {outcome.main.recipe.seed}: how each trained, and the weights it ended "
        "with. Zero is grey, and what is pruned is dark.",
    )
    page.html(_scrubber(infos, first))
    page.html(_trainings(store, outcome.main, infos, first))
    network = outcome.main.recipe.net
    cells = cells_that_fit(infos, network, page.room() - _SPARE)
    levels = filter(None, (store.read(info.key) for info in infos))
    page.html(html_of(frames(levels, network, cells), first))


def _scrubber(infos: list[LevelInfo], first: int) -> str:
    words = [
        f"Level {info.level}: {size_in_words(info.percent_remaining)} of the weights, "
        f"{as_percent(info.test_accuracy, 2)} of the test images"
        for info in infos
    ]
    return (
        '<div class="scrubber"><button type="button" id="play">Play</button>'
        f'<input type="range" id="level" min="0" max="{len(infos) - 1}" value="{first}" step="1" '
        f'aria-label="Level" aria-valuetext="{escape(words[first])}">'
        f'<output for="level" data-levels="{escape(json.dumps(words))}">{escape(words[first])}'
        "</output></div>"
    )


def _trainings(store: Store, main: Experiment, infos: list[LevelInfo], first: int) -> str:
    found, dense = [], None
    for level in _read(store, infos):
        n = level.info.level
        history = _thin(level.history)
        dense = history if dense is None else dense
        options = {"level": n, "iterations_total": main.iterations(n)}
        options["chance"] = chance_of(main)
        before = dense if n else None
        at, losses = history[["iteration", "train_loss"]].dropna().to_numpy(float).T
        charts = (
            loss_figure(at, losses, history, before, **options),
            level_accuracy_figure(history, before, **options),
        )
        stem = f"{stem_of(main)}-seed-{main.recipe.seed}"
        inside = "".join(chart_html(chart, stem) for chart in charts)
        hidden = "" if n == first else " hidden"
        found.append(f'<div class="charts" data-level="{n}"{hidden}>{inside}</div>')
    return "".join(found)


def _read(store: Store, infos: list[LevelInfo]) -> Iterator[Level]:
    for info in infos:
        if level := store.read(info.key):
            yield level


def _thin(history: pd.DataFrame) -> pd.DataFrame:
    """Every how-manieth evaluation, and the last."""
    step = -(-len(history) // _POINTS)
    keep = sorted({*range(0, len(history), step), len(history) - 1})
    return history.iloc[keep]


def _recipe(page: Page, asked: Asked) -> None:
    page.heading("Recipe")
    page.table(
        ("what", "value"),
        recipe_rows(asked.main.as_dict()),
        "What was asked for, with the first seed",
    )
    page.heading("Seeds and keys")
    rows = [
        [
            title_of(one) if name == "main" else ARMS[name].title,
            str(one.recipe.seed),
            f"`{one.key}`",
        ]
        for name, arm in asked.arms.items()
        for one in arm
    ]
    page.table(
        ("arm", "seed", "key"),
        rows,
        "The key of a run's last level names all that leads to it",
    )
    page.heading("Repeat it")
    if asked.command:
        page.code(asked.command, "In a terminal")
    if asked.python:
        page.code(asked.python, "In Python")
    if not asked.command and not asked.python:
        page.text("No command expresses this run: a part of it is code, or nobody asked for it.")
