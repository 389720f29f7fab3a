"""What is known of a level besides its arrays: what was asked for and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lottery_core.method.masks import Arrays


@dataclass(frozen=True)
class LayerCounts:
    """How many prunable weights a layer has, and how many of them its mask keeps."""

    weights: int
    kept: int


def counts_of(mask: Arrays) -> dict[str, LayerCounts]:
    """What a mask keeps, by weight name."""
    return {name: LayerCounts(int(kept.size), int(kept.sum())) for name, kept in mask.items()}


def plain_counts(layers: Mapping[str, LayerCounts]) -> dict[str, dict[str, int]]:
    """Counts by weight name in plain values."""
    return {name: asdict(layer) for name, layer in layers.items()}


def read_counts(plain: Mapping[str, Mapping]) -> dict[str, LayerCounts]:
    """What `plain_counts` gave."""
    return {name: LayerCounts(one["weights"], one["kept"]) for name, one in plain.items()}


def known_fields(kind: type, plain: Mapping) -> dict:
    """Of plain values those that a dataclass has a field for; another version may have kept
    more."""
    return {name: plain[name] for name in kind.__dataclass_fields__ if name in plain}


class Pruned:
    """What follows from the counts of `layers`; biases are neither pruned nor counted."""

    layers: Mapping[str, LayerCounts]

    @property
    def weights_kept(self) -> int:
        """Prunable weights that are kept."""
        return sum(layer.kept for layer in self.layers.values())

    @property
    def weights_total(self) -> int:
        """Prunable weights of the network."""
        return sum(layer.weights for layer in self.layers.values())

    @property
    def percent_remaining(self) -> float:
        """P_m, the paper's x axis: weights kept, in percent of all."""
        return 100 * self.weights_kept / self.weights_total

    @property
    def sparsity(self) -> float:
        """The fraction of the weights that is pruned."""
        return 1 - self.weights_kept / self.weights_total


@dataclass(frozen=True, kw_only=True)
class LevelInfo(Pruned):
    """A level in numbers. `level.json` holds the fields as they stand here.

    Accuracies are fractions of the images. `experiment` is that of `Experiment.as_dict`, up to
    this level and as the version that trained it wrote it; `weights` are the prunable weights'
    names in the order of the network; `seconds` is wall time, `data` the digest of the data set.
    `explored` is the fraction of the weights that were in its mask at any time, of one that changed
    while it trained (Liu et al. 2021, arXiv 2102.02887). `settled` is the iteration at which the
    mask of an early bird stood still and was cut. What is None was not to be had: validation and
    the early stop where no images were held out, accuracies of pruning alone where nothing is
    pruned before the training, `explored` where the mask stood still, `settled` where it did not
    settle before the last look, or is of no early bird.
    """

    level: int
    experiment: dict
    weights: tuple[str, ...]
    layers: Mapping[str, LayerCounts]
    iterations_trained: int
    test_accuracy: float
    validation_accuracy: float | None = None
    test_accuracy_before_retraining: float | None = None
    test_accuracy_dense_pruned: float | None = None
    early_stop_iteration: int | None = None
    test_accuracy_at_early_stop: float | None = None
    explored: float | None = None
    settled: int | None = None
    device: str
    loop: str = "torch"  # levels that do not say so are older than any other loop
    seconds: float
    data: str
    versions: Mapping[str, str | int]
    key: str

    @property
    def seed(self) -> int:
        """The seed of its recipe."""
        return self.experiment["recipe"]["seed"]

    def as_dict(self) -> dict:
        """In plain values, as `level.json` has them."""
        return vars(self) | {"weights": [*self.weights], "layers": plain_counts(self.layers)}

    @classmethod
    def from_dict(cls, plain: Mapping) -> LevelInfo:
        """What `as_dict` gave, of this version or another: what is not known here is left out.
        Raises KeyError, TypeError or ValueError for what is no level's."""
        layers = read_counts(plain["layers"])
        return cls(
            **known_fields(cls, plain) | {"weights": tuple(plain["weights"]), "layers": layers}
        )
