"""The compiled training loop: networks on the CPU, the faster the sparser.

Fully connected ones are here; see `compiled` for the steps themselves. Those with convolutions, or
whose images are coloured or moved, are in `convolution`. One thread, with the interpreter's lock
released.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from lottery_core.data import Data, Images
from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.training import compiled
from lottery_core.training.base import (
    Report,
    Trained,
    Training,
    batch_order,
    drive,
    is_plain,
    judged,
    rates_of,
)
from lottery_core.training.blas import SGEMM
from lottery_core.training.compiled import Pictures, Stretch
from lottery_core.training.convolution.loop import ConvolutionalNetwork
from lottery_core.training.layers import Answers
from lottery_core.training.packed import Forms, Packed, with_holes
from lottery_core.training.packing import Packer, aligned, fill

# Examples of a panel at most. The sparse form reads rows of a panel in any order, so a panel
# has to fit a core's second-level cache; BLAS likes them wider, the more so without training.
_SPARSE_PANEL, _PANEL, _JUDGED_PANEL = 32, 64, 256
_SLICE = 1_024  # examples judged between two looks at the clock; whole panels of either width


def train(training: Training, data: Data, report: Report, *, forms: Forms = with_holes) -> Trained:
    """Do a training.

    `forms` says which layers take the sparse form under a mask. `report` is called about every
    50 ms and may raise to stop. Raises `TrainingDiverged` when the loss is no longer finite.
    """
    with one_blas_thread():
        network = packed(
            training.recipe,
            training.weights,
            training.mask,
            forms(training.mask),
            moving=forms if training.moving else None,
        )
        network.attach(data, order=training.order)
        return drive(training, network, report)


def packed(
    recipe: Recipe,
    weights: Arrays,
    mask: Arrays,
    forms: dict[str, bool] | None = None,
    *,
    moving: Forms | None = None,
) -> SparseNetwork | ConvolutionalNetwork:
    """Weights and mask in the form that compiled code works on."""
    network = SparseNetwork if is_plain(recipe) else ConvolutionalNetwork
    return network(recipe, weights, mask, forms, moving=moving)


def one_blas_thread() -> threadpool_limits:
    """A context in which BLAS computes on one thread, whatever it did before."""
    return threadpool_limits(1, "blas")


def _width(batch_size: int, most: int) -> int:
    """Examples of a panel: a batch in as few panels as `most` allows, all about as wide."""
    panels = -(-batch_size // most)
    return 8 * -(-batch_size // (8 * panels))


class SparseNetwork(Packed):
    """A fully connected network; `forms` are by default those of `with_holes`.

    Only what can matter is packed: units that lead to an output, and of their inputs those
    that a kept weight reads. Kept weights of other units get no gradient; they decay if the
    recipe says so, and stay what they are if not; of a mask that moves they are packed too.
    """

    def __init__(
        self,
        recipe: Recipe,
        weights: Arrays,
        mask: Arrays,
        forms: dict[str, bool] | None = None,
        *,
        moving: Forms | None = None,
    ) -> None:
        super().__init__(recipe, weights, mask, moving)
        forms = forms or with_holes(mask)
        largest = max(mask, key=lambda name: mask[name].sum())
        self._mostly_sparse = forms[largest]
        width = _width(recipe.batch_size, _SPARSE_PANEL if forms[largest] else _PANEL)
        self.panels_per_batch = -(-recipe.batch_size // width)
        packer = Packer(weights, mask, forms)
        if self._has_idle:
            packer.pack_idle()
        self.net = packer.net(recipe, width)
        self.parts = [(packer.places, self.net)]
        self._predict = self._answers(width)
        self._classes = int(self.net.sizes[-1])

    def attach(self, data: Data, *, judge: bool = True, order: int = 0) -> None:
        super().attach(data, judge=judge, order=order)
        self._images = _pictures(data.images)
        if not judge:
            return
        width = _SPARSE_PANEL if self._mostly_sparse else _JUDGED_PANEL
        self._judge = self._answers(width)
        test = np.arange(len(data.test_images))
        self._judged_on = [
            (self._images, data.labels, data.validation_index),
            (_pictures(data.test_images), data.test_labels, test),
        ]

    def _answers(self, width: int) -> Answers:
        """The way forward in panels of this width."""
        panels = {
            "width": width,
            "panel_at": width * (self.net.panel_at // self.net.width),
            "activity": aligned(width * int(self.net.sizes.sum())),
        }
        return Answers(*(panels.get(name, getattr(self.net, name)) for name in Answers._fields))

    def steps(self, epoch: int, batch: int, losses: np.ndarray) -> None:
        if epoch != self._epoch:
            order = batch_order(self._recipe, epoch, self._order_number)
            self._epoch, self._order = epoch, self._data.train_index[order]
        rates = rates_of(self._recipe, epoch, batch, len(losses))
        stretch = Stretch(
            self._order, self._recipe.batch_size, batch, self._steps, rates.astype(np.float32)
        )
        compiled.train_steps(
            self.net, self.rule, SGEMM, self._images, self._data.labels, stretch, losses
        )
        self._steps += len(losses)

    def evaluate(self, tick: Callable[[], None]) -> list[tuple[float, float]]:
        results = []
        for images, labels, chosen in self._judged_on:

            def judge(
                at: slice, images=images, labels=labels, chosen=chosen
            ) -> tuple[float, float]:
                return compiled.judge(self._judge, SGEMM, images, labels, chosen[at])

            results.append(judged(judge, len(chosen), _SLICE, tick))
        return results

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits (n, classes) of images (n, pixels), float32, any number of them; not for two
        threads."""
        logits = np.empty((len(images), self._classes), np.float32)
        compiled.predict(self._predict, SGEMM, images.reshape(-1), len(images), logits)
        return logits

    def rehearsal(self, name: str) -> tuple[Callable[[int], None], float]:
        """One layer's part of a step on one panel, to be done so many times, and how many panels a
        step has."""
        layer = list(self._recipe.shapes).index(name)
        work = partial(compiled.rehearse, self.net, self.rule, SGEMM, layer, is_head=False)
        fill(self.net.activity, self.net.delta)
        return work, self.panels_per_batch


def _pictures(images: Images) -> Pictures:
    return Pictures(images.pixels.reshape(-1), images.values, images.lengths)
