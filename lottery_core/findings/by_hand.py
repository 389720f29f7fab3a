"""A network pruned by hand: what was rubbed out of its pictures, and what it still gets right.

Beside the hand stand magnitude and chance, which take as many weights from each layer. Nothing is
trained again. Accuracies are of test images, to be looked at: what was chosen by them is no longer
judged fairly by them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lottery_core.findings import answers
from lottery_core.findings.rubbed import Rubbed
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply
from lottery_core.method.pruning import Target, prune
from lottery_core.method.seeds import seed_of
from lottery_core.report.tiles import tiles
from lottery_core.spec.checks import InvalidValue, check_integer
from lottery_core.spec.networks import Network, Shape
from lottery_core.spec.recipe import Recipe
from lottery_core.store.pictures import shrink

MOST_STROKES = 1_000
# Multiply-adds that NumPy does in about 0.1 s on a free core, and by how much those of a
# convolution, which has to be laid out first, take longer than a matrix's.
_WORK, _SLOWER = 1.5e9, 5
FIRST = 0.1  # seconds after which the first answer is told, of as many images as are done by then
_COUNTS = (200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(frozen=True)
class Stroke:
    """What was rubbed out in one go: a layer by its weight's name, and cells of its picture (see
    `cells_of`), int (n,)."""

    layer: str
    cells: np.ndarray


@lru_cache(maxsize=8)
def cells_of(shape: Shape) -> np.ndarray:
    """For each weight of a layer with that `shape` the cell of its picture, counted row by row, in
    which it is drawn: what `store.pictures.shrink` leaves of the layer, laid out by `tiles`."""
    picture, block = shrink(np.zeros(shape, np.float32), np.ones(shape, bool))
    # From 1 on: a place that is empty has 0.
    numbers = np.arange(1, picture.size + 1, dtype=np.int32).reshape(picture.shape)
    laid = tiles(as_kernels(numbers)).cells.ravel()
    drawn = np.flatnonzero(laid)
    at = np.empty(picture.size, np.int32)
    at[laid[drawn] - 1] = drawn
    at = at.reshape(picture.shape)
    if picture.shape == shape:
        return at
    outputs, inputs = (np.arange(size) // block for size in shape[:2])
    blocks = at[outputs[:, None], inputs]
    return np.broadcast_to(blocks.reshape(*blocks.shape, *(1 for _ in shape[2:])), shape)


def as_kernels(picture: np.ndarray) -> np.ndarray:
    """A matrix as kernels of one weight each; kernels as they are."""
    return picture.reshape(*picture.shape, 1, 1) if picture.ndim == 2 else picture


def read_strokes(sent: object, shapes: Mapping[str, Shape]) -> list[Stroke]:
    """What a browser sends: for each stroke [the number of its layer, [first cell, how many beside
    it, first cell, ...]], no cell twice.

    Raises `InvalidValue` for anything else: a forged client may send what it likes.
    """
    if not isinstance(sent, list) or len(sent) > MOST_STROKES:
        raise InvalidValue("strokes", type(sent).__name__, f"must be a list of {MOST_STROKES:,}")
    names, found = list(shapes), []
    room = {name: _cells_in(shape) for name, shape in shapes.items()}
    for one in sent:
        if not isinstance(one, list) or len(one) != 2 or not isinstance(one[1], list):
            raise InvalidValue("stroke", one, "must be a layer and its runs of cells")
        check_integer("layer", one[0], 0, len(names) - 1)
        name = names[one[0]]
        cells = _unrolled(one[1], _cells_in(shapes[name]), room[name])
        room[name] -= cells.size
        found.append(Stroke(name, cells))
    return found


def _cells_in(shape: Shape) -> int:
    return int(cells_of(shape).max()) + 1


def _unrolled(runs: list, count: int, room: int) -> np.ndarray:
    """The cells of runs, of `count` that there are and at most `room`."""
    if len(runs) % 2 or not all(type(number) is int and 0 <= number <= count for number in runs):
        raise InvalidValue("runs", runs, f"must be pairs of whole numbers from 0 to {count:,}")
    first, counts = np.array(runs, int).reshape(-1, 2).T
    ends = np.cumsum(counts)
    if (first + counts > count).any() or ends[-1:].sum() > room:
        raise InvalidValue("runs", runs, f"must name each of {count:,} cells once at most")
    return np.repeat(first - ends + counts, counts) + np.arange(counts.sum())


def rub_out(mask: Arrays, strokes: Sequence[Stroke]) -> Arrays:
    """What `mask` keeps after all strokes; masks of layers that none touched are the same."""
    left = dict(mask)
    for name in {stroke.layer for stroke in strokes}:
        at = cells_of(mask[name].shape)
        gone = np.zeros(_cells_in(at.shape), bool)
        for stroke in strokes:
            if stroke.layer == name:
                gone[stroke.cells] = True
        left[name] = mask[name] & ~gone[at]
    return left


def as_many(criterion: str, weights: Arrays, mask: Arrays, left: Arrays, seed: int = 0) -> Arrays:
    """The mask after a criterion (`method.criteria`) that looks at weights alone has taken as many
    of each layer as are gone in `left`; `seed` is that of a criterion by chance."""
    targets = [
        Target((name,), (kept.size - int(kept.sum())) / kept.size) for name, kept in left.items()
    ]
    return prune(Evidence(weights, apply(weights, mask), mask, seed), criterion, targets)


def count(mask: Arrays, names: Iterable[str]) -> int:
    """How many weights of these layers are kept."""
    return sum(int(mask[name].sum()) for name in names)


@dataclass(frozen=True)
class Sample:
    """Test images as the network reads them, (n, pixels) float32, and their labels, of `total`; in
    an order by chance, so that the first of them are a sample too."""

    images: np.ndarray
    labels: np.ndarray
    total: int


@dataclass(frozen=True)
class Right:
    """How many of `of` test images, of `total` that there are, a network names rightly."""

    right: int
    of: int
    total: int

    @property
    def accuracy(self) -> float:
        """The fraction."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """95 % for the accuracy on all images like these: Wilson's score interval."""
        z, share = 1.96, self.accuracy
        middle = share + z**2 / (2 * self.of)
        half = z * math.sqrt(share * (1 - share) / self.of + z**2 / (4 * self.of**2))
        return tuple((middle + side * half) / (1 + z**2 / self.of) for side in (-1, 1))

    @property
    def in_words(self) -> str:
        """Of which images it is, and unless of all, what of all can be expected: "of 200 test
        images, 91 to 97 %"."""
        if self.of == self.total:
            return f"of all {self.of:,} test images"
        low, high = (100 * end for end in self.interval)
        decimals = 0 if high - low >= 2 else 1
        return f"of {self.of:,} test images, {low:.{decimals}f} to {high:.{decimals}f}\u202f%"


def images_for(network: Network) -> int:
    """How many test images go through a network in about 0.1 s; 200 at least, which of a large
    network take longer."""
    work = network.multiply_adds(
        {
            name: math.prod(shape) * (_SLOWER if shape[2:] else 1)
            for name, shape in network.shapes.items()
        }
    )
    return max((n for n in _COUNTS if n * work <= _WORK), default=_COUNTS[0])


def sample(recipe: Recipe, root: Path) -> Sample:
    """As many test images as `images_for` says, the first in an order by chance that is always the
    same.

    Raises `DataUnavailable` where the data set was never fetched.
    """
    images, labels = answers.unseen_images(recipe.dataset, root, content=recipe.content)
    order = np.random.default_rng(seed_of(0, "by hand")).permutation(len(images))
    chosen = order[: images_for(recipe.net)]
    read = answers.reader(recipe, root)(images[chosen])
    return Sample(read, labels[chosen], len(images))


def rubbed(network: Network, weights: Arrays, of: Sample, first: int) -> Rubbed:
    """What answers a sample as weights of operation `first` go (see `first_touched`)."""
    return Rubbed(network, weights, of.images.reshape(-1, *network.input), first)


def first_touched(network: Network, mask: Arrays, left: Arrays, shown: str) -> int:
    """The first operation, counted from 1, of whose weights `left` keeps others than `mask`; where
    there is none, that whose weights are `shown`."""
    names = [f"{at.name}.weight" for at in network.operations]
    touched = [name for name in left if left[name] is not mask[name]] or [shown]
    return 1 + min(map(names.index, touched))


def counted(way: Rubbed, weights: Arrays, of: Sample) -> Iterator[Right]:
    """How many images the network with these weights has named rightly, after more and more of the
    sample."""
    right = done = 0
    for given in way.logits(weights):
        named = given.argmax(axis=1)
        right += int((named == of.labels[done : done + len(named)]).sum())
        done += len(named)
        yield Right(right, done, of.total)


def go_on(
    ways: Iterator[Right], until: Callable[[Right], bool] = lambda found: False
) -> Right | None:
    """What is counted when that is so, of one part more at least; None where all was counted
    before."""
    found = None
    # The cores may be busy with trainings: two threads would wait for each other.
    with threadpool_limits(1, "blas"):
        for found in ways:
            if until(found):
                break
    return found


def accuracy(recipe: Recipe, weights: Arrays, mask: Arrays, of: Sample) -> float:
    """The fraction of a sample that the network with these weights, masked, names rightly."""
    # The cores may be busy with trainings: two threads would wait for each other.
    with threadpool_limits(1, "blas"):
        named = answers.answers(recipe, apply(weights, mask), of.images)
    return float((named == of.labels).mean())
