"""What recording a training costs: our torch loop against a bare one, side by side.

    python -m benchmarks.training_overhead [--pairs 7] [--json FILE]

The bare loop does the same torch operations and nothing else: no evaluation, no loss curve,
no report, no way to stop it. Ours is timed without evaluation, and with it at the app's
default cadence. The paper's preset evaluates nearly twice as often, on 15,000 images each
time; that is a choice with a price, so it is shown and has no limit. Each pair runs in one
process on one thread, one loop right after the other and in turns first, so that a busy
machine or a warming processor hits both; both end with the same weights to the last bit, or
the benchmark stops. Exits with 1 when a median ratio is above its limit.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data, load_data
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply, dense_mask
from lottery_core.method.pruning import prune
from lottery_core.spec.choice import Choice
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round
from lottery_core.store import processor
from lottery_core.training.base import Training, batch_order
from lottery_core.training.models import build, initial_weights
from lottery_core.training.torch_loop import train

_STEPS = 20  # of the convolutional network
SPARSITY = 0.9533  # what six rounds at 40 % leave pruned

_CACHE = Path(__file__).resolve().parent.parent / "cache" / "datasets"


@dataclass(frozen=True)
class Way:
    """One way to run our loop, and the ratio to a bare loop that it may take at most."""

    title: str
    recipe: Recipe
    evaluates: bool
    limit: float | None


def networks() -> dict[str, list[Way]]:
    """About an epoch of the notebook's network and of the paper's, each in several ways; and some
    steps of a convolutional one, whose evaluation would take longer than they do."""
    conv = replace(PRESETS["conv-2"].choice, dataset="mnist", length=_STEPS, evaluate_every=_STEPS)
    return {
        f"{name} {choice.network}, {choice.optimiser}, batch {choice.batch_size}": _ways(choice)
        for name, choice in ((name, PRESETS[name].choice) for name in ("notebook", "paper"))
    } | {"conv-2 on MNIST, adam, batch 60": [Way("without evaluation", conv.recipe(), False, 1.15)]}


def _ways(choice: Choice) -> list[Way]:
    per_epoch = choice.recipe().iterations_per_epoch
    recipe = replace(choice, length=1.0, unit="epochs", evaluate_every=0).recipe()
    # Whole stretches between evaluations, so that none is of a stretch of two iterations.
    recipe = replace(recipe, iterations=per_epoch - per_epoch % recipe.evaluate_every)
    ways = [
        Way("without evaluation", recipe, False, 1.15),
        Way(f"evaluation every {recipe.evaluate_every}", recipe, True, 1.35),
    ]
    if own := choice.evaluate_every:
        often = replace(recipe, evaluate_every=own)
        ways.append(Way(f"evaluation every {own}", often, True, None))
    return ways


@lru_cache(maxsize=1)
def _numbers(recipe: Recipe) -> torch.Tensor:
    """All training images as numbers, made once and timed by nobody."""
    return torch.from_numpy(load_data(recipe, _CACHE).images[:])


def bare(recipe: Recipe, weights: Arrays, mask: Arrays, data: Data) -> Arrays:
    """The training alone, as one would write it by hand with the data set as one tensor."""
    model = build(recipe)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    images, labels = _numbers(recipe), torch.from_numpy(data.labels)
    index = torch.from_numpy(data.train_index)
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(model.parameters(), momentum=recipe.momentum, **options)
    else:
        optimiser = torch.optim.Adam(model.parameters(), **options)
    pruned = [name for name, kept in mask.items() if not kept.all()]
    masked = [model.get_parameter(name).data for name in pruned]
    masks = [torch.from_numpy(mask[name].astype(np.float32)) for name in pruned]

    iteration = epoch = 0
    while iteration < recipe.iterations:
        order = index[torch.from_numpy(batch_order(recipe, epoch))]
        epoch += 1
        for chosen in order.split(recipe.batch_size)[: recipe.iterations - iteration]:
            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if masked:
                torch._foreach_mul_(masked, masks)
            iteration += 1
    return {name: value.detach().numpy() for name, value in model.named_parameters()}


def ours(recipe: Recipe, weights: Arrays, mask: Arrays, data: Data) -> Arrays:
    """The app's loop, which keeps a history and asks 20 times a second whether to go on."""
    return train(Training(recipe, weights, mask), data, lambda moment: None).weights


def without_evaluation(data: Data) -> Data:
    """The same training images, and nothing to evaluate on."""
    return replace(
        data,
        validation_index=data.validation_index[:0],
        test_images=data.test_images.take(slice(0)),
        test_labels=data.test_labels[:0],
    )


def ticket(recipe: Recipe) -> tuple[Arrays, Arrays]:
    """(weights, mask): the initial weights, and those of them that are largest."""
    weights = initial_weights(recipe)
    dense = dense_mask(recipe.shapes)
    targets = Round(SPARSITY, SPARSITY).targets([*dense])
    mask = prune(Evidence(weights, weights, dense), "magnitude", targets)
    return apply(weights, mask), mask


def timed(run: Callable[[], Arrays]) -> tuple[float, Arrays]:
    """(seconds, weights) of one training."""
    began = time.perf_counter()
    weights = run()
    return time.perf_counter() - began, weights


def compare(ways: list[Way], weights: Arrays, mask: Arrays, data: Data, pairs: int) -> list[dict]:
    """Seconds and ratios of `pairs` pairs for each way."""
    unevaluated = without_evaluation(data)
    loops: dict[str, Callable[[], Arrays]] = {
        "bare": partial(bare, ways[0].recipe, weights, mask, data)
    } | {
        way.title: partial(ours, way.recipe, weights, mask, data if way.evaluates else unevaluated)
        for way in ways
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    # The first round only warms up: memory, caches and torch's lazy set-up.
    for turn in range(pairs + 1):
        ends = {}
        # There and back again: neither loop is always the one that comes first.
        for name in list(loops)[:: -1 if turn % 2 else 1]:
            elapsed, ends[name] = timed(loops[name])
            if turn:
                seconds[name].append(elapsed)
        for way in ways:
            for layer, values in ends["bare"].items():
                if not np.array_equal(values, ends[way.title][layer]):
                    raise SystemExit(f"{layer} differs from the bare loop's: {way.title}")
    return [
        {
            "way": way.title,
            "limit": way.limit,
            "bare_seconds": seconds["bare"],
            "seconds": seconds[way.title],
            "ratios": [a / b for a, b in zip(seconds[way.title], seconds["bare"], strict=True)],
        }
        for way in ways
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="pairs per row, at least 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every time there, too")
    arguments = parser.parse_args()
    if arguments.pairs < 5:
        parser.error(f"--pairs {arguments.pairs} is too few to trust; choose at least 5")

    torch.set_num_threads(1)
    machine = {
        "processor": processor(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "pairs": arguments.pairs,
    }
    print("  ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    print(f"{'time of our loop / time of a bare one':65}median    min    max  limit", flush=True)

    rows = []
    for title, ways in networks().items():
        recipe = ways[0].recipe
        data = load_data(recipe, _CACHE)
        dense = initial_weights(recipe), dense_mask(recipe.shapes)
        for kind, (weights, mask) in {"dense": dense, "95.33 %": ticket(recipe)}.items():
            for measured in compare(ways, weights, mask, data, arguments.pairs):
                ratios, limit = measured["ratios"], measured["limit"]
                median = statistics.median(ratios)
                rows.append({"network": title, "mask": kind, "median": median} | measured)
                print(
                    f"{title:34} {kind:8}{measured['way']:22}{median:6.3f} {min(ratios):6.3f} "
                    f"{max(ratios):6.3f} {'     -' if limit is None else f'{limit:6.2f}'}",
                    flush=True,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    limited = [row for row in rows if row["limit"]]
    over = [row for row in limited if row["median"] > row["limit"]]
    print(f"{len(limited) - len(over)} of {len(limited)} within their limit")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
