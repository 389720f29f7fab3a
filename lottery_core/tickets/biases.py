"""Vectors with names -> the biases of layers, and which of them are none."""

from __future__ import annotations

from collections.abc import Sequence

from lottery_core.tickets.layers import Array, Layer
from lottery_core.tickets.order import in_order
from lottery_core.tickets.reading import Notes
from lottery_core.tickets.unpacking import Refused, shown


def biases(
    vectors: list[Array],
    layers: dict[str, Layer],
    wanted: set[str],
    in_file_order: bool,
    notes: Notes,
) -> dict[str, Array | None]:
    """The bias of each layer by its name, None where the file has none; what is no bias is left
    out.

    A bias has its layer's name. Those that are named as biases of no layer here are told by their
    sizes; so are those that are named as nothing, if they are as many as all layers without a bias
    and have their sizes. That is asked of the `wanted` layers alone; before batch norm a layer
    seldom has one. Raises `Refused` where sizes leave a choice.
    """
    stems = {layer.first.stem for layer in layers.values()}
    rows = {name: layer.shape[0] for name, layer in layers.items()}
    found = {name: _named_after(layer, vectors) for name, layer in layers.items()}
    rest = [one for one in vectors if one not in found.values()]
    said = [one for one in rest if "bias" in one.kinds and "other" not in one.kinds]
    unsaid = [one for one in rest if not one.kinds]
    notes.left_out += [
        (one.name, "named as something other than a bias")
        for one in rest
        if one not in said and one not in unsaid
    ]

    def free(sizes: set[int]) -> list[str]:
        return [
            name for name in found if name in wanted and not found[name] and rows[name] in sizes
        ]

    def take(arrays: list[Array]) -> None:
        places = free({one.shape[0] for one in arrays})
        sizes = [rows[name] for name in places]
        for name, bias in zip(places, _by_size(arrays, sizes, in_file_order, notes), strict=True):
            found[name] = bias
            notes.worked_out.append(
                f"{shown(bias.name)} of {rows[name]:,} values was taken for the bias of {name}."
            )

    for one in said:
        alike = [other for other in said if other.shape == one.shape]
        if one.stem in stems or len(alike) != len(free({one.shape[0]})):
            raise Refused(
                f"has an array {shown(one.name)} of {one.shape[0]:,} values that is no layer's "
                "bias for sure; leave it out or name it after its layer"
            )
    take(said)
    sizes = sorted(one.shape[0] for one in unsaid if one.stem not in stems)
    if sizes == sorted(rows[name] for name in free({*rows.values()})):
        take([one for one in unsaid if one.stem not in stems])
    notes.left_out += [
        (one.name, "not named as a bias, and not one by elimination")
        for one in unsaid
        if one not in found.values()
    ]
    return found


def _named_after(layer: Layer, vectors: list[Array]) -> Array | None:
    """The vector that has a layer's name and size: the one that says it is a bias, or says
    nothing besides."""
    rows = layer.first.shape[0]
    named = [one for one in vectors if one.stem == layer.first.stem and len(one.values) == rows]
    for alike in (
        [one for one in named if "bias" in one.kinds],
        [one for one in named if not {"bias", "weights"} & one.kinds],
    ):
        if alike:
            return alike[0] if len(alike) == 1 else None
    return None


def _by_size(
    arrays: list[Array], sizes: list[int], in_file_order: bool, notes: Notes
) -> list[Array]:
    """The arrays in an order that has these sizes."""

    def fits(before: Sequence[Array], one: Array) -> bool:
        return one.shape[0] == sizes[len(before)]

    told = Notes()
    found = in_order(arrays, fits, "biases", in_file_order, told)
    if len({*sizes}) < len(sizes):
        notes.worked_out += told.worked_out
    return found
