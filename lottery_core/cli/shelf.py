"""Commands about the runs in the cache: `list`, `tag`, `remove` and `gc`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from lottery_core.cli import terminal
from lottery_core.cli.cached import Key, facts_in_words, find
from lottery_core.cli.options import Cache, Option, with_options
from lottery_core.cli.places import open_cache
from lottery_core.findings.handout.asked import infos_of
from lottery_core.findings.lines import Line, asked_with
from lottery_core.findings.naming import in_common
from lottery_core.findings.shelf import Found, Run, Shelf
from lottery_core.findings.shelf_filter import ASPECTS, Filter
from lottery_core.findings.verdict import has_won, picked
from lottery_core.running import upkeep
from lottery_core.spec.arms import title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import bytes_in_words
from lottery_core.store import CACHE, Label, Store


def list_runs(
    words: Annotated[
        list[str] | None, typer.Argument(help="What must stand in a run's name, tags, note, ...")
    ] = None,
    levels: Annotated[bool, typer.Option("--levels", help="Every level instead.")] = False,
    cache: Cache = CACHE,
    **asked: list[str] | None,
) -> None:
    """List the runs in the cache, newest first, with the smallest ticket that wins."""
    store = open_cache(cache)
    columns = ("when", "key", "state", "levels", "size", "ticket", "what", "name")
    if levels:
        columns = ("when", "key", "level", "weights left", "test accuracy", "what")
    table = terminal.table(*columns)
    found = Shelf(store).look()
    rows = _level_rows(store) if levels else _run_rows(store, _asked_for(found, words, asked))
    for row in sorted(rows, key=lambda row: -row.time):
        table.add_row(f"{datetime.fromtimestamp(row.time).astimezone():%Y-%m-%d %H:%M}", *row.cells)
    console, closed = terminal.console(), len(store.unreadable())
    if table.row_count:
        console.print(table)
        if not levels:
            size = bytes_in_words(upkeep.size_of_cache(store, found))
            console.print(f"\nThe cache takes {size}.")
    elif found.runs and not levels:
        console.print("No run is of all that was asked for.")
    elif not closed:
        console.print(f"Nothing is kept in {store.root} yet; `python -m lottery_core run`")
    if closed:
        console.print(
            f"{closed} level{'s' if closed > 1 else ''} in {store.root} "
            f"{'are' if closed > 1 else 'is'} not yours to read: ask the owner for read permission "
            f"(chmod -R g+rX {store.root})",
            soft_wrap=True,
        )


_ASPECTS = {
    name: Option(list[str], f"Only of this {name}; may be given again.") for name in ASPECTS
}
list_runs = with_options(list_runs, _ASPECTS)


def tag(
    key: Key,
    name: Annotated[str | None, typer.Option(help='What to call the run; "" for nothing.')] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A tag to add.")] = None,
    untag: Annotated[list[str] | None, typer.Option(help="A tag to take away.")] = None,
    note: Annotated[str | None, typer.Option(help='What to say of it; "" for nothing.')] = None,
    cache: Cache = CACHE,
) -> None:
    """Give a run, all its seeds together, a name, tags and a note. A limit of the cache takes no
    level of a run that has a name."""
    store = open_cache(cache)
    try:
        line = _find_run(store, Shelf(store).look(), key).facts.line
        old = store.label(line)
        left = [one for one in (*old.tags, *(tags or ())) if one not in (untag or ())]
        new = Label.of(old.name if name is None else name, left, old.note if note is None else note)
        if new != old:
            store.write_label(line, new)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    table = terminal.table("name", "tags", "note")
    table.add_row(new.name, ", ".join(new.tags), new.note)
    terminal.console().print(table)


def remove(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY", help="A run's key, or the beginning of it.")
    ],
    all_seeds: Annotated[
        bool, typer.Option("--all-seeds", help="Each run with all of its seeds.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    cache: Cache = CACHE,
) -> None:
    """Remove runs, each with the levels that only it uses, after saying how much that frees."""
    store = open_cache(cache)
    shelf, console = Shelf(store), terminal.console()
    try:
        found = shelf.look()
        chosen = [_find_run(store, found, key) for key in keys]
        lines = {run.facts.line for run in chosen}
        if all_seeds:
            chosen = [run for run in found.runs if run.facts.line in lines]
        names = {run.key for run in chosen}
        console.print(upkeep.plan(store, found, names).in_words(), soft_wrap=True)
        if not yes:
            typer.confirm("Remove?", abort=True)
        done = upkeep.remove(shelf, store, names)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"Removed; {bytes_in_words(done.frees)} are free.")


def collect(
    limit: Annotated[
        str | None, typer.Option(help=f"Such as 5GB; default: what {upkeep.LIMIT} says.")
    ] = None,
    cache: Cache = CACHE,
) -> None:
    """Remove levels until the cache takes at most so much: those that nobody opened for longest
    first, none of a run that has a name, or is queued or running."""
    store = open_cache(cache)
    try:
        most = upkeep.limit_of_cache() if limit is None else upkeep.read_size("limit", limit)
        if most is None:
            rule = f"is not said; give --limit 5GB, or set {upkeep.LIMIT}"
            raise InvalidValue("limit", None, rule)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    freed = upkeep.collect(Shelf(store), store, most)
    words = f"Removed {freed.levels:,} level{'' if freed.levels == 1 else 's'}, "
    words += f"{bytes_in_words(freed.bytes)}. The cache takes {bytes_in_words(freed.size)} of "
    words += f"{bytes_in_words(freed.limit)}."
    if freed.size > freed.limit:
        words += " What is left is of runs with a name, or of runs that go on, or no levels."
    terminal.console().print(words, soft_wrap=True)


def _find_run(store: Store, found: Found, prefix: str) -> Run:
    """The run whose key begins so, or that alone has a level whose key does. Raises
    `InvalidValue`."""
    own = [run for run in found.runs if len(prefix) >= 6 and run.key.startswith(prefix)]
    if not own:
        key = find(store, prefix)
        own = [run for run in found.runs if key in run.levels]
        if not own:
            raise InvalidValue("key", prefix, "is of a level that another version kept")
        if len(own) > 1:
            some = ", ".join(run.key[:8] for run in own[:8])
            rule = f"is of a level that {len(own)} runs share; name one of them: {some}"
            raise InvalidValue("key", prefix, rule)
    if len(own) > 1:
        raise InvalidValue("key", prefix, f"begins {len(own)} keys; give more characters")
    return own[0]


def _asked_for(found: Found, words: list[str] | None, asked: dict) -> list[Run]:
    try:
        given = {name: names for name, names in asked.items() if names}
        return Filter.checked(found.runs, " ".join(words or ()), **given).of(found.runs)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error


@dataclass(frozen=True)
class _Row:
    time: float
    cells: tuple[str, ...]


def _run_rows(store: Store, runs: Iterable[Run]) -> Iterable[_Row]:
    for run in runs:
        experiment = _experiment(store, run)
        if experiment:
            yield _Row(run.when, _cells(store, run, experiment))


def _experiment(store: Store, run: Run) -> Experiment | None:
    asked = next((job.experiment for job in run.jobs.values()), None)
    info = store.infos(run.levels[-1:]) if asked is None else {}
    return Experiment.known(asked or next((one.experiment for one in info.values()), {}))


def _cells(store: Store, run: Run, experiment: Experiment) -> tuple[str, ...]:
    together = asked_with(store, experiment, run.jobs.get("run"))
    asked = {one.recipe.seed: infos_of(store, one) for one in together}
    infos, found = asked[experiment.recipe.seed], picked(asked)
    ticket = "none wins" if len(infos) == len(experiment.keys) > 1 else ""
    if found and found.level < len(infos):
        best = infos[found.level]
        ticket = f"{best.key[:8]}: {', '.join(facts_in_words(best))}"
        ticket += "" if has_won(asked) else ", not by the test images"
    return (
        run.key[:8],
        run.state,
        f"{len(infos)} of {len(experiment.keys)}",
        bytes_in_words(run.size),
        ticket,
        _what(experiment),
        run.label.in_words(),
    )


def _level_rows(store: Store) -> Iterable[_Row]:
    for info in store.infos(store.keys()).values():
        experiment = Experiment.known(info.experiment)
        what = _what(experiment) if experiment else "of another version"
        cells = info.key[:8], str(info.level), *facts_in_words(info), what
        yield _Row(store.computed(info.key), cells)


def _what(experiment: Experiment) -> str:
    line = Line("", (experiment,))
    return f"{title_of(experiment)}, seed {experiment.recipe.seed}, {in_common([line])}"
