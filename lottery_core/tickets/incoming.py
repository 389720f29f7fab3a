"""An uploaded file -> the mask of one network and the weights in it, ours or foreign.

A file is understood in two steps: `unpacking` makes named arrays of its bytes, and here names and
shapes tell what each array is. What had to be interpreted is said in a note; what could be
understood in two ways is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from lottery_core.method.masks import Arrays, apply
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import CLASSES, PIXELS
from lottery_core.spec.experiment import MAX_HIDDEN_LAYERS, MAX_ROUNDS, MAX_WEIGHTS, Experiment
from lottery_core.spec.networks import Network, network
from lottery_core.tickets.content import FORMAT, PARTS, digest
from lottery_core.tickets.unpacking import Refused, shown, strict_json, unpack

_MAX_CLAIM = 64 * 2**10  # characters of one field; an experiment of forty rounds takes 9 KB
_MAX_DEPTH = 8  # of claims in claims
# Words of a name that say what an array is and not which layer it belongs to.
_KINDS = re.compile(r"(weights?|kernels?|bias(?:es)?|w|b|m|orig(?:inal)?)([0-9]*)")
_MASK = re.compile(r"(.*?)masks?([0-9]*)")


@dataclass(frozen=True, eq=False)
class Upload:
    """What a file holds, as one fully connected network from 784 pixels to 10 classes.

    `mask` (bool) goes by 'fc1.weight', ... from input to output, (outputs, inputs) each. `restart`
    and `trained` (float32), where the file has them, hold weights and biases of all layers, pruned
    weights exactly 0.0. `claims` are what the header of a file of ours says: "format", "key",
    "level" (int), "experiment" (as `Experiment.as_dict`), "layers", "results", "versions" and
    "digests", those of them that are well-formed; {} for a foreign file. Claims are not checked
    against anything (see `verify`). `digests` are those of the parts as they stand in the file,
    `revived` the numbers of pruned weights that were not 0 there, both by part. `sha256` is the
    file's.
    """

    name: str
    sha256: str
    mask: Arrays
    restart: Arrays | None
    trained: Arrays | None
    claims: dict
    notes: tuple[str, ...]
    digests: dict[str, str]
    revived: dict[str, int]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return tuple(len(kept) for kept in self.mask.values())[:-1]

    @property
    def network(self) -> str:
        """Its network as a text."""
        return " ".join(map(str, self.hidden)) or "none"

    @property
    def net(self) -> Network:
        """Its network."""
        return network(self.network, (1, 28, 28), 10)

    @cached_property
    def content_digest(self) -> str:
        """The name of this mask and restart, whatever file they came in."""
        parts = {"mask": self.mask, "restart": self.restart or {}}
        return digest(
            {f"{part}/{name}": values for part in parts for name, values in parts[part].items()}
        )


def read_upload(name: str, content: bytes) -> Upload:
    """Read a .npz or .safetensors file of a mask or ticket; writes nothing.

    Raises `InvalidValue`, and nothing else, for whatever cannot be read as one network.
    """
    try:
        return _read(name, content)
    except Refused as refused:
        raise InvalidValue("file", name, str(refused)) from None
    except Exception as error:  # zipfile and zlib name no list of what damage makes them raise
        rule = "is damaged and can't be unpacked; download or export it again"
        raise InvalidValue("file", name, rule) from error


@dataclass(frozen=True)
class _Layer:
    """One layer's array as it was found: `stem` are the words of its name that say which layer."""

    name: str
    stem: tuple[str, ...]
    values: np.ndarray


def _read(name: str, content: bytes) -> Upload:
    unpacked = unpack(content)
    notes = [*unpacked.notes]
    parts = _parts(unpacked.arrays, notes)
    masks = _chain(parts["mask"], "masks", notes)
    _check_size(masks)
    mask = {
        f"fc{i}.weight": np.array(layer.values, bool, order="C") for i, layer in enumerate(masks, 1)
    }
    if [layer.name for layer in masks] != [*mask]:
        names = ", ".join(shown(layer.name) for layer in masks)
        notes.append(f"{names} were taken for {', '.join(mask)}.")
    weights, revived = {}, {}
    for part in ("restart", "trained"):
        if part in parts:
            found = _weights(parts[part], masks, part, notes)
            weights[part] = apply(found, mask)
            count = sum(int(np.count_nonzero(found[name][~mask[name]])) for name in mask)
            if count:
                notes.append(f"{count:,} {part} weights that the mask prunes were set to 0.")
            revived[part] = count
    for i, kept in enumerate(mask.values(), 1):
        if not kept.any():
            notes.append(f"Nothing is kept in layer fc{i}, so no signal passes through it.")
    claims = _claims(unpacked.header, notes)
    return Upload(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        mask=mask,
        restart=weights.get("restart"),
        trained=weights.get("trained"),
        claims=claims,
        notes=tuple(notes),
        digests={part: digest(_as_written(parts[part], part)) for part in parts} if claims else {},
        revived=revived,
    )


def _as_written(arrays: Arrays, part: str) -> Arrays:
    kind = bool if part == "mask" else np.float32
    return {name: values.astype(kind, copy=False) for name, values in arrays.items()}


def _check_size(masks: list[_Layer]) -> None:
    total = sum(layer.values.size for layer in masks)
    if total > MAX_WEIGHTS:
        raise Refused(
            f"holds a network of {total:,} weights; the limit is {MAX_WEIGHTS:,}, so choose a "
            "smaller one"
        )


# Which array is what


def _parts(arrays: Arrays, notes: list[str]) -> dict[str, Arrays]:
    """Part -> the arrays that belong to it, by their names in the file without the part's."""
    scalars = [name for name, values in arrays.items() if not values.ndim]
    if scalars:
        notes.append(f"Single numbers are left out: {_listed(scalars)}.")
    arrays = {name: values for name, values in arrays.items() if values.ndim}
    prefixes = {name.partition("/")[0] if "/" in name else "" for name in arrays}
    if "mask" in prefixes and prefixes <= {*PARTS}:
        parts: dict[str, Arrays] = {part: {} for part in PARTS if part in prefixes}
        for name, values in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = values
        for values in parts["mask"].values():
            if values.ndim != 2 or not _is_binary(values):
                raise Refused("has masks that are not two-dimensional and 0 or 1; export it again")
        return parts
    return _foreign_parts(arrays, notes)


def _foreign_parts(arrays: Arrays, notes: list[str]) -> dict[str, Arrays]:
    matrices = {name: values for name, values in arrays.items() if values.ndim == 2}
    vectors = {name: values for name, values in arrays.items() if values.ndim == 1}
    masks = _masks(matrices)
    weights = {name: values for name, values in matrices.items() if name not in masks}
    biases = {}
    for name, values in vectors.items():
        if not _says_mask(name):
            biases[name] = values
        elif not values.all():
            raise Refused(
                f"prunes biases by {shown(name)}; only weights are pruned here, so remove the "
                "masks of biases"
            )
    if masks and weights and len(weights) != len(masks):
        raise Refused(
            f"holds {len(masks)} masks and {len(weights)} arrays of weights; upload one array of "
            "weights for each mask, or masks alone"
        )
    if not matrices:
        raise Refused("holds no two-dimensional array; upload one mask a layer")
    if not weights:
        if biases:
            notes.append(f"Masks come without weights, so {_listed([*biases])} are left out.")
        return {"mask": masks}
    if not masks:
        if all(values.all() for values in weights.values()):
            raise Refused(
                "holds weights without masks and none of them is 0, so it is a dense network; "
                "upload its masks, or weights of which the pruned ones are 0"
            )
        masks = {name: values != 0 for name, values in weights.items()}
        notes.append("The file has no masks: a weight is taken for pruned where it is exactly 0.")
    notes.append("Whether its weights are initial or trained ones is unknown.")
    return {"mask": masks, "restart": weights | biases}


def _masks(matrices: Arrays) -> Arrays:
    """Those of the arrays that are masks: by their names, their types or, last, their values."""
    masks = {}
    for name, values in matrices.items():
        if _says_mask(name) and not _is_binary(values):
            raise Refused(
                f"has a mask {shown(name)} with values other than 0 and 1; store masks as bool"
            )
        if _says_mask(name) or values.dtype == bool:
            masks[name] = values
    if masks:
        return masks
    binary = {name: values for name, values in matrices.items() if _is_binary(values)}
    others = [values.shape for name, values in matrices.items() if name not in binary]
    paired = sorted(values.shape for values in binary.values()) == sorted(others)
    return binary if paired or not others else {}


def _is_binary(values: np.ndarray) -> bool:
    return values.dtype == bool or bool(((values == 0) | (values == 1)).all())


def _words(name: str) -> list[str]:
    # TensorFlow ends the names of variables with ":0".
    return re.split(r"[^a-z0-9]+", name.lower().removesuffix(":0"))


def _says_mask(name: str) -> bool:
    return any(_MASK.fullmatch(word) for word in _words(name))


def _stem(name: str) -> tuple[str, ...]:
    """The words that say which layer: ('fc1',) of fc1.weight_orig, mask_fc1 and fc1.bias."""
    stem = []
    for word in _words(name):
        match = _KINDS.fullmatch(word)
        if match:
            word = match[2]
        elif match := _MASK.fullmatch(word):
            word = match[1] + match[2]
        if word:
            stem.append(word)
    return tuple(stem)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(map(shown, names[:3]))}{more}"


# Which layer comes after which


def _chain(arrays: Arrays, what: str, notes: list[str]) -> list[_Layer]:
    """The two-dimensional arrays from input to output, (outputs, inputs) each.

    In the order of their names if that makes a network, otherwise in the one that their shapes
    allow.
    """
    arrays = {name: values for name, values in arrays.items() if values.ndim == 2}
    if not arrays:
        raise Refused(f"has no two-dimensional array of {what}; export it again or leave them out")
    if len(arrays) > MAX_HIDDEN_LAYERS + 1:
        raise Refused(
            f"holds {len(arrays)} layers of {what}; at most {MAX_HIDDEN_LAYERS + 1} can be read"
        )
    upright = [
        _Layer(name, _stem(name), arrays[name]) for name in sorted(arrays, key=_natural_order)
    ]
    turned = [_Layer(layer.name, layer.stem, layer.values.T) for layer in upright]
    for layers in (upright, turned):
        orders = [layers] if _fits(layers) else [*_orders(layers)]
        if len(orders) > 1:
            raise Refused(
                f"has {what} that can be put in order in {len(orders)} ways; name them in order, "
                "as fc1, fc2, ..."
            )
        if orders:
            if layers is turned:
                notes.append(f"The {what} are stored as (inputs, outputs), as in Keras: turned.")
            if orders[0] is not layers:
                notes.append(f"The {what} were put in order by their shapes, not their names.")
            return orders[0]
    shapes = ", ".join("{} x {}".format(*layer.values.shape) for layer in upright)
    raise Refused(
        f"has {what} of {shapes}; layers must lead from {PIXELS} pixels to {CLASSES} classes, each "
        "with as many inputs as the one before has outputs"
    )


def _natural_order(name: str) -> tuple:
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _fits(layers: list[_Layer]) -> bool:
    shapes = [layer.values.shape for layer in layers]
    return (shapes[0][1], shapes[-1][0]) == (PIXELS, CLASSES) and all(
        before[0] == after[1] for before, after in pairwise(shapes)
    )


def _orders(layers: list[_Layer], inputs: int = PIXELS) -> Iterator[list[_Layer]]:
    """All orders that make a network; layers of one shape stay in the order they have."""
    if not layers:
        if inputs == CLASSES:
            yield []
        return
    tried = set()
    for i, layer in enumerate(layers):
        shape = layer.values.shape
        if shape[1] == inputs and shape not in tried:
            tried.add(shape)
            for rest in _orders(layers[:i] + layers[i + 1 :], shape[0]):
                yield [layer, *rest]


# Weights beside the masks


def _weights(arrays: Arrays, masks: list[_Layer], part: str, notes: list[str]) -> Arrays:
    """Weights and biases by our names, unmasked."""
    layers = _chain(arrays, f"{part} weights", own := [])
    if [layer.values.shape for layer in layers] != [layer.values.shape for layer in masks]:
        raise Refused(f"has {part} weights of other shapes than its masks; export both of one net")
    stems = [layer.stem for layer in layers]
    other = [layer.stem for layer in masks]
    if {*stems} == {*other} and stems != other:
        raise Refused(
            f"has {part} weights in another order than its masks; give both of a layer one name"
        )
    notes += own
    biases = _biases(arrays, layers, part, notes)
    weights = {}
    for i, (layer, bias) in enumerate(zip(layers, biases, strict=True), 1):
        weights[f"fc{i}.weight"] = np.array(layer.values, np.float32, order="C")
        weights[f"fc{i}.bias"] = bias
    return weights


def _biases(arrays: Arrays, layers: list[_Layer], part: str, notes: list[str]) -> list[np.ndarray]:
    """The bias of each layer, zeros where the file has none.

    By name; what is left by size, if as many layers of that size are left.
    """
    left = sorted((name for name in arrays if arrays[name].ndim == 1), key=_natural_order)
    sizes = {name: len(arrays[name]) for name in left}
    of_layer: dict[int, str] = {}
    for i, layer in enumerate(layers):
        named = [n for n in left if _stem(n) == layer.stem and sizes[n] == len(layer.values)]
        if len(named) == 1:
            of_layer[i] = named[0]
            left.remove(named[0])
    for size in {sizes[name] for name in left}:
        names = [name for name in left if sizes[name] == size]
        free = [
            i for i in range(len(layers)) if i not in of_layer and len(layers[i].values) == size
        ]
        if len(names) != len(free):
            raise Refused(
                f"has an array {shown(names[0])} of {size:,} values that is no layer's bias for "
                "sure; leave it out or name it after its layer"
            )
        of_layer |= zip(free, names, strict=True)
    missing = [f"fc{i + 1}" for i in range(len(layers)) if i not in of_layer]
    if missing:
        notes.append(f"The {part} weights have no biases for {', '.join(missing)}: set to 0.")
    return [
        arrays[of_layer[i]].astype(np.float32)
        if i in of_layer
        else np.zeros(len(layer.values), np.float32)
        for i, layer in enumerate(layers)
    ]


# What a file of ours says of itself


def _claims(header: dict[str, str], notes: list[str]) -> dict:
    ours = header.get("format", "").startswith("lottery-ticket ") or (
        "format" not in header and {"contents", "key", "level", "experiment"} <= header.keys()
    )
    if not ours:
        return {}
    if header.get("format", FORMAT) != FORMAT:
        notes.append("The file is of another version of its format; what is unknown is left out.")
    claims = {}
    for field, check in _CHECKS.items():
        if field in header:
            value = _claim(header[field], check)
            if value is None:
                notes.append(f"What the file says of its {field} is not well-formed: left out.")
            else:
                claims[field] = value
    return claims


def _claim(text: str, check: Callable[[str], object]) -> object:
    """The value that `check` makes of a claim; None where it makes none."""
    if len(text) > _MAX_CLAIM:
        return None
    try:
        return check(text)
    except Exception:  # noqa: BLE001 - a hostile value meets code that is written for other ones
        return None


def _format(text: str) -> str | None:
    return text if len(text) <= 40 and text.isprintable() else None


def _key(text: str) -> str | None:
    return text if re.fullmatch("[0-9a-f]{40}", text) else None


def _level(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,3}", text) and int(text) <= MAX_ROUNDS else None


def _experiment(text: str) -> dict | None:
    experiment = Experiment.from_dict(strict_json(text))
    return experiment.as_dict() if isinstance(experiment.control, str) else None


def _layers(text: str) -> dict | None:
    layers = strict_json(text)
    good = 0 < len(layers) <= MAX_HIDDEN_LAYERS + 1 and all(
        re.fullmatch(r"fc[1-9]\.weight", name)
        and counts.keys() == {"weights", "kept"}
        and all(type(count) is int and 0 <= count <= MAX_WEIGHTS for count in counts.values())
        for name, counts in layers.items()
    )
    return layers if good else None


def _digests(text: str) -> dict | None:
    digests = strict_json(text)
    good = digests.keys() <= {*PARTS} and all(
        re.fullmatch("[0-9a-f]{64}", value) for value in digests.values()
    )
    return digests if good else None


def _plain_values(text: str) -> dict | None:
    values = strict_json(text)
    return values if isinstance(values, dict) and _is_plain(values, _MAX_DEPTH) else None


def _is_plain(value: object, depth: int) -> bool:
    """Texts of one line, numbers that fit and what holds them, not deep."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in inner)
    return value is None or (isinstance(value, int | float) and abs(value) < 2**63)


_CHECKS = {
    "format": _format,
    "key": _key,
    "level": _level,
    "experiment": _experiment,
    "layers": _layers,
    "results": _plain_values,
    "versions": _plain_values,
    "digests": _digests,
}
