"""Weights and a mask -> the flat arrays that compiled code works on (`layers.Net`)."""

from __future__ import annotations

import math

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.recipe import Recipe
from lottery_core.training.layers import Net, Rule

_TILE = 192  # columns: 32 examples of them take 24 KB of a first-level cache
_LONG = 48  # weights of a row in a tile, from which on tiles save more than they cost


class Packer:
    """Packs layer by layer, then the biases, then on demand what no data reaches; the fields are
    those of `Net`, lists of what each layer adds.

    `forms` says by weight name which layers take the sparse form; with `eights`, inputs are pixels,
    which are fetched by eights. `places` tells where each part
    of the parameters came from: name, places there, and the slice of `Net.parameters`.
    """

    def __init__(
        self, weights: Arrays, mask: Arrays, forms: dict[str, bool], *, eights: bool = True
    ):
        self.places: list[tuple[str, tuple | np.ndarray, slice]] = []
        self._weights, self._mask = weights, mask
        self._units = live_units(mask, eights=eights)
        self._parts: list[np.ndarray] = []
        self._count = 0  # parameters so far
        self._is_sparse, self._weights_at, self._biases_at = [], [], []
        self._kept, self._kept_at = [], []
        self._columns, self._tiles, self._segment_at, self._segment_from = [], [], [], []
        self._back_row, self._back_parameter = [], []
        self._column_at, self._column_from = [], []
        for layer, name in enumerate(mask):
            inputs, outputs = self._units[layer], self._units[layer + 1]
            place = np.ix_(outputs, inputs)
            values, keeps = weights[name][place], mask[name][place]
            is_sparse = forms[name] or not keeps.size
            self._is_sparse.append(is_sparse)
            self._weights_at.append(self._count)
            self._segment_from.append(sum(map(len, self._segment_at)))
            self._column_from.append(sum(map(len, self._column_at)))
            if is_sparse:
                rows, here = self._index(keeps)
                self._put(name, (outputs[rows], inputs[here]), values[rows, here])
            else:
                self._fill(keeps)
                self._put(name, place, np.where(keeps, values, np.float32(0)).ravel())
        self._weights_at.append(self._count)
        for name, live in zip(mask, self._units[1:], strict=True):
            bias = name.replace(".weight", ".bias")
            self._biases_at.append(self._count)
            self._put(bias, live, weights[bias][live])

    def _put(self, name: str, place: tuple | np.ndarray, values: np.ndarray) -> None:
        """Parameters from there, next in order."""
        self._parts.append(values)
        self.places.append((name, place, slice(self._count, self._count + len(values))))
        self._count += len(values)

    def _index(self, keeps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index a sparse layer's kept weights by tile and row, and by column; their rows and
        columns in the order of the former, in which they are put next."""
        at, back = self._count, sum(map(len, self._back_row))
        rows, here = np.nonzero(keeps)
        tiles = -(-keeps.shape[1] // _TILE)
        if tiles < 2 or len(here) < _LONG * len(keeps) * tiles:
            tiles = 1
        tile = here // _TILE if tiles > 1 else np.zeros_like(here)
        order = np.lexsort((here, rows, tile))
        rows, here, tile = rows[order], here[order], tile[order]
        per_segment = np.bincount(tile * len(keeps) + rows, minlength=tiles * len(keeps))
        by_column = np.argsort(here, kind="stable")
        self._tiles.append(tiles)
        self._kept_at.append(-1)
        self._columns.append(here)
        self._segment_at.append(at + np.concatenate([[0], np.cumsum(per_segment)]))
        self._back_row.append(rows[by_column])
        self._back_parameter.append(at + by_column)
        self._column_at.append(back + np.concatenate([[0], np.cumsum(keeps.sum(axis=0))]))
        return rows, here

    def _fill(self, keeps: np.ndarray) -> None:
        """What there is to know of a dense layer: where its holes are."""
        self._tiles.append(1)
        self._columns.append(np.zeros(keeps.size, int))
        self._kept_at.append(-1 if keeps.all() else sum(map(len, self._kept)))
        if not keeps.all():
            self._kept.append(keeps.ravel())

    def pack_idle(self) -> None:
        """Kept weights and biases that no data reaches, at the end: they only decay."""
        for name, place in _idle(self._mask, self._units):
            self._put(name, place, self._weights[name][place])

    def net(self, recipe: Recipe, width: int) -> Net:
        """All of it, for panels of so many examples."""
        parameters = np.concatenate(self._parts).astype(np.float32)
        moments = self._count if recipe.optimiser == "adam" else 0
        sizes = np.array([len(found) for found in self._units])
        panel_at = width * np.concatenate([[0], np.cumsum(sizes)])
        return Net(
            width=width,
            pixels=math.prod(recipe.net.input),
            sizes=sizes,
            blocks=self._units[0][::8] // 8,
            is_sparse=np.array(self._is_sparse, bool),
            kept=_joined(self._kept, np.float32),
            kept_at=np.array(self._kept_at),
            parameters=parameters,
            gradient=np.zeros_like(parameters),
            mean=np.zeros(moments, np.float32),
            square=np.zeros(moments, np.float32),
            weights_at=np.array(self._weights_at),
            biases_at=np.array(self._biases_at),
            column=_joined(self._columns, np.int32),
            tiles=np.array(self._tiles),
            segment_at=_joined(self._segment_at, np.int32),
            segment_from=np.array(self._segment_from),
            back_row=_joined(self._back_row, np.int32),
            back_parameter=_joined(self._back_parameter, np.int32),
            column_at=_joined(self._column_at, np.int32),
            column_from=np.array(self._column_from),
            activity=aligned(panel_at[-1]),
            delta=aligned(panel_at[-1]),
            panel_at=panel_at[:-1],
        )


def rule_of(recipe: Recipe) -> Rule:
    """The recipe's optimiser; its learning rate comes with each step."""
    return Rule(
        recipe.optimiser == "adam",
        np.float32(recipe.momentum),
        np.float32(recipe.weight_decay),
    )


def aligned(count: int) -> np.ndarray:
    """Zeros that begin with a line of the cache. NumPy's own begin anywhere, and a vector of
    examples that lies in two lines makes a sparse step 1.2 to 1.4 times as slow."""
    spare = np.zeros(count + 16, np.float32)
    first = -spare.ctypes.data % 64 // spare.itemsize
    return spare[first : first + count]


def fill(*panels: np.ndarray) -> None:
    """Numbers of a usual size, for a rehearsal: zeros decay into ones that some processors are slow
    with."""
    draw = np.random.default_rng(0)
    for panel in panels:
        if len(panel) and not panel[-1]:  # else it was filled before
            panel[:] = draw.standard_normal(len(panel), np.float32)


def _joined(parts: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)


def live_units(mask: Arrays, *, eights: bool = False) -> list[np.ndarray]:
    """The units of each layer, input first, that some kept weight of a live unit reads; all
    outputs are live. With `eights`, inputs come in blocks of eight."""
    kept = list(mask.values())
    live = [np.arange(len(kept[-1]))]
    for layer in reversed(kept):
        live.append(np.flatnonzero(layer[live[-1]].any(axis=0)))
    if eights:
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
