"""What the compiled loop saves, against every reference it claims to beat.

    python -m benchmarks.speed [--pairs 5] [--only NAME ...] [--quick] [--paper] [--json FILE]

All that a row compares runs in one process on one core (but for two experiments on two), one
right after the other and in turns first, epochs in pieces of a tenth, so that a busy machine
hits all of it alike; a row is the median of these turns, with their range. Masks are real
ones, pruned by magnitude from trained networks. The references:

- the notebook's loop: torchvision's transforms image by image, a DataLoader, evaluation
  likewise. It takes minutes, so two of its 28 epochs are timed, a dense and a masked one.
- plain torch: the data set as one tensor, batches as index selections of it, the fused
  optimiser. Nobody who knows torch needs a slower loop.
- products alone: the matrix products that a dense step can't do without.

The paper's run is added up from a sample of every level; --paper runs it really. Exits with 1
when a row misses its target. Compiling and calibration happen before any clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.training_overhead import processor, without_evaluation
from lottery_core.data import Data, Images, load_data
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply, dense_mask
from lottery_core.method.pruning import prune
from lottery_core.running import engine
from lottery_core.running.crew import LocalWorker
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Level, Store
from lottery_core.tickets.ticket_data import import_datasets
from lottery_core.training import calibration, kept, loops, yardsticks
from lottery_core.training.base import Training
from lottery_core.training.context import Context
from lottery_core.training.models import build, initial_weights
from lottery_core.training.sparse_loop import SparseNetwork, one_blas_thread
from lottery_core.training.torch_loop import TorchNetwork

_CACHE = Path(__file__).resolve().parent.parent / "cache" / "datasets"
_MOST_LONG_PAIRS = 3  # of rows whose turns take a minute
_PASSES = 7  # along the levels, at least
_PIECES = 10  # of an epoch

Seconds = Callable[[], float]
Steps = Callable[[int, int], None]  # take so many steps from that batch on


@dataclass(frozen=True)
class Row:
    """One figure: its value in every turn, and what it must reach (`at_most`: stay below).

    `verdict` overrules the comparison of the median where the target is no single number.
    """

    name: str
    title: str
    values: list[float]
    target: float | None
    unit: str = "x"
    at_most: bool = False
    note: str = ""
    verdict: bool | None = None
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool | None:
        """None without a target."""
        if self.verdict is not None or self.target is None:
            return self.verdict
        return self.median <= self.target if self.at_most else self.median >= self.target

    def __str__(self) -> str:
        words = {None: "", True: "reached", False: "not reached"}[self.reached]
        target = "-" if self.target is None else f"{'<=' * self.at_most}{self.target:g}{self.unit}"
        target = target if self.verdict is None else "noise"
        values = f"{self.median:8.2f}{min(self.values):8.2f}{max(self.values):8.2f} {self.unit:4}"
        return f"{self.title:74}{values}{target:>8}  {words}" + f"\n    ({self.note})" * bool(
            self.note
        )


def in_turns(ways: dict[str, Seconds], pairs: int) -> dict[str, list[float]]:
    """Seconds of each way in every turn: there and back again, so that none always leads."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(pairs):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            seconds[name].append(ways[name]())
    return seconds


def piecewise(ways: dict[str, Steps], count: int, pairs: int) -> dict[str, list[float]]:
    """Seconds of `count` steps in every turn, taken piece by piece: a machine is disturbed
    for a second or two, which then are those of all ways."""
    ends = np.linspace(0, count, _PIECES + 1).astype(int)
    found = {name: [0.0] * pairs for name in ways}
    for turn in range(pairs):
        for piece, (first, end) in enumerate(pairwise(ends)):
            for name in list(ways)[:: -1 if (turn + piece) % 2 else 1]:
                found[name][turn] += timed(partial(ways[name], int(first), int(end - first)))
    return found


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work()` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Turn by turn."""
    return [a / b for a, b in zip(above, below, strict=True)]


@dataclass(frozen=True)
class Setting:
    """What all rows share: a folder for stores, how often, and the trained networks."""

    folder: Path
    pairs: int
    quick: bool

    def new_store(self) -> Store:
        """An empty store that knows the data sets and what this machine's steps cost."""
        root = Path(tempfile.mkdtemp(dir=self.folder))
        (root / "datasets").symlink_to(_CACHE)
        (root / "compiled").symlink_to(kept.folder().parent)
        store = Store(root)
        if (known := self.folder / "machine.json").exists():
            (root / "machine.json").write_bytes(known.read_bytes())
        return store

    @property
    def long_pairs(self) -> int:
        return 1 if self.quick else min(self.pairs, _MOST_LONG_PAIRS)

    @cached_property
    def notebook(self) -> Network:
        """Six rounds of 40 % of the notebook's network."""
        return Network.trained("notebook", self, epochs=1 if self.quick else 4)

    @cached_property
    def paper(self) -> Network:
        """Nineteen rounds of 20 % of the paper's, after short trainings."""
        return Network.trained("paper", self, iterations=200 if self.quick else 1_000)


@dataclass(frozen=True)
class Network:
    """One preset's levels after real rounds of pruning, and what the loop knows of its cost."""

    experiment: Experiment  # at its full length
    data: Data
    costs: calibration.Costs
    levels: list[Level]
    trained_for: int  # iterations a level

    @classmethod
    def trained(
        cls, preset: str, setting: Setting, *, epochs: int = 0, iterations: int = 0
    ) -> Network:
        experiment = whole(preset)
        recipe = experiment.recipe
        length = iterations or epochs * recipe.iterations_per_epoch
        short = replace(recipe, iterations=length, evaluate_every=length)
        store = setting.new_store()
        data = load_data(recipe, store.datasets)
        began = time.perf_counter()
        costs = calibration.costs_of(recipe, data, store)
        calibrated = time.perf_counter()
        facts = setting.folder / "machine.json"
        facts.write_text(json.dumps(store.read_machine()))
        levels = list(
            engine.run(Experiment(short, experiment.rounds), Context(store, loop="compiled"))
        )
        print(
            f"{preset}: calibrated in {calibrated - began:.1f} s; {len(levels)} levels of "
            f"{length:,} iterations trained for their masks in "
            f"{time.perf_counter() - calibrated:.1f} s",
            flush=True,
        )
        return cls(experiment, data, costs, levels, length)

    @property
    def recipe(self) -> Recipe:
        return self.experiment.recipe

    def density(self, n: int) -> float:
        mask = self.levels[n].mask
        return sum(int(kept.sum()) for kept in mask.values()) / self.recipe.weights_total

    def compiled(self, n: int, *, judge: bool = False) -> SparseNetwork:
        """Level `n` in the compiled loop, in the forms that training would choose."""
        level = self.levels[n]
        forms = self.costs.forms(level.mask)
        network = SparseNetwork(self.recipe, level.start, level.mask, forms)
        network.attach(self.data, judge=judge)
        return network

    def torch(self, n: int) -> TorchNetwork:
        """Level `n` in plain torch."""
        level = self.levels[n]
        data = without_evaluation(self.data)
        return TorchNetwork(Training(self.recipe, level.start, level.mask), data, "cpu")


def whole(preset: str) -> Experiment:
    """A preset's experiment; the notebook's evaluates at the end of every epoch."""
    choice = PRESETS[preset].choice
    if preset == "notebook":
        choice = replace(choice, evaluate_every=choice.recipe().iterations_per_epoch)
    return choice.experiment()


def steps_of(network: SparseNetwork | TorchNetwork) -> Steps:
    """Steps of the first epoch, after a few to warm up."""

    def steps(first: int, count: int) -> None:
        network.steps(0, first, np.zeros(count, np.float32))

    steps(0, 20)
    return steps


def any_steps(steps: yardsticks.Steps) -> Steps:
    """The same of a yardstick, which goes on where it was."""
    steps(20)
    return lambda _, count: steps(count)


# The whole experiment


def run_compiled(experiment: Experiment, setting: Setting) -> float:
    store = setting.new_store()
    return timed(lambda: list(engine.run(experiment, Context(store, loop="compiled"))))


def run_torch(experiment: Experiment, data: Data) -> None:
    """The whole procedure as one would write it with the data set as one tensor."""
    recipe = experiment.recipe
    start, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    weights, end = start, {}
    for step in (None, *experiment.rounds):
        if step is not None:
            mask = prune(Evidence(start, end, mask), step.criterion, step.targets([*mask]))
            weights = apply(start, mask)
        network = TorchNetwork(Training(recipe, weights, mask), data, "cpu")
        for epoch in range(recipe.iterations // recipe.iterations_per_epoch):
            torch_epoch(network, recipe, epoch)
        end = network.weights()


def torch_epoch(network: TorchNetwork, recipe: Recipe, epoch: int = 0) -> None:
    network.steps(epoch, 0, np.zeros(recipe.iterations_per_epoch, np.float32))
    network.evaluate(lambda: None)


class _Images(torch.utils.data.Dataset):
    """What torchvision's MNIST is: bytes, made a picture and transformed when asked for."""

    def __init__(self, images: Images, labels: np.ndarray) -> None:
        from PIL import Image

        import_datasets()  # makes torchvision importable, whatever torch is beside it
        from torchvision import transforms

        self._picture = Image.fromarray
        self._transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
        )
        self._pixels, self._labels = images.pixels.reshape(-1, 28, 28), labels.tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        return self._transform(self._picture(self._pixels[at])), self._labels[at]


class NotebookLoop:
    """Training and testing as in the notebook."""

    def __init__(self, recipe: Recipe, data: Data) -> None:
        size = recipe.batch_size
        train, test = _Images(data.images, data.labels), _Images(data.test_images, data.test_labels)
        self._recipe = recipe
        self._train = torch.utils.data.DataLoader(train, batch_size=size, shuffle=True)
        self._test = torch.utils.data.DataLoader(test, batch_size=size, shuffle=False)

    def epoch(self, weights: Arrays, mask: Arrays | None) -> None:
        """An epoch and its test."""
        recipe, model = self._recipe, build(self._recipe)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        judge = nn.CrossEntropyLoss()
        optimiser = torch.optim.SGD(
            model.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum
        )
        masks = {name: torch.from_numpy(kept) for name, kept in (mask or {}).items()}
        running = 0.0
        for images, labels in self._train:
            optimiser.zero_grad()
            loss = judge(model(images.view(-1, 784)), labels)
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for name, kept in masks.items():
                    model.get_parameter(name).mul_(kept)
            running += loss.item()
        right = 0
        with torch.no_grad():
            for images, labels in self._test:
                answers = torch.max(model(images.view(-1, 784)), 1)[1]
                right += (answers == labels).sum().item()


def experiment_rows(setting: Setting) -> Iterator[Row]:
    """The notebook's whole experiment against both loops."""
    network = setting.notebook
    experiment, recipe, data = network.experiment, network.recipe, network.data
    epochs = recipe.iterations // recipe.iterations_per_epoch
    levels = len(experiment.rounds) + 1
    dense, ticket = network.levels[0], network.levels[-1]
    loop = NotebookLoop(recipe, data)

    def from_two(epoch: Callable[[Level], object]) -> float:
        """A dense and a masked epoch, times how many there are of each."""
        whole_level = epochs * timed(lambda: epoch(dense))
        return whole_level + (levels - 1) * epochs * timed(lambda: epoch(ticket))

    def notebook_epoch(level: Level) -> None:
        loop.epoch(level.start, None if level is dense else level.mask)

    def plain_epoch(level: Level) -> None:
        torch_epoch(TorchNetwork(Training(recipe, level.start, level.mask), data, "cpu"), recipe)

    sampled = f"measured on 2 of {epochs * levels} epochs"
    seconds = in_turns(
        {
            "compiled": lambda: run_compiled(experiment, setting),
            "torch": (lambda: from_two(plain_epoch))
            if setting.quick
            else (lambda: timed(lambda: run_torch(experiment, data))),
            "notebook": lambda: from_two(notebook_epoch),
        },
        setting.long_pairs,
    )
    for reference, title, target, note in (
        ("notebook", "the notebook's loop", 40, f"the notebook's loop {sampled}"),
        ("torch", "plain torch", 5, f"plain torch {sampled}" if setting.quick else ""),
    ):
        yield Row(
            "experiment",
            f"notebook's experiment, {levels} x {epochs} epochs, against {title}",
            ratios(seconds[reference], seconds["compiled"]),
            target,
            note=note,
            seconds={name: seconds[name] for name in ("compiled", reference)},
        )


# Epochs


def dense_rows(setting: Setting) -> Iterator[Row]:
    """A dense epoch against its matrix products."""
    network = setting.notebook
    count = _steps(network.recipe, setting)
    seconds = piecewise(
        {
            "products": any_steps(yardsticks.products_alone(network.recipe)),
            "compiled": steps_of(network.compiled(0)),
        },
        count,
        setting.pairs,
    )
    yield Row(
        "dense",
        f"dense epoch, batch {network.recipe.batch_size}, time over that of its products alone",
        ratios(seconds["compiled"], seconds["products"]),
        1.25,
        at_most=True,
        note=_part(count, network.recipe),
        seconds=seconds,
    )


def notebook_rows(setting: Setting) -> Iterator[Row]:
    """An epoch of the notebook's winning ticket."""
    network = setting.notebook
    yield from _epoch_rows("sparse", "notebook's net", network, len(network.levels) - 1, setting)


def lenet_rows(setting: Setting) -> Iterator[Row]:
    """An epoch of the paper's winning ticket at 3.6 %."""
    network = setting.paper
    densities = [network.density(n) for n in range(len(network.levels))]
    n = int(np.argmin(np.abs(np.array(densities) - 0.036)))
    yield from _epoch_rows("lenet", "LeNet-300-100, Adam, batch 60,", network, n, setting)


def _epoch_rows(name: str, title: str, network: Network, n: int, setting: Setting) -> Iterator[Row]:
    count = _steps(network.recipe, setting)
    level = network.levels[n]
    csr = yardsticks.torch_csr(network.recipe, level.start, level.mask, network.data)
    seconds = piecewise(
        {
            "torch": steps_of(network.torch(n)),
            "compiled": steps_of(network.compiled(n)),
            "torch csr": any_steps(csr),
        },
        count,
        setting.pairs,
    )
    title = f"{title} epoch at {network.density(n):.2%} density against"
    for reference, words, target in (
        ("torch", "plain torch's", 10),
        ("torch csr", "torch's CSR", None),
    ):
        yield Row(
            name,
            f"{title} {words}",
            ratios(seconds[reference], seconds["compiled"]),
            target,
            note=_part(count, network.recipe),
            seconds={name: seconds[name] for name in ("compiled", reference)},
        )


def alignment_rows(setting: Setting) -> Iterator[Row]:
    """What it is worth that activations begin with a cache line."""
    for words, network, share in (
        ("notebook's net", setting.notebook, 0.0467),
        ("LeNet-300-100", setting.paper, 0.036),
    ):
        densities = np.array([network.density(n) for n in range(len(network.levels))])
        for n in (int(np.argmin(np.abs(densities - at))) for at in (share, 0.21)):
            apart = network.compiled(n)
            moved = {
                name: _beside_a_line(getattr(apart.net, name)) for name in ("activity", "delta")
            }
            apart.net = apart.net._replace(**moved)
            ways = {"aligned": steps_of(network.compiled(n)), "apart": steps_of(apart)}
            seconds = piecewise(ways, _steps(network.recipe, setting), setting.pairs)
            yield Row(
                "alignment",
                f"{words}, epoch at {densities[n]:.2%} density with activations that do not begin "
                "with a cache line",
                ratios(seconds["apart"], seconds["aligned"]),
                None,
                seconds=seconds,
            )


def _beside_a_line(values: np.ndarray) -> np.ndarray:
    """A copy that begins 16 bytes after a cache line, as NumPy's own arrays do at best."""
    spare = np.zeros(values.size + 32, np.float32)
    first = -spare.ctypes.data % 64 // 4 + 4
    return spare[first : first + values.size]


def _steps(recipe: Recipe, setting: Setting) -> int:
    return recipe.iterations_per_epoch // (5 if setting.quick else 1)


def _part(count: int, recipe: Recipe) -> str:
    per_epoch = recipe.iterations_per_epoch
    return "" if count == per_epoch else f"measured on {count:,} of {per_epoch:,} iterations"


# Levels, and the paper's run


def level_rows(setting: Setting, *, paper: bool = True, levels: bool = True) -> Iterator[Row]:
    """The time of a step along the levels, and the paper's run added up from it."""
    network = setting.paper
    recipe, count = network.recipe, 60 if setting.quick else 300
    passes = max(3 if setting.quick else _PASSES, setting.pairs)
    steps, evaluations = {}, {}
    for n in range(len(network.levels)):
        loop = network.compiled(n, judge=paper)
        steps[f"level {n}"] = partial(timed, partial(steps_of(loop), 0, count))
        evaluations[f"level {n}"] = partial(timed, partial(loop.evaluate, lambda: None))
    seconds = in_turns(steps, passes)
    per_step = {name: [value / count for value in found] for name, found in seconds.items()}
    note = f"{count} iterations a level, masks after {network.trained_for:,} iterations a level"

    if levels:
        rises = [
            [100 * (ratio - 1) for ratio in ratios(after, before)]
            for before, after in pairwise(per_step.values())
        ]
        spreads = [statistics.quantiles(found, n=4) for found in rises]
        noise = [high - low for low, _, high in spreads]
        medians = [statistics.median(found) for found in rises]
        largest = int(np.argmax(medians))
        middle = [1e6 * statistics.median(found) for found in per_step.values()]
        yield Row(
            "levels",
            f"LeNet-300-100, largest rise of the time from level to level ({largest + 1})",
            rises[largest],
            0,
            unit="%",
            at_most=True,
            note=f"{note}; half of the repeats lie within {noise[largest]:.1f} % there, "
            f"{statistics.median(noise):.1f} % usually; µs a step: "
            + " ".join(f"{value:.0f}" for value in middle),
            verdict=all(rise <= max(0, n) for rise, n in zip(medians, noise, strict=True)),
            seconds=per_step,
        )
    if paper:
        judged = in_turns(evaluations, passes)
        looks = recipe.iterations // recipe.evaluate_every + 1
        minutes = [
            sum(
                recipe.iterations * per_step[name][turn] + looks * judged[name][turn]
                for name in per_step
            )
            / 60
            for turn in range(passes)
        ]
        looking = sum(looks * statistics.median(found) for found in judged.values()) / 60
        yield Row(
            "paper",
            _paper_title(network.experiment),
            minutes,
            20,
            unit="min",
            at_most=True,
            note=f"extrapolated from {count} iterations and an evaluation a level, {passes} times; "
            f"{looking:.1f} of it are evaluations; {note}",
            seconds={f"{name}, a step": found for name, found in per_step.items()}
            | {f"{name}, an evaluation": found for name, found in judged.items()},
        )


def paper_row(setting: Setting) -> Iterator[Row]:
    """The paper's run, really."""
    experiment = whole("paper")
    _ = setting.paper  # calibrated
    began, levels = time.perf_counter(), []
    for level in engine.run(experiment, Context(setting.new_store(), loop="compiled")):
        levels.append(level.info.seconds)
        print(f"    level {level.info.level}: {levels[-1]:.0f} s", flush=True)
    seconds = time.perf_counter() - began
    yield Row(
        "paper",
        _paper_title(experiment),
        [seconds / 60],
        20,
        unit="min",
        at_most=True,
        note="run in full, once",
        seconds={"levels": levels, "run": [seconds]},
    )


def _paper_title(experiment: Experiment) -> str:
    recipe = experiment.recipe
    return (
        f"the paper's run, {len(experiment.rounds) + 1} levels x {recipe.iterations:,} iterations"
    )


# A ticket's answers


def forward_rows(setting: Setting) -> Iterator[Row]:
    """A ticket's forward pass against the dense model's."""
    network = setting.notebook
    ticket = network.levels[-1]
    for batch, target in ((1, 5), (32, 5), (1024, 4)):
        images = network.data.test_images[:batch]
        dense = yardsticks.forward_dense(network.recipe.net, ticket.end)
        sparse = yardsticks.forward_ticket(network.recipe, ticket.end, ticket.mask, batch)
        if not np.allclose(dense(images), sparse(images), atol=1e-3):
            raise SystemExit(f"the forward passes of {batch} images differ")
        often = max(4, (500 if setting.quick else 2_000) // batch)

        def repeat(
            predict: yardsticks.Predict, images: np.ndarray = images, often: int = often
        ) -> float:
            began = time.perf_counter()
            for _ in range(often):
                predict(images)
            return (time.perf_counter() - began) / often

        repeat(dense), repeat(sparse)
        found = in_turns(
            {"dense": partial(repeat, dense), "ticket": partial(repeat, sparse)},
            setting.pairs * _PIECES,
        )
        seconds = {
            name: np.reshape(values, (setting.pairs, _PIECES)).mean(axis=1).tolist()
            for name, values in found.items()
        }
        yield Row(
            "forward",
            f"forward pass at {1 - network.density(-1):.2%}, batch {batch:,}, against dense torch",
            ratios(seconds["dense"], seconds["ticket"]),
            target,
            note=f"µs: {1e6 * statistics.median(seconds['dense']):.1f} dense, "
            f"{1e6 * statistics.median(seconds['ticket']):.1f} ticket",
            seconds=seconds,
        )


# Two experiments


def _perform(root: Path, fields: dict) -> None:
    """In a worker process: run an experiment, everything loaded and compiled before."""
    from lottery_core.running import engine
    from lottery_core.spec.experiment import Experiment
    from lottery_core.store import Store
    from lottery_core.training import loops

    store = Store(root)
    loops.prepare(store)
    for _ in engine.run(Experiment.from_dict(fields), Context(store, loop="compiled")):
        pass


@contextmanager
def two_workers(setting: Setting) -> Iterator[list[Executor]]:
    """Two of the app's worker processes."""
    executors = [LocalWorker(setting.new_store().root) for _ in range(2)]
    try:
        yield executors
    finally:
        for executor in executors:
            executor.shutdown(wait=True, kill_workers=True)


def together_rows(setting: Setting) -> Iterator[Row]:
    """Two experiments on two cores."""
    network = setting.notebook
    epochs = 1 if setting.quick else 2
    per_epoch = network.recipe.iterations_per_epoch
    recipe = replace(network.recipe, iterations=epochs * per_epoch)
    experiments = [
        Experiment(replace(recipe, seed=seed), network.experiment.rounds).as_dict()
        for seed in (0, 1)
    ]
    short = Experiment(replace(recipe, iterations=100, evaluate_every=100)).as_dict()

    with two_workers(setting) as executors:

        def start(n: int, fields: dict):
            return executors[n].submit(_perform, setting.new_store().root, fields)

        def one_by_one() -> float:
            return sum(timed(start(n, experiments[n]).result) for n in (0, 1))

        def at_once() -> None:
            for running in [start(n, experiments[n]) for n in (0, 1)]:
                running.result()

        for n in (0, 1):
            start(n, short).result()
        seconds = in_turns(
            {"one by one": one_by_one, "at once": lambda: timed(at_once)}, setting.long_pairs
        )
    yield Row(
        "together",
        "two experiments at once on two cores against one after the other",
        ratios(seconds["one by one"], seconds["at once"]),
        1.9,
        note=f"the notebook's experiment with {epochs} of 4 epochs a level, seeds 0 and 1; "
        f"{_cores()} cores here",
        seconds=seconds,
    )


def _cores() -> int:
    count = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return len(count(0))


ROWS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "experiment": experiment_rows,
    "dense": dense_rows,
    "sparse": notebook_rows,
    "lenet": lenet_rows,
    "alignment": alignment_rows,
    "levels": partial(level_rows, paper=False),
    "paper": partial(level_rows, levels=False),
    "forward": forward_rows,
    "together": together_rows,
}


def chosen_rows(only: list[str], really: bool) -> list[Callable[[Setting], Iterator[Row]]]:
    """What to measure; levels and paper are read off the same passes where both are asked."""
    rows = {name: ROWS[name] for name in ROWS if name in only}
    if really and "paper" in rows:
        rows["paper"] = paper_row
    elif {"levels", "paper"} <= rows.keys():
        rows["levels"] = level_rows
        del rows["paper"]
    return list(rows.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, help="turns per row: 5, with --quick 2; at least 2")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="sampled and short, for a first look")
    parser.add_argument("--paper", action="store_true", help="run the paper's experiment in full")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every time there, too")
    arguments = parser.parse_args()
    pairs = arguments.pairs or (2 if arguments.quick else 5)
    if pairs < 2:
        parser.error(f"--pairs {pairs} is too few to tell a range; choose at least 2")

    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, one_blas_thread():
        setting = Setting(Path(folder), pairs, arguments.quick)
        compiling = timed(lambda: loops.prepare(setting.new_store()))
        machine = {
            "processor": processor(),
            "cores": _cores(),
            "system": platform.system(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "numba", "scipy")},
            "threads": torch.get_num_threads(),
            "pairs": pairs,
            "quick": arguments.quick,
        }
        print("  ".join(f"{name} {value}" for name, value in machine.items()))
        print(f"the compiled loop was compiled or loaded in {compiling:.1f} s", flush=True)
        print(f"{'':74}{'median':>8}{'min':>8}{'max':>8}{'target':>13}", flush=True)
        for measure in chosen_rows(arguments.only, arguments.paper):
            for row in measure(setting):
                rows.append(row)
                print(row, flush=True)
    if arguments.json:
        found = [asdict(row) | {"median": row.median, "reached": row.reached} for row in rows]
        content = {"machine": machine, "compile_seconds": compiling, "rows": found}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    limited = [row for row in rows if row.reached is not None]
    reached = sum(row.reached for row in limited)
    print(f"{reached} of {len(limited)} reached")
    return 0 if reached == len(limited) else 1


if __name__ == "__main__":
    sys.exit(main())
