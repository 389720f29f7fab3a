"""`python -m lottery_core train`: a mask or ticket from a file, beside its controls."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lottery_core.cli import kept
from lottery_core.cli.options import (
    Cache,
    DatasetFolder,
    Device,
    Loop,
    content_of,
    one_of,
    tell_unverified,
)
from lottery_core.cli.perform import Desk, perform
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import OPTIMISERS
from lottery_core.store import CACHE
from lottery_core.tickets import transfer
from lottery_core.training.base import LOOPS


def train(
    file: Annotated[Path, typer.Argument(help="A .safetensors or .npz file of a mask or ticket.")],
    network: kept.NetworkOfFile = "",
    dataset: Annotated[str | None, typer.Option(help=one_of(DATASETS))] = None,
    optimiser: Annotated[str | None, typer.Option(help=one_of(OPTIMISERS))] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    iterations: Annotated[int | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    replicates: Annotated[int, typer.Option(help="Number of seeds, from --seed on.")] = 1,
    controls: Annotated[
        str, typer.Option(help="Arms to run beside it, or none. Of " + ", ".join(transfer.CONTROLS))
    ] = "random-mask",
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
) -> None:
    """Train a mask or ticket from a file, beside the dense network and controls of its size.

    What is not given is as in the file's own recipe or, where it has none, the quick preset's.
    """
    console = Console(soft_wrap=True, highlight=False)
    try:
        upload = kept.read_file(file, network)
        recipe = transfer.adapted(
            transfer.recipe_of(upload),
            dataset=dataset,
            optimiser=optimiser,
            learning_rate=learning_rate,
            iterations=iterations,
            seed=seed,
        )
        content = content_of(recipe.dataset, recipe.content, dataset_folder)
        recipe = replace(recipe, content=content)
        arms = transfer.arms(
            upload,
            recipe,
            replicates=replicates,
            controls=[] if controls == "none" else [part.strip() for part in controls.split(",")],
            own_weights=own_weights,
        )
        check_known("loop", loop, LOOPS)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    for line in upload.reading.in_lines():
        console.print(line, markup=False, emoji=False)
    tell_unverified(console, recipe.dataset, recipe.content)
    store = kept.open_cache(cache, make=True)
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
