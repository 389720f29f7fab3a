"""The arms that change or learn a mask, on a CUDA device: is what they promise so there?

    python -m benchmarks.cuda_arms [--networks NETWORK ...] [--dataset NAME] [--device DEVICE]

For each network every such arm is trained twice, each time in a new cache. What has to be so
whatever it takes: both give the same weights and masks bit for bit, each layer has exactly the
ticket's count (as many in all, where ERK spreads them), pruned weights are 0, and the weights under
a mask that is learned are the initial ones. Beside it the accuracy, which that with `--device cpu`
is like, no more: two float32 programs part.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lottery_core.data import own
from lottery_core.method.masks import Arrays
from lottery_core.running.library import Run
from lottery_core.spec.choice import Choice
from lottery_core.spec.presets import PRESETS
from lottery_core.store import CACHE, Level, Store

ARMS = (
    *("set", "rigl", "gradual", "early-bird"),
    *("edge-popup", "edge-popup-signs", "learned-mask", "learned-mask-signs"),
)
_SPREAD = ("set", "rigl")  # as many in all, by ERK
_NETWORKS = ("300 100", "lenet-5", "conv-2")


def choice_of(network: str, dataset: str, iterations: int) -> Choice:
    """One round that takes four fifths, with every arm beside it."""
    return replace(
        PRESETS["quick"].choice,
        dataset=dataset,
        network=network,
        length=iterations,
        unit="iterations",
        rate=0.8,
        rounds=1,
        replicates=1,
        controls=ARMS,
    )


def performed(choice: Choice, device: str, folder: Path) -> dict[str, Level]:
    """The last level of each arm; data sets come from `folder`."""
    with tempfile.TemporaryDirectory() as cache:
        (Path(cache) / "datasets").symlink_to(folder / "datasets")
        run = Run(choice, cache, device=device, loop="torch")
        for level in run:
            print(f"  {level.info.seconds:.1f} s", end=" ", flush=True)
        print()
        return {arm: run.levels_of(arm)[-1] for arm in ("main", *ARMS)}


def counts(mask: Arrays) -> dict[str, int]:
    return {name: int(kept.sum()) for name, kept in mask.items()}


def faults(arm: str, once: Level, again: Level, ticket: Level) -> list[str]:
    """What is not as it has to be."""
    found = []
    if not same(once.mask, again.mask) or not same(once.end, again.end):
        found.append("two runs differ")
    here, there = counts(once.mask), counts(ticket.mask)
    if (sum(here.values()) if arm in _SPREAD else here) != (
        sum(there.values()) if arm in _SPREAD else there
    ):
        found.append(f"{here} weights, the ticket has {there}")
    if any(once.end[name][~kept].any() for name, kept in once.mask.items()):
        found.append("pruned weights are not 0")
    if arm.startswith(("edge-popup", "learned-mask")) and not all(
        np.array_equal(once.end[name], once.start[name]) for name in once.mask
    ):
        found.append("weights moved")
    return found


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def main() -> int:
    """Print a row an arm; 1 where something is not right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=_NETWORKS, metavar="NETWORK")
    parser.add_argument("--dataset", default="mnist", metavar="NAME")
    parser.add_argument("--iterations", type=int, default=1_000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--cache", type=Path, default=CACHE)
    args = parser.parse_args()
    own.register(Store(args.cache).datasets)
    print(f"{args.device}, torch {torch.__version__}", flush=True)
    is_right = True
    for network in args.networks:
        choice = choice_of(network, args.dataset, args.iterations)
        folder = args.cache.resolve()
        once = performed(choice, args.device, folder)
        again = performed(choice, args.device, folder)
        print(f"{network}, {args.iterations:,} iterations")
        for arm in ("main", *ARMS):
            wrong = faults(arm, once[arm], again[arm], once["main"])
            is_right &= not wrong
            told = once[arm].info
            print(
                f"  {arm:20} {100 * told.test_accuracy:5.2f} %  {told.seconds:5.1f} s  "
                f"{'; '.join(wrong) or 'right'}",
                flush=True,
            )
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
