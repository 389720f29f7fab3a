"""An uploaded file -> the mask of one network and the weights in it, ours or foreign.

A file is understood in three steps: `unpacking` makes named arrays of its bytes, here names tell
masks from weights, `layers`, `biases` and `norms` put them in order. Every name ends in a
`Reading`, which tells what it was used as or why it was left out, and what was worked out besides;
what could be understood in two ways is refused, or what it was taken for is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lottery_core.method.masks import Arrays, apply
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network
from lottery_core.spec.networks import network as network_of
from lottery_core.tickets import fitting
from lottery_core.tickets.biases import biases
from lottery_core.tickets.claims import claims_in
from lottery_core.tickets.content import PARTS, digest
from lottery_core.tickets.layers import TITLES, Array, Hints, Layer, network
from lottery_core.tickets.norms import Norm, norm_values, norms_in
from lottery_core.tickets.reading import Notes, Reading
from lottery_core.tickets.unpacking import MAX_WEIGHTS, Refused, shown, unpack


@dataclass(frozen=True, eq=False)
class Upload:
    """What a file holds, as one network.

    `mask` (bool) goes by the network's own names, 'conv1.weight', 'fc1.weight', ... from input to
    output, in torch's layout: (outputs, inputs), (outputs, inputs, rows, columns). `restart` and
    `trained` (float32), where the file has them, hold all parameters and buffers, pruned weights
    exactly 0.0. `reading` tells what became of every name in the file. `claims` are what the header
    of a file of ours says: "format", "key", "level" (int), "experiment" (as `Experiment.as_dict`),
    "network", "layers", "results", "versions" and "digests", those of them that are well-formed; {}
    for a foreign file. Claims are not checked against anything (see `verify`). `digests` are those
    of the parts as they stand in the file, `revived` the numbers of pruned weights that were not 0
    there, both by part. `sha256` is the file's.
    """

    name: str
    sha256: str
    net: Network
    mask: Arrays
    restart: Arrays | None
    trained: Arrays | None
    reading: Reading
    claims: dict
    digests: dict[str, str]
    revived: dict[str, int]

    @property
    def network(self) -> str:
        """Its network as a text."""
        return self.net.text

    @cached_property
    def content_digest(self) -> str:
        """The name of this mask and restart, whatever file they came in."""
        parts = {"mask": self.mask, "restart": self.restart or {}}
        return digest(
            {f"{part}/{name}": values for part in parts for name, values in parts[part].items()}
        )


def read_upload(name: str, content: bytes, text: str = "") -> Upload:
    """Read a .npz or .safetensors file of a mask or ticket; writes nothing. `text` is the network
    that it holds, where that is known: shapes of convolutions do not tell where pools are.

    Raises `InvalidValue`, and nothing else, for whatever cannot be read as one network.
    """
    known = fitting.named(text) if text.strip() else []
    try:
        return _read(name, content, known)
    except Refused as refused:
        raise InvalidValue("file", name, str(refused)) from None
    except Exception as error:  # zipfile and zlib name no list of what damage makes them raise
        rule = "is damaged and can't be unpacked; download or export it again"
        raise InvalidValue("file", name, rule) from error


def _read(name: str, content: bytes, known: Sequence[Network]) -> Upload:
    unpacked = unpack(content)
    notes = Notes()
    claims = claims_in(unpacked.header, notes)
    parts = _parts(unpacked.arrays, notes)
    matrices = {part: [one for one in parts[part] if one.is_matrix] for part in parts}
    hints = Hints(known or _claimed(claims, matrices), _normed(parts), unpacked.in_file_order)
    net, layers = network(matrices, hints, notes)
    _check_size(net)
    mask = _mask(layers, notes)
    sets, revived = {}, {}
    for part in [part for part in parts if part != "mask"]:
        vectors = [one for one in parts[part] if not one.is_matrix]
        values = _weights(net, layers, part, vectors, hints.in_file_order, notes)
        sets[_SETS[part]] = apply(values, mask)
        count = sum(int(np.count_nonzero(values[name][~mask[name]])) for name in mask)
        if count:
            notes.worked_out.append(f"{count:,} {TITLES[part]} that the mask prunes were set to 0.")
        revived[_SETS[part]] = count
    for weight, kept in mask.items():
        if not kept.any():
            layer = weight.removesuffix(".weight")
            notes.worked_out.append(f"Nothing is kept in {layer}, so no signal passes through it.")
    for used in unpacked.rounded & notes.used_as.keys():
        notes.used_as[used] += ", rounded to 32-bit numbers"
    return Upload(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        net=net,
        mask=mask,
        restart=sets.get("restart"),
        trained=sets.get("trained"),
        reading=notes.reading(),
        claims=claims,
        digests={_SETS[part]: _digest(parts[part], part) for part in parts} if claims else {},
        revived=revived,
    )


def _claimed(claims: dict, matrices: dict[str, list[Array]]) -> list[Network]:
    """The network that the header names, if arrays of the file have its shapes."""
    if "network" in claims:
        said = claims["network"]
        net = network_of(said["text"], tuple(said["input"]), said["classes"])
    elif "experiment" in claims:
        net = Experiment.from_dict(claims["experiment"]).recipe.net
    else:
        return []
    wanted = sorted(net.shapes.values())
    return [net] if any(sorted(a.shape for a in m) == wanted for m in matrices.values()) else []


def _normed(parts: dict[str, list[Array]]) -> bool | None:
    """Whether any convolutions have batch norm; None where nothing in the file tells."""
    if not any(one.values.ndim == 4 for arrays in parts.values() for one in arrays):
        return None
    told = None
    for arrays in (arrays for part, arrays in parts.items() if part != "mask"):
        vectors = [one for one in arrays if not one.is_matrix]
        matrices = [one for one in arrays if one.is_matrix]
        if vectors:
            found = norms_in(vectors, matrices)
            told = bool(told or found)
            _check_unnamed(vectors, matrices, found)
    return told


def _check_unnamed(vectors: list[Array], matrices: list[Array], norms: list[Norm]) -> None:
    """Refuse vectors that may be a batch norm's and do not say so: more than there are layers."""
    sizes = {size for one in matrices if one.values.ndim == 4 for size in one.shape[::3]}
    unnamed = [one for one in vectors if not one.kinds and one.shape[0] in sizes]
    if not norms and len(unnamed) > len(matrices):
        raise Refused(
            f"has {len(unnamed)} vectors such as {shown(unnamed[0].name)} beside {len(matrices)} "
            "layers, which may be of batch norm; name them, as norm1/gamma, norm1/beta, "
            "norm1/moving_mean and norm1/moving_variance"
        )


# Which of ours a part is: the weights of a foreign file are what its survivors restart from.
_SETS = {part: part for part in PARTS} | {"weights": "restart"}


def _digest(arrays: list[Array], part: str) -> str:
    """Of the arrays as they stand in the file."""
    kind = bool if part == "mask" else np.float32
    return digest({one.label: one.values.astype(kind, copy=False) for one in arrays})


def _check_size(net: Network) -> None:
    if net.weights_total > MAX_WEIGHTS:
        raise Refused(
            f"holds a network of {net.weights_total:,} weights; the limit is {MAX_WEIGHTS:,}, so "
            "choose a smaller one"
        )


def _mask(layers: dict[str, Layer], notes: Notes) -> Arrays:
    """The mask by our names: the file's or, where it has none at all, what is not 0."""
    masked = [name for name, layer in layers.items() if "mask" in layer.arrays]
    if not masked:
        if all(layer.first.values.all() for layer in layers.values()):
            raise Refused(
                "holds weights without masks and none of them is 0, so it is a dense network; "
                "upload its masks, or weights of which the pruned ones are 0"
            )
        notes.worked_out.append(
            "The file has no masks: a weight counts as pruned where it is exactly 0."
        )
    mask = {}
    for name, layer in layers.items():
        if name in masked:
            notes.used_as[layer.arrays["mask"].name] = f"mask of {name}"
            kept = layer.arrays["mask"].values
        elif masked:
            notes.worked_out.append(f"{shown(layer.name)} has no mask: {name} is kept whole.")
            kept = np.ones(layer.shape)
        else:
            kept = layer.first.values != 0
        mask[f"{name}.weight"] = np.array(kept, bool, order="C")
    return mask


def _weights(
    net: Network,
    layers: dict[str, Layer],
    part: str,
    vectors: list[Array],
    in_file_order: bool,
    notes: Notes,
) -> Arrays:
    """Parameters and buffers of one set by our names, unmasked."""
    if part == "weights":
        notes.worked_out.append(
            "Whether the weights are initial or trained ones is unknown: survivors restart from "
            "them."
        )
    norms = []
    if net.is_convolutional:
        norms = norms_in(vectors, [layer.arrays[part] for layer in layers.values()])
    values = norm_values(norms, net, layers, in_file_order, notes)
    of_norms = {one.name for norm in norms for one in norm.arrays.values()}
    left = [one for one in vectors if one.name not in of_norms]
    wanted = {name for name in layers if f"{name}.bias" in net.parameters}
    found = biases(left, layers, wanted, in_file_order, notes)
    for name, layer in layers.items():
        array, bias = layer.arrays[part], found[name]
        notes.used_as[array.name] = f"{TITLES[part]} of {name}"
        values[f"{name}.weight"] = np.array(array.values, np.float32, order="C")
        if name in wanted:
            values[f"{name}.bias"] = np.zeros(len(array.values), np.float32)
            if bias is not None:
                notes.used_as[bias.name] = f"{TITLES[part].replace('weights', 'bias')} of {name}"
                values[f"{name}.bias"] = bias.values.astype(np.float32)
        elif bias is not None:
            # Batch norm takes a bias away again: it is the running mean's alone to know of it.
            norm = next(at.name for at in net.operations if _follows(net, at.reads, name))
            notes.used_as[bias.name] = f"bias of {name}, taken off the running mean of {norm}"
            values[f"{norm}.running_mean"] -= bias.values.astype(np.float32)
    missing = [name for name in layers if name in wanted and found[name] is None]
    if missing:
        notes.worked_out.append(
            f"The {TITLES[part]} have no biases for {', '.join(missing)}: set to 0."
        )
    return {name: values[name] for name in net.parameters | net.buffers}


def _follows(net: Network, reads: tuple[int, ...], name: str) -> bool:
    """Whether an operation that reads these results reads that of the layer `name` alone."""
    return len(reads) == 1 and reads[0] > 0 and net.operations[reads[0] - 1].name == name


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
        if not one.is_matrix or not _is_binary(one.values):
            raise Refused(
                "has masks that are not of two or four dimensions and 0 or 1; export it again"
            )
    return {part: found for part, found in parts.items() if found}


def _foreign_parts(arrays: list[Array], notes: Notes) -> dict[str, list[Array]]:
    matrices = [one for one in arrays if one.is_matrix]
    vectors = [one for one in arrays if not one.is_matrix]
    if not matrices:
        raise Refused("holds no array of two or four dimensions; upload one mask a layer")
    masks = _masks(matrices)
    weights = [one for one in matrices if one not in masks]
    for one in [one for one in vectors if "mask" in one.kinds]:
        if not one.values.all():
            raise Refused(
                f"prunes biases by {shown(one.name)}; only weights are pruned here, so remove the "
                "masks of biases"
            )
        notes.left_out.append((one.name, "a mask of biases or batch norm, never pruned"))
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
