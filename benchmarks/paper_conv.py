"""The paper's convolutional experiments, run and written up: `python -m benchmarks.paper_conv`.

Frankle and Carbin 2018 (arXiv 1803.03635), section 3: Conv-2 on CIFAR-10 with random reinit,
iterative. `--iterations` is the length of a training: 20,000 in the paper; what two cores train in
two hours otherwise. The same for LeNet-5 on MNIST and Fashion-MNIST with its preset. Writes
docs/paper-conv.md, its charts and docs/paper-conv.csv, which holds every number behind them.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks.paper import (
    DOCS,
    HOW,
    Claim,
    Results,
    against,
    against_dense,
    charts,
    claims_table,
    run,
    save,
    sizes_table,
    work_in_words,
)
from lottery_core.data import own
from lottery_core.spec.choice import Choice
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.presets import PRESETS
from lottery_core.store import CACHE, Store

NOTES = Path(__file__).with_name("paper_conv_notes.md")  # by hand: where we differ, and why
_OPTIMISER = {"sgd": "SGD", "adam": "Adam"}
FULL = 20_000  # iterations of a training in the paper
SHARES = (50.0, 20.0)  # percents of weights at which claims are looked at


def claims(shares: tuple[float, ...]) -> list[Claim]:
    """What the paper says of tickets and of random reinit, at each of these sizes."""
    found = []
    for share in shares:
        size = f"At about {share:g} % of the weights"
        found += [
            Claim(
                f"{size} tickets are above the dense network's accuracy",
                against_dense("ticket", share, "accuracy", above=True),
            ),
            Claim(
                f"{size} random reinit is below it",
                against_dense("reinit", share, "accuracy", above=False),
            ),
            Claim(
                f"{size} tickets are better than random reinit",
                against("reinit", share, "accuracy", above=True),
            ),
        ]
    return found


def section(results: Results, title: str, stem: str, seconds: float, command: str) -> list[str]:
    """One network's part of docs/paper-conv.md."""
    recipe = results.main[results.seeds[0]].recipe
    return [
        f"## {title}",
        "",
        f"{recipe.iterations:,} iterations a level, {len(results.seeds)} seeds: "
        f"{_OPTIMISER[recipe.optimiser]} at {recipe.learning_rate:g}, batches of "
        f"{recipe.batch_size}, {recipe.validation_size:,} training images held out. Accuracies are "
        "those at the end of training.",
        "",
        *claims_table(results, claims(SHARES)),
        "",
        f"![Accuracy]({stem}-accuracy.svg)",
        "",
        *sizes_table(results),
        "",
        work_in_words(results, seconds, command, "paper-conv.csv"),
        "",
    ]


def main() -> None:
    """Run what is missing and write docs/paper-conv.*."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="cifar-10", help="CIFAR-10 under another name")
    parser.add_argument("--fashion-folder", type=Path, help="with Fashion-MNIST's original files")
    parser.add_argument("--iterations", type=int, default=FULL)
    parser.add_argument("--seeds", type=int, default=3, help="of Conv-2; LeNet-5 has five")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    store = Store(args.cache)
    own.register(store.datasets)
    command = (
        f"python -m benchmarks.paper_conv --dataset {args.dataset} --iterations {args.iterations} "
        f"--seeds {args.seeds}"
    )
    lenet = PRESETS["lenet-5"].choice
    shorter = args.iterations < FULL  # then looking costs more than training, and is done less
    conv = replace(
        PRESETS["conv-2"].choice,
        dataset=args.dataset,
        length=float(args.iterations),
        evaluate_every=args.iterations if shorter else 100,
        validation_size=1_000 if shorter else 5_000,
        rounds=8 if shorter else 12,
    )
    studies: list[tuple[str, str, Choice, int, Path | None]] = [
        ("LeNet-5 on MNIST", "lenet-5-mnist", lenet, 5, None),
        (
            "LeNet-5 on Fashion-MNIST",
            "lenet-5-fashion",
            replace(lenet, dataset="fashion-mnist"),
            5,
            args.fashion_folder,
        ),
        (f"Conv-2 on {DATASETS[args.dataset].title}", "conv-2", conv, args.seeds, None),
    ]
    parts, tables = [], []
    for title, stem, choice, seeds, folder in studies:
        results = Results(choice, range(seeds), store, SHARES, ("reinit",), at_end=True)
        seconds = run(results, args.workers, folder=folder)
        results.read()
        parts.append(section(results, title, f"paper-{stem}", seconds, command))
        save({"accuracy": charts(results)["accuracy"]}, f"paper-{stem}")
        tables.append(results.table().assign(study=title))
        print("\n".join(parts[-1]), flush=True)
    head = [
        "# The paper's second half",
        "",
        f"Conv-2 trained for {args.iterations:,} iterations a level, where the paper trains "
        f"{FULL:,}. Frankle and Carbin, *The Lottery Ticket Hypothesis* "
        "([arXiv 1803.03635](https://arxiv.org/abs/1803.03635)), section 3, and LeNet-5 with this "
        "project's preset.",
        "",
        HOW + " Lines are means, bands least to greatest over the seeds.",
        "",
    ]
    text = "\n".join([*head, *(line for part in reversed(parts) for line in part)])
    (DOCS / "paper-conv.md").write_text(f"{text}\n{NOTES.read_text().rstrip()}\n")
    pd.concat(tables).to_csv(DOCS / "paper-conv.csv", index=False)


if __name__ == "__main__":
    main()
