"""One experiment on the command line: a bar while it runs, then what the notebook prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lottery_core.cli.places import write_file
from lottery_core.cli.together import train_all
from lottery_core.findings.early import cut_in_words
from lottery_core.findings.ending import ended
from lottery_core.findings.tables import history_table, layers_table, levels_table
from lottery_core.running.bar import bar
from lottery_core.running.crew import Crew
from lottery_core.running.many import Asked
from lottery_core.spec.arms import title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, Level, Store
from lottery_core.tickets.files import mask_npz

LOSS_EVERY = 1_000  # batches between two printed losses, as in the notebook


@dataclass(frozen=True)
class Desk:
    """Where experiments of one command are performed and told of; `folder` holds the data set's
    original files, if it was named."""

    console: Console
    store: Store
    device: str
    loop: str
    folder: Path | None

    def prepare(self) -> None:
        """Have the compiled loop loaded beside the first level, which does not wait for it."""
        if self.loop == "auto":
            from lottery_core.running import worker

            worker.prepare_in_background(self.store)

    def have_trained(
        self, crew: Crew, arms: Mapping[str, Sequence[Experiment]], link: dict[str, str]
    ) -> bool:
        """Have a crew train what is missing; whether it did. What is performed then is read."""
        asked = [Asked(experiment, link) for arm in arms.values() for experiment in arm]
        options = {"device": self.device, "loop": self.loop, "folder": self.folder}
        return train_all(self.console, self.store, crew, asked, **options)


def perform(desk: Desk, experiment: Experiment, out: Path | None, link: dict[str, str]) -> None:
    """Run one experiment, show how far it is, print each level and write tables to `out`; ends the
    process, with exit code 1, unless it is done."""
    # torch: only now, so that help and refusals are instant
    from lottery_core.running import worker

    console, store = desk.console, desk.store
    experiment = ended(store, experiment)
    console.print(f"\n{title_of(experiment)}, seed {experiment.recipe.seed}", style="bold")
    levels: list[Level] = []
    job = Job(
        key=experiment.key,
        state="queued",
        owner="",
        submitted=time.time(),
        experiment=experiment.as_dict(),
        device=desk.device,
        loop=desk.loop,
        params=link,
    )
    store.clear_cancel(job.key)

    def show(level: Level) -> None:
        levels.append(level)
        with _written("output", "-"):
            _print_level(console, level)
        if out is not None:
            with _written("out", str(out)):
                _write(out, levels)

    with bar(console, store, experiment, levels):
        job = worker.perform(store, job, folder=desk.folder, show=show)
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
    console.print(f"\nLevel {info.level}", style="bold")
    for name, layer in info.layers.items() if info.level else ():
        pruned = layer.weights - layer.kept
        console.print(f"Pruning layer {name} with {pruned} weights to prune.")
    recipe = Experiment.from_dict(info.experiment).schedule(info.level)
    per_epoch = recipe.iterations_per_epoch
    stretch = min(LOSS_EVERY, per_epoch)
    first = recipe.iterations - len(level.losses)
    for end in range(stretch, len(level.losses) + 1):
        epoch, batch = divmod(first + end - 1, per_epoch)
        if (batch + 1) % stretch == 0:
            loss = level.losses[end - stretch : end].mean()
            console.print(f"\\[{epoch + 1}, {batch + 1:5d}] loss: {loss:.3f}")
    console.print(f"Sparsity in model: {info.sparsity:.2%}")
    if info.explored is not None:
        console.print(f"Weights that were in its mask at any time: {info.explored:.2%}")
    if cut := cut_in_words([info]):
        console.print(f"{cut[:1].upper()}{cut[1:]}.")
    before = info.test_accuracy_before_retraining
    if before is not None:
        console.print(f"Accuracy on the test images before retraining: {before:.2%}")
    console.print(f"Accuracy on the test images: {info.test_accuracy:.2%} ({info.seconds:.1f} s)")


def _write(out: Path, levels: list[Level]) -> None:
    """After every level, so that a run that is stopped leaves what it had. Raises `OSError`."""
    out.mkdir(parents=True, exist_ok=True)
    tables = {"levels": levels_table, "layers": layers_table, "history": history_table}
    for name, table in tables.items():
        write_file(out / f"{name}.csv", table(levels).to_csv(index=False).encode())
    write_file(out / "mask.npz", mask_npz(levels[-1]))
