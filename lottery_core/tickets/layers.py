"""Arrays with names -> the layers of one network, from input to output.

Names tell what belongs together. What comes after what is told by shapes and, where these allow
several orders, by the numbers in names; where no number decides, by the order that the file keeps,
if it keeps one (`order`). Which network that is follows from the shapes (`fitting`). What could
still be understood in two ways is refused, or told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lottery_core.spec.networks import MAX_LAYERS, Network, Shape
from lottery_core.tickets import fitting, names
from lottery_core.tickets.order import in_order
from lottery_core.tickets.reading import Notes
from lottery_core.tickets.unpacking import Refused, shown

TITLES = {"mask": "masks", "weights": "weights", "restart": "restart weights",
          "trained": "trained weights"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Array:
    """An array of the file: `name` there, and `label`, which is what it says beside the part."""

    name: str
    label: str
    values: np.ndarray

    @cached_property
    def kinds(self) -> set[str]:
        """What its name says that it is (`names.kinds`)."""
        return names.kinds(self.label)

    @cached_property
    def stem(self) -> tuple[str, ...]:
        """What its name says of its layer (`names.stem`)."""
        return names.stem(self.label)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its values."""
        return self.values.shape

    @property
    def is_matrix(self) -> bool:
        """Whether it can be what a layer multiplies by: of a convolution or fully connected."""
        return self.values.ndim in (2, 4)


@dataclass(frozen=True, eq=False)
class Layer:
    """The matrices of one layer, by part: "mask", where it has one, and sets of weights."""

    arrays: dict[str, Array]

    @property
    def first(self) -> Array:
        """The one that stands for the layer: of its weights, where there are any."""
        return next(array for part, array in self.arrays.items() if part != "mask" or self.is_bare)

    @property
    def is_bare(self) -> bool:
        """Whether it has a mask alone."""
        return [*self.arrays] == ["mask"]

    @property
    def label(self) -> str:
        """Of that array, for the order of layers."""
        return self.first.label

    @property
    def name(self) -> str:
        """Of that array, for people."""
        return self.first.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of that array, as it is stored."""
        return self.first.shape


@dataclass(frozen=True)
class Hints:
    """What is known beside the arrays: networks that the file may hold, as far as it or its reader
    names one; whether there is batch norm, None where nothing tells; and whether the arrays are in
    an order of their author's."""

    known: Sequence[Network]
    normed: bool | None
    in_file_order: bool


@dataclass(frozen=True)
class _Found:
    """Layers from input to output, stored as in TensorFlow if `turned`, and their network."""

    layers: list[Layer]
    turned: bool
    net: Network


def network(
    parts: dict[str, list[Array]], hints: Hints, notes: Notes
) -> tuple[Network, dict[str, Layer]]:
    """The network that the matrices of all parts make, and its layers by name ("conv1", "fc1")
    from input to output, each array turned to torch's layout. A layer has every set of weights, and
    a mask if any in the file is its.

    `parts` has the matrices of each part as they follow each other in the file. Raises `Refused`.
    """
    for part, arrays in parts.items():
        if not arrays:
            raise Refused(
                f"has no two-dimensional array of {TITLES[part]}; export it again or leave them out"
            )
    sets = [part for part in parts if part != "mask"]
    if _are_strangers(parts):
        masks = _chain([Layer({"mask": mask}) for mask in parts["mask"]], hints, notes)
        found = _chain(_grouped({part: parts[part] for part in sets}), hints, notes)
        layers = [
            Layer(one.arrays | two.arrays)
            for one, two in zip(masks.layers, found.layers, strict=True)
        ]
        notes.worked_out = [*dict.fromkeys(notes.worked_out)]  # both sides may say the same
        notes.worked_out.append("Which weights belong to which mask was told by their order.")
        found = replace(found, layers=layers)
    else:
        layers = _without_strays(_grouped(parts), hints, notes)
        for layer in layers:
            for part in sets:
                if part not in layer.arrays:
                    raise Refused(
                        f"has {shown(next(iter(layer.arrays.values())).name)} and no "
                        f"{TITLES[part]} that are named after its layer; give both one name, as "
                        "fc1.weight_mask and fc1.weight, or upload masks alone"
                    )
        in_file_order = hints.in_file_order and _agree(parts, layers)
        found = _chain(layers, replace(hints, in_file_order=in_file_order), notes)
    named = (name.removesuffix(".weight") for name in found.net.shapes)
    return found.net, dict(zip(named, _upright(found, notes), strict=True))


# What belongs together


def _are_strangers(parts: dict[str, list[Array]]) -> bool:
    """Whether no weights are named after a mask, and they have the shapes of the masks."""
    masks = parts.get("mask", [])
    sets = [parts[part] for part in parts if part != "mask"]
    if not masks or not sets or {mask.stem for mask in masks} & {one.stem for one in sets[0]}:
        return False
    wanted = sorted(mask.shape for mask in masks)
    found = [one.shape for one in sets[0]]
    turned = (sorted(_torch(shape) for shape in found), sorted(_torch(shape) for shape in wanted))
    return wanted in (sorted(found), turned[0]) or turned[1] == sorted(found)


def _grouped(parts: dict[str, list[Array]]) -> list[Layer]:
    """Layers in the order of their weights in the file, or of their masks."""
    if len(parts) == 1:
        [(part, arrays)] = parts.items()
        return [Layer({part: array}) for array in arrays]
    groups: dict[tuple[str, ...], dict[str, Array]] = {}
    for part in sorted(parts, key="mask".__eq__):  # masks last
        for array in parts[part]:
            group = groups.setdefault(array.stem, {})
            if part in group:
                raise Refused(
                    f"has {shown(group[part].name)} and {shown(array.name)} for one layer; leave "
                    "one of them out or name each after its layer"
                )
            group[part] = array
    return [Layer(group) for group in groups.values()]


def _without_strays(layers: list[Layer], hints: Hints, notes: Notes) -> list[Layer]:
    """Without matrices that are no layers: by their names, where a network is left without them."""

    if len(layers) > 2 * MAX_LAYERS:
        raise _too_many(layers)

    def is_said(layer: Layer) -> bool:
        return "mask" in layer.arrays or "weights" in layer.first.kinds

    others = [one for one in layers if not is_said(one) and "other" in one.first.kinds]
    left = [layer for layer in layers if layer not in others]
    if others and _may_chain(left, hints):
        notes.left_out += [
            (array.name, "named as something other than weights")
            for layer in others
            for array in layer.arrays.values()
        ]
        layers = left
    said = [layer for layer in layers if is_said(layer)]
    unsure = [
        layer
        for layer in layers
        if not is_said(layer)  # nor numbered as others that are
        and not any(
            names.precedes(layer.label, one.label) or names.precedes(one.label, layer.label)
            for one in said
        )
    ]
    if unsure and _may_chain([layer for layer in layers if layer not in unsure], hints):
        raise Refused(
            f"has an array {shown(unsure[0].name)} that may be one layer more or none; name it "
            "after its layer, as fc1.weight, or leave it out"
        )
    return layers


def _agree(parts: dict[str, list[Array]], layers: list[Layer]) -> bool:
    """Whether all parts have their layers in one order in the file."""
    place = {array.name: i for i, layer in enumerate(layers) for array in layer.arrays.values()}
    orders = (
        [place[array.name] for array in arrays if array.name in place] for arrays in parts.values()
    )
    return all(order == sorted(order) for order in orders)


# Which network


def _chain(layers: list[Layer], hints: Hints, notes: Notes) -> _Found:
    """The layers from input to output, how they are stored, and the network that they make."""
    title = "masks" if layers[0].is_bare else "layers"
    if len(layers) > MAX_LAYERS:
        raise _too_many(layers)
    ways: list[tuple[int, _Found, list[Network], Notes]] = []
    for turned, route in _routes(layers, hints):

        def fits(before: Sequence[Layer], layer: Layer, route=route, turned=turned) -> bool:
            last = _shape(before[-1], turned) if before else ()
            return route.fits(len(before), last, _shape(layer, turned))

        told = Notes()
        order = in_order(layers, fits, title, hints.in_file_order, told)
        fit = route.fitting([_shape(one, turned) for one in order], hints.normed) if order else []
        if fit:
            found = _Found(order, turned, fit[0].network)
            ways.append((fit[0].oddity, found, [one.network for one in fit[1:]], told))
    if not ways:
        whole = "; add the weights of a layer that has no mask" if layers[0].is_bare else ""
        shapes = fitting.in_words([layer.shape for layer in layers])
        would = fitting.what_would_fit(hints.known)
        raise Refused(f"has {title} of {shapes}; {would}{whole}")
    # The least odd; of those as odd, the layout of the words, and the data set listed first.
    says_kernel = any("kernel" in layer.label.lower() for layer in layers)
    _, found, others, told = min(ways, key=lambda way: (way[0], way[1].turned != says_kernel))
    rest = [way for _, way, _, _ in ways if way is not found]
    notes.worked_out += told.worked_out
    if found.net.is_convolutional and not hints.known:
        others = [*others, *(way.net for way in rest if way.turned == found.turned)]
        notes.worked_out.append(fitting.taken_for(found.net, others))
        if hints.normed is None:
            how = "with it" if found.net.buffers else "without"
            notes.worked_out.append(
                f"Whether it has batch norm is not in the file: it is read as a network {how}."
            )
    if any(way.turned != found.turned for way in rest):
        notes.worked_out.append(
            "By their shapes, the layers may be stored as in torch or as in TensorFlow: read as in "
            f"{'TensorFlow' if found.turned else 'torch'}."
        )
    return found


def _too_many(layers: list[Layer]) -> Refused:
    return Refused(f"holds a network of {len(layers)} layers; at most {MAX_LAYERS} can be read")


def _routes(layers: list[Layer], hints: Hints) -> list[tuple[bool, fitting.Route]]:
    """Ways to understand the layers, each with whether they are stored as in TensorFlow."""
    found = []
    for turned in (False, True):
        shapes = [_shape(layer, turned) for layer in layers]
        found += [(turned, route) for route in fitting.routes(shapes, hints.known)]
    return found


def _may_chain(layers: list[Layer], hints: Hints) -> bool:
    return bool(layers) and bool(_routes(layers, hints))


def _shape(layer: Layer, turned: bool) -> Shape:
    return _torch(layer.shape) if turned else layer.shape


# How it is stored


def _torch(shape: Shape) -> Shape:
    """(inputs, outputs) or (rows, columns, inputs, outputs), as TensorFlow stores layers, in the
    order of torch."""
    return (shape[-1], shape[-2], *shape[:-2])


def _upright(found: _Found, notes: Notes) -> list[Layer]:
    """Every array in torch's layout."""
    layers, turned = found.layers, found.turned
    wanted = [_shape(layer, turned) for layer in layers]
    flipped = []
    for part in dict.fromkeys(part for layer in layers for part in layer.arrays):
        pairs = [
            (layer.arrays[part].shape, shape)
            for layer, shape in zip(layers, wanted, strict=True)
            if part in layer.arrays
        ]
        ways = {
            False: all(shape == upright for shape, upright in pairs),
            True: all(_torch(shape) == upright for shape, upright in pairs),
        }
        if not any(ways.values()):
            one, two = ("weights", "mask") if part == "mask" else (part, "restart")
            raise Refused(
                f"has {TITLES[one]} of other shapes than its {TITLES[two]}; export both of one net"
            )
        if turned if ways[turned] else not turned:
            flipped.append(part)
    if flipped:
        what = " and ".join(TITLES[part] for part in flipped)
        kernels = "(rows, columns, inputs, outputs) and " if found.net.is_convolutional else ""
        notes.worked_out.append(
            f"The {what} are stored as {kernels}(inputs, outputs), as in Keras: turned."
        )
    flat = _flattened(found.net) if flipped else None
    if flat:
        notes.worked_out.append(
            f"{flat[0]} reads pixels by rows, columns and channels, as TensorFlow flattens them: "
            "put in the order of channels, rows and columns."
        )
    upright = []
    for name, layer in zip(found.net.shapes, layers, strict=True):
        image = flat[1] if flat and name == f"{flat[0]}.weight" else None
        arrays = {
            part: replace(array, values=_turned(array.values, image)) if part in flipped else array
            for part, array in layer.arrays.items()
        }
        upright.append(Layer(arrays))
    return upright


def _flattened(net: Network) -> tuple[str, Shape] | None:
    """The layer that reads images of several channels pixel by pixel, and their shape."""
    for n, at in enumerate(net.operations, 1):
        if at.kind == "flat":
            image = net.shape_of(at.reads[0])
            reader = next(one.name for one in net.operations if n in one.reads)
            return (reader, image) if image[0] > 1 and image[1] * image[2] > 1 else None
    return None


def _turned(values: np.ndarray, image: Shape | None) -> np.ndarray:
    """From TensorFlow's layout to torch's; with `image` (channels, rows, columns), columns that are
    ordered by rows, columns and channels to channels first."""
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1)
    values = values.T
    if image is None:
        return values
    channels, rows, columns = image
    by_pixel = values.reshape(len(values), rows, columns, channels)
    return by_pixel.transpose(0, 3, 1, 2).reshape(len(values), -1)
