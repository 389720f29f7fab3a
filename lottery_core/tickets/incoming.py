"""An uploaded file -> the mask of one network and the weights in it, ours or foreign.

A file is understood in three steps: `unpacking` makes named arrays of its bytes, here names tell
masks from weights, `layers` and `biases` put them in order. Every name ends in a `Reading`, which
tells what it was used as or why it was left out, and what was worked out besides; what could be
understood in two ways is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lottery_core.experiment import MAX_WEIGHTS, InvalidValue
from lottery_core.pruning import Arrays, apply
from lottery_core.tickets.biases import biases
from lottery_core.tickets.claims import claims_in
from lottery_core.tickets.content import PARTS, digest
from lottery_core.tickets.layers import TITLES, Array, Layer, network
from lottery_core.tickets.reading import Notes, Reading
from lottery_core.tickets.unpacking import Refused, shown, unpack


@dataclass(frozen=True, eq=False)
class Upload:
    """What a file holds, as one fully connected network from 784 pixels to 10 classes.

    `mask` (bool) goes by 'fc1.weight', ... from input to output, (outputs, inputs) each. `restart`
    and `trained` (float32), where the file has them, hold weights and biases of all layers, pruned
    weights exactly 0.0. `reading` tells what became of every name in the file. `claims` are what
    the header of a file of ours says: "format", "key", "level" (int), "experiment" (as
    `Experiment.as_dict`), "layers", "results", "versions" and "digests", those of them that are
    well-formed; {} for a foreign file. Claims are not checked against anything (see `verify`).
    `digests` are those of the parts as they stand in the file, `revived` the numbers of pruned
    weights that were not 0 there, both by part. `sha256` is the file's.
    """

    name: str
    sha256: str
    mask: Arrays
    restart: Arrays | None
    trained: Arrays | None
    reading: Reading
    claims: dict
    digests: dict[str, str]
    revived: dict[str, int]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return tuple(len(kept) for kept in self.mask.values())[:-1]

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


def _read(name: str, content: bytes) -> Upload:
    unpacked = unpack(content)
    notes = Notes()
    parts = _parts(unpacked.arrays, notes)
    matrices = {part: [one for one in parts[part] if one.values.ndim == 2] for part in parts}
    layers = network(matrices, unpacked.in_file_order, notes)
    _check_size(layers)
    mask = _mask(layers, notes)
    sets, revived = {}, {}
    for part in [part for part in parts if part != "mask"]:
        vectors = [one for one in parts[part] if one.values.ndim == 1]
        found = biases(vectors, layers, unpacked.in_file_order, notes)
        values = _weights(layers, found, part, notes)
        sets[_SETS[part]] = apply(values, mask)
        count = sum(int(np.count_nonzero(values[name][~mask[name]])) for name in mask)
        if count:
            notes.worked_out.append(f"{count:,} {TITLES[part]} that the mask prunes were set to 0.")
        revived[_SETS[part]] = count
    for i, kept in enumerate(mask.values(), 1):
        if not kept.any():
            notes.worked_out.append(f"Nothing is kept in fc{i}, so no signal passes through it.")
    for used in unpacked.rounded & notes.used_as.keys():
        notes.used_as[used] += ", rounded to 32-bit numbers"
    claims = claims_in(unpacked.header, notes)
    return Upload(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        mask=mask,
        restart=sets.get("restart"),
        trained=sets.get("trained"),
        reading=notes.reading(),
        claims=claims,
        digests={_SETS[part]: _digest(parts[part], part) for part in parts} if claims else {},
        revived=revived,
    )


# Which of ours a part is: the weights of a foreign file are what its survivors restart from.
_SETS = {part: part for part in PARTS} | {"weights": "restart"}


def _digest(arrays: list[Array], part: str) -> str:
    """Of the arrays as they stand in the file."""
    kind = bool if part == "mask" else np.float32
    return digest({one.label: one.values.astype(kind, copy=False) for one in arrays})


def _check_size(layers: list[Layer]) -> None:
    total = sum(layer.first.values.size for layer in layers)
    if total > MAX_WEIGHTS:
        raise Refused(
            f"holds a network of {total:,} weights; the limit is {MAX_WEIGHTS:,}, so choose a "
            "smaller one"
        )


def _mask(layers: list[Layer], notes: Notes) -> Arrays:
    """The mask by our names: the file's or, where it has none at all, what is not 0."""
    masked = [layer for layer in layers if "mask" in layer.arrays]
    if not masked:
        if all(layer.first.values.all() for layer in layers):
            raise Refused(
                "holds weights without masks and none of them is 0, so it is a dense network; "
                "upload its masks, or weights of which the pruned ones are 0"
            )
        notes.worked_out.append(
            "The file has no masks: a weight counts as pruned where it is exactly 0."
        )
    mask = {}
    for i, layer in enumerate(layers, 1):
        if layer in masked:
            notes.used_as[layer.arrays["mask"].name] = f"mask of fc{i}"
            kept = layer.arrays["mask"].values
        elif masked:
            notes.worked_out.append(f"{shown(layer.name)} has no mask: fc{i} is kept whole.")
            kept = np.ones(layer.first.shape)
        else:
            kept = layer.first.values != 0
        mask[f"fc{i}.weight"] = np.array(kept, bool, order="C")
    return mask


def _weights(layers: list[Layer], found: list[Array | None], part: str, notes: Notes) -> Arrays:
    """Weights and biases of one set by our names, unmasked."""
    if part == "weights":
        notes.worked_out.append(
            "Whether the weights are initial or trained ones is unknown: survivors restart from "
            "them."
        )
    weights = {}
    for i, (layer, bias) in enumerate(zip(layers, found, strict=True), 1):
        array = layer.arrays[part]
        notes.used_as[array.name] = f"{TITLES[part]} of fc{i}"
        weights[f"fc{i}.weight"] = np.array(array.values, np.float32, order="C")
        weights[f"fc{i}.bias"] = np.zeros(len(array.values), np.float32)
        if bias is not None:
            notes.used_as[bias.name] = f"{TITLES[part].replace('weights', 'bias')} of fc{i}"
            weights[f"fc{i}.bias"] = bias.values.astype(np.float32)
    missing = [f"fc{i}" for i, bias in enumerate(found, 1) if bias is None]
    if missing:
        notes.worked_out.append(
            f"The {TITLES[part]} have no biases for {', '.join(missing)}: set to 0."
        )
    return weights


# Which array is what


def _parts(arrays: Arrays, notes: Notes) -> dict[str, list[Array]]:
    """Part -> its arrays, in the order of the file: "mask", "restart" and "trained" in a file of
    ours, "mask" and "weights" in another's."""
    notes.left_out += [
        (name, "a single number") for name, values in arrays.items() if not values.ndim
    ]
    arrays = {name: values for name, values in arrays.items() if values.ndim}
    prefixes = {name.partition("/")[0] if "/" in name else "" for name in arrays}
    if "mask" in prefixes and (prefixes == {"mask"} or prefixes & {"restart", "trained"}):
        return _our_parts(arrays, notes)
    return _foreign_parts([Array(name, name, values) for name, values in arrays.items()], notes)


def _our_parts(arrays: Arrays, notes: Notes) -> dict[str, list[Array]]:
    parts: dict[str, list[Array]] = {part: [] for part in PARTS}
    for name, values in arrays.items():
        part, _, label = name.partition("/")
        if part in parts and label:
            parts[part].append(Array(name, label, values))
        else:
            notes.left_out.append((name, "outside of mask/, restart/ and trained/"))
    for one in parts["mask"]:
        if one.values.ndim != 2 or not _is_binary(one.values):
            raise Refused("has masks that are not two-dimensional and 0 or 1; export it again")
    return {part: found for part, found in parts.items() if found}


def _foreign_parts(arrays: list[Array], notes: Notes) -> dict[str, list[Array]]:
    matrices = [one for one in arrays if one.values.ndim == 2]
    vectors = [one for one in arrays if one.values.ndim == 1]
    if not matrices:
        raise Refused("holds no two-dimensional array; upload one mask a layer")
    masks = _masks(matrices)
    weights = [one for one in matrices if one not in masks]
    for one in [one for one in vectors if "mask" in one.kinds]:
        if not one.values.all():
            raise Refused(
                f"prunes biases by {shown(one.name)}; only weights are pruned here, so remove the "
                "masks of biases"
            )
        notes.left_out.append((one.name, "a mask of biases, which are never pruned"))
        vectors.remove(one)
    if not weights:
        notes.left_out += [(one.name, "not a mask, and no weights come with it") for one in vectors]
        return {"mask": masks}
    parts = {"mask": masks} if masks else {}
    return parts | {"weights": weights + vectors}


def _masks(matrices: list[Array]) -> list[Array]:
    """Those of the arrays that are masks: by their names, their types or, last, their values."""
    for one in matrices:
        if "mask" in one.kinds and not _is_binary(one.values):
            raise Refused(
                f"has a mask {shown(one.name)} with values other than 0 and 1; store masks as bool"
            )
    masks = [one for one in matrices if "mask" in one.kinds or one.values.dtype == bool]
    if masks:
        return masks
    binary = [one for one in matrices if _is_binary(one.values)]
    others = [one.shape for one in matrices if one not in binary]
    paired = sorted(one.shape for one in binary) == sorted(others)
    return binary if paired or not others else []


def _is_binary(values: np.ndarray) -> bool:
    return values.dtype == bool or bool(((values == 0) | (values == 1)).all())
