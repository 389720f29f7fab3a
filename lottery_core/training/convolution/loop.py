"""The compiled training loop of convolutional networks: on the CPU, the faster the sparser.

See `steps` for the steps themselves. One thread, with the interpreter's lock released.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from lottery_core.data import Data, Images
from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.terms import MAX_SHIFT
from lottery_core.training import compiled
from lottery_core.training.augmentation import Moves
from lottery_core.training.base import batch_order, judged, rates_of
from lottery_core.training.blas import SGEMM
from lottery_core.training.compiled import Stretch
from lottery_core.training.convolution import steps
from lottery_core.training.convolution.kernels import blocks_cost
from lottery_core.training.convolution.packing import Packer
from lottery_core.training.convolution.plan import Plan
from lottery_core.training.convolution.program import CONVOLVE, MEAN, NORM, POOL
from lottery_core.training.convolution.steps import Shown, Task
from lottery_core.training.packed import Forms, Packed, with_holes
from lottery_core.training.packing import Packer as HeadPacker
from lottery_core.training.packing import fill, live_units

# Examples of a panel: as many numbers as a line of the cache holds, or more where rows are short.
_WIDTHS = (16, 32, 64)
_SPARSE_HEAD, _HEAD = 32, 64  # examples that go through the head at once, at most
_SLICE = 256  # examples judged between two looks at the clock, at least

_NO_NUMBERS, _NO_PLACES = np.zeros(0, np.float32), np.zeros((1, 0), np.intp)
_NO_IMAGES = Shown(
    pixels=np.zeros(0, np.uint8),
    values=_NO_NUMBERS,
    lengths=_NO_NUMBERS,
    labels=_NO_PLACES[0],
    margin=0,
    rows=_NO_PLACES,
    columns=_NO_PLACES,
    numbers=_NO_NUMBERS,
)
_NOTHING = Stretch(_NO_PLACES[0], 1, 0, 0, _NO_NUMBERS)


class ConvolutionalNetwork(Packed):
    """A network with convolutions; `forms` are by default those of `with_holes`.

    Only what can matter is packed: channels that lead to an output, and their kept weights. What
    else there is gets no gradient; it decays if the recipe says so, and stays what it is if not, as
    does what batch norm remembers of other channels; of a mask that moves it is packed too.
    One that never `trains` takes a single image pixel by pixel, where it can.
    """

    def __init__(
        self,
        recipe: Recipe,
        weights: Arrays,
        mask: Arrays,
        forms: dict[str, bool] | None = None,
        *,
        trains: bool = True,
        moving: Forms | None = None,
    ) -> None:
        super().__init__(recipe, weights, mask, moving)
        self.plan = Plan(recipe.net)
        forms = forms or with_holes(mask)
        layers = [f"{name}.weight" for name in self.plan.layers]
        head_mask = {name: mask[name] for name in layers}
        units = live_units(head_mask)[0]
        is_live = np.zeros(head_mask[layers[0]].shape[1], bool)
        is_live[units] = True
        self.plan.find_live(mask, is_live)
        alone = not trains and recipe.batch_size == 1 and _goes_alone(self.plan)
        width = 1 if alone else _width(self.plan, recipe.batch_size)
        panels = -(-recipe.batch_size // width)
        packer = Packer(self.plan, weights, mask, width)
        most = max(1, (_SPARSE_HEAD if forms[layers[0]] else _HEAD) // width)
        at_once = -(-panels // -(-panels // most))  # as few as that allows, all about as many
        head = HeadPacker(weights, head_mask, {name: forms[name] for name in layers}, eights=False)
        if self._has_idle:
            packer.pack_idle()
            head.pack_idle()
        whole = trains and any(step.kind == NORM for step in self.plan.steps)
        self.net = packer.program(recipe, panels if whole else at_once, units)
        self.head = head.net(recipe, max(8, width * at_once))
        self.parts = [(packer.places, self.net), (head.places, self.head)]
        self._remembered = packer.remembered
        self._classes = int(self.head.sizes[-1])

    def attach(self, data: Data, *, judge: bool = True, order: int = 0) -> None:
        super().attach(data, judge=judge, order=order)
        self._images = _shown(self._recipe, data.images, data.labels)
        if judge:
            test = np.arange(len(data.test_images))
            self._judged_on = [
                (self._images, data.validation_index),
                (_shown(self._recipe, data.test_images, data.test_labels), test),
            ]

    def steps(self, epoch: int, batch: int, losses: np.ndarray) -> None:
        if epoch != self._epoch:
            order = batch_order(self._recipe, epoch, self._order_number)
            self._epoch, self._order = epoch, self._data.train_index[order]
            moves = Moves.of(self._recipe, epoch, self._order_number)
            self._moved = self._images
            if moves:
                self._moved = self._images._replace(
                    margin=MAX_SHIFT, rows=moves.rows, columns=moves.columns
                )
        rates = rates_of(self._recipe, epoch, batch, len(losses))
        stretch = Stretch(
            self._order, self._recipe.batch_size, batch, self._steps, rates.astype(np.float32)
        )
        self._perform(steps.TRAIN, self._moved, stretch, losses)
        self._steps += len(losses)

    def evaluate(self, tick: Callable[[], None]) -> list[tuple[float, float]]:
        results = []
        batch = self.net.panels * self.net.width
        at_once = batch * -(-_SLICE // batch)
        for images, chosen in self._judged_on:

            def judge(at: slice, images=images, chosen=chosen) -> tuple[float, float]:
                some = _NOTHING._replace(order=chosen[at])
                return self._perform(steps.JUDGE, images, some, count=len(some.order))

            results.append(judged(judge, len(chosen), at_once, tick))
        return results

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits (n, classes) of images (n, pixels), float32, any number of them; not for two
        threads."""
        logits = np.empty((len(images), self._classes), np.float32)
        shown = _NO_IMAGES._replace(numbers=images.reshape(-1))
        self._perform(steps.ANSWER, shown, into=logits.reshape(-1), count=len(images))
        return logits

    def _perform(
        self,
        kind: int,
        shown: Shown = _NO_IMAGES,
        stretch: Stretch = _NOTHING,
        into: np.ndarray = _NO_NUMBERS,
        **task: int,
    ) -> tuple[float, int]:
        task = Task(kind, SGEMM, self.rule, **task)
        return steps.perform(self.net, self.head, shown, stretch, task, into)

    def rehearsal(self, name: str) -> tuple[Callable[[int], None], float]:
        """One layer's part of a step, to be done so many times, and what share of the step's images
        that was: all by a convolution, some by the head."""
        fill(self.net.activity, self.net.delta, self.head.activity, self.head.delta)
        layer = name.removesuffix(".weight")
        if layer in self.plan.layers:
            at = self.plan.layers.index(layer)
            panels = -(-self._recipe.batch_size // self.head.width)
            rehearse = partial(compiled.rehearse, self.head, self.rule, SGEMM, at, is_head=True)
            return rehearse, panels
        op = [step.name for step in self.plan.steps].index(layer)
        count = min(self._recipe.batch_size, self.net.panels * self.net.width)
        rehearse = partial(self._perform, steps.REHEARSE, count=count, op=op)
        return lambda times: rehearse(times=times), self._recipe.batch_size / count

    def weights(self) -> Arrays:
        found = super().weights()
        for name, live, where in self._remembered:
            found[f"{name}.running_mean"][live] = self.net.running_mean[where]
            found[f"{name}.running_var"][live] = self.net.running_variance[where]
        return found


def _width(plan: Plan, batch: int) -> int:
    """Examples of a panel: few, whose windows stay near, unless more make a tenth less work."""

    def cost(width: int) -> float:
        results = [plan.results[step.target] for step in plan.steps if step.kind == CONVOLVE]
        rows = [(at.channels * at.rows, at.columns * width) for at in results]
        return -(-batch // width) * sum(count * blocks_cost(length) for count, length in rows)

    if batch <= _WIDTHS[0] // 2:
        return 8
    best = _WIDTHS[0]
    for width in _WIDTHS[1:]:
        if cost(width) < 0.9 * cost(best):
            best = width
    return best


def _goes_alone(plan: Plan) -> bool:
    """Whether a panel may be of one example: rows of pixels alone are whole vectors then."""
    return all(
        step.kind in (CONVOLVE, NORM, POOL, MEAN)
        and (step.kind in (POOL, MEAN) or plan.results[step.target].columns % 8 == 0)
        for step in plan.steps
    )


def _shown(recipe: Recipe, images: Images, labels: np.ndarray) -> Shown:
    channels, rows, columns = recipe.net.input
    return _NO_IMAGES._replace(
        pixels=images.pixels.reshape(-1),
        values=np.array(np.broadcast_to(images.values, (channels, 256))).reshape(-1),
        lengths=images.lengths,
        labels=labels,
        rows=np.arange(rows)[None],
        columns=np.arange(columns)[None],
    )
