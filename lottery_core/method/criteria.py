"""Evidence -> a score for every weight; the lowest scores go first.

To add a criterion, write a function with the signature of `magnitude` and list it in `CRITERIA`.
In formulas w_i is a weight before training, w_f the same weight when the level before ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.method.seeds import seed_of


class Slopes(Protocol):
    """What the loss, or the network, changes by with each weight: by name, shaped like the mask,
    pruned 0.0. `weights` are by name, biases included; only those that `mask` keeps take part."""

    def of_loss(self, weights: Arrays, mask: Arrays) -> Arrays:
        """g = dL/dw of the mean cross-entropy on training images."""

    def of_flow(self, weights: Arrays, mask: Arrays) -> Arrays:
        """Hg, the Hessian of that loss times g."""

    def of_synaptic_flow(self, weights: Arrays, mask: Arrays) -> Arrays:
        """dR/d|w|, R the sum of the outputs for an input of ones with absolute weights."""


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
    """|w| dR/d|w|: the product of |w_i| along each path through a weight, summed.

    R is the sum of the outputs of the network with absolute weights and no biases, for an input of
    ones, where every ReLU is open (Tanaka et al. 2020, arXiv 2006.05467). Asks for no data.
    """
    flows = evidence.slopes.of_synaptic_flow(evidence.initial, evidence.mask)
    return {
        name: np.abs(initial, dtype=np.float64) * flows[name]
        for name, initial, _ in evidence.layers()
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
    `steps` a part of what has to go goes, and the rest is scored anew. `version` is raised when
    the same evidence gives other scores than before; levels pruned by it then get other keys.
    """

    score: Callable[[Evidence], Arrays]
    title: str
    reads: str
    steps: int = 1
    version: int = 1


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
