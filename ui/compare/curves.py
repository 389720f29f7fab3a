"""What is known of each line, as the curves of charts."""

from __future__ import annotations

import pandas as pd

from lottery_core.findings import comparison, replicates
from lottery_core.findings.comparison import same_density
from lottery_core.findings.lines import Line
from lottery_core.report import figures
from ui.compare.chosen import Compared
from ui.shared.reading import finished, history_so_far, training_now

COLUMNS = {"accuracy": "test_accuracy", "loss": "validation_loss"}  # of histories, by view.curve


def level_frames(compared: Compared, field: str) -> dict[str, pd.DataFrame]:
    """By line: its curve of a field of its levels, without levels that have no such value."""
    return comparison.level_frames(compared.lines, compared.runs, field, compared.view.bands)


def training_frames(compared: Compared, what: str, percent: float) -> dict[str, pd.DataFrame]:
    """By line: its curve of "accuracy" or "loss" over the iterations, at a size."""
    found = {}
    for line in compared.lines:
        frame = replicates.history_curve(
            _histories(compared, line, percent), COLUMNS[what], compared.view.bands
        )
        found[line.id] = frame[frame["n"] > 0]
    return found


def _histories(compared: Compared, line: Line, percent: float) -> dict[int, pd.DataFrame]:
    places, found = compared.places[line.id], {}
    for experiment in line.experiments:
        known = [(level.info, level.history) for level in finished(experiment)]
        if live := training_now(experiment, len(known)):
            known.append((live, history_so_far(live)))
        for n, (info, history) in enumerate(known):
            at = places[n] if n < len(places) else info.percent_remaining
            if len(history) and same_density(at, percent):
                found[experiment.recipe.seed] = history
                break
    return found


def curve(compared: Compared, line: Line, x: str, frame: pd.DataFrame) -> figures.Curve:
    """A line's frame as a curve over the column `x`."""
    known = len(compared.runs[line.id])
    style = compared.styles[line.id]
    return comparison.drawn(line, frame, x, compared.words[line.id], style, known)


def level_curves(compared: Compared, field: str) -> list[figures.Curve]:
    """The curves of a field of levels against weights remaining."""
    frames = level_frames(compared, field)
    return [curve(compared, line, "percent", frames[line.id]) for line in compared.lines]
