"""Evidence, round -> the next mask.

Masks are dicts of boolean arrays, True where a weight is kept; dicts in, dicts out. A
criterion scores every weight; the lowest scores go first. To add one, write a function
with the signature of `magnitude` and list it in `CRITERIA`.

In formulas w_i is a weight before training, w_f the same weight when the level before ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from lottery_core.method.seeds import seed_of

if TYPE_CHECKING:
    from lottery_core.spec.experiment import Round
    from lottery_core.training.gradients import Slopes

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at.

    `initial` are level 0's weights before training, `trained` those that the level before ended
    with, pruned ones 0.0; both by name, biases included. `mask` is what that level keeps, `seed`
    that of this round's draws. `slopes` knows the loss on training images; without it no
    criterion works that derives the loss.
    """

    initial: Arrays
    trained: Arrays
    mask: Arrays
    seed: int = 0
    slopes: Slopes | None = None

    def layers(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(name, w_i, w_f) of each layer's prunable weights."""
        return ((name, self.initial[name], self.trained[name]) for name in self.mask)


def magnitude(evidence: Evidence) -> Arrays:
    """|w_f|: smallest final magnitude goes first (Han et al. 2015; Frankle & Carbin 2018).

    Zhou et al. 2019 (arXiv 1905.01067) call it large final.
    """
    return {name: np.abs(final) for name, _, final in evidence.layers()}


def magnitude_initial(evidence: Evidence) -> Arrays:
    """|w_i|: smallest initial magnitude goes first (Zhou et al. 2019, large init)."""
    return {name: np.abs(initial) for name, initial, _ in evidence.layers()}


def magnitude_increase(evidence: Evidence) -> Arrays:
    """|w_f| - |w_i|: what shrank most goes first (Zhou et al. 2019)."""
    return {name: np.abs(final) - np.abs(initial) for name, initial, final in evidence.layers()}


def movement(evidence: Evidence) -> Arrays:
    """|w_f - w_i|: what moved least goes first (Zhou et al. 2019)."""
    return {name: np.abs(final - initial) for name, initial, final in evidence.layers()}


def small_final(evidence: Evidence) -> Arrays:
    """-|w_f|: largest final magnitude goes first, a control (Zhou et al. 2019)."""
    return {name: -np.abs(final) for name, _, final in evidence.layers()}


def small_initial(evidence: Evidence) -> Arrays:
    """-|w_i|: largest initial magnitude goes first, a control (Zhou et al. 2019)."""
    return {name: -np.abs(initial) for name, initial, _ in evidence.layers()}


def large_both(evidence: Evidence) -> Arrays:
    """min(α|w_f|, |w_i|): kept is what is large before and after (Zhou et al. 2019).

    The paper sets α at each cut so that both magnitudes are cut at the same percentile of their
    layer. The smaller of the two percentiles does so at every cut at once.
    """
    return {
        name: np.minimum(
            _percentiles(np.abs(initial), evidence.mask[name]),
            _percentiles(np.abs(final), evidence.mask[name]),
        )
        for name, initial, final in evidence.layers()
    }


def small_both(evidence: Evidence) -> Arrays:
    """-max(α|w_f|, |w_i|): kept is what is small before and after (Zhou et al. 2019).

    α as in `large_both`.
    """
    return {
        name: np.minimum(
            _percentiles(-np.abs(initial), evidence.mask[name]),
            _percentiles(-np.abs(final), evidence.mask[name]),
        )
        for name, initial, final in evidence.layers()
    }


def _percentiles(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    # The fraction of the survivors that lie below each value; equal values share theirs.
    survivors = np.sort(values[kept])
    return np.searchsorted(survivors, values) / max(1, survivors.size)


def same_sign(evidence: Evidence) -> Arrays:
    """max(0, w_i w_f / |w_i|): |w_f| where the sign stayed (Zhou et al. 2019)."""
    return {
        name: np.maximum(0, np.sign(initial) * final) for name, initial, final in evidence.layers()
    }


def different_sign(evidence: Evidence) -> Arrays:
    """max(0, -w_i w_f / |w_i|): |w_f| where the sign changed (Zhou et al. 2019)."""
    return {
        name: np.maximum(0, -np.sign(initial) * final) for name, initial, final in evidence.layers()
    }


def gradient_weight(evidence: Evidence) -> Arrays:
    """|w_f dL/dw_f|: what the loss would change by, to first order, without the weight.

    The Taylor criterion of Molchanov et al. 2017 (arXiv 1611.06440), weight by weight.
    """
    slopes = evidence.slopes.of_loss(evidence.trained, evidence.mask)
    return {name: np.abs(final * slopes[name]) for name, _, final in evidence.layers()}


def snip(evidence: Evidence) -> Arrays:
    """|w_i dL/dw_i|, the connection sensitivity before training (Lee et al. 2019).

    arXiv 1810.02340, without its normalisation, which changes no order. In later rounds L is
    the loss of the network that the mask leaves.
    """
    slopes = evidence.slopes.of_loss(evidence.initial, evidence.mask)
    return {name: np.abs(initial * slopes[name]) for name, initial, _ in evidence.layers()}


def grasp(evidence: Evidence) -> Arrays:
    """w_i Hg: what removing a weight takes from the gradient flow g·g (Wang et al. 2020).

    To first order, g·g changes by -2 w_i Hg without the weight. The paper (arXiv 2002.07376)
    removes the highest -w_i Hg, whose removal leaves most flow: the lowest of these scores. The
    authors' code divides the logits by 200 besides; this does not.
    """
    slopes = evidence.slopes.of_flow(evidence.initial, evidence.mask)
    return {name: initial * slopes[name] for name, initial, _ in evidence.layers()}


def synflow(evidence: Evidence) -> Arrays:
    """The product of |w_i| along each path through a weight, summed (Tanaka et al. 2020).

    |w| dR/d|w| with R = 1ᵀ |W_L| ... |W_1| 1 (arXiv 2006.05467): the network with absolute
    weights, all-ones input and no biases, where every ReLU is open. Asks for no data.
    """
    weights = [
        np.abs(initial, dtype=np.float64) * evidence.mask[name]
        for name, initial, _ in evidence.layers()
    ]
    into = accumulate(weights, lambda flow, w: w @ flow, initial=np.ones(weights[0].shape[1]))
    out = accumulate(weights[::-1], lambda flow, w: flow @ w, initial=np.ones(len(weights[-1])))
    return {
        name: w * np.outer(after, before)
        for name, w, after, before in zip(
            evidence.mask, weights, [*out][-2::-1], [*into][:-1], strict=True
        )
    }


def random(evidence: Evidence) -> Arrays:
    """Every weight is as likely to go as any other: the control for any criterion."""
    return {
        name: np.random.default_rng(seed_of(evidence.seed, name)).random(kept.shape)
        for name, kept in evidence.mask.items()
    }


@dataclass(frozen=True)
class Criterion:
    """A scoring function, and what a menu says of it.

    `reads` is "trained", "initial", "both" or "neither": the weights that decide. In each of
    `steps` a part of what has to go goes, and the rest is scored anew.
    """

    score: Callable[[Evidence], Arrays]
    title: str
    reads: str
    steps: int = 1


CRITERIA = {
    "magnitude": Criterion(magnitude, "Smallest final magnitude", "trained"),
    "magnitude-initial": Criterion(magnitude_initial, "Smallest initial magnitude", "initial"),
    "magnitude-increase": Criterion(magnitude_increase, "Smallest magnitude increase", "both"),
    "movement": Criterion(movement, "Smallest movement", "both"),
    "small-final": Criterion(small_final, "Largest final magnitude (control)", "trained"),
    "small-initial": Criterion(small_initial, "Largest initial magnitude (control)", "initial"),
    "large-initial-large-final": Criterion(
        large_both, "Smallest of initial and final magnitude", "both"
    ),
    "small-both": Criterion(small_both, "Largest of initial and final magnitude (control)", "both"),
    "magnitude-same-sign": Criterion(
        same_sign, "Sign changed, then smallest final magnitude", "both"
    ),
    "magnitude-different-sign": Criterion(
        different_sign, "Sign kept, then smallest final magnitude", "both"
    ),
    "gradient-weight": Criterion(gradient_weight, "Smallest weight × gradient", "trained"),
    "snip": Criterion(snip, "SNIP: least sensitive at initialisation", "initial"),
    "grasp": Criterion(grasp, "GraSP: least gradient flow at initialisation", "initial"),
    # As many steps as in the paper; in one, whole layers go at high sparsities.
    "synflow": Criterion(synflow, "SynFlow: least synaptic flow at initialisation", "initial", 100),
    "random": Criterion(random, "Random (control)", "neither"),
}


def dense_mask(shapes: dict[str, tuple[int, int]]) -> Arrays:
    """The mask that keeps everything."""
    return {name: np.ones(shape, bool) for name, shape in shapes.items()}


def removed_of(sparsity: float, count: int) -> int:
    """floor(sparsity * count): how many of `count` weights are gone at `sparsity`.

    The small term keeps 0.29 * 100 = 28.999999999999996 at 29; it is the last of the twelve
    digits that a round's sparsity has.
    """
    return math.floor((sparsity + 1e-12) * count)


def prune(evidence: Evidence, step: Round, output_layer: str) -> Arrays:
    """The mask after one round.

    Exactly `removed_of(...)` weights are gone afterwards, per layer or in the whole network,
    earlier ones included; ties go in order of position. A criterion of several steps gets there
    by equal factors of what is kept (Tanaka et al. 2020). Raises `ValueError` for scores that
    are no finite numbers.
    """
    criterion, mask = CRITERIA[step.criterion], evidence.mask
    if step.scope == "global":
        pools = [([*mask], step.sparsity)]
    else:
        pools = [([name], step.sparsity_of(name, output_layer)) for name in mask]
    kept_before = [sum(int(mask[name].sum()) for name in names) for names, _ in pools]

    for k in range(1, criterion.steps + 1):
        scores = criterion.score(replace(evidence, mask=mask))
        _check_finite(scores, step.criterion)
        for (names, sparsity), before in zip(pools, kept_before, strict=True):
            total = sum(mask[name].size for name in names)
            after = min(before, total - removed_of(sparsity, total))
            now = round(before * (after / before) ** (k / criterion.steps)) if before else 0
            mask = mask | _keep_best(scores, {name: mask[name] for name in names}, now)
    return mask


def _check_finite(scores: Arrays, criterion: str) -> None:
    for name, values in scores.items():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ValueError(
                f"criterion={criterion} gives {bad:,} of {values.size:,} weights of {name} a score "
                "that is no finite number, so they can't be ranked; choose another criterion or a "
                "lower learning rate"
            )


def _keep_best(scores: Arrays, mask: Arrays, count: int) -> Arrays:
    """The `count` best of the weights that `mask` keeps, all its layers ranked together."""
    kept = np.concatenate([values.ravel() for values in mask.values()])
    # Only survivors are ranked: one may score no more than a weight that is gone, and must not
    # change places with it.
    survivors = np.flatnonzero(kept)
    ranked = np.concatenate([scores[name].ravel() for name in mask])[survivors]
    going = survivors.size - count
    if going:  # a threshold is found much faster than an order, and may be asked for 100 times
        highest = np.partition(ranked, going - 1)[going - 1]
        below = ranked < highest
        ties = np.flatnonzero(ranked == highest)
        below[ties[: going - np.count_nonzero(below)]] = True
        kept[survivors[below]] = False
    ends = np.cumsum([values.size for values in mask.values()])[:-1]
    return {
        name: part.reshape(mask[name].shape)
        for name, part in zip(mask, np.split(kept, ends), strict=True)
    }


def reshuffle(mask: Arrays, seed: int) -> Arrays:
    """The same number of weights in each layer, in places drawn anew."""
    return {
        name: np.random.default_rng(seed_of(seed, name)).permuted(kept.ravel()).reshape(kept.shape)
        for name, kept in mask.items()
    }


def apply(weights: Arrays, mask: Arrays) -> Arrays:
    """A copy of `weights` with pruned ones exactly 0.0; arrays without a mask (biases) as is."""
    return {
        name: np.where(mask[name], values, np.float32(0)) if name in mask else values.copy()
        for name, values in weights.items()
    }
