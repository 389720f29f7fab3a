"""Networks as values: what a short text such as `64 64 pool 256 256` stands for.

A network is a list of operations, each of which reads earlier results; the operations that have
weights are named. All else about a network follows from that list: shapes, counts, multiply-adds,
and, elsewhere, its form in torch, in NumPy and in ONNX.

The texts are told of in `notation`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.notation import (
    MAX_WIDTH,
    OWN,
    RESNET,
    WIDTH,
    Impossible,
    called,
    factor_of,
    shortest,
)
from lottery_core.spec.own import is_own

Shape = tuple[int, ...]

MAX_LAYERS = 60  # that have weights
MAX_SIDE = 64  # pixels of an image
MAX_CLASSES = 100


@dataclass(frozen=True)
class Operation:
    """One step of the way from images to logits.

    `reads` are the numbers of the results it takes: 0 the images, n what operation n gave. `kind`
    is "conv", "norm" (batch norm), "relu", "pool" (the largest of 2x2), "mean" (over all pixels),
    "flat", "fc" or "add". `shape` is its result's for one image: (channels, rows, columns), or
    (units,). `name` is that of its parameters, empty without any.
    """

    kind: str
    reads: tuple[int, ...]
    shape: Shape
    name: str = ""
    kernel: int = 0
    stride: int = 1
    padding: int = 0


_VECTOR = 16  # float32 numbers of the longest


@dataclass(frozen=True)
class Network:
    """What a text means for images of one shape (channels, rows, columns) and a number of classes.

    `text` is the shortest that means the same, so that two texts of one network are equal here.
    """

    text: str
    input: Shape
    classes: int
    operations: tuple[Operation, ...]

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Prunable weights, from input to output: "conv1.weight" -> (outputs, inputs, rows,
        columns), "fc1.weight" -> (outputs, inputs)."""
        found = {}
        for at in self.operations:
            if at.kind in ("conv", "fc"):
                inputs = self.shape_of(at.reads[0])[0]
                kernel = (at.kernel, at.kernel) if at.kind == "conv" else ()
                found[f"{at.name}.weight"] = (at.shape[0], inputs, *kernel)
        return found

    @cached_property
    def parameters(self) -> dict[str, Shape]:
        """Everything that is trained, in the order of the operations: weights, biases, and scale
        and shift of batch norm. A convolution before batch norm has no bias: norm takes it away."""
        found = {}
        for n, at in enumerate(self.operations, 1):
            if at.kind in ("conv", "fc"):
                found[f"{at.name}.weight"] = self.shapes[f"{at.name}.weight"]
                if not self._is_normed(n):
                    found[f"{at.name}.bias"] = at.shape[:1]
            elif at.kind == "norm":
                found |= {f"{at.name}.{part}": at.shape[:1] for part in ("weight", "bias")}
        return found

    @cached_property
    def buffers(self) -> dict[str, Shape]:
        """What batch norm remembers of its batches: running mean and variance by channel."""
        return {
            f"{at.name}.{part}": at.shape[:1]
            for at in self.operations
            if at.kind == "norm"
            for part in ("running_mean", "running_var")
        }

    @property
    def output(self) -> str:
        """Name of the last layer's weight."""
        return list(self.shapes)[-1]

    @cached_property
    def weights_total(self) -> int:
        """Number of prunable weights; biases and batch norm are never pruned and never counted."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @cached_property
    def positions(self) -> dict[str, int]:
        """For how many places of an image each weight is used: pixels of a convolution's result,
        1 of a fully connected layer."""
        return {
            f"{at.name}.weight": math.prod(at.shape[1:])
            for at in self.operations
            if at.kind in ("conv", "fc")
        }

    def multiply_adds(self, kept: Mapping[str, int] | None = None) -> int:
        """Multiply-adds of one image's way forward; `kept` counts weights where some are gone."""
        counts = kept or {name: math.prod(shape) for name, shape in self.shapes.items()}
        return sum(counts[name] * places for name, places in self.positions.items())

    @property
    def is_own(self) -> bool:
        """Whether it is a module of somebody's own; it has no operations then."""
        return is_own(self.text)

    @property
    def is_convolutional(self) -> bool:
        """Whether it has convolutions."""
        return any(at.kind == "conv" for at in self.operations)

    @property
    def is_narrow(self) -> bool:
        """Whether a 1x1 convolution with a stride reads fewer channels than a processor's vector
        may hold: with channels last, torch's gradient of it is written beyond where it belongs, and
        processes end without a word (github.com/uxlfoundation/oneDNN/issues/6035)."""
        return any(
            at.kind == "conv"
            and at.kernel == 1 < at.stride
            and self.shape_of(at.reads[0])[0] < _VECTOR
            for at in self.operations
        )

    @property
    def version(self) -> int:
        """Raised where the same network would now give other numbers: narrow ones were trained with
        wrong gradients."""
        return 2 if self.is_narrow else 1

    @cached_property
    def activations(self) -> int:
        """Numbers that one image's way forward makes, all results together."""
        return sum(math.prod(at.shape) for at in self.operations)

    def shape_of(self, n: int) -> Shape:
        """Shape of result `n`; 0 are the images."""
        return self.operations[n - 1].shape if n else self.input

    @property
    def title(self) -> str:
        """As `called`; a fully connected one without a name by its layers' units."""
        name = called(self.text)
        return name if name != self.text or self.is_convolutional else self.sizes

    @property
    def sizes(self) -> str:
        """A fully connected network by its layers' units, with hyphens; others as `title`."""
        if self.is_convolutional:
            return self.title
        units = [math.prod(self.input), *(at.shape[0] for at in self.operations if at.name)]
        return "-".join(map(str, units))

    @property
    def in_words(self) -> str:
        """What it is made of, and for which images: a phrase."""
        if not self.is_convolutional:
            return f"{self.sizes}, ReLU"
        count = Counter(at.kind for at in self.operations)
        more = "s" if count["conv"] > 1 else ""
        what = [f"{count['conv']} convolution{more}, {count['fc']} fully connected"]
        what += ["batch norm"] if count["norm"] else []
        what += ["shortcuts"] if count["add"] else []
        named = self.title if self.title == self.text else f"{self.title} ({self.text})"
        image = "x".join(map(str, self.input))
        classes = f"images of {image}, {self.classes} classes"
        return f"{named}: {', '.join(what)}, ReLU; {classes}"

    def _is_normed(self, n: int) -> bool:
        return any(at.kind == "norm" and at.reads == (n,) for at in self.operations)


class _Builder:
    """Puts operations behind each other; each method gives the number of its result."""

    def __init__(self, image: Shape):
        self.operations: list[Operation] = []
        self._image = image
        self._count = dict.fromkeys(("conv", "norm", "fc"), 0)

    def shape_of(self, n: int) -> Shape:
        return self.operations[n - 1].shape if n else self._image

    def _put(self, kind: str, reads: tuple[int, ...], shape: Shape, **more) -> int:
        name = more.pop("name", "")
        if kind in self._count and not name:
            self._count[kind] += 1
            name = f"{kind}{self._count[kind]}"
        self.operations.append(Operation(kind, reads, shape, name, **more))
        return len(self.operations)

    def conv(
        self, at: int, channels: int, kernel: int = 3, stride: int = 1, *, valid: bool = False
    ) -> int:
        padding = 0 if valid else kernel // 2
        sides = [(side + 2 * padding - kernel) // stride + 1 for side in self.shape_of(at)[1:]]
        if min(sides) < 1:
            rows, columns = self.shape_of(at)[1:]
            raise Impossible(
                f"has a kernel of {kernel}x{kernel} where only {rows}x{columns} pixels are left; "
                "choose smaller kernels or fewer pools"
            )
        options = {"kernel": kernel, "stride": stride, "padding": padding}
        return self._put("conv", (at,), (channels, *sides), **options)

    def norm(self, at: int) -> int:
        return self._put("norm", (at,), self.shape_of(at))

    def relu(self, at: int) -> int:
        return self._put("relu", (at,), self.shape_of(at))

    def pool(self, at: int) -> int:
        channels, *sides = self.shape_of(at)
        if min(sides) < 2:
            raise Impossible("pools where only one pixel is left; choose fewer pools")
        return self._put("pool", (at,), (channels, *(side // 2 for side in sides)))

    def mean(self, at: int) -> int:
        return self._put("mean", (at,), self.shape_of(at)[:1])

    def flat(self, at: int) -> int:
        shape = self.shape_of(at)
        return at if len(shape) == 1 else self._put("flat", (at,), (math.prod(shape),))

    def fc(self, at: int, units: int) -> int:
        return self._put("fc", (self.flat(at),), (units,))

    def add(self, one: int, other: int) -> int:
        return self._put("add", (one, other), self.shape_of(one))


@lru_cache(maxsize=512)
def network(text: str, image: Shape, classes: int) -> Network:
    """The network that a name or a text stands for. Raises `InvalidValue` ("network")."""
    plain = shortest(text)
    if plain in OWN:
        return OWN[plain](image, classes)
    build = _Builder(image)
    try:
        if match := RESNET.match(plain):
            _residual(build, int(match[1]), classes, factor_of(plain))
        else:
            _chain(build, plain.split(), classes)
        _check_layers(build)
    except Impossible as problem:
        raise InvalidValue("network", text, str(problem)) from None
    return Network(plain, image, classes, tuple(build.operations))


def narrowed(net: Network, widths: Mapping[str, int]) -> Network:
    """The same network with other numbers of units or channels, by layer: {"conv1": 3, "fc1": 20}.

    Its text is one that makes it again where the notation can say it; of shortcuts, whose widths go
    by stages, it is words.
    """
    operations: list[Operation] = []
    for at in net.operations:
        n = at.reads[0]
        flow = operations[n - 1].shape if n else net.input
        first = math.prod(flow) if at.kind == "flat" else widths.get(at.name, flow[0])
        operations.append(replace(at, shape=(first, *at.shape[1:])))
    if RESNET.match(net.text):
        return replace(net, text=f"{net.text} with fewer channels", operations=tuple(operations))
    numbers = iter(at.shape[0] for at in operations if at.kind in ("conv", "fc"))
    words = [re.sub(r"^\d+", lambda _: str(next(numbers)), word) for word in net.text.split()]
    return replace(net, text=" ".join(words), operations=tuple(operations))


def _chain(build: _Builder, words: list[str], classes: int) -> None:
    """Convolutions up to the last pool or mean, fully connected layers after it."""
    words = [] if words == ["none"] else words
    normed = words[:1] == ["norm"]
    words = words[normed:]
    last = max((n for n, word in enumerate(words) if word in ("pool", "mean")), default=-1)
    at = 0
    for n, word in enumerate(words):
        if word == "pool":
            at = build.pool(at)
        elif word == "mean":
            if n != last:
                raise Impossible("has a mean before its last pool; nothing is left to pool")
            at = build.mean(at)
        else:
            width, kernel, valid = WIDTH.fullmatch(word).groups()
            if n < last:
                at = build.conv(at, int(width), int(kernel or 3), valid=bool(valid))
                at = build.norm(at) if normed else at
            elif kernel:
                raise Impossible(
                    f"has a kernel in {word!r} after its last pool, where layers are fully "
                    "connected; end the convolutions with pool or mean"
                )
            else:
                at = build.fc(at, int(width))
            at = build.relu(at)
    if normed and last < 0:
        raise Impossible("has batch norm without a convolution; leave norm out")
    build.fc(at, classes)


def _residual(build: _Builder, depth: int, classes: int, factor: float) -> None:
    """He et al. 2016, section 4.2: three stages of n blocks, 6n + 2 layers; where the size
    changes, the shortcut is a convolution of 1x1 with batch norm."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or not 1 <= blocks <= 9:
        raise Impossible(f"has {depth} layers; they must be 6n + 2, from 8 to 56: resnet-20")
    widths = [max(1, round(width * factor)) for width in (16, 32, 64)]
    if max(widths) > MAX_WIDTH:
        raise Impossible(f"has a width of {max(widths):,}; it must be at most {MAX_WIDTH:,}")
    at = build.relu(build.norm(build.conv(0, widths[0])))
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            inner = build.relu(build.norm(build.conv(at, width, 3, stride)))
            inner = build.norm(build.conv(inner, width))
            if build.shape_of(at) != build.shape_of(inner):
                at = build.norm(build.conv(at, width, 1, stride))
            at = build.relu(build.add(inner, at))
    build.fc(build.mean(at), classes)


def _check_layers(build: _Builder) -> None:
    layers = sum(at.kind in ("conv", "fc") for at in build.operations)
    if layers > MAX_LAYERS:
        raise Impossible(f"has {layers} layers of weights; the limit is {MAX_LAYERS}")
