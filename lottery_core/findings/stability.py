"""What an instability measurement says, as curves and sentences."""

from __future__ import annotations

from operator import attrgetter

from lottery_core.report.compared_figures import STABLE
from lottery_core.report.figures import GREEN, ORANGE, Curve, Style
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import Copies, Instability

_KINDS = (
    ("test images", attrgetter("instability_test"), Style(ORANGE)),
    ("training images", attrgetter("instability_train"), Style(GREEN, "dot", "diamond")),
)


def name(path: Copies, total: int) -> str:
    """From where the two copies of a path start."""
    at = f"iteration {path.first_iteration:,}"
    if not path.level:
        return f"dense, from {at}"
    return f"level {path.level}, {size_in_words(100 * path.kept / total)} of weights, from {at}"


def against_iteration(measured: Instability) -> list[Curve]:
    """The dense network's instabilities, by the iteration at which its copies part."""
    dense = [path for path in measured.paths if not path.level]
    return [
        Curve(label, [p.first_iteration for p in dense], [rise(p) for p in dense], style)
        for label, rise, style in _KINDS
    ]


def against_remaining(measured: Instability) -> list[Curve]:
    """The pruned levels' instabilities from where each restarts, by percent of weights."""
    pruned = [path for path in measured.paths if path.level]
    percent = [100 * path.kept / measured.total for path in pruned]
    return [
        Curve(label, percent, [rise(p) for p in pruned], style) for label, rise, style in _KINDS
    ]


def is_stable(path: Copies) -> bool:
    """Whether the test error rises by less than `STABLE` points, as the paper calls it."""
    return 100 * path.instability_test < STABLE


def in_words(measured: Instability) -> str:
    """From which iteration on the dense network is stable, and how far down its subnetworks."""
    dense = [path for path in measured.paths if not path.level]
    pruned = [path for path in measured.paths if path.level]
    first = dense[0]
    words = (
        "Two copies of the dense network trained in different orders from its initialisation "
        f"are {100 * first.instability_test:.2f} points of test error above their ends at the "
        "worst point between them"
    )
    # Stable from there on, whatever chance did before.
    settled = len(dense)
    while settled and is_stable(dense[settled - 1]):
        settled -= 1
    if not settled:
        words += f": stable from the start (less than {STABLE} points)."
    elif settled == len(dense):
        last = dense[-1]
        words += (
            f"; parted at iteration {last.first_iteration:,} they are still "
            f"{100 * last.instability_test:.2f}: not stable at any step measured."
        )
    else:
        words += f"; stable from iteration {dense[settled].first_iteration:,} on."
    if pruned:
        stable = [path for path in pruned if is_stable(path)]
        smallest = min(stable, key=lambda path: path.kept, default=None)
        words += f" Of {len(pruned)} pruned levels {len(stable)} are stable where they restart"
        if smallest:
            share = 100 * smallest.kept / measured.total
            words += f", the smallest with {size_in_words(share)} of the weights"
        words += "."
    return f"{words} One pair of copies each, seed {measured.seed}."
