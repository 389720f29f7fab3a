"""`python -m lottery_core run`: an experiment without a browser, over the same cache."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

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
    tell_unverified,
    with_options,
)
from lottery_core.cli.perform import Desk, perform
from lottery_core.cli.places import from_home, open_cache
from lottery_core.findings import ending
from lottery_core.findings.ending import ended
from lottery_core.findings.handout.asked import runs_of
from lottery_core.running.upkeep import limit_of_cache
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.fields import FIELDS
from lottery_core.spec.links import read_choice, write_choice
from lottery_core.spec.presets import PRESETS
from lottery_core.store import CACHE
from lottery_core.training.base import LOOPS

Preset = Annotated[str, typer.Option(help=one_of(PRESETS))]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for levels.csv, layers.csv, history.csv and mask.npz; with folders for "
        "controls and, where there are several, for seeds."
    ),
]


def run(
    preset: Preset = "quick",
    device: Device = "cpu",
    loop: Loop = "auto",
    dataset_folder: DatasetFolder = None,
    cache: Cache = CACHE,
    out: Out = None,
    **given: str | None,
) -> None:
    """Run an experiment, print what the notebook prints, and write tables and the last mask."""
    console = Console(soft_wrap=True, highlight=False)
    if not given.pop("limits"):
        lift_limits(console)
    open_cache(cache)  # whose own data sets can be asked for
    cluster = {name: given.pop(name) for name in CLUSTER}
    params = {name: text for name, text in given.items() if text is not None}
    try:
        preset, choice = read_choice({"preset": preset} | params)
        content = content_of(choice.dataset, choice.content, dataset_folder)
        choice = replace(choice, content=content)
        link = write_choice(preset, choice)
        arms = choice.arms()
        check_known("loop", loop, LOOPS)
        limit_of_cache()  # which is kept to after each run
        if out is not None:
            out = from_home("out", out)
            out.mkdir(parents=True, exist_ok=True)
        crew = crew_of(1, **cluster)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise typer.BadParameter(f"out={str(out)!r} can't be made a folder: {error}") from error

    tell_unverified(console, choice.dataset, choice.content)
    store = open_cache(cache, make=True)
    desk = Desk(console, store, device, loop, dataset_folder)
    if not cluster["scheduler"]:
        desk.prepare()
    elif not desk.have_trained(crew, arms, link):
        sys.exit(1)
    for name, arm in arms.items():
        for experiment in arm:
            folder = out
            if folder is not None and choice.replicates > 1:
                folder /= f"seed-{experiment.recipe.seed}"
            if folder is not None and name != "main":
                folder /= name
            perform(desk, experiment, folder, link)
        if name == "main" and (until := choice.until()):
            ends = ending.in_words(until, runs_of(store, [ended(store, one) for one in arm]))
            console.print(f"\n{ends}", style="bold")


# An option for each field of a choice. Their values are text until the core has read them, as in a
# link: one set of rules for both.
FIELD_OPTIONS = {name: Option(str, field.on_command_line) for name, field in FIELDS.items()}
FIELD_OPTIONS["hidden"] = Option(str, "Short for --network, of a fully connected one: 300,100")
run = with_options(run, FIELD_OPTIONS | CLUSTER | NO_LIMITS)
