"""What the header of a ticket file of ours says of it, checked for its form and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable

from lottery_core.spec import networks
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_ROUNDS, MAX_WEIGHTS
from lottery_core.tickets.content import FORMAT, PARTS, own_code_of
from lottery_core.tickets.reading import Notes
from lottery_core.tickets.unpacking import strict_json

_MAX_CLAIM = 256 * 2**10  # characters of one field; forty rounds with rates by layer take 150 KB
_MAX_TEXT = 600  # of a network; sixty layers take 400
_MAX_DEPTH = 8  # of claims in claims
_CODE = ("network", "criterion")  # what may be code of somebody's own


def claims_in(header: dict[str, str], notes: Notes) -> dict:
    """Field -> value of what is well-formed in the header of a file of ours; {} for another's."""
    ours = header.get("format", "").startswith("lottery-ticket ") or (
        "format" not in header and {"contents", "key", "level", "experiment"} <= header.keys()
    )
    if not ours:
        return {}
    if header.get("format", FORMAT) != FORMAT:
        notes.worked_out.append(
            "The file is of another version of its format; what is unknown is left out."
        )
    found = {}
    for field, check in _CHECKS.items():
        if field in header:
            value = _claim(header[field], check)
            if value is None:
                notes.left_out.append((f"header: {field}", _why_not(field, header[field])))
            else:
                found[field] = value
    return found


def _claim(text: str, check: Callable[[str], object]) -> object:
    """The value that `check` makes of a claim; None where it makes none."""
    if len(text) > _MAX_CLAIM:
        return None
    try:
        return check(text)
    except Exception:  # noqa: BLE001 - a hostile value meets code that is written for other ones
        return None


def _why_not(field: str, text: str) -> str:
    """Why a claim is left out."""
    if field == "experiment":
        name = _claim(text, lambda said: strict_json(said)["recipe"]["dataset"])
        if isinstance(name, str) and re.fullmatch("[a-z0-9-]{1,40}", name) and name not in DATASETS:
            return f"names a data set that is not here, {name}"
        if _claim(text, lambda said: own_code_of(strict_json(said), *_CODE)):
            return "names code of its author's own, which no file can bring along"
    return "not well-formed"


def _format(text: str) -> str | None:
    return text if len(text) <= 40 and text.isprintable() else None


def _key(text: str) -> str | None:
    return text if re.fullmatch("[0-9a-f]{40}", text) else None


def _level(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,3}", text) and int(text) <= MAX_ROUNDS else None


def _experiment(text: str) -> dict | None:
    experiment = Experiment.from_dict(strict_json(text))
    if own_code_of(experiment.as_dict(), *_CODE):
        return None
    return experiment.as_dict() if isinstance(experiment.control, str) else None


def _network(text: str) -> dict | None:
    """What a network is made of again, without the list of its operations."""
    said = strict_json(text)
    words, image, classes = said["text"], said["input"], said["classes"]
    channels, *sides = image
    good = len(words) <= _MAX_TEXT and all(type(n) is int for n in [*image, classes])
    good = good and len(sides) == 2 and all(1 <= side <= networks.MAX_SIDE for side in sides)
    if not good or not 1 <= channels <= 4 or not 1 <= classes <= networks.MAX_CLASSES:
        return None
    net = networks.network(words, tuple(image), classes)
    return {"text": net.text, "input": [*net.input], "classes": net.classes}


def _layers(text: str) -> dict | None:
    layers = strict_json(text)
    good = 0 < len(layers) <= networks.MAX_LAYERS and all(
        re.fullmatch(r"(conv|fc)[1-9][0-9]?\.weight", name)
        and counts.keys() == {"weights", "kept"}
        and all(type(count) is int and 0 <= count <= MAX_WEIGHTS for count in counts.values())
        for name, counts in layers.items()
    )
    return layers if good else None


def _digests(text: str) -> dict | None:
    digests = strict_json(text)
    good = digests.keys() <= {*PARTS} and all(
        re.fullmatch("[0-9a-f]{64}", value) for value in digests.values()
    )
    return digests if good else None


def _plain_values(text: str) -> dict | None:
    values = strict_json(text)
    return values if isinstance(values, dict) and _is_plain(values, _MAX_DEPTH) else None


def _is_plain(value: object, depth: int) -> bool:
    """Texts of one line, numbers that fit and what holds them, not deep."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in inner)
    return value is None or (isinstance(value, int | float) and abs(value) < 2**63)


_CHECKS = {
    "format": _format,
    "key": _key,
    "level": _level,
    "experiment": _experiment,
    "network": _network,
    "layers": _layers,
    "results": _plain_values,
    "versions": _plain_values,
    "digests": _digests,
}
