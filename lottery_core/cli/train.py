"""`python -m lottery_core train`: a mask or ticket from a file, beside its controls."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lottery_core.cli.options import (
    Cache,
    DatasetFolder,
    Device,
    Loop,
    NetworkOfFile,
    Option,
    content_of,
    tell_unverified,
    with_options,
)
from lottery_core.cli.perform import Desk, perform
from lottery_core.cli.places import from_home, open_cache, read_file
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.fields import FIELDS
from lottery_core.store import CACHE
from lottery_core.tickets import transfer
from lottery_core.tickets.verify import origin
from lottery_core.training.base import LOOPS

_RECIPE = {
    "dataset": Option(str, FIELDS["dataset"].on_command_line),
    "optimiser": Option(str, FIELDS["optimiser"].on_command_line),
    "learning_rate": Option(float, FIELDS["learning_rate"].on_command_line),
    "iterations": Option(int, "Length of the training."),
    "seed": Option(int, FIELDS["seed"].on_command_line),
}
_BESIDE = {
    "replicates": Option(int, "Number of seeds, from --seed on.", 1),
    "controls": Option(
        str, f"Arms to run beside it, or none. Of {', '.join(transfer.CONTROLS)}", "random-mask"
    ),
}


def train(
    file: Annotated[Path, typer.Argument(help="A .safetensors or .npz file of a mask or ticket.")],
    network: NetworkOfFile = "",
    own_weights: Annotated[
        bool,
        typer.Option(
            "--own-weights/--initial-weights",
            help="Start from the file's weights, if it has any, or from those of the seed.",
        ),
    ] = True,
    device: Device = "cpu",
    loop: Loop = "auto",
    dataset_folder: DatasetFolder = None,
    cache: Cache = CACHE,
    **given,
) -> None:
    """Train a mask or ticket from a file, beside the dense network and controls of its size.

    What is not given is as in the file's own recipe or, where it has none, as in that of the level
    in the cache with this mask, seed included, or else the quick preset's.
    """
    console = Console(soft_wrap=True, highlight=False)
    try:
        upload = read_file(file, network)
        found = origin(upload, open_cache(cache)) if from_home("cache", cache).is_dir() else None
        changes = {name: given[name] for name in _RECIPE}
        recipe = transfer.adapted(transfer.recipe_of(upload, found), **changes)
        content = content_of(recipe.dataset, recipe.content, dataset_folder)
        recipe = replace(recipe, content=content)
        controls = given["controls"].split(",") if given["controls"] != "none" else []
        arms = transfer.arms(
            upload,
            recipe,
            replicates=given["replicates"],
            controls=[name.strip() for name in controls],
            own_weights=own_weights,
        )
        check_known("loop", loop, LOOPS)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    for line in upload.reading.in_lines():
        console.print(line, markup=False, emoji=False)
    tell_unverified(console, recipe.dataset, recipe.content)
    store = open_cache(cache, make=True)
    store.write_ticket(upload.content_digest, upload.mask, upload.restart)
    desk = Desk(console, store, device, loop, dataset_folder)
    desk.prepare()
    for arm in arms.values():
        for experiment in arm:
            perform(desk, experiment, None, {})
    runs = {
        name: {one.recipe.seed: [store.info(key) for key in one.keys] for one in arm}
        for name, arm in arms.items()
    }
    console.print(f"\n{transfer.in_words(runs)}", markup=False)


train = with_options(train, _RECIPE | _BESIDE)
