"""The paper's LeNet-300-100 experiments, run and written up: `python -m benchmarks.paper_lenet`.

Frankle and Carbin 2018 (arXiv 1803.03635): 20 levels of 50,000 iterations for every seed, with
random reinit, random masks and one-shot pruning at the levels its claims name. Writes
docs/paper.md, its charts and docs/paper.csv, which holds every number behind them.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

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
from lottery_core.spec.presets import PRESETS
from lottery_core.store import CACHE, Store

NOTES = Path(__file__).with_name("paper_notes.md")  # by hand: where we differ, what was tried
SHARES = (80.0, 51.3, 21.1, 13.5, 3.6, 2.9)  # percents of weights that the paper speaks of

CLAIMS = (
    Claim(
        "At 21.1 % of the weights the early stop comes earlier than the dense network's (38 % "
        "earlier)",
        against_dense("ticket", 21.1, "iterations", above=False),
    ),
    Claim(
        "At 13.5 % test accuracy is more than 0.3 points above dense",
        against_dense("ticket", 13.5, "accuracy", above=True, of=0.3),
    ),
    Claim(
        "At 13.5 % test accuracy is above dense at all",
        against_dense("ticket", 13.5, "accuracy", above=True),
    ),
    Claim(
        "At 3.6 % accuracy is back at the dense network's (not yet below it)",
        against_dense("ticket", 3.6, "accuracy", above=True),
    ),
    Claim(
        "At 3.6 % the early stop is back at the dense network's (not yet later)",
        against_dense("ticket", 3.6, "iterations", above=False),
    ),
    Claim(
        "At 2.9 % the ticket falls below dense accuracy",
        against_dense("ticket", 2.9, "accuracy", above=False),
    ),
    Claim(
        "Random reinit learns more slowly than dense from the first round (80 %)",
        against_dense("reinit", 80, "iterations", above=True),
    ),
    Claim(
        "At 21.1 % random reinit is below dense accuracy",
        against_dense("reinit", 21.1, "accuracy", above=False),
    ),
    Claim(
        "At 21.1 % the ticket stops earlier than random reinit (2.51x)",
        against("reinit", 21.1, "iterations", above=False),
    ),
    Claim(
        "At 21.1 % the ticket is better than random reinit (0.5 points)",
        against("reinit", 21.1, "accuracy", above=True),
    ),
    Claim(
        "At 21.1 % the ticket is better than a random mask of the same size",
        against("random-mask", 21.1, "accuracy", above=True),
    ),
    Claim(
        "One-shot pruning finds tickets too: at 21.1 % it is not below dense",
        against_dense("one-shot", 21.1, "accuracy", above=True),
    ),
    Claim(
        "Iterative tickets stay good at smaller sizes: at 3.6 % they beat one-shot ones",
        against("one-shot", 3.6, "accuracy", above=True),
    ),
)


def report(results: Results, seconds: float, command: str) -> str:
    """docs/paper.md."""
    recipe = results.main[results.seeds[0]].recipe
    lines = [
        "# The paper, reproduced",
        "",
        "Frankle and Carbin, *The Lottery Ticket Hypothesis* "
        "([arXiv 1803.03635](https://arxiv.org/abs/1803.03635)), LeNet-300-100 on MNIST: "
        f"{recipe.optimiser.capitalize()} at {recipe.learning_rate:g}, batches of "
        f"{recipe.batch_size}, {recipe.iterations:,} iterations a level, evaluated every "
        f"{recipe.evaluate_every}; {len(results.main[results.seeds[0]].rounds)} rounds of 20 % "
        "(10 % in the output layer); 5,000 training images held out. Pixels are scaled as in the "
        "authors' own code, each image to a Euclidean norm of 1; the paper does not say so.",
        "",
        f"{len(results.seeds)} seeds. {HOW} Accuracies are those at the early stop, the iteration "
        "of least validation loss, as in the paper.",
        "",
        *claims_table(results, CLAIMS),
        "",
        "![Accuracy](paper-accuracy.svg)",
        "",
        "![Early stop](paper-iterations.svg)",
        "",
        "Lines are means, bands least to greatest over the seeds.",
        "",
        *sizes_table(results),
        "",
        work_in_words(results, seconds, command, "paper.csv"),
        "",
        NOTES.read_text().rstrip(),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and write docs/paper.*."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--iterations", type=int, default=50_000, help="fewer: a rehearsal; nothing is written"
    )
    args = parser.parse_args()
    choice = replace(PRESETS["paper"].choice, length=float(args.iterations))
    results = Results(
        choice, range(args.seeds), Store(args.cache), SHARES, ("reinit", "random-mask", "one-shot")
    )
    seconds = run(results, args.workers, loop="compiled")
    results.read()
    text = report(results, seconds, "python -m benchmarks.paper_lenet --seeds " + str(args.seeds))
    print(text)
    if args.iterations == PRESETS["paper"].choice.length:
        (DOCS / "paper.md").write_text(text)
        results.table().to_csv(DOCS / "paper.csv", index=False)
        save(charts(results), "paper")


if __name__ == "__main__":
    main()
