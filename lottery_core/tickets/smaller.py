"""A ticket of which whole units are gone as a smaller dense network.

A unit that nothing reads changes no answer, so that it can be taken out with its bias and its batch
norm: the answers stay what they were, up to the order in which a processor adds up. What reads
nothing but is read stays: it gives the same number for every image, which its readers count on.
"""

from __future__ import annotations

from dataclasses import dataclass

from lottery_core.method.masks import Arrays
from lottery_core.method.units import PerUnit, taken, useful
from lottery_core.spec.networks import Network, narrowed
from lottery_core.spec.notation import RESNET
from lottery_core.spec.symmetries import axes_of

_NAMED = 4  # layers in a sentence


@dataclass(frozen=True)
class Smaller:
    """A network without the units that no answer depends on.

    `units` are (left, all) of each hidden layer by its name; layers that a shortcut adds up have
    theirs in common.
    """

    network: Network
    units: dict[str, tuple[int, int]]
    _left: PerUnit

    @property
    def is_smaller(self) -> bool:
        """Whether a unit is gone."""
        return any(left < of for left, of in self.units.values())

    def in_words(self) -> str:
        """How much of it is left: a sentence."""
        net = self.network
        named = [f"{left} of {of} in {name}" for name, (left, of) in self.units.items()]
        if len(named) > _NAMED:
            named[_NAMED - 1 :] = [f"what is left in {len(named) - _NAMED + 1} more layers"]
        text = "" if RESNET.match(net.text) else f" It is the network `{net.text}`."
        return f"it has {', '.join(named)}, and {net.weights_total:,} weights in all.{text}"

    def of(self, arrays: Arrays, whole: Network) -> Arrays:
        """Its part of weights, masks or whatever belongs to the `whole` network, by name."""
        return taken(arrays, self._left, axes_of(whole))


def smaller(whole: Network, mask: Arrays) -> Smaller:
    """What a mask leaves of a network whose operations are known."""
    axes = axes_of(whole)
    left = useful(mask, axes)
    made = {name.removesuffix(".weight"): axes[name][0] for name in whole.shapes}
    units = {
        name: (int(left[axis.group].sum()), left[axis.group].size)
        for name, axis in made.items()
        if axis
    }
    widths = {name: count for name, (count, _) in units.items()}
    widths[whole.output.removesuffix(".weight")] = whole.classes
    return Smaller(narrowed(whole, widths), units, left)
