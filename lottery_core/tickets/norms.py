"""Vectors with names -> the batch norms of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lottery_core.findings.forward import EPSILON
from lottery_core.method.masks import Arrays
from lottery_core.spec.networks import Network
from lottery_core.tickets import names
from lottery_core.tickets.layers import Array, Layer
from lottery_core.tickets.order import in_order
from lottery_core.tickets.reading import Notes
from lottery_core.tickets.unpacking import Refused, shown

# What each array of a batch norm does, and its value where the file has none.
_ROLES = {
    "weight": ("scale", 1.0),
    "bias": ("shift", 0.0),
    "running_mean": ("running mean", 0.0),
    "running_var": ("running variance", 1.0),
}
_EPSILON_OF_KERAS = 1e-3  # that its batch norm adds to the variance unless it is told otherwise


@dataclass(frozen=True, eq=False)
class Norm:
    """The arrays of one batch norm by torch's names: weight, bias, running_mean, running_var."""

    stem: tuple[str, ...]
    arrays: dict[str, Array]

    @property
    def label(self) -> str:
        """The words of its name, for the order of norms."""
        return "/".join(self.stem)

    @property
    def name(self) -> str:
        """Of one of its arrays, for people."""
        return next(iter(self.arrays.values())).name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of that array."""
        return next(iter(self.arrays.values())).shape


def norms_in(vectors: list[Array], matrices: list[Array]) -> list[Norm]:
    """The batch norms among vectors: what has running statistics, or is named as batch norm, and
    is not named after a layer. Raises `Refused` where one has two arrays of a kind."""
    layers = {one.stem for one in matrices}
    groups: dict[tuple[str, ...], dict[str, Array]] = {}
    for one in vectors:
        said = names.norm_part(one.label)
        if said and said[0] not in layers:
            stem, part = said
            group = groups.setdefault(stem, {})
            if part in group:
                raise Refused(
                    f"has {shown(group[part].name)} and {shown(one.name)} for one batch norm; "
                    "leave one of them out"
                )
            group[part] = one
    found = [Norm(stem, group) for stem, group in groups.items() if _is_norm(stem, group)]
    for norm in found:
        if len({one.shape for one in norm.arrays.values()}) > 1:
            raise Refused(
                f"has a batch norm {shown(norm.name)} whose arrays are of several sizes; export "
                "them again"
            )
    return found


def _is_norm(stem: tuple[str, ...], group: dict[str, Array]) -> bool:
    if "running_mean" in group or "running_var" in group or {"weight", "bias"} <= {*group}:
        return True
    return names.is_norm(stem)


def norm_values(
    norms: list[Norm], net: Network, layers: dict[str, Layer], in_file_order: bool, notes: Notes
) -> Arrays:
    """Scale, shift and running statistics of every batch norm of the network by our names; what
    the file has not is as before any training. Raises `Refused`."""
    places = {
        at.name: net.operations[at.reads[0] - 1].name for at in net.operations if at.kind == "norm"
    }
    if norms and len(norms) != len(places):
        raise Refused(
            f"has {len(norms)} batch norms, {shown(norms[0].name)} one of them, and {len(places)} "
            "convolutions with one; batch norm can be read after every convolution or after none"
        )
    sizes = [net.parameters[f"{name}.weight"] for name in places]
    stems = [layers[conv].first.stem for conv in places.values()]
    found = _by_names(norms, stems, sizes) or _by_sizes(norms, sizes, in_file_order, notes)
    values, missing, from_keras = {}, set(), []
    for n, (name, size) in enumerate(zip(places, sizes, strict=True)):
        for part, (role, usual) in _ROLES.items():
            array = found[n].arrays.get(part) if found else None
            if array is None:
                missing.add(part)
                values[f"{name}.{part}"] = np.full(size, usual, np.float32)
            else:
                notes.used_as[array.name] = f"{role} of {name}"
                values[f"{name}.{part}"] = array.values.astype(np.float32)
                if names.is_keras_variance(array.label):
                    from_keras.append(f"{name}.{part}")
    for name in from_keras:
        more = _EPSILON_OF_KERAS - EPSILON
        values[name] = (values[name].astype(float) + more).astype(np.float32)
    if from_keras:
        notes.worked_out.append(_about_epsilon())
    if missing:
        what = ", ".join(f"{role} {usual:g}" for part, (role, usual) in _ROLES.items()
                         if part in missing)  # fmt: skip
        notes.worked_out.append(f"Batch norm is not all in the file: set to {what}.")
    return values


def _about_epsilon() -> str:
    return (
        f"Keras's batch norm adds {_EPSILON_OF_KERAS:g} to a variance and the one here "
        f"{EPSILON:.5f}, so running variances were raised by the difference: answers are the "
        "same. While it trains, and where the file's network had another epsilon, they are not "
        "exactly."
    )


def _by_names(
    norms: list[Norm], stems: list[tuple[str, ...]], sizes: list[tuple[int, ...]]
) -> list[Norm]:
    """The norm that is named after each convolution; [] unless every one has its own."""
    found = []
    for stem, size in zip(stems, sizes, strict=True):
        alike = [one for one in norms if one.shape == size and names.goes_with(stem, one.stem)]
        if len(alike) != 1 or alike[0] in found:
            return []
        found += alike
    return found


def _by_sizes(
    norms: list[Norm], sizes: list[tuple[int, ...]], in_file_order: bool, notes: Notes
) -> list[Norm]:
    """The norms in an order that has these sizes. Raises `Refused`."""

    def fits(before: Sequence[Norm], one: Norm) -> bool:
        return one.shape == sizes[len(before)]

    if not norms:
        return []
    found = in_order(norms, fits, "batch norms", in_file_order, notes)
    if not found:
        raise Refused(
            f"has batch norms of other sizes than its convolutions, {shown(norms[0].name)} one of "
            "them; export both of one network"
        )
    return found
