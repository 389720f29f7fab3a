"""Tables for a paper: LaTeX, Markdown and CSV, in one archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lottery_core.findings import replicates
from lottery_core.findings.handout.asked import Asked, stem_of
from lottery_core.findings.outcome import Outcome
from lottery_core.findings.tables import history_table, layers_table, levels_table
from lottery_core.spec.arms import ARMS, title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.own import short
from lottery_core.store import Level, Store

TABLES = {"levels": levels_table, "layers": layers_table, "history": history_table}
HEAD = (
    "level",
    "weights left, %",
    "arm",
    "test accuracy, %",
    "95\u202f% interval",
    "early stop, iteration",
    "95\u202f% interval",
    "n",
)
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "\u202f": r"\,", "–": "--", "−": "$-$", "×": r"$\times$",
}  # fmt: skip


def by_level(outcome: Outcome) -> pd.DataFrame:
    """One row per level and arm, over the seeds: percent of weights, mean, 95 % interval (Student's
    t; NaN of one seed) and `n` of test accuracy at the end (fractions) and of the early stop
    (iterations). The dense network, which all arms share, stands there once."""
    parts = []
    for number, (name, arm) in enumerate(outcome.arms.items()):
        runs = outcome.runs[name]
        accuracy, stop = (
            replicates.curve(runs, field, "interval")
            for field in ("test_accuracy", "early_stop_iteration")
        )
        frame = accuracy.merge(
            stop.drop(columns="percent"), on="level", suffixes=("", "_early_stop")
        )
        title = title_of(arm[0]) if name == "main" else ARMS[name].title
        frame.insert(2, "arm", np.where(frame["level"] == 0, "dense", title))
        parts.append(frame.assign(order=number)[(frame["level"] > 0) | (name == "main")])
    table = pd.concat(parts, ignore_index=True).sort_values(["level", "order"], kind="stable")
    return table.drop(columns="order").reset_index(drop=True)


def cells(table: pd.DataFrame) -> list[list[str]]:
    """`by_level` in words, under `HEAD`."""
    return [
        [
            str(row.level),
            f"{row.percent:.3g}",
            row.arm,
            *measured(100 * row.mean, 100 * row.low, 100 * row.high, ".2f"),
            *measured(row.mean_early_stop, row.low_early_stop, row.high_early_stop, ",.0f"),
            str(row.n),
        ]
        for row in table.itertuples()
    ]


def measured(mean: float, low: float, high: float, form: str) -> tuple[str, str]:
    """A mean and its interval in words; a dash where there is none."""
    interval = f"{low:{form}} to {high:{form}}" if np.isfinite(low) else "–"
    return (f"{mean:{form}}" if np.isfinite(mean) else "–"), interval


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines
    )
    return f"{text}\n\n{caption}\n"


def latex(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, columns: str
) -> str:
    """A table in LaTeX, with the package booktabs; `columns` is the tabular's. Rows whose first
    cells differ stand apart."""
    lines: list[str] = []
    for before, row in zip([rows[0] if rows else (), *rows], rows, strict=False):
        lines += [r"\addlinespace"] if before[0] != row[0] else []
        lines.append(f"{' & '.join(map(_latex, row))} \\\\")
    body = "\n".join(lines)
    return (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_latex(caption)}}}\n\\label{{tab:{label}}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{' & '.join(map(_latex, head))} \\\\\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def csv(store: Store, arms: Iterable[Sequence[Experiment]], name: str) -> bytes:
    """As `table_of`, as CSV."""
    return table_of(store, arms, name).to_csv(index=False).encode()


def table_of(
    store: Store, arms: Iterable[Sequence[Experiment]], name: str, *, repeat: bool = False
) -> pd.DataFrame:
    """One of `TABLES` over all seeds of all arms; each row says its run (the key of the last level
    of its experiment), seed, data set, network, schedule, scope, criterion, restart and arm. A
    level that several runs share, as the dense one, stands there once or, with `repeat`, in
    each."""
    seen: set[str] = set()
    parts = []
    for experiments in arms:
        for experiment in experiments:
            for key in experiment.keys:
                if (key in seen and not repeat) or (
                    level := _without_arrays(store, key, name)
                ) is None:
                    continue
                seen.add(key)
                facts = facts_of(experiment) | {"seed": level.info.seed}
                facts["arm"] = facts["arm"] if level.info.level else "dense"
                part = TABLES[name]([level])
                rest = part.columns.difference(facts, sort=False)
                parts.append(part.assign(**facts)[[*facts, *rest]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _without_arrays(store: Store, key: str, name: str) -> Level | None:
    """A level to tabulate: of large networks, memory holds no second one."""
    if name == "history":
        level = store.read(key)
        return level and replace(level, mask={}, start={}, end={}, snapshots={})
    info = store.info(key)
    return info and Level(info, {}, {}, {}, np.empty(0), pd.DataFrame())


def facts_of(experiment: Experiment) -> dict[str, object]:
    """What a row of a table says of the run that it belongs to."""
    pruned = [step for step in experiment.rounds if step.sparsity]
    last = pruned[-1] if pruned else None
    left = " ".join(f"{100 * (1 - step.sparsity):.4g}" for step in pruned)
    return {
        "run": experiment.key,
        "seed": experiment.recipe.seed,
        "dataset": experiment.recipe.dataset,
        "network": experiment.recipe.net.text,
        "schedule": f"{left} % of weights" if pruned else "",
        "scope": last.scope if last else "",
        "criterion": short(last.criterion) if last else "",
        "restart": last.restart if last else "",
        "arm": title_of(experiment),
    }


def caption_of(asked: Asked, outcome: Outcome) -> str:
    """What a table shows."""
    recipe = asked.main.recipe
    seeds = sorted(outcome.runs["main"])
    return (
        f"{recipe.net.sizes} on {recipe.data_title}: test accuracy at the last iteration and "
        "iteration of least validation loss; mean over n seeds "
        f"({', '.join(map(str, seeds))}) with its 95\u202f% interval (Student's t)."
    )


def archive(store: Store, asked: Asked) -> bytes:
    """All tables, and a text that says what each is."""
    outcome, stem = asked.outcome(store), stem_of(asked.main)
    table, caption = by_level(outcome), caption_of(asked, outcome)
    rows, name = cells(table), f"{stem}-accuracy-and-early-stop"
    files: dict[str, str | bytes] = {
        f"{name}.tex": latex(HEAD, rows, caption, stem, "rrlrrrrr"),
        f"{name}.md": markdown(HEAD, rows, caption),
        f"{name}.csv": table.to_csv(index=False),
    }
    files |= {f"{stem}-{one}.csv": csv(store, asked.arms.values(), one) for one in TABLES}
    files[f"{stem}-read-me.txt"] = _read_me(asked, name, stem, caption)
    return zipped(files)


def zipped(files: dict[str, str | bytes]) -> bytes:
    """Files by name as one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for path, content in files.items():
            made.writestr(path, content)
    return buffer.getvalue()


def _read_me(asked: Asked, name: str, stem: str, caption: str) -> str:
    keys: Sequence[str] = [one.key for one in asked.arms["main"]]
    what: dict[str, str] = {
        f"{name}.tex": f"{caption} For LaTeX with booktabs.",
        f"{name}.md": "The same in Markdown.",
        f"{name}.csv": "The same in full precision: fractions and iterations.",
        f"{stem}-levels.csv": "A row a level of every arm and seed.",
        f"{stem}-layers.csv": "A row a level and layer.",
        f"{stem}-history.csv": "A row an evaluation; losses are mean cross-entropies in nats.",
    }
    lines = [f"{path}\n    {words}\n" for path, words in what.items()]
    lines.append(f"Keys of the runs, by seed: {', '.join(keys)}\n")
    if asked.command:
        lines.append(f"The command that repeats it:\n    {asked.command}\n")
    lines.append(
        "Charts as SVG are saved by the report and by each chart's toolbar: a browser draws them."
    )
    return "\n".join(lines) + "\n"
