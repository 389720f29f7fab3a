"""What was measured on an experiment's levels: how fast they are, how stable, how early their masks
can be told, and what lies between a ticket and other trainings of its mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from lottery_core.store.distances import Distances
from lottery_core.store.info import known_fields


class Timed(NamedTuple):
    """Seconds of one thing done many times over: the median of some turns, the least and the
    most of them. Three numbers in JSON."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Machine:
    """What it was measured on: the processor's name, threads used, versions."""

    processor: str
    threads: int
    python: str
    torch: str
    numba: str
    numpy: str


@dataclass(frozen=True)
class StepTimes:
    """A training step: masked dense tensors in torch, and the compiled loop; of fully connected
    networks also torch's CSR tensors, and the matrix products of a dense step alone."""

    masked: Timed
    ours: Timed
    csr: Timed | None = None
    products: Timed | None = None


class LayerTimes(NamedTuple):
    """Seconds of a layer's part of a compiled step, with all weights and with those kept."""

    dense: float
    kept: float


@dataclass(frozen=True)
class AnswerTimes:
    """Answering some images at once, as dense tensors and as the ticket's sparse ones; where whole
    units are gone also as the smaller dense network, and as an unstructured ticket as accurate."""

    dense: Timed
    ticket: Timed
    smaller: Timed | None = None
    unstructured: Timed | None = None


@dataclass(frozen=True)
class Unstructured:
    """A ticket of single weights that is as accurate as a level without whole units: the `key` of
    its `level`, and how many weights it has `kept`. Accuracies are fractions of the validation
    images, or of the test images where none were held out: its own, and that of the level
    (`reached`)."""

    key: str
    level: int
    kept: int
    accuracy: float
    reached: float
    on_validation: bool


@dataclass(frozen=True)
class Sizes:
    """Bytes of a trained network: all of it as float32, and as what the mask keeps with one bit a
    weight to say which; each plain and compressed (zlib)."""

    dense: int
    dense_compressed: int
    ticket: int
    ticket_compressed: int


@dataclass(frozen=True, kw_only=True)
class LevelSpeed:
    """One level: weights `kept`, the `iterations` and `seconds` its training took and the loop
    that trained it, times of a step, of answers by the number of images at once, bytes, the
    multiply-adds of a step and of an answer (0: as many as weights), and times by layer. Where
    whole units are gone, the `smaller` network that is left, as a text, and its weights' number,
    and the `unstructured` ticket that was timed beside it, if there was one."""

    level: int
    kept: int
    iterations: int
    seconds: float
    loop: str
    step: StepTimes
    forward: Mapping[int, AnswerTimes]
    bytes: Sizes
    multiply_adds_step: int
    multiply_adds_answer: int = 0
    layers: Mapping[str, LayerTimes] = field(default_factory=dict)
    smaller: str = ""
    smaller_weights: int = 0
    unstructured: Unstructured | None = None


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a machine is with an experiment's levels.

    `measured` is when, in seconds since 1970; `total` counts the prunable weights and
    `multiply_adds_step` what a dense step of `batch_size` images takes; `beside` is how many other
    runs trained meanwhile.
    """

    machine: Machine
    measured: float
    total: int
    multiply_adds_step: int
    iterations_per_epoch: int
    batch_size: int
    levels: tuple[LevelSpeed, ...]
    beside: int = 0

    @classmethod
    def from_dict(cls, plain: Mapping) -> Speed:
        """What `plain_measurement` gave. Raises as `read_measurement` does."""
        known = known_fields(cls, plain)
        machine = Machine(**known_fields(Machine, plain["machine"]))
        return cls(
            **known | {"machine": machine, "levels": tuple(map(_level_speed, plain["levels"]))}
        )


def _level_speed(plain: Mapping) -> LevelSpeed:
    beside = plain.get("unstructured")
    forward = {int(many): _times(AnswerTimes, one) for many, one in plain["forward"].items()}
    return LevelSpeed(
        **known_fields(LevelSpeed, plain)
        | {
            "step": _times(StepTimes, plain["step"]),
            "forward": forward,
            "bytes": Sizes(**known_fields(Sizes, plain["bytes"])),
            "layers": {
                name: LayerTimes(*map(float, times))
                for name, times in plain.get("layers", {}).items()
            },
            "unstructured": beside and Unstructured(**known_fields(Unstructured, beside)),
        }
    )


def _times(kind: type, plain: Mapping) -> StepTimes | AnswerTimes:
    known = known_fields(kind, plain)
    return kind(**{name: Timed(*map(float, turns)) for name, turns in known.items() if turns})


@dataclass(frozen=True, kw_only=True)
class Line:
    """Errors (fractions) on the straight line between two networks, at each of `alphas` from 0 to
    1: of the images trained on and of the test images. Their instabilities are the rise at the
    worst point above the mean of the two ends: the height of the barrier between them."""

    alphas: tuple[float, ...]
    train_error: tuple[float, ...]
    test_error: tuple[float, ...]
    instability_train: float
    instability_test: float


@dataclass(frozen=True, kw_only=True)
class Copies(Line):
    """Two copies of a level with `kept` weights, trained from its weights at `first_iteration` in
    two data `orders`; `seconds` is wall time."""

    level: int
    kept: int
    first_iteration: int
    orders: tuple[int, ...]
    seconds: float

    @classmethod
    def from_dict(cls, plain: Mapping) -> Copies:
        """What `plain_measurement` gave. Raises as `read_measurement` does."""
        orders = tuple(map(int, plain["orders"]))
        return cls(**known_fields(cls, plain) | _errors(plain) | {"orders": orders})


def _errors(plain: Mapping) -> dict[str, tuple[float, ...]]:
    lists = ("alphas", "train_error", "test_error")
    return {name: tuple(map(float, plain[name])) for name in lists}


@dataclass(frozen=True, kw_only=True)
class Instability:
    """Copies from each start of an experiment; `total` counts the prunable weights."""

    total: int
    seed: int
    paths: tuple[Copies, ...]

    @classmethod
    def from_dict(cls, plain: Mapping) -> Instability:
        """What `plain_measurement` gave. Raises as `read_measurement` does."""
        return cls(
            total=plain["total"],
            seed=plain["seed"],
            paths=tuple(map(Copies.from_dict, plain["paths"])),
        )


@dataclass(frozen=True, kw_only=True)
class LineTo(Line):
    """From a trained ticket, at 0, to another network, at 1: an `end` of `spec.barriers`."""

    end: str

    @classmethod
    def from_dict(cls, plain: Mapping) -> LineTo:
        """What `plain_measurement` gave. Raises as `read_measurement` does."""
        return cls(**known_fields(cls, plain) | _errors(plain))


@dataclass(frozen=True, kw_only=True)
class Barriers:
    """What lies between a ticket at a level, with `kept` of `total` weights, and other networks
    that its mask, or its mask with the units in another order, leaves; `seconds` is wall time
    without the trainings."""

    level: int
    kept: int
    total: int
    seed: int
    lines: tuple[LineTo, ...]
    seconds: float

    @classmethod
    def from_dict(cls, plain: Mapping) -> Barriers:
        """What `plain_measurement` gave. Raises as `read_measurement` does."""
        lines = tuple(map(LineTo.from_dict, plain["lines"]))
        return cls(**known_fields(cls, plain) | {"lines": lines})


Measurement = Speed | Instability | Copies | Barriers | Distances
# By the task that their keys begin with (see `task_key`).
_KINDS: dict[str, type[Measurement]] = {
    "measure": Speed,
    "instability": Instability,
    "path": Copies,
    "barriers": Barriers,
    "early": Distances,
}


def plain_measurement(measured: Measurement) -> dict:
    """In plain values, as `measurements/<key>.json` has them: the fields as they stand here."""
    return asdict(measured)


def read_measurement(key: str, plain: Mapping) -> Measurement:
    """What `plain_measurement` gave, of this version or another. Raises KeyError, TypeError,
    ValueError or AttributeError for what is no measurement of the task that the key names."""
    return _KINDS[key.partition("-")[0]].from_dict(plain)
