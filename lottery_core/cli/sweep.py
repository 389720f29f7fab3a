"""`python -m lottery_core sweep`: many experiments at once, a grid or a list of choices."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from lottery_core.cli.cluster import CLUSTER, crew_of
from lottery_core.cli.options import (
    NO_LIMITS,
    Cache,
    DatasetFolder,
    Device,
    Loop,
    Option,
    content_of,
    lift_limits,
    one_of,
    with_options,
)
from lottery_core.cli.places import from_home, open_cache, write_file
from lottery_core.cli.run import FIELD_OPTIONS
from lottery_core.cli.together import train_all
from lottery_core.findings.ending import ended
from lottery_core.findings.handout.comparison_page import comparison_page
from lottery_core.findings.handout.paper import table_of
from lottery_core.findings.lines import MAX_LINES, Line, of_arm
from lottery_core.running.forecast import Queued, plan
from lottery_core.running.many import Asked
from lottery_core.running.time_left import in_words
from lottery_core.running.upkeep import limit_of_cache
from lottery_core.running.workers import MAX_WORKERS, workers_here
from lottery_core.spec.checks import InvalidValue, check_integer, check_known
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.sweep import Point, Sweep, read_grid, read_seeds, read_toml
from lottery_core.store import CACHE, Store
from lottery_core.training.base import LOOPS

File = Annotated[
    Path | None, typer.Argument(help="A TOML file with the sweep; or say it with --grid.")
]
_OPTIONS = {
    "grid": Option(
        list[str], "A field and its values, as in rate=0.2,0.5; once for each field.", ()
    ),
    "seeds": Option(str, "Of every choice: 0:10 for 0 to 9, or 1,5,7.", ""),
    "workers": Option(int, "Processes; 0: one a processor.", 0),
    "dry_run": Option(bool, "Say how much it is, and train nothing.", False),
    "preset": Option(str, one_of(PRESETS), "quick"),
}
Out = Annotated[
    Path | None,
    typer.Option(
        help=f"Folder for levels.csv, levels.parquet and, of at most {MAX_LINES} different runs, "
        "report.html."
    ),
]


def sweep(
    file: File = None,
    device: Device = "cpu",
    loop: Loop = "auto",
    dataset_folder: DatasetFolder = None,
    cache: Cache = CACHE,
    out: Out = None,
    **given,
) -> None:
    """Run every combination of some values, with every seed. Started again, it goes on."""
    console = Console(soft_wrap=True, highlight=False)
    if not given.pop("limits"):
        lift_limits(console)
    store = open_cache(cache)  # whose own data sets can be asked for
    workers = given.pop("workers")
    is_dry = given.pop("dry_run")
    cluster = {name: given.pop(name) for name in CLUSTER}
    try:
        check_known("loop", loop, LOOPS)
        check_integer("workers", workers, 0, MAX_WORKERS)
        limit_of_cache()  # which is kept to after each run
        points = [_found(point, dataset_folder) for point in _asked(file, **given).points()]
        out = out and from_home("out", out)
        workers = workers or workers_here()
        crew = crew_of(workers, **cluster)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error

    runs = _ended(store, _runs(points))
    console.print(_in_words(store, runs, workers, device, loop))
    if is_dry:
        return
    store = open_cache(cache, make=True)
    asked = [Asked(run.experiment, run.point.params) for run in runs]
    options = {"device": device, "loop": loop, "folder": dataset_folder}
    is_over = train_all(console, store, crew, asked, **options)
    if out:
        console.print(_write(out, store, _ended(store, runs)))
    if not is_over:
        sys.exit(1)


sweep = with_options(sweep, _OPTIONS | CLUSTER | NO_LIMITS | FIELD_OPTIONS)


@dataclass(frozen=True)
class _Run:
    """An experiment of a sweep, and the first choice that asks for it."""

    experiment: Experiment
    point: Point


def _asked(file: Path | None, grid: list[str], seeds: str, preset: str, **fields) -> Sweep:
    """What the file says or, without one, the options."""
    named = {name: text for name, text in fields.items() if text is not None}
    if file is None:
        fixed = {"preset": preset} | named
        return Sweep(fixed, read_grid(grid), seeds=read_seeds(seeds) if seeds else ())
    if grid or seeds or named or preset != _OPTIONS["preset"].default:
        raise InvalidValue("file", str(file), "says all of it; leave out --grid and fields")
    file = from_home("file", file)
    try:
        return read_toml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidValue("file", str(file), f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidValue("file", str(file), "is no text in UTF-8") from error


def _found(point: Point, folder: Path | None) -> Point:
    """The same of what the folder holds, if one was named: maybe other files than published."""
    choice = point.choice
    content = content_of(choice.dataset, choice.content, folder)
    if content == choice.content:
        return point
    params = {**point.params, "content": content}
    return replace(point, choice=replace(choice, content=content), params=params)


def _runs(points: Sequence[Point]) -> list[_Run]:
    """Each experiment once, in the order of its first choice."""
    found: dict[str, _Run] = {}
    for point in points:
        for experiment in point.choice.experiments():
            found.setdefault(experiment.key, _Run(experiment, point))
    return [*found.values()]


def _ended(store: Store, runs: Sequence[_Run]) -> list[_Run]:
    """The runs, those that stop when accuracy falls as they have ended, each once."""
    found: dict[str, _Run] = {}
    for run in runs:
        experiment = ended(store, run.experiment)
        found.setdefault(experiment.key, _Run(experiment, run.point))
    return [*found.values()]


def _in_words(store: Store, runs: Sequence[_Run], workers: int, device: str, loop: str) -> str:
    experiments = [run.experiment for run in runs]
    todo = plan(store, experiments, Queued((0.0,) * workers), device, loop)
    at_most = "at most " * any(one.until for one in experiments)
    words = f"{len(runs):,} runs, {at_most}{todo.trainings:,} trainings"
    if todo.cached == todo.trainings:
        return f"{words}; all are in the cache."
    words += f", of which {todo.cached:,} are in the cache" if todo.cached else ""
    if todo.seconds is None:
        return f"{words}. How long it takes is known once such a network was trained here."
    processes = f"{workers} process{'es' if workers > 1 else ''}"
    return f"{words}; {at_most}about {in_words(todo.seconds)} on {processes}."


def _write(out: Path, store: Store, runs: Sequence[_Run]) -> str:
    """Tables over everything, and a report where there are few enough lines; says which."""
    table = table_of(store, [[run.experiment for run in runs]], "levels", repeat=True)
    if table.empty:
        return "Nothing is finished yet, so nothing is written."
    varied = pd.DataFrame({run.experiment.key: dict(run.point.varied) for run in runs}).T
    new = varied.columns.difference(table.columns, sort=False)
    table = table.join(varied[new], on="run")
    files = {
        "levels.csv": table.to_csv(index=False).encode(),
        "levels.parquet": table.to_parquet(index=False),
    }
    lines = _lines(runs)
    if 1 < len(lines) <= MAX_LINES and store.has(lines[0].main.keys[0]):
        files["report.html"] = comparison_page(store, lines)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_file(out / name, content)
    except OSError as error:
        raise typer.BadParameter(f"out={str(out)!r} can't be written: {error.strerror}") from error
    return f"{out}: {', '.join(files)}, {len(table):,} rows"


def _lines(runs: Sequence[_Run]) -> list[Line]:
    """The runs, those that are equal but for the seed as one."""
    found: dict[str, list[_Run]] = {}
    for run in runs:
        line = of_arm([run.experiment], run.point.params).id
        found.setdefault(line, []).append(run)
    return [
        Line(
            name,
            tuple(sorted((one.experiment for one in same), key=lambda one: one.recipe.seed)),
            same[0].point.params,
        )
        for name, same in found.items()
    ]
