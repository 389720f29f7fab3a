"""A network's operations as the compiled loop takes them: ReLU joined to what it follows, a stride
of 2 parted into images that are gone over pixel by pixel, fully connected layers left to the head.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network, Operation
from lottery_core.training.convolution.program import CONVOLVE, MEAN, NORM, POOL, SPLIT

_KINDS = {"conv": CONVOLVE, "norm": NORM, "pool": POOL, "mean": MEAN}


@dataclass
class Result:
    """One result: its shape with all channels, zeros around its activity (`rim`) and around its
    derivative (`edge`), and which channels are `live`, that is, have a way to the outputs."""

    channels: int
    rows: int
    columns: int
    rim: int = 0
    edge: int = 0
    has_relu: bool = False
    readers: int = 0
    live: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def places(self) -> np.ndarray:
        """The live channels."""
        return np.flatnonzero(self.live)

    def row(self, width: int, margin: int) -> int:
        """Numbers of a row in a panel of so many examples, with a margin around the plane."""
        return (self.columns + 2 * margin) * width

    def plane(self, width: int, margin: int) -> int:
        """Numbers of a plane."""
        return (self.rows + 2 * margin) * self.row(width, margin)

    def size(self, width: int, margin: int) -> int:
        """Numbers of a panel."""
        return int(self.live.sum()) * self.plane(width, margin)


@dataclass(frozen=True)
class Step:
    """One operation: results by number; `stride` is what its source was split for. NORM may add
    another result to its own."""

    kind: int
    source: int
    target: int
    other: int = -1
    name: str = ""
    kernel: int = 1
    padding: int = 0
    stride: int = 1

    @property
    def phases(self) -> int:
        """Images a side that a SPLIT makes: of those rows alone that a kernel reads."""
        return min(self.stride, self.kernel)


class Plan:
    """Steps and results of a network, up to its head; `layers` are the head's, from input on."""

    def __init__(self, network: Network) -> None:
        self.results = [Result(*network.input)]
        self.steps: list[Step] = []
        self.layers: list[str] = []
        self._number = {0: 0}  # of an operation's result, among `results`
        for n, at in enumerate(network.operations, 1):
            if at.kind == "relu":
                self._number[n] = self._number[at.reads[0]]
                if not self.layers:
                    self.results[self._number[n]].has_relu = True
            elif at.kind in ("flat", "fc"):
                self._number[n] = self._number[at.reads[0]]
                self.layers += [at.name] if at.name else []
            elif at.kind == "add":
                self._number[n] = self._join(*(self._number[read] for read in at.reads))
            else:
                self._number[n] = self._put(at)

    def _put(self, at: Operation) -> int:
        source = self._number[at.reads[0]]
        kind, stride = _KINDS[at.kind], at.stride
        step = Step(kind, source, 0, name=at.name, kernel=at.kernel, padding=at.padding)
        target = Result(at.shape[0], *(at.shape[1:] or (1, 1)))
        if kind == CONVOLVE and stride > 1:
            step = replace(step, stride=stride)
            reach = (at.kernel - 1) // stride
            rows, columns = (side + reach for side in at.shape[1:])
            channels = self.results[source].channels * step.phases**2
            parted = Result(channels, rows, columns, readers=1)
            source = self._add(replace(step, kind=SPLIT, name=""), parted)
            step, target.edge = replace(step, source=source), reach
        elif kind == CONVOLVE:
            self.results[source].rim = max(self.results[source].rim, at.padding)
            target.edge = at.kernel - 1 - at.padding
        return self._add(step, target)

    def _join(self, one: int, other: int) -> int:
        """A sum: of two, of which the last step normed one, that step adds the other."""
        norm = self.steps[-1]
        if norm.kind != NORM or norm.target not in (one, other):
            raise ValueError("a sum is of batch norm's result and another")
        other = other if norm.target == one else one
        self.steps[-1] = replace(norm, other=other)
        self.results[other].readers += 1
        return norm.target

    def _add(self, step: Step, target: Result) -> int:
        self.results[step.source].readers += 1
        self.results.append(target)
        self.steps.append(replace(step, target=len(self.results) - 1))
        return len(self.results) - 1

    @staticmethod
    def reads(step: Step) -> set[int]:
        """The results that it reads."""
        return {step.source} if step.other < 0 else {step.source, step.other}

    def is_trained(self, result: int) -> bool:
        """Whether parameters lead to a result, so that the derivative by it is needed."""
        makers = [step for step in self.steps if step.target == result]
        return any(step.name or any(map(self.is_trained, self.reads(step))) for step in makers)

    def find_live(self, mask: Arrays, features: np.ndarray) -> None:
        """Say which channels have a way to the outputs, given which of the head's inputs (as
        booleans) have one. Channels joined by a sum have one together."""
        # An operation that is no convolution takes channels one by one: both sides have the same.
        for result in self.results:
            result.live = np.zeros(result.channels, bool)
        self.results[0].live[:] = True  # pixels are fetched in any case
        last = self.results[-1]
        last.live = features.reshape(last.channels, -1).any(axis=1)
        count = -1
        while count != (count := sum(int(result.live.sum()) for result in self.results)):
            for step in reversed(self.steps):
                self._pass_on(step, mask)

    def _pass_on(self, step: Step, mask: Arrays) -> None:
        source, target = self.results[step.source], self.results[step.target]
        if step.kind == CONVOLVE:
            kept = self.kept(step, mask)[target.live]
            source.live |= kept.any(axis=(0, 2, 3))
            if step.stride > 1:  # in all of a channel's images
                images = source.live.reshape(step.phases**2, -1)
                images |= images.any(axis=0)
        elif step.kind == SPLIT:
            source.live |= target.live.reshape(step.phases**2, -1).any(axis=0)
            target.live[:] = np.tile(source.live, step.phases**2)
        else:
            joined = [target, *(self.results[one] for one in self.reads(step))]
            live = np.any([result.live for result in joined], axis=0)
            for result in joined:
                result.live |= live

    @staticmethod
    def kept(step: Step, mask: Arrays) -> np.ndarray:
        """The mask of a convolution (outputs, sources, rows, columns), by what it reads: after a
        SPLIT its sources are that one's images, and its kernel is as many times smaller."""
        return parted(step, mask[f"{step.name}.weight"])


def parted(step: Step, values: np.ndarray) -> np.ndarray:
    """Weights (outputs, inputs, rows, columns) of a convolution, as it reads a SPLIT's images."""
    if step.stride == 1:
        return values
    outputs, inputs, kernel, _ = values.shape
    side, stride, phases = (kernel - 1) // step.stride + 1, step.stride, step.phases
    found = np.zeros((outputs, phases, phases, inputs, side, side), values.dtype)
    for down in range(phases):
        for right in range(phases):
            part = values[:, :, down::stride, right::stride]
            found[:, down, right, :, : part.shape[2], : part.shape[3]] = part
    return found.reshape(outputs, phases * phases * inputs, side, side)
