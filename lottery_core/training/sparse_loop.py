"""The compiled training loop: fully connected networks on the CPU, the faster the sparser.

See `compiled` for the steps themselves. One thread, with the interpreter's lock released.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from lottery_core.data import Data, Images
from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.training import compiled
from lottery_core.training.base import Report, Trained, Training, batch_order, drive, rates_of
from lottery_core.training.compiled import Answers, Net, Pictures, Rule
from lottery_core.training.vectors import SGEMM

# Examples of a panel at most. The sparse form reads rows of a panel in any order, so a panel
# has to fit a core's second-level cache; BLAS likes them wider, the more so without training.
_SPARSE_PANEL, _PANEL, _JUDGED_PANEL = 32, 64, 256
_SLICE = 1_024  # examples judged between two looks at the clock; whole panels of either width
_TILE = 192  # columns: 32 examples of them take 24 KB of a first-level cache
_LONG = 48  # weights of a row in a tile, from which on tiles save more than they cost


def train(
    training: Training, data: Data, report: Report, *, forms: dict[str, bool] | None = None
) -> Trained:
    """Do a training.

    `forms` says which layers take the sparse form; by default those with holes. `report` is
    called about every 50 ms and may raise to stop. Raises `TrainingDiverged` when the loss is
    no longer finite.
    """
    with one_blas_thread():
        network = SparseNetwork(training.recipe, training.weights, training.mask, forms)
        network.attach(data, order=training.order)
        return drive(training, network, report)


def one_blas_thread() -> threadpool_limits:
    """A context in which BLAS computes on one thread, whatever it did before."""
    return threadpool_limits(1, "blas")


def rule_of(recipe: Recipe) -> Rule:
    """The recipe's optimiser; its learning rate comes with each step."""
    return Rule(
        recipe.optimiser == "adam",
        np.float32(recipe.momentum),
        np.float32(recipe.weight_decay),
    )


def _width(batch_size: int, most: int) -> int:
    """Examples of a panel: a batch in as few panels as `most` allows, all about as wide."""
    panels = -(-batch_size // most)
    return 8 * -(-batch_size // (8 * panels))


class SparseNetwork:
    """Weights and mask in the form that compiled code works on (see `base.Network`).

    Only what can matter is packed: units that lead to an output, and of their inputs those
    that a kept weight reads. Kept weights of other units get no gradient; they decay if the
    recipe says so, and stay what they are if not.
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
        self._places: list[tuple[str, tuple | np.ndarray, slice]] = []
        forms = forms or {name: not kept.all() for name, kept in mask.items()}
        largest = max(mask, key=lambda name: mask[name].sum())
        self._mostly_sparse = forms[largest]
        width = _width(recipe.batch_size, _SPARSE_PANEL if forms[largest] else _PANEL)
        self.panels_per_batch = -(-recipe.batch_size // width)
        self.net = self._pack(weights, mask, forms, width)
        self._predict = self._answers(width)
        self._classes = int(self.net.sizes[-1])

    def _pack(self, weights: Arrays, mask: Arrays, forms: dict[str, bool], width: int) -> Net:
        names = list(mask)
        units = _live_units(mask)
        sizes = np.array([len(found) for found in units])
        layers = len(names)
        parts: list[np.ndarray] = []
        is_sparse, kept, kept_at = np.zeros(layers, bool), [], np.full(layers, -1)
        columns, tiles, segment_at, segment_from = [], np.ones(layers, int), [], []
        back_row, back_parameter, column_at, column_from = [], [], [], []
        weights_at, biases_at, at, holes, back = [], [], 0, 0, 0

        for layer, name in enumerate(names):
            place = np.ix_(units[layer + 1], units[layer])
            values, keeps = weights[name][place], mask[name][place]
            is_sparse[layer] = forms[name] or not keeps.size
            weights_at.append(at)
            segment_from.append(sum(map(len, segment_at)))
            column_from.append(sum(map(len, column_at)))
            if is_sparse[layer]:
                rows, here = np.nonzero(keeps)
                tiled = -(-keeps.shape[1] // _TILE)
                if tiled > 1 and len(here) >= _LONG * len(keeps) * tiled:
                    tiles[layer] = tiled
                tile = here // _TILE if tiles[layer] > 1 else np.zeros_like(here)
                order = np.lexsort((here, rows, tile))
                rows, here, tile = rows[order], here[order], tile[order]
                per_segment = np.bincount(
                    tile * len(keeps) + rows, minlength=tiles[layer] * len(keeps)
                )
                parts.append(values[rows, here])
                columns.append(here)
                segment_at.append(at + np.concatenate([[0], np.cumsum(per_segment)]))
                by_column = np.argsort(here, kind="stable")
                back_row.append(rows[by_column])
                back_parameter.append(at + by_column)
                column_at.append(back + np.concatenate([[0], np.cumsum(keeps.sum(axis=0))]))
                back += len(here)
                place = (units[layer + 1][rows], units[layer][here])
            else:
                parts.append(np.where(keeps, values, np.float32(0)).ravel())
                columns.append(np.zeros(values.size, int))
                if not keeps.all():
                    kept_at[layer] = holes
                    kept.append(keeps.ravel())
                    holes += keeps.size
            self._places.append((name, place, slice(at, at + len(parts[-1]))))
            at += len(parts[-1])
        weights_at.append(at)
        for layer, name in enumerate(names):
            bias = name.replace(".weight", ".bias")
            parts.append(weights[bias][units[layer + 1]])
            biases_at.append(at)
            self._places.append((bias, units[layer + 1], slice(at, at + len(parts[-1]))))
            at += len(parts[-1])
        if self._recipe.weight_decay > 0:
            for name, place in _idle(mask, units):
                parts.append(weights[name][place])
                self._places.append((name, place, slice(at, at + len(parts[-1]))))
                at += len(parts[-1])

        parameters = np.concatenate(parts).astype(np.float32)
        moments = at if self._recipe.optimiser == "adam" else 0
        panel_at = width * np.concatenate([[0], np.cumsum(sizes)])
        return Net(
            width=width,
            pixels=math.prod(self._recipe.net.input),
            sizes=sizes,
            blocks=units[0][::8] // 8,
            is_sparse=is_sparse,
            kept=_joined(kept, np.float32),
            kept_at=kept_at,
            parameters=parameters,
            gradient=np.zeros_like(parameters),
            mean=np.zeros(moments, np.float32),
            square=np.zeros(moments, np.float32),
            weights_at=np.array(weights_at),
            biases_at=np.array(biases_at),
            column=_joined(columns, np.int32),
            tiles=tiles,
            segment_at=_joined(segment_at, np.int32),
            segment_from=np.array(segment_from),
            back_row=_joined(back_row, np.int32),
            back_parameter=_joined(back_parameter, np.int32),
            column_at=_joined(column_at, np.int32),
            column_from=np.array(column_from),
            activity=_aligned(panel_at[-1]),
            delta=_aligned(panel_at[-1]),
            panel_at=panel_at[:-1],
        )

    def attach(self, data: Data, *, judge: bool = True, order: int = 0) -> None:
        """Say what to train on and in which order, and to judge on if that is wanted."""
        self._data, self._images, self._epoch = data, _pictures(data.images), -1
        self._order_number = order
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
            "activity": _aligned(width * int(self.net.sizes.sum())),
        }
        return Answers(*(panels.get(name, getattr(self.net, name)) for name in Answers._fields))

    def steps(self, epoch: int, batch: int, losses: np.ndarray) -> None:
        if epoch != self._epoch:
            order = batch_order(self._recipe, epoch, self._order_number)
            self._epoch, self._order = epoch, self._data.train_index[order]
        rates = rates_of(self._recipe, epoch, batch, len(losses))
        compiled.train_steps(
            self.net, self.rule, SGEMM, self._images, self._data.labels, self._order,
            self._recipe.batch_size, batch, self._steps, rates.astype(np.float32), losses,
        )  # fmt: skip
        self._steps += len(losses)

    def evaluate(self, tick: Callable[[], None]) -> list[tuple[float, float]]:
        results = []
        for images, labels, chosen in self._judged_on:
            loss, right, count = 0.0, 0, len(chosen)
            for first in range(0, count, _SLICE):
                more = compiled.judge(
                    self._judge, SGEMM, images, labels, chosen[first : first + _SLICE]
                )
                loss, right = loss + more[0], right + more[1]
                tick()
            results.append((loss / count, right / count) if count else (math.nan, math.nan))
        return results

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits (n, classes) of images (n, pixels), float32, any number of them; not for two
        threads."""
        logits = np.empty((len(images), self._classes), np.float32)
        compiled.predict(self._predict, SGEMM, images.reshape(-1), len(images), logits)
        return logits

    def weights(self) -> Arrays:
        found = {name: value.copy() for name, value in self._start.items()}
        for name, place, where in self._places:
            values = self.net.parameters[where]
            target = found[name][place]
            found[name][place] = values.reshape(target.shape)
        return found


def _pictures(images: Images) -> Pictures:
    return Pictures(images.pixels.reshape(-1), images.values, images.lengths)


def _aligned(count: int) -> np.ndarray:
    """Zeros that begin with a line of the cache. NumPy's own begin anywhere, and a vector of
    examples that lies in two lines makes a sparse step 1.2 to 1.4 times as slow."""
    spare = np.zeros(count + 16, np.float32)
    first = -spare.ctypes.data % 64 // spare.itemsize
    return spare[first : first + count]


def _joined(parts: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)


def _live_units(mask: Arrays) -> list[np.ndarray]:
    """The units of each layer, input first, that some kept weight of a live unit reads; all
    outputs are live, and pixels come in blocks of eight."""
    kept = list(mask.values())
    live = [np.arange(len(kept[-1]))]
    for layer in reversed(kept):
        live.append(np.flatnonzero(layer[live[-1]].any(axis=0)))
    # Pixels by eights, as they are fetched.
    live[-1] = (8 * np.unique(live[-1] // 8)[:, None] + np.arange(8)).ravel()
    return live[::-1]


def _idle(mask: Arrays, units: list[np.ndarray]) -> list[tuple[str, tuple | np.ndarray]]:
    """Places of the kept weights and the biases of units that lead to no output."""
    places: list[tuple[str, tuple | np.ndarray]] = []
    for (name, kept), live in zip(mask.items(), units[1:], strict=True):
        dead = np.setdiff1d(np.arange(len(kept)), live)
        rows, columns = np.nonzero(kept[dead])
        places.append((name, (dead[rows], columns)))
        places.append((name.replace(".weight", ".bias"), dead))
    return places
