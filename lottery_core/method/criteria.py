"""Evidence -> a score for every weight, or for every unit; the lowest scores go first.

To add a criterion, write a function with the signature of `magnitude`, or of `unit_norm` for one
that takes whole units, and list it in `_GROUPS`.
In formulas w_i is a weight before training, w_f the same weight when the level before ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays
from lottery_core.method.seeds import seed_of
from lottery_core.method.units import PerUnit, summed


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


def optimal_brain_damage(evidence: Evidence) -> Arrays:
    """h w_f^2 / 2, h = d2L/dw_f2: what the loss would rise by, to second order, without the weight.

    Optimal Brain Damage (LeCun, Denker, Solla 1989), for a loss at its minimum, whose second
    derivatives by two weights count as 0. h is the diagonal of the Gauss-Newton matrix on training
    images, which leaves out the second derivatives of the outputs, as the paper does; it is exact
    where the paper sends it back layer by layer and leaves out more.
    """
    curvature = evidence.slopes.of_curvature(evidence.trained, evidence.mask)
    return {name: curvature[name] * np.square(final) / 2 for name, _, final in evidence.layers()}


def woodfisher(evidence: Evidence) -> Arrays:
    """w_f^2 / (2 [F^-1]_ii): what the loss would rise by without the weight, to second order, if
    the others then made up for it as well as they can.

    Optimal Brain Surgeon's saliency (Hassibi & Stork 1992) with the empirical Fisher matrix in
    blocks for the second derivatives (WoodFisher: Singh & Alistarh 2020, arXiv 2004.14340). The
    blocks are of 16 weights of one output unit, with 1e-5 added to the diagonal: where gradients
    are far below its root, 0.003, magnitude decides. The others are not changed for it, as
    survivors restart anyway.
    """
    inverse = evidence.slopes.of_inverse_fisher(evidence.trained, evidence.mask)
    return {
        name: np.divide(
            np.square(final, dtype=np.float64), 2 * inverse[name],
            out=np.zeros(final.shape), where=evidence.mask[name],
        )
        for name, _, final in evidence.layers()
    }  # fmt: skip


def wanda(evidence: Evidence) -> Arrays:
    """|w_f| ||x||, x what the weight reads of training images (Sun et al. 2023, arXiv 2306.11695).

    x are all values that the weight is multiplied with: of a fully connected layer one an image, of
    a convolution one for each place of its kernel on the image, zeros beyond the edge included. The
    paper ranks the weights of each output unit by themselves; here the scope says what is ranked
    together.
    """
    norms = evidence.slopes.input_norms(evidence.trained, evidence.mask)
    return {name: np.abs(final) * norms[name] for name, _, final in evidence.layers()}


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


def unit_norm(evidence: Evidence) -> PerUnit:
    """The sum of |w_f| over the weights that make a unit or channel: its l1 norm (Li et al. 2017,
    arXiv 1608.08710).

    Channels that shortcuts add up are one unit, made by several layers; the sum is over all of
    them, where the paper looks at the shortcut's convolution alone.
    """
    sizes = {name: np.abs(final, dtype=np.float64) for name, _, final in evidence.layers()}
    return summed(sizes, evidence.axes, 0)


def unit_gradient(evidence: Evidence) -> PerUnit:
    """|Σ w_f dL/dw_f| over the weights that read a unit or channel: what the loss would change by,
    to first order, if nothing read it, which is what its removal does.

    The sum is that of activation times gradient over all places of a channel, as in Molchanov et
    al. 2017 (arXiv 1611.06440), eq. 7, but averaged over the images before the absolute value is
    taken, not after. Weights that make a unit would not do: before batch norm, which undoes their
    scale, their own sum is always 0.
    """
    slopes = evidence.slopes.of_loss(evidence.trained, evidence.mask)
    changes = {
        name: np.multiply(final, slopes[name], dtype=np.float64)
        for name, _, final in evidence.layers()
    }
    return {group: np.abs(total) for group, total in summed(changes, evidence.axes, 1).items()}


_OF_WEIGHTS_ALONE = ("magnitude", "change in training", "whole units by magnitude", "chance")


@dataclass(frozen=True)
class Criterion:
    """A scoring function, and what a menu says of it: its `title`, the `group` it stands in and a
    `summary`, a sentence with its source.

    `reads` is "trained", "initial", "both" or "neither": the weights that decide. In each of
    `steps` a part of what has to go goes, and the rest is scored anew. `version` is raised when
    the same evidence gives other scores than before; levels pruned by it then get other keys.
    With `takes_units` it scores units, by group, and these go as a whole.
    """

    score: Callable[[Evidence], Arrays | PerUnit]
    title: str
    reads: str
    steps: int = 1
    version: int = 1
    group: str = "your own"
    summary: str = ""
    takes_units: bool = False

    @property
    def asks_slopes(self) -> bool:
        """Whether it asks for `Evidence.slopes`; if not it looks at the weights alone."""
        return self.group not in _OF_WEIGHTS_ALONE


_ZHOU = "Zhou et al. 2019 (arXiv 1905.01067)"
# By group, in the order of a menu.
_GROUPS: dict[str, dict[str, Criterion]] = {
    "magnitude": {
        "magnitude": Criterion(
            magnitude, "Smallest final magnitude", "trained",
            summary="Weights go that are near zero after training. Frankle & Carbin 2018 "
            "(arXiv 1803.03635)",
        ),
        "magnitude-initial": Criterion(
            magnitude_initial, "Smallest initial magnitude", "initial",
            summary=f"Weights go that are near zero before training. {_ZHOU}",
        ),
        "small-final": Criterion(
            small_final, "Largest final magnitude (control)", "trained",
            summary=f"The opposite of magnitude: the largest weights go. {_ZHOU}",
        ),
        "small-initial": Criterion(
            small_initial, "Largest initial magnitude (control)", "initial",
            summary=f"Weights go that are largest before training. {_ZHOU}",
        ),
    },
    "change in training": {
        "magnitude-increase": Criterion(
            magnitude_increase, "Smallest magnitude increase", "both",
            summary=f"Weights go that shrank most, or grew least. {_ZHOU}",
        ),
        "movement": Criterion(
            movement, "Smallest movement", "both",
            summary=f"Weights go that training changed least. {_ZHOU}",
        ),
        "large-initial-large-final": Criterion(
            large_both, "Smallest of initial and final magnitude", "both",
            summary=f"Weights stay that are large before and after training. {_ZHOU}",
        ),
        "small-both": Criterion(
            small_both, "Largest of initial and final magnitude (control)", "both",
            summary=f"Weights stay that are small before and after training. {_ZHOU}",
        ),
        "magnitude-same-sign": Criterion(
            same_sign, "Sign changed, then smallest final magnitude", "both",
            summary=f"Weights go first whose sign training changed. {_ZHOU}",
        ),
        "magnitude-different-sign": Criterion(
            different_sign, "Sign kept, then smallest final magnitude", "both",
            summary=f"Weights go first whose sign training kept. {_ZHOU}",
        ),
    },
    "effect on the loss": {
        "gradient-weight": Criterion(
            gradient_weight, "Smallest weight × gradient", "trained",
            summary="Weights go without which the loss would change least, by its slope. "
            "Molchanov et al. 2017 (arXiv 1611.06440)",
        ),
        "obd": Criterion(
            optimal_brain_damage, "Optimal Brain Damage: smallest curvature × weight²", "trained",
            summary="Weights go without which the loss would rise least, by its curvature. "
            "LeCun, Denker & Solla 1989",
        ),
        "woodfisher": Criterion(
            woodfisher, "WoodFisher: smallest loss if the others make up for it", "trained",
            summary="Weights go without which the loss would rise least if the others made up for "
            "it: Optimal Brain Surgeon, by blocks. Singh & Alistarh 2020 (arXiv 2004.14340)",
        ),
    },
    "what a weight reads": {
        "wanda": Criterion(
            wanda, "WANDA: smallest weight × norm of its input", "trained",
            summary="Weights go that add least to the sums they are part of. Sun et al. 2023 "
            "(arXiv 2306.11695)",
        ),
    },
    "before training": {
        "snip": Criterion(
            snip, "SNIP: least sensitive at initialisation", "initial",
            summary="Weights go to which the untrained network's loss is least sensitive. Lee et "
            "al. 2019 (arXiv 1810.02340)",
        ),
        "grasp": Criterion(
            grasp, "GraSP: least gradient flow at initialisation", "initial",
            summary="Weights go whose removal leaves most gradient to learn by. Wang et al. 2020 "
            "(arXiv 2002.07376)",
        ),
        # As many steps as in the paper; in one, whole layers go at high sparsities.
        "synflow": Criterion(
            synflow, "SynFlow: least synaptic flow at initialisation", "initial", 100,
            summary="Weights go on the weakest paths from input to output, without any image. "
            "Tanaka et al. 2020 (arXiv 2006.05467)",
        ),
    },
    "whole units by magnitude": {
        "unit-norm": Criterion(
            unit_norm, "Smallest norm: whole units and channels", "trained", takes_units=True,
            summary="Whole units and channels go, those first whose weights are smallest in sum. "
            "Li et al. 2017 (arXiv 1608.08710)",
        ),
    },
    "whole units by effect on the loss": {
        "unit-gradient": Criterion(
            unit_gradient, "Smallest activation × gradient: whole units and channels", "trained",
            takes_units=True,
            summary="Whole units and channels go, those first without which the loss would change "
            "least, by its slope. Molchanov et al. 2017 (arXiv 1611.06440)",
        ),
    },
    "chance": {
        "random": Criterion(
            random, "Random (control)", "neither", summary="Every weight is as likely to go.",
        ),
    },
}  # fmt: skip
CRITERIA = {
    name: replace(one, group=group)
    for group, found in _GROUPS.items()
    for name, one in found.items()
}
