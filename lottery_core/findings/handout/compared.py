"""A comparison from Python: finished runs or arms of a cache beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lottery_core.data import own
from lottery_core.findings.handout import comparison_page
from lottery_core.findings.handout.asked import line_of
from lottery_core.findings.lines import MAX_LINES, Line, find
from lottery_core.findings.replicates import KINDS
from lottery_core.report.figures import Figure
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.store import CACHE, Store

FILES = {
    ".html": comparison_page.comparison_page,
    ".zip": comparison_page.comparison_archive,
}


def compare(*keys: str, seeds: Sequence[int] = (), cache: str | Path | None = None) -> Comparison:
    """Runs or arms that `cache` holds (a folder; the app's own if None) beside each other, as the
    page Compare has them.

    Each of `keys` is that of a level, or its first six characters or more, and stands for its run
    with the `seeds` that are named, or else those that were asked for with it; the first is what
    the others are compared with. Trains nothing. Raises `InvalidValue` for a key or seed that the
    cache does not have.
    """
    store = Store(CACHE if cache is None else cache)
    own.register(store.datasets)
    return Comparison(store, lines_of(store, keys, seeds))


def lines_of(store: Store, keys: Sequence[str], seeds: Sequence[int] = ()) -> tuple[Line, ...]:
    """The lines that these levels are of, each once. Raises `InvalidValue`."""
    found = (line_of(store, find(store, key), seeds) for key in keys)
    lines = {line.id: line for line in found}
    if not 0 < len(lines) <= MAX_LINES:
        raise InvalidValue("keys", len(lines), f"runs or arms are named; compare 1 to {MAX_LINES}")
    return tuple(lines.values())


class Comparison:
    """Finished runs or arms beside each other; `compare` makes one."""

    def __init__(self, store: Store, lines: Sequence[Line]):
        self._store, self._lines = store, tuple(lines)
        self._known = comparison_page.gather(store, lines)

    @property
    def names(self) -> list[str]:
        """What the lines are called; the first is what the others are compared with."""
        return [self._known.words[line.id] for line in self._lines]

    def table(self) -> pd.DataFrame:
        """A row for each line but the first and each size that both have: the mean difference
        over `n` pairs of seeds with its 95 % interval, of test accuracy (a fraction) and of the
        early stop (iterations), and the two accuracies."""
        return comparison_page.named_differences(self._known)

    def figure(self, name: str = "accuracy", bands: str = "range") -> Figure:
        """A plotly figure, "accuracy" or "early-stop", against weights remaining; `bands` over the
        seeds are one of `findings.replicates.KINDS`. Raises `InvalidValue`."""
        check_known("bands", bands, KINDS)
        found = comparison_page.figures_of(self._known, bands)
        check_known("figure", name, found)
        return found[name]

    def report(self, path: str | Path) -> None:
        """Write it to a file to hand out: .html, one page that opens without a network, or .zip,
        tables for a paper in LaTeX, Markdown and CSV. Raises `InvalidValue`."""
        path = Path(path).expanduser()
        check_known("path", path.suffix, FILES)
        path.write_bytes(FILES[path.suffix](self._store, self._lines))

    def __repr__(self) -> str:
        """The differences, in words."""
        said = [
            words for line in self._lines for words in comparison_page.sentences(self._known, line)
        ]
        return "\n".join(said) or f"{' and '.join(self.names)}: no size in common."
