"""A network's plan, weights and mask -> the flat arrays that compiled code works on (`Program`)."""

from __future__ import annotations

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.training.convolution.kernels import BLOCK, LANES
from lottery_core.training.convolution.plan import Plan, Step, parted
from lottery_core.training.convolution.program import (
    CONVOLVE,
    NORM,
    OPERATION,
    RESULT,
    Program,
)
from lottery_core.training.convolution.room import activities, derivatives
from lottery_core.training.packing import aligned

_NEAR = 30 * 1024  # bytes of a first-level cache for what a block of pixels reads
_SEGMENT = 12  # weights of an output in a tile, from which on tiles save more than they cost
_FAR = 2.5  # tiles so many times larger than what is near save nothing


class Packer:
    """Packs a plan whose live channels are known, for panels of `width` examples.

    `places` tells where each part of the parameters came from: name, places there, and the slice of
    `Program.parameters`; `remembered` the same of batch norm's running values.
    """

    def __init__(self, plan: Plan, weights: Arrays, mask: Arrays, width: int) -> None:
        self.places: list[tuple[str, tuple, slice]] = []
        self.remembered: list[tuple[str, np.ndarray, slice]] = []
        self._plan, self._weights, self._mask, self._width = plan, weights, mask, width
        self._parts: list[np.ndarray] = []
        self._count = 0  # parameters so far
        steps = len(plan.steps)
        self._weights_at, self._weights_end = np.zeros((2, steps), int)
        self._biases_at, self._norm_at = np.full((2, steps), -1)
        self._forward, self._back = _Segments(steps), _Segments(steps)
        self._back_parameter: list[np.ndarray] = []
        for n, step in enumerate(plan.steps):
            if step.kind == CONVOLVE:
                self._put_convolution(n, step)
        for n, step in enumerate(plan.steps):
            self._put_others(n, step)

    def _put(self, name: str, place: tuple, values: np.ndarray) -> None:
        """Parameters from there, next in order."""
        self._parts.append(values)
        self.places.append((name, place, slice(self._count, self._count + len(values))))
        self._count += len(values)

    def _put_convolution(self, n: int, step: Step) -> None:
        """Its kept weights of live channels, and their index by output and by source."""
        source, target = (self._plan.results[which] for which in (step.source, step.target))
        name = f"{step.name}.weight"
        kept = self._plan.kept(step, self._mask)[np.ix_(target.places, source.places)]
        outputs, inputs, rows, columns = np.nonzero(kept)
        width, rim, edge = self._width, source.rim, target.edge
        shift = step.padding if step.stride == 1 else 0
        reads = inputs * source.plane(width, rim)
        reads += (rows - shift + rim) * source.row(width, rim) + (columns - shift + rim) * width
        back = outputs * target.plane(width, edge)
        back += (edge + shift - rows) * target.row(width, edge) + (edge + shift - columns) * width

        tile = self._tile(kept.shape, _density(kept))
        order = self._forward.put(n, self._count, (outputs, inputs), kept.shape[:2], tile)
        self._forward.offset.append(reads[order])
        outputs, inputs, rows, columns = (part[order] for part in (outputs, inputs, rows, columns))
        turned = (kept.shape[1], kept.shape[0], *kept.shape[2:])
        tile = self._tile(turned, _density(kept))
        by_source = self._back.put(n, self._count, (inputs, outputs), turned[:2], tile)
        self._back.offset.append(back[order][by_source])
        self._back_parameter.append(self._count + by_source)

        # Where each weight stands in the array it came from
        whole = np.arange(self._weights[name].size).reshape(self._weights[name].shape)
        here = parted(step, whole)[target.places[outputs], source.places[inputs], rows, columns]
        place = np.unravel_index(here, whole.shape)
        self._weights_at[n] = self._count
        self._put(name, place, self._weights[name][place])
        self._weights_end[n] = self._count

    def _tile(self, shape: tuple[int, ...], density: float) -> int:
        """Channels of a tile: so many that what a block reads of them stays near, and outputs still
        have enough weights in each."""
        _, channels, rows, columns = shape
        window = 4 * rows * (BLOCK + (columns - 1) * self._width)
        near = max(1, _NEAR // window)
        enough = int(np.ceil(_SEGMENT / max(density * rows * columns, 1e-9)))
        tile = max(near, enough)
        tiles = 1 if tile > _FAR * near else max(1, channels // tile)
        return -(-channels // tiles)

    def _put_others(self, n: int, step: Step) -> None:
        """A convolution's biases, or batch norm's scales, shifts and running values."""
        live = self._plan.results[step.target].places
        bias = f"{step.name}.bias"
        if step.kind == NORM:
            self._biases_at[n] = self._count
            self._norm_at[n] = self.remembered[-1][2].stop if self.remembered else 0
            where = slice(self._norm_at[n], self._norm_at[n] + len(live))
            self.remembered.append((step.name, live, where))
            self._put(f"{step.name}.weight", (live,), self._weights[f"{step.name}.weight"][live])
            self._put(bias, (live,), self._weights[bias][live])
        elif step.kind == CONVOLVE and bias in self._weights:
            self._biases_at[n] = self._count
            self._put(bias, (live,), self._weights[bias][live])

    def pack_idle(self) -> None:
        """Kept weights, biases and batch norm's parameters that no data reaches, at the end: they
        only decay."""
        packed = {name: np.zeros(values.shape, bool) for name, values in self._weights.items()}
        for name, place, _ in self.places:
            packed[name][place] = True
        for step in self._plan.steps:
            for name in (f"{step.name}.weight", f"{step.name}.bias"):
                if step.name and name in packed:
                    idle = ~packed[name] & self._mask.get(name, True)
                    place = np.nonzero(idle)
                    self._put(name, place, self._weights[name][place])

    def program(self, recipe: Recipe, panels: int, features: np.ndarray) -> Program:
        """All of it, for so many panels; `features` are places of the head's inputs in the last
        result's channels, rows and columns, flattened."""
        plan, moments = self._plan, self._count if recipe.optimiser == "adam" else 0
        parameters = _joined(self._parts, np.float32)
        longest = max(result.columns for result in plan.results) * self._width
        normed = self.remembered[-1][2].stop if self.remembered else 0
        running = [
            _joined([self._weights[f"{name}.{part}"][live] for name, live, _ in self.remembered],
                    np.float32)
            for part in ("running_mean", "running_var")
        ]  # fmt: skip
        largest = int((self._weights_end - self._weights_at).max(initial=0))
        return Program(
            width=self._width,
            panels=panels,
            **self._results(panels),
            operations=self._operations(),
            offset=_joined(self._forward.offset, np.int32),
            segment_at=_joined(self._forward.at, np.int32),
            back_parameter=_joined(self._back_parameter, np.int32),
            back_offset=_joined(self._back.offset, np.int32),
            back_segment_at=_joined(self._back.at, np.int32),
            back_weight=np.zeros(int(self._weights_end.max(initial=0)), np.float32),
            partial=aligned(largest * LANES),
            running_mean=running[0],
            running_variance=running[1],
            batch_mean=np.zeros(normed, np.float32),
            batch_scale=np.zeros(normed, np.float32),
            valid=np.ones(2 * longest, np.float32),
            parameters=parameters,
            gradient=np.zeros_like(parameters),
            mean=np.zeros(moments, np.float32),
            square=np.zeros(moments, np.float32),
            **self._features(features),
        )

    def _results(self, panels: int) -> dict[str, np.ndarray]:
        """The table of results, and room for them."""
        results, width = self._plan.results, self._width
        activity_at, activity = activities(self._plan, panels, width)
        delta_at, delta = derivatives(self._plan, panels, width)
        table = np.zeros(len(results), RESULT)
        for name in ("rows", "columns", "rim", "edge", "has_relu"):
            table[name] = [getattr(result, name) for result in results]
        table["channels"] = [len(result.places) for result in results]
        table["activity_at"], table["delta_at"] = activity_at, delta_at
        # One example alone is read with the seven places behind it.
        return {"results": table, "activity": aligned(activity + 8), "delta": aligned(delta)}

    def _operations(self) -> np.ndarray:
        steps = self._plan.steps
        table = np.zeros(len(steps), OPERATION)
        for name in ("kind", "source", "other", "target", "stride", "padding", "phases"):
            table[name] = [getattr(step, name) for step in steps]
        table["weights_at"], table["weights_end"] = self._weights_at, self._weights_end
        table["biases_at"], table["norm_at"] = self._biases_at, self._norm_at
        table["tiles"], table["segment_from"] = self._forward.tiles, self._forward.start
        table["back_tiles"], table["back_segment_from"] = self._back.tiles, self._back.start
        table["adds"], table["other_adds"] = _turns(self._plan)
        return table

    def _features(self, features: np.ndarray) -> dict[str, np.ndarray]:
        last, width = self._plan.results[-1], self._width
        channel, row, column = np.unravel_index(features, (last.channels, last.rows, last.columns))
        channel = np.searchsorted(last.places, channel)
        places = [
            channel * last.plane(width, margin)
            + (row + margin) * last.row(width, margin)
            + (column + margin) * width
            for margin in (last.rim, last.edge)
        ]
        return {"feature_at": places[0], "feature_delta_at": places[1]}


class _Segments:
    """Weights in the order in which a product takes them: by tile, then by what it adds up to."""

    def __init__(self, steps: int) -> None:
        self.tiles, self.start = np.ones(steps, int), np.zeros(steps, int)
        self.at: list[np.ndarray] = []
        self.offset: list[np.ndarray] = []
        self._count = 0

    def put(
        self,
        step: int,
        first: int,
        weights: tuple[np.ndarray, np.ndarray],
        shape: tuple[int, int],
        tile: int,
    ) -> np.ndarray:
        """Index a step's weights, from number `first` on, given what each adds to and what it
        reads, of so many each; their order."""
        sums, reads = weights
        tiles = max(1, -(-shape[1] // tile)) if tile else 1
        part = reads // tile if tile else np.zeros_like(reads)
        order = np.lexsort((reads, sums, part))
        counts = np.bincount(part * shape[0] + sums, minlength=tiles * shape[0])
        self.tiles[step], self.start[step] = tiles, self._count
        self.at.append(first + np.concatenate([[0], np.cumsum(counts)]))
        self._count += len(counts) + 1
        return order


def _turns(plan: Plan) -> np.ndarray:
    """Which steps, on the way back, add to what others wrote to the derivative of a source."""
    written: set[int] = set()
    adds = np.zeros((2, len(plan.steps)), bool)
    for n in reversed(range(len(plan.steps))):
        step = plan.steps[n]
        read = [step.source] if step.other < 0 else [step.source, step.other]
        for which, result in enumerate(read):
            adds[which, n] = result in written
            written.add(result)
    return adds


def _density(kept: np.ndarray) -> float:
    return float(kept.mean()) if kept.size else 0.0


def _joined(parts: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)
