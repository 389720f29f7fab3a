"""What the name of an array in a file says: what it is, to which layer it belongs, what precedes.

kinds("fc1.weight_mask")     {"weights", "mask"}
stem("fc1.weight_mask")      ("fc1",), which fc1.weight_orig, mask_fc1 and fc1.bias have too
precedes("fc2", "fc10")      True: numbers order names, words do not
norm_part("bn1.running_var") (("bn1",), "running_var"): of the batch norm that bn1.weight is of too
goes_with(("conv1",), ("bn1",))  True, as for features.0 and features.1: a convolution and its norm
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import zip_longest

from lottery_core.spec.checks import is_whole

# Words that say what an array is and not which layer it belongs to, with a number of it or none.
_LONG = re.compile(r"(.*?)(mask|weight|kernel|bias)(?:e?s)?([0-9]*)")
_SHORT = re.compile(r"()(w|b|m|orig|original)([0-9]*)")
_KINDS = {
    "mask": "mask", "bias": "bias", "b": "bias", "weight": "weights", "kernel": "weights",
    "w": "weights", "orig": "weights", "original": "weights",
}  # fmt: skip
# Words of what lies beside weights and biases in a file and is neither.
_SPLITS = "train|training|val|valid|validation|test"
_THINGS = (
    "loss|cost|acc|accuracy|accuracie|err|error|metric|score|history|historie|curve|log|"
    "epoch|iter|iteration|step|time|second|lr|rate|momentum|velocity|exp|avg|grad|gradient|"
    "running|moving|mean|variance|std|deviation|norm|normalization|normalisation|bn|ln|gamma|"
    "beta|scale|label|target|pred|prediction|logit|prob|confusion|image|index|indice|seed|"
    "sparsity|density|threshold|count|size"
)
_OTHER = re.compile(f"(?:(?:{_SPLITS}|batch|layer)?(?:{_THINGS})(?:e?s)?|{_SPLITS})[0-9]*")

# What the arrays of a batch norm are called, in torch and in Keras, by their last words.
_NORM_PARTS = {
    ("weight",): "weight", ("gamma",): "weight", ("scale",): "weight",
    ("bias",): "bias", ("beta",): "bias", ("offset",): "bias",
    ("running", "mean"): "running_mean", ("moving", "mean"): "running_mean",
    ("running", "var"): "running_var", ("moving", "var"): "running_var",
    ("moving", "variance"): "running_var",
}  # fmt: skip
_NORM = re.compile(r"(?:batch|norm(?:ali[sz]ation)?|batchnorm(?:2d)?|bn(?:2d)?)([0-9]*)")
_CONV = re.compile(r"conv(?:olution)?(?:2d)?([0-9]*)")
# What a network is wrapped in; masks beside it, as open_lth keeps them, have the names without it.
_WRAPPERS = {"model", "module", "net", "network"}


def kinds(name: str) -> set[str]:
    """Those of "mask", "weights", "bias" and "other" that a name says its array is."""
    found, rest = _read(name)
    return found | {"other" for word in rest if _OTHER.fullmatch(word)}


def stem(name: str) -> tuple[str, ...]:
    """The words that say which layer."""
    return tuple(_read(name)[1])


def precedes(name: str, other: str) -> bool:
    """Whether numbers say that one layer comes before another.

    They do where two names differ first in a number, as fc2 and fc10, 0.weight and 2.weight, or
    where one ends and the other goes on with a number, as Keras's dense and dense_1.
    """
    for ours, theirs in zip_longest(_path(name), _path(other), fillvalue=()):
        if ours != theirs:
            break
    else:
        return False
    for one, two in zip_longest(ours, theirs):
        if one != two:
            return isinstance(two, int) and (one is None or (isinstance(one, int) and one < two))
    return False


def norm_part(name: str) -> tuple[tuple[str, ...], str] | None:
    """The words that say which batch norm, and which of its four arrays this is, by torch's name;
    None where the name is no such."""
    words = _unwrapped(_words(_plain(name)))
    for length in (2, 1):
        part = _NORM_PARTS.get(tuple(words[-length:]))
        if part:
            return tuple(words[:-length]), part
    return None


def is_keras_variance(name: str) -> bool:
    """Whether this is a batch norm's running variance under the name that TensorFlow gives it."""
    return _words(_plain(name))[-2:] == ["moving", "variance"]


def is_norm(stem: tuple[str, ...]) -> bool:
    """Whether words say batch norm."""
    return any(_NORM.fullmatch(word) for word in stem)


def goes_with(conv: tuple[str, ...], norm: tuple[str, ...]) -> bool:
    """Whether words that say which convolution and which batch norm are of one pair: they differ
    in what they call them, or the one comes next in a list after the other."""
    if _place(conv) == _place(norm):
        return True
    if not conv or not norm or conv[:-1] != norm[:-1]:
        return False
    number, following = conv[-1], norm[-1]
    if not (is_whole(number) and is_whole(following)):
        return False
    return int(following) == int(number) + 1


def _place(words: tuple[str, ...]) -> list[str]:
    """Words without those that say convolution or batch norm, but with their numbers."""
    left = (
        match[1] if (match := _CONV.fullmatch(word) or _NORM.fullmatch(word)) else word
        for word in words
    )
    return [word for word in left if word]


def _words(text: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    return [word for word in re.split(r"[\W_]+", parted.lower()) if word]


def _unwrapped(words: list[str]) -> list[str]:
    first = 0
    while first < len(words) - 1 and words[first] in _WRAPPERS:
        first += 1
    return words[first:]


def _plain(name: str) -> str:
    return name.removesuffix(":0")  # as TensorFlow ends the names of variables


def _read(name: str) -> tuple[set[str], list[str]]:
    """The kinds in a name, and the words that are left."""
    found, rest = set(), []
    for word in _words(_plain(name)):
        left = word
        while match := _LONG.fullmatch(left) or _SHORT.fullmatch(left):
            found.add(_KINDS.get(match[2], ""))
            left = match[1] + match[3]
        if left:
            rest.append(left)
    return found - {""}, _unwrapped(rest)


@lru_cache(maxsize=4096)
def _path(name: str) -> tuple[tuple[str | int, ...], ...]:
    """The steps of a path, each the words and numbers that say which layer."""
    steps = []
    for part in re.split("[/.]", _plain(name)):
        tokens = re.findall("[0-9]+|[^0-9]+", "_".join(_read(part)[1]).replace("_", " "))
        step = [int(token) if is_whole(token) else token.strip() for token in tokens]
        if step := tuple(token for token in step if token != ""):
            steps.append(step)
    return tuple(steps)
