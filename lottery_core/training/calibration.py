"""What the parts of a step cost on this machine, measured once for each kind of recipe.

From these costs follows which form a layer takes at a density, and which loop is faster. They
are kept in the store's facts about the machine, under the processor they were measured on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from lottery_core.data import Data
from lottery_core.method.masks import Arrays, apply, dense_mask
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Store
from lottery_core.training import kept
from lottery_core.training.base import Training, is_plain
from lottery_core.training.convolution.loop import ConvolutionalNetwork
from lottery_core.training.models import initial_weights
from lottery_core.training.sparse_loop import SparseNetwork, one_blas_thread, packed
from lottery_core.training.torch_loop import TorchNetwork, one_torch_thread

DENSITIES = (0.05, 0.2, 0.4, 0.7)
_EXAMPLES = 32  # of a rehearsal of convolutions, at most
_REPEATS, _SECONDS = 5, 0.004  # of one measurement; the fastest of five counts


@dataclass(frozen=True)
class Costs:
    """Seconds a step: `torch` and `compiled` for a whole dense one; of each weight layer,
    `dense` its share in that form, holes
    dropped, and `sparse` its share at each of `DENSITIES`."""

    torch: float
    compiled: float
    dense: dict[str, float]
    sparse: dict[str, list[float]]

    def sparse_at(self, name: str, density: float) -> float:
        """The sparse form's share of a layer with this part of its weights kept."""
        # Fewer weights never cost more: a measurement that says so was disturbed.
        seconds = np.maximum.accumulate(self.sparse[name])
        if density <= DENSITIES[-1]:
            return float(np.interp(density, DENSITIES, seconds))
        slope = (seconds[-1] - seconds[0]) / (DENSITIES[-1] - DENSITIES[0])
        return float(seconds[-1] + slope * (density - DENSITIES[-1]))

    def forms(self, mask: Arrays) -> dict[str, bool]:
        """For each layer, whether the sparse form is the faster one; not for a whole layer,
        on which BLAS is at its best."""
        return {
            name: not kept.all() and self.sparse_at(name, kept.mean()) < self.dense[name]
            for name, kept in mask.items()
        }

    def at(self, name: str, kept: np.ndarray) -> float:
        """A layer's share of a step under its mask, in its faster form."""
        if self.forms({name: kept})[name]:
            return self.sparse_at(name, kept.mean())
        return self.dense[name]

    def compiled_at(self, mask: Arrays) -> float:
        """A compiled step under `mask`, with every layer in its faster form."""
        saved = sum(
            self.dense[name] - self.sparse_at(name, mask[name].mean())
            for name, is_sparse in self.forms(mask).items()
            if is_sparse
        )
        return self.compiled - saved

    def faster(self, mask: Arrays) -> str:
        """The name of the loop that a step under `mask` is expected to take less time in."""
        return "torch" if self.torch < self.compiled_at(mask) else "compiled"


def costs_of(
    recipe: Recipe,
    data: Data,
    store: Store,
    check: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda words: None,
) -> Costs:
    """The costs of this kind of recipe, from the store, or measured now (about a second for
    networks as in the paper). `check` is called between measurements and may raise; `say` is
    given what is waited for."""
    kind = _kind(recipe)
    known = store.read_machine().get("costs", {})
    if kind not in known:
        say("measuring what a step of this network costs here")
        with store.held(f"costs-{kept.tag()}", check):  # two at once would disturb each other
            known = store.read_machine().get("costs", {})
            if kind not in known:
                known = {kind: asdict(_measure(recipe, data, check))}
                measured = known
                store.revise_machine(
                    lambda facts: facts | {"costs": facts.get("costs", {}) | measured}
                )
    return Costs(**known[kind])


def _kind(recipe: Recipe) -> str:
    net, decay = recipe.net, "decay" if recipe.weight_decay else ""
    shown = f"{net.text} {net.input} {net.classes} {recipe.augmentation}"
    return f"{shown} {recipe.batch_size} {recipe.optimiser} {decay} {kept.tag()}"


def _measure(recipe: Recipe, data: Data, check: Callable[[], None]) -> Costs:
    draw = np.random.default_rng(0)
    whole = dense_mask(recipe.shapes)
    weights = initial_weights(recipe)
    few = recipe
    if not is_plain(recipe):  # a convolution takes each example as long, and many take memory
        few = replace(recipe, batch_size=min(recipe.batch_size, _EXAMPLES))

    def at(density: float, sparse: bool) -> SparseNetwork | ConvolutionalNetwork:
        mask = {name: draw.random(kept.shape) < density for name, kept in whole.items()}
        return packed(few, apply(weights, mask), mask, dict.fromkeys(mask, sparse))

    plain = TorchNetwork(Training(recipe, weights, whole), data)
    dense = packed(recipe, weights, whole, dict.fromkeys(whole, False))
    dense.attach(data, judge=False)
    holes, every = at(DENSITIES[-1], False), at(1, False)
    sparse = [at(density, True) for density in DENSITIES]
    works = {
        "torch": lambda times: plain.steps(0, 0, np.zeros(times, np.float32)),
        "compiled": lambda times: dense.steps(0, 0, np.zeros(times, np.float32)),
    }
    shares = {}
    for name in whole:
        # A convolution has one form: it costs what all its weights do where others are dense.
        is_dense = len(whole[name].shape) == 2
        works[name], shares[name] = (holes if is_dense else every).rehearsal(name)
        for i, network in enumerate(sparse):
            works[f"{name} {i}"], shares[f"{name} {i}"] = network.rehearsal(name)
    with one_torch_thread(), one_blas_thread():
        turns = in_turns(
            works,
            repeats=_REPEATS,
            seconds=_SECONDS,
            most=recipe.iterations_per_epoch,
            check=check,
        )
    of_batch = recipe.batch_size / few.batch_size
    seconds = {
        name: shares[name] * of_batch * min(taken) if name in shares else min(taken)
        for name, taken in turns.items()
    }
    return Costs(
        torch=seconds["torch"],
        compiled=seconds["compiled"],
        dense={name: seconds[name] for name in whole},
        sparse={name: [seconds[f"{name} {i}"] for i in range(len(sparse))] for name in whole},
    )


def in_turns(
    works: dict[str, Callable[[int], None]],
    *,
    repeats: int,
    seconds: float,
    most: int | None = None,
    check: Callable[[], None],
) -> dict[str, list[float]]:
    """Seconds that each `work(times)` takes each time, `repeats` times over, about `seconds` at
    a turn and at most `most` times; in turns, so that what disturbs one disturbs all."""
    times = {}
    for name, work in works.items():
        check()
        work(1)  # the first is slow, and says nothing
        count = 1
        while True:
            began = time.perf_counter()
            work(count)
            taken = time.perf_counter() - began
            if taken > seconds / 4 or count == most:
                break
            count = min(4 * count, most or 4 * count)
        fitting = max(1, round(count * seconds / taken))
        times[name] = min(fitting, most or fitting)
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats):
        # There and back again: none is always the one that comes after another.
        for name in list(works)[:: -1 if turn % 2 else 1]:
            check()
            began = time.perf_counter()
            works[name](times[name])
            found[name].append((time.perf_counter() - began) / times[name])
    return found
