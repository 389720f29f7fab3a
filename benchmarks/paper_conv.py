"""The paper's convolutional experiments, run and written up: `python -m benchmarks.paper_conv`.

Frankle and Carbin 2018 (arXiv 1803.03635), section 3: Conv-2 on CIFAR-10 with random reinit,
iterative. `--iterations` is the length of a training: 20,000 in the paper; what two cores train in
two hours otherwise. The same for LeNet-5 on MNIST and Fashion-MNIST with its preset. Writes
docs/paper-conv.md, its charts and docs/paper-conv.csv, which holds every number behind them; with
`--only`, that study's parts of them. On a machine that has a GPU and no browser, `--keep FILE`
writes what came out to a file instead, and `--kept FILE` makes the page of it here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from dataclasses import dataclass, replace
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
    machine,
    run,
    save,
    sizes_table,
    work_in_words,
    written,
)
from lottery_core.data import own
from lottery_core.data.own_images.wording import counted
from lottery_core.spec.choice import Choice
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.presets import PRESETS
from lottery_core.store import CACHE, Store

NOTES = Path(__file__).with_name("paper_conv_notes.md")  # by hand: where we differ, and why
_OPTIMISER = {"sgd": "SGD", "adam": "Adam"}
FULL = 20_000  # iterations of a training in the paper
EVERY = 500  # iterations between evaluations: all that is told is at the end
STEMS = ("lenet-5-mnist", "lenet-5-fashion", "conv-2")
HEAD = f"""# The paper's second half

Conv-2 trained for {{length}} iterations a level; the paper trains {FULL:,}. Frankle and Carbin, *The Lottery Ticket Hypothesis* ([arXiv 1803.03635](https://arxiv.org/abs/1803.03635)), section 3, and LeNet-5 with this project's preset.

{HOW} Lines are means, bands least to greatest over the seeds.
"""  # noqa: E501 - a paragraph of Markdown
SHARES = (50.0, 20.0)  # percents of weights at which claims are looked at


def claims(shares: tuple[float, ...], stops: bool) -> list[Claim]:
    """What the paper says of tickets and of random reinit, at each of these sizes; with `stops`
    of their early stops as well."""
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
        if stops:
            found += [
                Claim(
                    f"{size} the ticket's early stop comes earlier than the dense network's",
                    against_dense("ticket", share, "iterations", above=False),
                ),
                Claim(
                    f"{size} it comes earlier than random reinit's",
                    against("reinit", share, "iterations", above=False),
                ),
            ]
    return found


@dataclass(frozen=True)
class Study:
    """One network on one data set, over so many seeds."""

    title: str
    stem: str
    choice: Choice
    seeds: int
    folder: Path | None = None
    at_end: bool = True  # whether accuracies are those at the end, or at the early stop


def studies(args: argparse.Namespace) -> list[Study]:
    """In the order in which they are run."""
    lenet = PRESETS["lenet-5"].choice
    fashion = replace(lenet, dataset="fashion-mnist")
    shorter = args.iterations < FULL  # then looking costs more than training, and is done less
    conv = replace(
        PRESETS["conv-2"].choice,
        dataset=args.dataset,
        length=float(args.iterations),
        evaluate_every=args.iterations if shorter else EVERY,
        validation_size=1_000 if shorter else 5_000,
        rounds=args.rounds or (8 if shorter else 12),
    )
    title = DATASETS[args.dataset].title
    found = [
        Study("LeNet-5 on MNIST", "lenet-5-mnist", lenet, 5),
        Study("LeNet-5 on Fashion-MNIST", "lenet-5-fashion", fashion, 5, args.fashion_folder),
        Study(f"Conv-2 on {title}", "conv-2", conv, args.seeds, at_end=shorter),
    ]
    return [study for study in found if args.only in (None, study.stem)]


def section(results: Results, study: Study, work: str) -> str:
    """One study's part of docs/paper-conv.md."""
    recipe = results.main[results.seeds[0]].recipe
    lines = [
        f"## {study.title}",
        "",
        f"{recipe.iterations:,} iterations a level, {counted(len(results.seeds), 'seed')}: "
        f"{_OPTIMISER[recipe.optimiser]} at {recipe.learning_rate:g}, batches of "
        f"{recipe.batch_size}, {recipe.validation_size:,} training images held out. Accuracies are "
        f"those at the {'end of training' if study.at_end else 'early stop'}.",
        "",
        *claims_table(results, claims(SHARES, not study.at_end)),
        "",
        f"![Accuracy](paper-{study.stem}-accuracy.svg)",
        "",
        *sizes_table(results),
        "",
        work,
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and write docs/paper-conv.*."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="cifar-10", help="CIFAR-10 under another name")
    parser.add_argument("--fashion-folder", type=Path, help="with Fashion-MNIST's original files")
    parser.add_argument("--iterations", type=int, default=FULL)
    parser.add_argument("--seeds", type=int, default=3, help="of Conv-2; LeNet-5 has five")
    parser.add_argument("--rounds", type=int, help="of Conv-2; 12 at full length, else 8")
    parser.add_argument("--only", choices=STEMS, help="leave the other studies as they stand")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--keep", type=Path, help="write what came out to a file, and no page")
    parser.add_argument("--kept", type=Path, help="make the page of such a file; train nothing")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    store = Store(args.cache)
    own.register(store.datasets)
    if (args.keep or args.kept) and not args.only:
        parser.error("a file holds one study: name it with --only")
    given = ("dataset", "iterations", "seeds", "rounds", "only", "device")
    command = "python -m benchmarks.paper_conv " + " ".join(
        f"--{name} {getattr(args, name)}" for name in given if getattr(args, name) is not None
    )
    page, sheet = DOCS / "paper-conv.md", DOCS / "paper-conv.csv"
    sections = written(page.read_text(), STEMS, "paper") if args.only else {}
    tables = [pd.read_csv(sheet)] if args.only else []
    for study in studies(args):
        seeds, arms = range(study.seeds), ("reinit",)
        results = Results(study.choice, seeds, store, SHARES, arms, at_end=study.at_end)
        if args.kept:
            came = json.loads(args.kept.read_text())
        else:
            seconds = run(results, args.workers, device=args.device, folder=study.folder)
            came = {"machine": machine(args.device), "seconds": seconds, "levels": results.plain()}
        if args.keep:
            args.keep.write_text(json.dumps(came))
            continue
        results.read(came["levels"])
        work = work_in_words(results, came["seconds"], command, sheet.name, came["machine"])
        sections[study.stem] = section(results, study, work)
        save({"accuracy": charts(results)["accuracy"]}, f"paper-{study.stem}")
        tables = [table[table["study"] != study.stem] for table in tables]
        tables.append(results.table().assign(study=study.stem))
        print(sections[study.stem], flush=True)
    if args.keep:
        return
    parts = [sections[stem] for stem in reversed(STEMS) if stem in sections]
    length = re.search("[0-9,]+(?= iterations a level)", sections["conv-2"])
    head = HEAD.format(length=length.group())
    text = [part.strip() for part in (head, *parts, NOTES.read_text())]
    page.write_text("\n\n".join(text) + "\n")
    pd.concat(tables).to_csv(sheet, index=False)


if __name__ == "__main__":
    main()
