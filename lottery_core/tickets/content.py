"""What a ticket file holds, which network it is, and the hash that names it."""

from __future__ import annotations

from lottery_core.findings import recipe_words
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network, Operation
from lottery_core.store import LevelInfo
from lottery_core.store import digest as digest  # the store verifies by it what it keeps

FORMAT = "lottery-ticket 1"  # the header field "format" of every file of ours
PARTS = ("mask", "restart", "trained")


def network_of(info: LevelInfo) -> Network | None:
    """The network of a level; None where another version kept it and it means nothing here."""
    experiment = Experiment.known(info.experiment)
    return experiment.recipe.net if experiment else None


def known_network_of(info: LevelInfo) -> Network:
    """As `network_of`; raises `InvalidValue` where that is None."""
    net = network_of(info)
    if net is None:
        rule = "was kept by another version, so its network is not known; run its experiment again"
        raise InvalidValue("key", info.key, rule)
    return net


def data_in_words(info: LevelInfo) -> str:
    """The data set of a level."""
    return recipe_words.data_in_words(info.experiment["recipe"])


def in_header(net: Network) -> dict:
    """A network in plain values: its text with input and classes, from which this project makes it
    again, and its operations one by one, from which anybody can."""
    operations = [_operation(at) for at in net.operations]
    plain = {"text": net.text, "input": [*net.input], "classes": net.classes}
    return plain | {"operations": operations}


def _operation(at: Operation) -> dict:
    fields: dict = {"kind": at.kind, "reads": [*at.reads]}
    if at.name:
        fields["name"] = at.name
    if at.kind == "conv":
        fields |= {"kernel": at.kernel, "stride": at.stride, "padding": at.padding}
    return fields
