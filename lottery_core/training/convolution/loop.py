"""The compiled training loop of convolutional networks: on the CPU, the faster the sparser.

See `steps` for the steps themselves. One thread, with the interpreter's lock released.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lottery_core.data import Data, Images
from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.terms import MAX_SHIFT
from lottery_core.training.augmentation import Moves
from lottery_core.training.base import batch_order, rates_of
from lottery_core.training.compiled import Stretch
from lottery_core.training.convolution import steps
from lottery_core.training.convolution.packing import Packer
from lottery_core.training.convolution.plan import Plan
from lottery_core.training.convolution.steps import Shown
from lottery_core.training.packing import Packer as HeadPacker
from lottery_core.training.packing import live_units, rule_of
from lottery_core.training.vectors import SGEMM

_WIDTH = 16  # examples of a panel: as many numbers as a line of the cache holds
_SPARSE_HEAD, _HEAD = 32, 64  # examples that go through the head at once, at most
_SLICE = 256  # examples judged between two looks at the clock, at least


class ConvolutionalNetwork:
    """Weights and mask in the form that compiled code works on (see `base.Network`).

    Only what can matter is packed: channels that lead to an output, and their kept weights. What
    else there is gets no gradient; it decays if the recipe says so, and stays what it is if not.
    """

    def __init__(
        self,
        recipe: Recipe,
        weights: Arrays,
        mask: Arrays,
        forms: dict[str, bool] | None = None,
    ) -> None:
        self._recipe = recipe
        self._start = {name: value.copy() for name, value in weights.items()}
        self.rule = rule_of(recipe)
        self._steps = 0
        self.plan = Plan(recipe.net)
        forms = forms or {name: not kept.all() for name, kept in mask.items()}
        layers = [f"{name}.weight" for name in self.plan.layers]
        head_mask = {name: mask[name] for name in layers}
        units = live_units(head_mask)[0]
        is_live = np.zeros(head_mask[layers[0]].shape[1], bool)
        is_live[units] = True
        self.plan.find_live(mask, is_live)
        width = min(_WIDTH, 8 * -(-recipe.batch_size // 8))
        panels = -(-recipe.batch_size // width)
        packer = Packer(self.plan, weights, mask, width)
        most = (_SPARSE_HEAD if forms[layers[0]] else _HEAD) // width
        at_once = -(-panels // -(-panels // most))  # as few as that allows, all about as many
        head = HeadPacker(weights, head_mask, {name: forms[name] for name in layers}, eights=False)
        if recipe.weight_decay > 0:
            packer.pack_idle()
            head.pack_idle()
        self.net = packer.program(recipe, panels, units)
        self.head = head.net(recipe, width * at_once)
        self._places = (packer.places, head.places)
        self._remembered = packer.remembered
        self._classes = int(self.head.sizes[-1])

    def attach(self, data: Data, *, judge: bool = True, order: int = 0) -> None:
        """Say what to train on and in which order, and to judge on if that is wanted."""
        self._data, self._epoch, self._order_number = data, -1, order
        self._images = _shown(data.images, self._recipe)
        if judge:
            test = np.arange(len(data.test_images))
            self._judged_on = [
                (self._images, data.labels, data.validation_index),
                (_shown(data.test_images, self._recipe), data.test_labels, test),
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
        steps.train_steps(
            self.net, self.head, self.rule, SGEMM, self._moved, self._data.labels, stretch, losses
        )
        self._steps += len(losses)

    def evaluate(self, tick: Callable[[], None]) -> list[tuple[float, float]]:
        results = []
        batch = self.net.panels * self.net.width
        at_once = batch * -(-_SLICE // batch)
        for images, labels, chosen in self._judged_on:
            loss, right, count = 0.0, 0, len(chosen)
            for first in range(0, count, at_once):
                some = chosen[first : first + at_once]
                more = steps.judge(self.net, self.head, SGEMM, images, labels, some)
                loss, right = loss + more[0], right + more[1]
                tick()
            results.append((loss / count, right / count) if count else (math.nan, math.nan))
        return results

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits (n, classes) of images (n, pixels), float32, any number of them; not for two
        threads."""
        logits = np.empty((len(images), self._classes), np.float32)
        numbers = images.reshape(-1)
        steps.predict(self.net, self.head, SGEMM, numbers, len(images), logits)
        return logits

    def weights(self) -> Arrays:
        found = {name: value.copy() for name, value in self._start.items()}
        for places, net in zip(self._places, (self.net, self.head), strict=True):
            for name, place, where in places:
                values = net.parameters[where]
                target = found[name][place]
                found[name][place] = values.reshape(target.shape)
        for name, live, where in self._remembered:
            found[f"{name}.running_mean"][live] = self.net.running_mean[where]
            found[f"{name}.running_var"][live] = self.net.running_variance[where]
        return found


def _shown(images: Images, recipe: Recipe) -> Shown:
    channels, rows, columns = recipe.net.input
    return Shown(
        images.pixels.reshape(-1),
        np.ascontiguousarray(np.broadcast_to(images.values, (channels, 256))).reshape(-1),
        images.lengths,
        0,
        np.arange(rows)[None],
        np.arange(columns)[None],
    )
