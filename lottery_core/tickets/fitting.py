"""Shapes of layers in a file -> the networks that have such layers.

A *route* is one way to understand layers whose order is not known: as those of one network, or as
a chain of convolutions and fully connected layers for images of one kind. It says whether layers of
these shapes may be such ones (`holds`), which may come after `done` others with a `last` one
(`fits`), and, once they are in order, which networks they may be of (`fitting`), the likeliest
first. Shapes are as in torch: (outputs, inputs) and (outputs, inputs, rows, columns).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.networks import MAX_LAYERS, Network, Shape, network
from lottery_core.spec.notation import NAMED
from lottery_core.tickets.unpacking import is_kernel

_USUAL = (((1, 28, 28), 10), ((3, 32, 32), 10), ((3, 32, 32), 100))  # MNIST, CIFAR-10, CIFAR-100
_STAGES = (16, 32, 64)  # channels of a ResNet's stages at their plain width


class Route(Protocol):
    """See above. `normed` says whether there is batch norm, None where that is not known."""

    def holds(self, shapes: Sequence[Shape]) -> bool: ...

    def fits(self, done: int, last: Shape, shape: Shape) -> bool: ...

    def fitting(self, shapes: Sequence[Shape], normed: bool | None) -> list[Fit]: ...


@dataclass(frozen=True)
class Fit:
    """A network that layers may be of, and how odd that would be: 0 is usual."""

    network: Network
    oddity: int = 0


def kinds() -> list[tuple[Shape, int]]:
    """(image, classes) of the data sets that are known, and of those that are usual."""
    known = ((one.image, one.classes) for one in [*DATASETS.values()])
    return [*dict.fromkeys([*known, *_USUAL])]


def named(text: str) -> list[Network]:
    """What a text means for images of every kind. Raises `InvalidValue` if it means nothing."""
    found, problem = [], None
    for image, classes in kinds():
        try:
            found.append(network(text, image, classes))
        except InvalidValue as error:
            problem = problem or error
    if not found:
        raise problem
    return found


def routes(shapes: Sequence[Shape], known: Sequence[Network]) -> list[Route]:
    """Those that hold for layers of these shapes: of the `known` networks if there are any, of
    whatever networks can be named else."""
    every: list[Route] = [Known(one) for one in known]
    if not known:
        convs = sum(len(shape) == 4 for shape in shapes)
        every = [Chain(image, classes, len(shapes), convs) for image, classes in kinds()]
        every += [
            Known(one) for image, classes in kinds() for one in _resnets(shapes, image, classes)
        ]
    if not all(is_kernel(shape[2:]) for shape in shapes if len(shape) == 4):
        return []
    return [route for route in every if route.holds(shapes)]


@dataclass(frozen=True)
class Known:
    """One network, whose layers have their places."""

    network: Network

    def holds(self, shapes: Sequence[Shape]) -> bool:
        """Whether the network has these shapes, each as often."""
        return sorted(shapes) == sorted(self.network.shapes.values())

    @cached_property
    def _places(self) -> list[Shape]:
        return [*self.network.shapes.values()]

    def fits(self, done: int, last: Shape, shape: Shape) -> bool:
        """Whether this shape comes next in the network."""
        return self._places[done] == shape

    def fitting(self, shapes: Sequence[Shape], normed: bool | None) -> list[Fit]:
        """The one."""
        return [Fit(self.network)]


@dataclass(frozen=True)
class Chain:
    """`count` layers, the first `convs` of them convolutions, from images to classes."""

    image: Shape
    classes: int
    count: int
    convs: int

    def holds(self, shapes: Sequence[Shape]) -> bool:
        """Whether as many layers begin with each size as end with it, as they do in a chain."""
        if not 0 < self.count - self.convs <= self.count <= MAX_LAYERS:
            return False
        convs, fcs = [s for s in shapes if len(s) == 4], [s for s in shapes if len(s) == 2]
        given = Counter([self.image[0], *(s[0] for s in convs)]) - Counter(s[1] for s in convs)
        asked = Counter([self.classes, *(s[1] for s in fcs)]) - Counter(s[0] for s in fcs)
        if given.total() != 1 or asked.total() != 1:
            return False
        (channels,), (inputs,) = given, asked
        return inputs % channels == 0 if convs else inputs == math.prod(self.image)

    def fits(self, done: int, last: Shape, shape: Shape) -> bool:
        """Whether it reads what the last one gives, and is a convolution where one must come."""
        if (len(shape) == 4) != (done < self.convs):
            return False
        if done + 1 == self.count and shape[0] != self.classes:
            return False
        if not done:
            return shape[1] == (self.image[0] if self.convs else math.prod(self.image))
        if done == self.convs:
            return shape[1] % last[0] == 0
        return shape[1] == last[0]

    def fitting(self, shapes: Sequence[Shape], normed: bool | None) -> list[Fit]:
        """Two at most: where the pools are is not in the shapes. Networks that have a name, at any
        width, have them where they have; else they stand where the channels widen, if they can."""
        texts = [(0, self._like(text, shapes, normed)) for text, _ in NAMED.values()]
        texts += _texts(shapes, self.image, bool(normed))
        found: dict[Network, Fit] = {}
        for oddity, text in texts:
            one = self._network(text, shapes) if text else None
            if one is not None:
                found.setdefault(one, Fit(one, oddity))
        return [*found.values()][:2]

    def _like(self, text: str, shapes: Sequence[Shape], normed: bool | None) -> str:
        """That text with other widths, if these are the shapes of such; "" else."""
        words = text.split()
        widths = [int(word.partition("@")[0]) for word in words if word[0].isdigit()]
        found = [shape[0] for shape in shapes][:-1]
        if len(widths) != len(found) or not found:
            return ""
        factors = (one / other for one, other in zip(found, widths, strict=True))
        if not any([max(1, round(f * width)) for width in widths] == found for f in factors):
            return ""
        left = iter(found)
        words = [
            word.replace(word.partition("@")[0], str(next(left)), 1) if word[0].isdigit() else word
            for word in words
        ]
        if normed is not None:
            words = ["norm"] * normed + [word for word in words if word != "norm"]
        return " ".join(words)

    def _network(self, text: str, shapes: Sequence[Shape]) -> Network | None:
        try:
            one = network(text, self.image, self.classes)
        except InvalidValue:
            return None
        return one if [*one.shapes.values()] == [*shapes] else None


def _resnets(shapes: Sequence[Shape], image: Shape, classes: int) -> Iterator[Network]:
    """The ResNet that has these shapes, at any width."""
    convs = [shape for shape in shapes if len(shape) == 4]
    depth = len(convs) - 1  # two of them are on the shortcuts, and one layer is fully connected
    if not 8 <= depth <= MAX_LAYERS:
        return
    widths = {shape[0] for shape in convs}
    for factor in sorted({width / stage for width in widths for stage in _STAGES}, reverse=True):
        try:
            one = network(f"resnet-{depth} x{factor:.6f}", image, classes)
        except InvalidValue:
            continue
        if Known(one).holds(shapes):
            yield one
            return


# Where a chain pools

# A text in the making: how odd it is so far, and its words.
_Begun = tuple[int, tuple[str, ...]]


def _texts(shapes: Sequence[Shape], image: Shape, normed: bool) -> Iterator[tuple[int, str]]:
    """(oddity, text) of networks with these layers, the least odd first; two at least where there
    are two.

    Each convolution keeps the size or is valid, and a pool may come after it; after the last come
    a pool, a mean, or both. Odd is a valid convolution, a pool before a layer of as many channels,
    and no pool before one of more.
    """
    convs = [shape for shape in shapes if len(shape) == 4]
    fcs = [shape for shape in shapes if len(shape) == 2]
    last = [str(shape[0]) for shape in fcs[:-1]]
    if not convs:
        yield 0, " ".join(last) or "none"
        return
    # (side of the images there, whether it ends in a pool) -> the likeliest texts that lead there.
    reached: dict[tuple[int, bool], list[_Begun]] = {(image[1], False): [(0, ("norm",) * normed)]}
    for n, shape in enumerate(convs):
        widens = n + 1 < len(convs) and convs[n + 1][0] > shape[0]
        now: dict[tuple[int, bool], list[_Begun]] = {}
        for (side, _), texts in reached.items():
            for after, words, is_valid in _steps(shape, side):
                pools = words[-1] == "pool"
                odd = 2 * is_valid + (pools != widens and n + 1 < len(convs))
                known = now.setdefault((after, pools), [])
                known += [(cost + odd, text + words) for cost, text in texts]
        reached = {place: heapq.nsmallest(2, texts) for place, texts in now.items()}
    inputs, channels, found = fcs[0][1], convs[-1][0], []
    for (side, pools), texts in reached.items():
        for cost, text in texts:
            if pools and inputs == channels * side * side:
                found.append((cost, [*text, *last]))
            if inputs == channels:
                found.append((cost + pools, [*text, "mean", *last]))
    yield from ((cost, " ".join(text)) for cost, text in sorted(found))


def _steps(shape: Shape, side: int) -> Iterator[tuple[int, tuple[str, ...], bool]]:
    """(side after it, words, whether it is valid) of a convolution and the pool that may come."""
    width, kernel = str(shape[0]), shape[2]
    for is_valid in (False, True) if kernel > 1 else (False,):
        after = side - kernel + 1 if is_valid else side
        word = width if kernel == 3 and not is_valid else f"{width}@{kernel}{'v' * is_valid}"
        if after >= 1:
            yield after, (word,), is_valid
        if after >= 2:
            yield after // 2, (word, "pool"), is_valid


# In words


def in_words(shapes: Sequence[Shape]) -> str:
    """Shapes as they stand in a sentence, the first of many."""
    texts = [" x ".join(map(str, shape)) for shape in shapes]
    more = f" and {len(texts) - 5} more" if len(texts) > 6 else ""
    return ", ".join(texts[: 5 if more else 6]) + more


def what_would_fit(known: Sequence[Network]) -> str:
    """The rest of the sentence that refuses shapes."""
    if known:
        shapes = in_words([*known[0].shapes.values()])
        return f"the network that is named, {_short(known[0].title)}, has {shapes}"
    images = " or ".join(dict.fromkeys("x".join(map(str, image)) for image, _ in kinds()[:4]))
    classes = " or ".join(map(str, dict.fromkeys(count for _, count in kinds()[:4])))
    return (
        f"layers must lead from images of {images} to {classes} classes, each reading what one "
        "gives, as in lenet-5, vgg-16, resnet-20 or `6 pool 16 pool 120`"
    )


def taken_for(net: Network, others: Sequence[Network]) -> str:
    """What is told where the shapes of convolutions were taken for those of one network."""
    images = f"images of {'x'.join(map(str, net.input))} and {net.classes} classes"
    text = f"By their shapes, the layers were taken for those of {net.title}, for {images}."
    if others:
        other = others[0]
        if other.text == net.text:
            size = "x".join(map(str, other.input))
            text += f" Images of {size} and {other.classes} classes would fit too."
        else:
            text += (
                f" Where it pools is not in the file: {other.title} has these shapes too, and is "
                "read if you name it as the network."
            )
    return text


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
