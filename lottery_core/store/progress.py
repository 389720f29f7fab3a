"""What workers tell of what they are at: a level in training, a measurement, a wait before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from lottery_core.method.masks import Arrays
from lottery_core.store.info import LayerCounts, Pruned, known_fields, plain_counts, read_counts


@dataclass(frozen=True)
class Waiting:
    """Nothing to see yet; `words` say what has to be waited for."""

    words: str


@dataclass(frozen=True)
class PartsDone:
    """How many parts of a measurement are done, `of` how many; `seconds_each` is None until one
    was timed."""

    done: int
    of: int
    seconds_each: float | None = None


@dataclass(frozen=True, kw_only=True)
class LevelProgress(Pruned):
    """A level in training.

    `iteration` counts from the dense network's iteration 0, as `first_iteration` and `iterations`
    do, where this level began and will end. `seconds_left` is None until a step is timed. The
    rows of `history` are those of `Level.history` so far, None for NaN; `losses` are means of
    stretches that end at `loss_iterations`. `pictures` and `scales` are the weights as
    `pictures.pack` makes them.
    """

    level: int
    iterations: int
    first_iteration: int
    layers: Mapping[str, LayerCounts]
    test_accuracy_before_retraining: float | None = None
    test_accuracy_dense_pruned: float | None = None
    iteration: int
    seconds: float
    seconds_left: float | None
    history: Sequence[Mapping[str, float | None]]
    loss_iterations: Sequence[int]
    losses: Sequence[float]
    scales: Mapping[str, Mapping]
    pictures: Arrays = field(default_factory=dict)

    @property
    def moment(self) -> tuple[int, float, int]:
        """What tells it from all others of its level."""
        return self.iteration, self.seconds, len(self.history)


Progress = Waiting | PartsDone | LevelProgress


def to_plain(progress: Progress) -> tuple[dict, Arrays]:
    """Plain values and arrays, as they are kept."""
    if isinstance(progress, Waiting):
        return {"waiting": progress.words}, {}
    if isinstance(progress, PartsDone):
        return asdict(progress), {}
    plain = vars(progress) | {"layers": plain_counts(progress.layers)}
    return plain, plain.pop("pictures")


def from_plain(plain: Mapping, arrays: Arrays) -> Progress:
    """What `to_plain` gave. Raises KeyError or TypeError for what is no progress."""
    if "waiting" in plain:
        return Waiting(plain["waiting"])
    if "done" in plain:
        return PartsDone(plain["done"], plain["of"], plain.get("seconds_each"))
    known = known_fields(LevelProgress, plain)
    return LevelProgress(**known | {"layers": read_counts(plain["layers"]), "pictures": arrays})
