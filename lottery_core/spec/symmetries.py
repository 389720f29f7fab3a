"""Which units of a network can change places without changing what it computes."""

from __future__ import annotations

from lottery_core.method.masks import Arrays
from lottery_core.method.matching import Axis, match, put_in_order
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.networks import Network


def axes_of(network: Network) -> dict[str, tuple[Axis | None, ...]]:
    """For each parameter and buffer, the group of units that lies along each axis; None along
    pixels, classes and kernels, which have their places. What is added up in a shortcut is one
    group. Raises `InvalidValue` for a module of somebody's own, whose operations are not known."""
    if network.is_own:
        raise InvalidValue(
            "network",
            network.title,
            "is a module of your own, of which it is not known which units belong together; leave "
            "out the permuted mask",
        )
    results: list[Axis | None] = [None]  # the images
    same: dict[int, int | None] = {}  # a group that is another, or that stays
    found: dict[str, tuple[Axis | None, ...]] = {}
    last = len(network.operations)
    for n, at in enumerate(network.operations, 1):
        read = results[at.reads[0]]
        made = read
        if at.kind in ("conv", "fc"):
            made = Axis(n) if n < last else None
            kernel = (None, None) if at.kind == "conv" else ()
            found[f"{at.name}.weight"] = (made, read, *kernel)
            found[f"{at.name}.bias"] = (made,)
        elif at.kind == "norm":
            for part in ("weight", "bias", "running_mean", "running_var"):
                found[f"{at.name}.{part}"] = (read,)
        elif at.kind == "flat" and read:
            channels = network.shape_of(at.reads[0])[0]
            made = Axis(read.group, at.shape[0] // channels)
        elif at.kind == "add":
            one, other = (_group(results[number], same) for number in at.reads)
            if other is not None and one != other:
                same[other] = one
            elif other is None and one is not None:
                same[one] = None
        results.append(made)

    def settled(axis: Axis | None) -> Axis | None:
        group = _group(axis, same)
        return None if group is None else Axis(group, axis.block)

    known = network.parameters | network.buffers
    return {name: tuple(map(settled, found[name])) for name in known}


def matched(network: Network, arrays: Arrays, found_in: Arrays, used_on: Arrays) -> Arrays:
    """Masks or weights of a network with their units in the order in which the trained weights
    `found_in` match those of another, `used_on` (see `matching.match`). Raises as `axes_of`."""
    axes = axes_of(network)
    one, other = ({name: end[name] for name in network.parameters} for end in (found_in, used_on))
    return put_in_order(arrays, match(one, other, axes), axes)


def _group(axis: Axis | None, same: dict[int, int | None]) -> int | None:
    """The one that stands for all that are the same."""
    group = axis.group if axis else None
    while group in same:
        group = same[group]
    return group
