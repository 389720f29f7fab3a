"""How a network is written: a short text for links, commands and the sidebar.

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

import re
from collections.abc import Callable
from contextlib import suppress

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

MAX_WIDTH = 2048  # channels of a convolution, or units
MAX_KERNEL = 11
RESNET = re.compile(r"resnet-(\d{1,3})")
_FACTOR = re.compile(r"x(\d*\.?\d+)")
WIDTH = re.compile(r"(\d{1,5})(?:@(\d{1,2})(v?))?")
# Modules that this process brought along: name (see `own`) -> what it is for images and classes.
OWN: dict[str, Callable] = {}


class Impossible(Exception):
    """Why a text makes no network."""


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
    if len(words) == 1 and RESNET.fullmatch(words[0]):
        return words[0] if factor == 1 else f"{words[0]} x{factor:g}"
    try:
        return " ".join(_word(word, n, factor) for n, word in enumerate(words)) or "none"
    except Impossible as problem:
        raise InvalidValue("network", text, str(problem)) from None


def called(text: str) -> str:
    """What a network's shortest text is called: "vgg-16", "vgg-16 x0.25"; itself without a name."""
    for name, (named, _) in NAMED.items():
        if named == text:
            return name
        if "pool" in named and len(text.split()) == len(named.split()):
            factor = _widest(text) / _widest(named)
            for digits in (1, 2, 3, 4):
                scaled = f"{name} x{factor:.{digits}g}"
                with suppress(InvalidValue):  # for a factor that is out of bounds
                    if shortest(scaled) == text:
                        return scaled
    return text


def _widest(text: str) -> int:
    return max(
        (int(match[1]) for word in text.split() if (match := WIDTH.fullmatch(word))), default=0
    )


def _word(word: str, n: int, factor: float) -> str:
    if word in ("pool", "mean") or (word == "norm" and n == 0):
        return word
    match = WIDTH.fullmatch(word)
    if not match:
        raise Impossible(
            f"has {word!r}, which is none of: a width as 64, a width with a kernel as 6@5, pool, "
            f"mean, norm in front, or one of the names {', '.join(NAMED)}"
        )
    width, kernel, valid = int(match[1]), int(match[2] or 3), match[3] or ""
    width = max(1, round(width * factor)) if width else 0
    if not 1 <= width <= MAX_WIDTH:
        raise Impossible(f"has a width of {width:,}; it must be from 1 to {MAX_WIDTH:,}")
    if kernel % 2 == 0 or kernel > MAX_KERNEL:
        raise Impossible(f"has a kernel of {kernel}; it must be odd and at most {MAX_KERNEL}")
    return str(width) if kernel == 3 and not valid else f"{width}@{kernel}{valid}"


def factor_of(text: str) -> float:
    match = _FACTOR.search(text.rpartition(" ")[2])
    return float(match[1]) if match else 1.0
