"""Networks as values: what a short text such as `64 64 pool 256 256` stands for.

A network is a list of operations, each of which reads earlier results; the operations that have
weights are named. All else about a network follows from that list: shapes, counts, multiply-adds,
and, elsewhere, its form in torch, in NumPy and in ONNX.

The text is the notation of Frankle and Carbin (2018): the channels of convolutions and `pool`, then
the units of fully connected layers; the output layer goes without saying.

    128 64                    fully connected; nothing before the last pool means no convolution
    64 64 pool 256 256        two convolutions of 3x3, max pooling of 2x2, two layers of 256 units
    6@5 pool 16@5v pool 120   kernels of 5x5; v: valid, without the rim of zeros that keeps the size
    norm 64 pool 128 mean     batch norm after each convolution; the mean over what pixels are left
    resnet-20                 He et al. 2016 (arXiv 1512.03385) for small images, by name alone
    vgg-16 x0.5               any text with a factor for all of its widths
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.own import is_own

# Name -> text and a few words, in the order in which they are offered.
NAMED = {
    "notebook": ("128 64", "the notebook's"),
    "lenet-300-100": ("300 100", "LeNet-300-100 of the paper"),
    "lenet-5": ("6@5 pool 16@5v pool 120 84", "LeNet-5, LeCun et al. 1998, with ReLU"),
    "conv-2": ("64 64 pool 256 256", "Conv-2 of the paper"),
    "conv-4": ("64 64 pool 128 128 pool 256 256", "Conv-4 of the paper"),
    "conv-6": ("64 64 pool 128 128 pool 256 256 pool 256 256", "Conv-6 of the paper"),
    "vgg-16": (
        "norm 64 64 pool 128 128 pool 256 256 256 pool 512 512 512 pool 512 512 512 mean",
        "VGG-16, Simonyan and Zisserman 2014, with batch norm",
    ),
    "resnet-20": ("resnet-20", "ResNet-20, He et al. 2016, with batch norm"),
}
Shape = tuple[int, ...]

MAX_LAYERS = 60  # that have weights
MAX_WIDTH = 2048  # channels of a convolution, or units
MAX_KERNEL = 11
MAX_SIDE = 64  # pixels of an image
MAX_CLASSES = 100
_RESNET = re.compile(r"resnet-(\d{1,3})")
_FACTOR = re.compile(r"x(\d*\.?\d+)")
_WIDTH = re.compile(r"(\d{1,5})(?:@(\d{1,2})(v?))?")


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

    @cached_property
    def activations(self) -> int:
        """Numbers that one image's way forward makes, all results together."""
        return sum(math.prod(at.shape) for at in self.operations)

    def shape_of(self, n: int) -> Shape:
        """Shape of result `n`; 0 are the images."""
        return self.operations[n - 1].shape if n else self.input

    @property
    def title(self) -> str:
        """Its name where it has one, else its text; a fully connected one by its layers' units."""
        for name, (text, _) in NAMED.items():
            if text == self.text:
                return name
        if not self.is_convolutional:
            return self.sizes
        return self.text

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


# Modules that this process brought along: name (see `own`) -> what it is for images and classes.
OWN: dict[str, Callable[[Shape, int], Network]] = {}


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
            raise _Impossible(
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
            raise _Impossible("pools where only one pixel is left; choose fewer pools")
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


class _Impossible(Exception):
    """Why a text makes no network."""


@lru_cache(maxsize=512)
def network(text: str, image: Shape, classes: int) -> Network:
    """The network that a name or a text stands for. Raises `InvalidValue` ("network")."""
    plain = shortest(text)
    if plain in OWN:
        return OWN[plain](image, classes)
    build = _Builder(image)
    try:
        if match := _RESNET.match(plain):
            _residual(build, int(match[1]), classes, _factor_of(plain))
        else:
            _chain(build, plain.split(), classes)
        _check_layers(build)
    except _Impossible as problem:
        raise InvalidValue("network", text, str(problem)) from None
    return Network(plain, image, classes, tuple(build.operations))


def shortest(text: str) -> str:
    """The one text among all that mean the same network: names spelled out, widths multiplied.

    Raises `InvalidValue` for what is none.
    """
    if is_own(text):
        if text not in OWN:
            rule = "is code that this process does not know; give it to lottery_core.network first"
            raise InvalidValue("network", text, rule)
        return text
    words = text.lower().replace(",", " ").split()
    factor = 1.0
    if words and (match := _FACTOR.fullmatch(words[-1])):
        factor = float(match[1])
        words.pop()
        if not 0 < factor <= 16:
            raise InvalidValue("network", text, "has a width factor that is not above 0 and to 16")
    if words == ["none"]:
        words = []
    if len(words) == 1 and words[0] in NAMED:
        words = NAMED[words[0]][0].split()
    if len(words) == 1 and _RESNET.fullmatch(words[0]):
        return words[0] if factor == 1 else f"{words[0]} x{factor:g}"
    try:
        return " ".join(_word(word, n, factor) for n, word in enumerate(words)) or "none"
    except _Impossible as problem:
        raise InvalidValue("network", text, str(problem)) from None


def _word(word: str, n: int, factor: float) -> str:
    if word in ("pool", "mean") or (word == "norm" and n == 0):
        return word
    match = _WIDTH.fullmatch(word)
    if not match:
        raise _Impossible(
            f"has {word!r}, which is none of: a width as 64, a width with a kernel as 6@5, pool, "
            f"mean, norm in front, or one of the names {', '.join(NAMED)}"
        )
    width, kernel, valid = int(match[1]), int(match[2] or 3), match[3] or ""
    width = max(1, round(width * factor)) if width else 0
    if not 1 <= width <= MAX_WIDTH:
        raise _Impossible(f"has a width of {width:,}; it must be from 1 to {MAX_WIDTH:,}")
    if kernel % 2 == 0 or kernel > MAX_KERNEL:
        raise _Impossible(f"has a kernel of {kernel}; it must be odd and at most {MAX_KERNEL}")
    return str(width) if kernel == 3 and not valid else f"{width}@{kernel}{valid}"


def _factor_of(text: str) -> float:
    match = _FACTOR.search(text.rpartition(" ")[2])
    return float(match[1]) if match else 1.0


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
                raise _Impossible("has a mean before its last pool; nothing is left to pool")
            at = build.mean(at)
        else:
            width, kernel, valid = _WIDTH.fullmatch(word).groups()
            if n < last:
                at = build.conv(at, int(width), int(kernel or 3), valid=bool(valid))
                at = build.norm(at) if normed else at
            elif kernel:
                raise _Impossible(
                    f"has a kernel in {word!r} after its last pool, where layers are fully "
                    "connected; end the convolutions with pool or mean"
                )
            else:
                at = build.fc(at, int(width))
            at = build.relu(at)
    if normed and last < 0:
        raise _Impossible("has batch norm without a convolution; leave norm out")
    build.fc(at, classes)


def _residual(build: _Builder, depth: int, classes: int, factor: float) -> None:
    """He et al. 2016, section 4.2: three stages of n blocks, 6n + 2 layers; where the size
    changes, the shortcut is a convolution of 1x1 with batch norm."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or not 1 <= blocks <= 9:
        raise _Impossible(f"has {depth} layers; they must be 6n + 2, from 8 to 56: resnet-20")
    widths = [max(1, round(width * factor)) for width in (16, 32, 64)]
    if max(widths) > MAX_WIDTH:
        raise _Impossible(f"has a width of {max(widths):,}; it must be at most {MAX_WIDTH:,}")
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
        raise _Impossible(f"has {layers} layers of weights; the limit is {MAX_LAYERS}")
