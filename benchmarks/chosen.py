"""Whether networks with convolutions are trained by the loop that is faster, at every density.

    python -m benchmarks.chosen [--turns 7] [--only NAME ...] [--json FILE]

What a step costs here is measured anew, as a first training of the network does, and `auto` chooses
by that. Then steps of torch, which masks dense tensors, and of the compiled loop are timed at all
densities in turns, in one process and on one core, with the recipes of the presets. What a row says
is compared turn by turn; its noise is the range in which half of the turns lie. Exits with 1 when
the loop chosen is slower than the other by more than noise, or when the time of a step rises by
more than noise where there are fewer weights.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.convolutions import data_for, masked, step_times, steps_of, tell
from benchmarks.speed import Row, ratios
from lottery_core.method.masks import apply
from lottery_core.spec.presets import PRESETS
from lottery_core.store import Store
from lottery_core.training.base import Training
from lottery_core.training.calibration import costs_of
from lottery_core.training.models import initial_weights
from lottery_core.training.sparse_loop import packed
from lottery_core.training.torch_loop import TorchNetwork

DENSITIES = (1, 0.5, 0.25, 0.1, 0.05, 0.02)
_OTHER = {"torch": "compiled", "compiled": "torch"}

RECIPES = {name: PRESETS[name].choice.recipe() for name in ("lenet-5", "conv-2", "conv-6")}
_RESNET = PRESETS["resnet-20"].choice.recipe()
RECIPES |= {"resnet-20-quarter": replace(_RESNET, network="resnet-20 x0.25"), "resnet-20": _RESNET}
USUAL = ("lenet-5", "conv-2", "resnet-20-quarter")  # the others take minutes more


def rows_of(name: str, turns: int) -> Iterator[Row]:
    """How much slower the chosen loop is than the other, in percent, at each density; and the
    largest rise from one to the next."""
    recipe = RECIPES[name]
    data, weights = data_for(recipe), initial_weights(recipe)
    with tempfile.TemporaryDirectory() as folder:  # where nothing is known of this machine
        costs = costs_of(recipe, data, Store(Path(folder)))
    ways, chosen = {}, {}
    for density in DENSITIES:
        mask = masked(recipe, density)
        start = apply(weights, mask)
        ours = packed(recipe, start, mask, costs.forms(mask))
        ours.attach(data, judge=False)
        ways[f"{density} compiled"] = steps_of(ours)
        ways[f"{density} torch"] = steps_of(TorchNetwork(Training(recipe, start, mask), data))
        chosen[density] = costs.faster(mask)
    seconds = step_times(ways, turns, recipe.iterations_per_epoch)

    title = f"{recipe.net.title}, {recipe.optimiser}, batch {recipe.batch_size}"
    for density, loop in chosen.items():
        taken, other = (seconds[f"{density} {one}"] for one in (loop, _OTHER[loop]))
        milliseconds = ", ".join(
            f"{one} {1e3 * statistics.median(seconds[f'{density} {one}']):.3g} ms" for one in _OTHER
        )
        behind = _percents(taken, other)
        yield Row(
            f"{name}-{density:g}",
            f"{title}, {100 * density:g} %: {loop} chosen, behind {_OTHER[loop]} by",
            behind,
            0,
            unit="%",
            at_most=True,
            note=f"{milliseconds}; noise {_noise(behind):.1f} %",
            verdict=_within_noise(behind),
            seconds={one: seconds[f"{density} {one}"] for one in _OTHER},
        )
    times = [seconds[f"{density} {loop}"] for density, loop in chosen.items()]
    rises = [_percents(after, before) for before, after in pairwise(times)]
    medians = [statistics.median(rise) for rise in rises]
    at = int(np.argmax(medians))
    yield Row(
        f"{name}-rise",
        f"{title}: largest rise, {100 * DENSITIES[at]:g} to {100 * DENSITIES[at + 1]:g} %",
        rises[at],
        0,
        unit="%",
        at_most=True,
        note=f"{', '.join(f'{1e3 * statistics.median(one):.3g}' for one in times)} ms; noise "
        f"{_noise(rises[at]):.1f} %",
        verdict=all(map(_within_noise, rises)),
    )


def _percents(times: list[float], others: list[float]) -> list[float]:
    """By how much they are longer, turn by turn."""
    return [100 * (ratio - 1) for ratio in ratios(times, others)]


def _noise(percents: list[float]) -> float:
    low, _, high = statistics.quantiles(percents, n=4)
    return high - low


def _within_noise(percents: list[float]) -> bool:
    return statistics.median(percents) <= max(0, _noise(percents))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="of each network")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=USUAL)
    parser.add_argument("--json", type=Path, help="write every single time there")
    options = parser.parse_args()
    rows = (row for name in options.only for row in rows_of(name, options.turns))
    return tell("percent slower", rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
