"""Arrays with names -> the layers of one network, from input to output.

Names tell what belongs together. What comes after what is told by shapes and, where these allow
several orders, by the numbers in names; where no number decides, by the order that the file keeps,
if it keeps one. What could still be understood in two ways is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, pairwise
from typing import TypeVar

import numpy as np

from lottery_core.datasets import CLASSES, PIXELS
from lottery_core.experiment import MAX_HIDDEN_LAYERS
from lottery_core.tickets import names
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


Item = TypeVar("Item", Array, Layer)
Fits = Callable[[Sequence[Item], Item], bool]


def network(parts: dict[str, list[Array]], in_file_order: bool, notes: Notes) -> list[Layer]:
    """The layers that the matrices of all parts make, from input to output, each array turned to
    (outputs, inputs). A layer has every set of weights, and a mask if any in the file is its.

    `parts` has the matrices of each part as they follow each other in the file, which are in an
    order of its author's if `in_file_order`. Raises `Refused`.
    """
    for part, arrays in parts.items():
        if not arrays:
            raise Refused(
                f"has no two-dimensional array of {TITLES[part]}; export it again or leave them out"
            )
    sets = [part for part in parts if part != "mask"]
    if _are_strangers(parts):
        masks, _ = _chain([Layer({"mask": mask}) for mask in parts["mask"]], in_file_order, notes)
        weights, turned = _chain(
            _grouped({part: parts[part] for part in sets}), in_file_order, notes
        )
        layers = [Layer(one.arrays | two.arrays) for one, two in zip(masks, weights, strict=True)]
        notes.worked_out.append("Which weights belong to which mask was told by their order.")
        return _upright(layers, turned, notes)
    layers = _without_strays(_grouped(parts), notes)
    for layer in layers:
        for part in sets:
            if part not in layer.arrays:
                raise Refused(
                    f"has {shown(next(iter(layer.arrays.values())).name)} and no {TITLES[part]} "
                    "that are named after its layer; give both one name, as fc1.weight_mask and "
                    "fc1.weight, or upload masks alone"
                )
    in_file_order = in_file_order and _agree(parts, layers)
    return _upright(*_chain(layers, in_file_order, notes), notes)


# What belongs together


def _are_strangers(parts: dict[str, list[Array]]) -> bool:
    """Whether no weights are named after a mask, and they have the shapes of the masks."""
    masks = parts.get("mask", [])
    sets = [parts[part] for part in parts if part != "mask"]
    if not masks or not sets or {mask.stem for mask in masks} & {one.stem for one in sets[0]}:
        return False
    wanted = sorted(mask.shape for mask in masks)
    found = [one.shape for one in sets[0]]
    return wanted in (sorted(found), sorted(shape[::-1] for shape in found))


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


def _without_strays(layers: list[Layer], notes: Notes) -> list[Layer]:
    """Without matrices that are no layers: by their names, where a network is left without them."""

    def is_said(layer: Layer) -> bool:
        return "mask" in layer.arrays or "weights" in layer.first.kinds

    others = [one for one in layers if not is_said(one) and "other" in one.first.kinds]
    left = [layer for layer in layers if layer not in others]
    if others and _may_chain(left):
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
        and not any(_precedes(layer, one) or _precedes(one, layer) for one in said)
    ]
    if unsure and _may_chain([layer for layer in layers if layer not in unsure]):
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


# What comes after what


def _chain(layers: list[Layer], in_file_order: bool, notes: Notes) -> tuple[list[Layer], bool]:
    """The layers from input to output, and whether they are stored as (inputs, outputs)."""
    title = "masks" if layers[0].is_bare else "layers"
    if len(layers) > MAX_HIDDEN_LAYERS + 1:
        raise Refused(
            f"holds a network of {len(layers)} layers; at most {MAX_HIDDEN_LAYERS + 1} can be read"
        )
    turned = _balance(layers, -1)
    step = -1 if turned else 1

    def fits(before: Sequence[Layer], layer: Layer) -> bool:
        outputs, inputs = layer.first.shape[::step]
        last = len(before) + 1 == len(layers)
        reached = before[-1].first.shape[::step][0] if before else PIXELS
        return inputs == reached and (not last or outputs == CLASSES)

    found = in_order(layers, fits, title, in_file_order, notes) if _balance(layers, step) else []
    if not found:
        shapes = ", ".join("{} x {}".format(*layer.first.shape) for layer in layers)
        whole = "; add the weights of a layer that has no mask" if layers[0].is_bare else ""
        raise Refused(
            f"has {title} of {shapes}; layers must lead from {PIXELS} pixels to {CLASSES} classes, "
            f"each with as many inputs as the one before has outputs{whole}"
        )
    return found, turned


def _may_chain(layers: list[Layer]) -> bool:
    return bool(layers) and (_balance(layers, 1) or _balance(layers, -1))


def _balance(layers: list[Layer], step: int) -> bool:
    """Whether as many layers begin with each size as end with it, as they do in a chain."""
    ends, begins = zip(*(layer.first.shape[::step] for layer in layers), strict=True)
    return sorted([PIXELS, *ends]) == sorted([CLASSES, *begins])


def in_order(
    items: list[Item], fits: Fits, title: str, in_file_order: bool, notes: Notes
) -> list[Item]:
    """The order of `items` in which each fits after those before it; [] if there is none.

    Where several fit, the numbers in their names decide, and where no number does, the order in
    which they are given, if that is the file's (`in_file_order`). Numbers win over the file. How it
    was told is noted under `title`; raises `Refused` if nothing tells it.
    """
    some = [*islice(_orders(items, fits, lambda one, other: False), 2)]
    if not some:
        return []
    numbered = [*islice(_orders(items, fits, _precedes), 2)]
    if len(some) == 1:
        if not numbered:
            notes.worked_out.append(
                f"The {title} were put in order by their shapes, not by the numbers in their names."
            )
        elif not _is_numbered(some[0]):
            notes.worked_out.append(f"The {title} were put in order by their shapes.")
        return some[0]
    if not numbered:
        raise Refused(
            f"has {title} that shapes allow in several orders, none of them that of the numbers in "
            "their names; number them from input to output, as fc1, fc2, ..."
        )
    if len(numbered) == 1:
        if not _is_numbered(numbered[0]):
            notes.worked_out.append(
                f"The {title} were put in order by their shapes and the numbers in their names."
            )
        elif in_file_order and items != numbered[0] and _is_order(items, fits):
            notes.worked_out.append(
                f"The {title} were put in order by the numbers in their names, not as they stand "
                "in the file."
            )
        return numbered[0]
    if in_file_order and _is_order(items, fits) and _keeps_numbers(items):
        notes.worked_out.append(
            f"No numbers in their names order the {title}: taken as they stand in the file."
        )
        return items
    one, other = next(pair for pair in zip(*numbered, strict=True) if pair[0] is not pair[1])
    remedy = "save them in that order" if in_file_order else "save them in order as .npz"
    raise Refused(
        f"has {title} that could change places, {shown(one.name)} and {shown(other.name)}; number "
        f"them from input to output, as fc1, fc2, ..., or {remedy}"
    )


def _orders(
    items: list[Item], fits: Fits, precedes: Callable[[Item, Item], bool],
    before: tuple[Item, ...] = (),
) -> Iterator[list[Item]]:  # fmt: skip
    """All orders in which each item fits and none comes after one that it precedes."""
    if not items:
        yield [*before]
    for i, item in enumerate(items):
        if fits(before, item) and not any(precedes(other, item) for other in items):
            yield from _orders(items[:i] + items[i + 1 :], fits, precedes, (*before, item))


def _precedes(one: Item, other: Item) -> bool:
    return names.precedes(one.label, other.label)


def _is_numbered(items: list[Item]) -> bool:
    return all(_precedes(one, other) for one, other in pairwise(items))


def _keeps_numbers(items: list[Item]) -> bool:
    return not any(_precedes(two, one) for i, one in enumerate(items) for two in items[i:])


def _is_order(items: list[Item], fits: Fits) -> bool:
    return all(fits(items[:i], item) for i, item in enumerate(items))


def _upright(layers: list[Layer], turned: bool, notes: Notes) -> list[Layer]:
    """Every array as (outputs, inputs); `turned` says that the first of each layer is not."""
    wanted = [layer.first.shape[::-1] if turned else layer.first.shape for layer in layers]
    flipped = []
    for part in dict.fromkeys(part for layer in layers for part in layer.arrays):
        pairs = [
            (layer.arrays[part].shape, shape)
            for layer, shape in zip(layers, wanted, strict=True)
            if part in layer.arrays
        ]
        ways = {
            False: all(shape == upright for shape, upright in pairs),
            True: all(shape[::-1] == upright for shape, upright in pairs),
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
        notes.worked_out.append(f"The {what} are stored as (inputs, outputs), as in Keras: turned.")
    return [
        Layer({
            part: replace(array, values=array.values.T) if part in flipped else array
            for part, array in layer.arrays.items()
        })
        for layer in layers
    ]  # fmt: skip
