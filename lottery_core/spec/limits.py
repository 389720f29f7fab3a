"""Limits that keep one request from occupying a shared server. Checked where recipes, rounds and
experiments are made, so that a URL, the command line and code meet the same ones."""

import math
import os

# The command line may lift them (--no-limits), which sets this for the processes that it starts.
NO_LIMITS = "LOTTERY_NO_LIMITS"
LIFTED = bool(os.environ.get(NO_LIMITS, "").strip())
TIMES = 1_000 if LIFTED else 1  # what a slip of the pen asks for is refused all the same

MAX_WEIGHTS = 20_000_000 * TIMES
MAX_ACTIVATIONS = 2 * 10**9 * TIMES  # numbers of one batch's way forward: 8 GB
SNAPSHOT_BYTES = 256 * 2**20  # of all that is kept of level 0's way
MAX_BATCH = 4096 * TIMES
MAX_ITERATIONS = 200_000 * TIMES
MAX_EVALUATIONS = 2_000 * TIMES
MAX_ROUNDS = 40 * TIMES
MAX_VALIDATION = 10_000
MAX_SEED = 2**31 - 1
MAX_DECAYS = 10 * TIMES
MAX_REPLICATES = 20 * TIMES
MAX_CELLS = 240_000  # of one picture of weights: a cell each for the first layer of LeNet-300-100
# Of one request. A seed of the paper's LeNet run takes 5 * 10**13, of its Conv-6 run 2 * 10**16.
MAX_MULTIPLY_ADDS = 10**17 * TIMES


def times_too_much(work: float) -> str:
    """How many times `MAX_MULTIPLY_ADDS` some work is, rounded up: what is too much is never
    "1.0 times"."""
    return f"{math.ceil(10 * work / MAX_MULTIPLY_ADDS) / 10:.1f} times"
