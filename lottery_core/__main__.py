"""The same job without a browser: `python -m lottery_core run --preset notebook --out results`.

What is done with the results is in `tickets/commands.py`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lottery_core import terminal
from lottery_core.arms import ARMS, title_of
from lottery_core.choice import (
    PRESETS,
    RESTARTS,
    SCHEDULES,
    UNITS,
    Choice,
    read_choice,
    write_choice,
)
from lottery_core.data import identify
from lottery_core.datasets import DATASETS, NORMALISATIONS, unverified_in_words
from lottery_core.experiment import (
    INITS,
    OPTIMISERS,
    SCOPES,
    Experiment,
    InvalidValue,
    check_known,
)
from lottery_core.pruning import CRITERIA
from lottery_core.store import CACHE, Job, Level, Store, StoreUnavailable
from lottery_core.tables import (
    history_table,
    layers_table,
    levels_table,
    weights_kept,
    weights_total,
)
from lottery_core.tickets import commands, transfer
from lottery_core.tickets.files import mask_npz
from lottery_core.training.base import LOOPS

LOSS_EVERY = 1_000  # batches between two printed losses, as in the notebook

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def main() -> None:
    """Find lottery tickets: train, prune, rewind, retrain."""


def _one_of(known) -> str:
    return "One of " + ", ".join(known) + "."


# The values are text until the core has read them, as in a link: one set of rules for both.
@app.command()
def run(
    preset: Annotated[str, typer.Option(help=_one_of(PRESETS))] = "quick",
    dataset: Annotated[str | None, typer.Option(help=_one_of(DATASETS))] = None,
    content: Annotated[
        str | None,
        typer.Option(help="SHA-256 of other files than the published ones, as a run printed it."),
    ] = None,
    normalisation: Annotated[str | None, typer.Option(help=_one_of(NORMALISATIONS))] = None,
    validation_size: Annotated[str | None, typer.Option(help="Training images held out.")] = None,
    hidden: Annotated[str | None, typer.Option(help="Sizes of the hidden layers: 300,100")] = None,
    init: Annotated[str | None, typer.Option(help=_one_of(INITS))] = None,
    optimiser: Annotated[str | None, typer.Option(help=_one_of(OPTIMISERS))] = None,
    learning_rate: Annotated[str | None, typer.Option()] = None,
    momentum: Annotated[str | None, typer.Option(help="Of SGD.")] = None,
    weight_decay: Annotated[str | None, typer.Option()] = None,
    warmup: Annotated[
        str | None, typer.Option(help="Iterations until the learning rate is reached.")
    ] = None,
    decay_at: Annotated[
        str | None, typer.Option(help="Iterations at which the rate falls: 4000,6000")
    ] = None,
    decay_factor: Annotated[str | None, typer.Option(help="Factor by which it falls.")] = None,
    batch_size: Annotated[str | None, typer.Option()] = None,
    length: Annotated[str | None, typer.Option(help="Epochs or iterations, see --unit.")] = None,
    unit: Annotated[str | None, typer.Option(help=_one_of(UNITS))] = None,
    evaluate_every: Annotated[
        str | None, typer.Option(help="Iterations; 0: five times an epoch.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help=_one_of(SCHEDULES))] = None,
    rate: Annotated[
        str | None, typer.Option(help="Iterative: fraction of what is left, per round.")
    ] = None,
    rounds: Annotated[str | None, typer.Option(help="Iterative: number of rounds.")] = None,
    sparsity: Annotated[str | None, typer.Option(help="One-shot: fraction removed.")] = None,
    sparsities: Annotated[
        str | None, typer.Option(help="List: cumulative fractions, 0.4,0.64,0.95")
    ] = None,
    output_factor: Annotated[
        str | None, typer.Option(help="The output layer's rate, as a factor of the others'.")
    ] = None,
    layer_factors: Annotated[
        str | None, typer.Option(help="Factors of single layers: fc1=1,fc2=0.5")
    ] = None,
    scope: Annotated[str | None, typer.Option(help=_one_of(SCOPES))] = None,
    criterion: Annotated[str | None, typer.Option(help=_one_of(CRITERIA))] = None,
    restart: Annotated[str | None, typer.Option(help=_one_of(RESTARTS))] = None,
    rewind_iteration: Annotated[
        str | None, typer.Option(help="Iteration of level 0 to rewind to.")
    ] = None,
    rewind_percent: Annotated[
        str | None, typer.Option(help="The same in percent: 1, 2, 5, 10, 20 or 50.")
    ] = None,
    controls: Annotated[
        str | None, typer.Option(help="Arms to run beside it, or none. Of " + ", ".join(ARMS))
    ] = None,
    seed: Annotated[str | None, typer.Option()] = None,
    replicates: Annotated[str | None, typer.Option(help="Number of seeds, from --seed on.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    loop: Annotated[str, typer.Option(help=_one_of(LOOPS))] = "auto",
    dataset_folder: Annotated[
        Path | None, typer.Option(help="Folder with the data set's original files, packed or not.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where results are kept and found.")] = CACHE,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for levels.csv, layers.csv, history.csv and mask.npz; with folders for "
            "controls and, where there are several, for seeds."
        ),
    ] = None,
) -> None:
    """Run an experiment, print what the notebook prints, and write tables and the last mask."""
    given = locals()
    params = {
        name: given[name]
        for name in ("preset", *(field.name for field in fields(Choice)))
        if given[name] is not None
    }
    console = Console(soft_wrap=True, highlight=False)
    try:
        preset_used, choice = read_choice(params)
        known = _content(choice.dataset, choice.content, dataset_folder)
        choice = replace(choice, content=known)
        link = write_choice(preset_used, choice)
        arms = choice.arms()
        check_known("loop", loop, LOOPS)
        if out is not None:
            out = commands.from_home("out", out)
            out.mkdir(parents=True, exist_ok=True)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise typer.BadParameter(f"out={str(out)!r} can't be made a folder: {error}") from error

    _tell_unverified(console, choice.dataset, choice.content)
    store = commands.open_cache(cache, make=True)
    _prepare(store, loop)
    for name, arm in arms.items():
        for experiment in arm:
            folder = out
            if folder is not None and choice.replicates > 1:
                folder /= f"seed-{experiment.recipe.seed}"
            if folder is not None and name != "main":
                folder /= name
            console.print(f"\n{title_of(experiment)}, seed {experiment.recipe.seed}", style="bold")
            _perform(console, store, experiment, device, loop, dataset_folder, folder, link)


@app.command()
def train(
    file: Annotated[Path, typer.Argument(help="A .safetensors or .npz file of a mask or ticket.")],
    dataset: Annotated[str | None, typer.Option(help=_one_of(DATASETS))] = None,
    optimiser: Annotated[str | None, typer.Option(help=_one_of(OPTIMISERS))] = None,
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
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    loop: Annotated[str, typer.Option(help=_one_of(LOOPS))] = "auto",
    dataset_folder: Annotated[
        Path | None, typer.Option(help="Folder with the data set's original files, packed or not.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where results are kept and found.")] = CACHE,
) -> None:
    """Train a mask or ticket from a file, beside the dense network and controls of its size.

    What is not given is as in the file's own recipe or, where it has none, the quick preset's.
    """
    console = Console(soft_wrap=True, highlight=False)
    try:
        upload = commands.read_file(file)
        recipe = transfer.adapted(
            transfer.recipe_of(upload),
            dataset=dataset,
            optimiser=optimiser,
            learning_rate=learning_rate,
            iterations=iterations,
            seed=seed,
        )
        known = _content(recipe.dataset, recipe.content, dataset_folder)
        recipe = replace(recipe, content=known)
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
    _tell_unverified(console, recipe.dataset, recipe.content)
    store = commands.open_cache(cache, make=True)
    store.write_ticket(upload.content_digest, upload.mask, upload.restart)
    _prepare(store, loop)
    for arm in arms.values():
        for experiment in arm:
            console.print(f"\n{title_of(experiment)}, seed {experiment.recipe.seed}", style="bold")
            _perform(console, store, experiment, device, loop, dataset_folder, None, {})
    runs = {
        name: {one.recipe.seed: [store.info(key) for key in one.keys] for one in arm}
        for name, arm in arms.items()
    }
    console.print(f"\n{transfer.in_words(runs)}", markup=False)


app.command("list")(commands.list_experiments)
app.command()(commands.show)
app.command()(commands.export)
app.command("verify")(commands.verify_file)


def _content(dataset: str, asked: str, folder: Path | None) -> str:
    """The content of a named folder, which is looked at whether it is needed or not; without
    one, what is asked for. Raises `InvalidValue`."""
    if folder is None:
        return asked
    found = identify(dataset, folder)
    if asked not in ("", found):
        raise InvalidValue("content", asked, f"is not what {folder} holds; leave it out")
    return found


def _tell_unverified(console: Console, dataset: str, content: str) -> None:
    if content:
        console.print(f"{unverified_in_words(dataset, content)} Its SHA-256 is {content}.")


def _prepare(store: Store, loop: str) -> None:
    """Have the compiled loop loaded beside the first level, which does not wait for it."""
    if loop == "auto":
        from lottery_core import worker

        worker.prepare_in_background(store)


def _perform(
    console: Console,
    store: Store,
    experiment: Experiment,
    device: str,
    loop: str,
    folder: Path | None,
    out: Path | None,
    link: dict[str, str],
) -> None:
    from lottery_core import worker  # torch: only now, so that help and refusals are instant

    levels: list[Level] = []
    job = Job(
        key=experiment.key,
        state="queued",
        owner="",
        submitted=time.time(),
        experiment=experiment.as_dict(),
        device=device,
        loop=loop,
        params=link,
    )
    store.clear_cancel(job.key)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("level 0", total=experiment.recipe.iterations)
        ended = threading.Event()

        def follow() -> None:
            # The bar reads the store, as a page does.
            while not ended.wait(0.3):
                n = min(len(levels), len(experiment.rounds))
                progress = store.read_progress(experiment.keys[n])
                done = progress[0].get("iteration", 0) if progress else 0
                bar.update(
                    task, description=f"level {n} of {len(experiment.rounds)}", completed=done
                )

        def show(level: Level) -> None:
            levels.append(level)
            with _written("output", "-"):
                _print_level(bar.console, level)
            if out is not None:
                with _written("out", str(out)):
                    _write(out, levels)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            job = worker.perform(store, job, folder=folder, show=show)
        finally:
            ended.set()
            follower.join()
    if job.state != "done":
        reason = job.message or "start it again to go on from there"
        console.print(f"{job.state} after {len(levels)} levels: {reason}", style="bold")
        store.tell_job(job)
        sys.exit(1)
    if store.job(job.key) != job:  # the record could not be written then; can it be now?
        store.write_job(job)


@contextmanager
def _written(name: str, value: str) -> Iterator[None]:
    """Inside, a disk that is full, say, ends the run with a sentence."""
    try:
        yield
    except OSError as error:
        rule = f"can't be written ({error.strerror}); what is finished is in the cache"
        raise InvalidValue(name, value, rule) from error


def _print_level(console: Console, level: Level) -> None:
    info = level.info
    console.print(f"\nLevel {info['level']}", style="bold")
    for name, layer in info["layers"].items() if info["level"] else ():
        pruned = layer["weights"] - layer["kept"]
        console.print(f"Pruning layer {name} with {pruned} weights to prune.")
    recipe = Experiment.from_dict(info["experiment"]).recipe
    per_epoch = recipe.iterations_per_epoch
    stretch = min(LOSS_EVERY, per_epoch)
    first = recipe.iterations - len(level.losses)
    for end in range(stretch, len(level.losses) + 1):
        epoch, batch = divmod(first + end - 1, per_epoch)
        if (batch + 1) % stretch == 0:
            loss = level.losses[end - stretch : end].mean()
            console.print(f"\\[{epoch + 1}, {batch + 1:5d}] loss: {loss:.3f}")
    sparsity = 1 - weights_kept(info) / weights_total(info)
    console.print(f"Sparsity in model: {sparsity:.2%}")
    before = info["test_accuracy_before_retraining"]
    if before is not None:
        console.print(f"Accuracy on the test images before retraining: {before:.2%}")
    console.print(
        f"Accuracy on the test images: {info['test_accuracy']:.2%} ({info['seconds']:.1f} s)"
    )


def _write(out: Path, levels: list[Level]) -> None:
    """After every level, so that a run that is stopped leaves what it had. Raises `OSError`."""
    out.mkdir(parents=True, exist_ok=True)
    tables = {"levels": levels_table, "layers": layers_table, "history": history_table}
    for name, table in tables.items():
        commands.write_file(out / f"{name}.csv", table(levels).to_csv(index=False).encode())
    commands.write_file(out / "mask.npz", mask_npz(levels[-1]))


def start() -> None:
    """The command line as it is called: whatever the system or the terminal refuses is told in a
    sentence, with exit code 1."""
    terminal.print_anything()
    try:
        app()
    except StoreUnavailable as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        terminal.give_up_printing()
        sys.exit(f"Error: {error.filename or 'the output'} can't be used: {error.strerror}")


if __name__ == "__main__":
    start()
