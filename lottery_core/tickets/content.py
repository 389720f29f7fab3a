"""What a ticket file holds, which network it is, and the hash that names it."""

from __future__ import annotations

from lottery_core.findings import recipe_words
from lottery_core.method.masks import Arrays, apply
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import Network, Operation
from lottery_core.spec.own import is_own, short
from lottery_core.store import Level, LevelInfo
from lottery_core.store import digest as digest  # the store verifies by it what it keeps

FORMAT = "lottery-ticket 1"  # the header field "format" of every file of ours
PARTS = ("mask", "restart", "trained")


def parts_of(level: Level) -> dict[str, Arrays]:
    """The arrays of a level that a ticket holds, by part. Of a mask that changed in training these
    are the weights in its last one; what grew later than the training began is 0 in "restart"."""
    has_moved = level.info.explored is not None
    restart = apply(level.start, level.mask) if has_moved else level.start
    return {"mask": level.mask, "restart": restart, "trained": level.end}


def network_of(info: LevelInfo) -> Network | None:
    """The network of a level; None where it means nothing here: another version kept the level, or
    its network is code that this process does not know."""
    # Without its rounds, whose criterion may be such code when the network is not.
    experiment = Experiment.known(info.experiment | {"rounds": [], "control": ""})
    return experiment.recipe.net if experiment else None


def known_network_of(info: LevelInfo) -> Network:
    """The network of a level, for files that say what it computes. Raises `InvalidValue` where
    nobody can: for a module of its author's own, and where `network_of` is None."""
    net, (name, *_) = network_of(info), [*own_code_of(info.experiment, "network"), ""]
    if name:
        raise InvalidValue(
            "key", info.key, f"has a network of its author's own, {short(name)}, and what a torch "
            "module computes stands in its code alone; take the ticket as pt and load it into the "
            "module, or as ticket or mask"
        )  # fmt: skip
    if net is None:
        rule = "was kept by another version, so its network is not known; run its experiment again"
        raise InvalidValue("key", info.key, rule)
    return net


def own_code_of(experiment: dict, *fields: str) -> list[str]:
    """The names of code of its author's own in these fields of an experiment in plain values, its
    recipe's and its rounds': by which it was asked for (see `spec.own`)."""
    values = [step.get(field) for step in [experiment["recipe"], *experiment["rounds"]]
              for field in fields]  # fmt: skip
    return [*dict.fromkeys(filter(is_own, values))]


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
