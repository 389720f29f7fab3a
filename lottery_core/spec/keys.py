"""Keys that last: the name of what can be asked for, by everything that can change its result.

A key covers every field that was there when `VERSION` was raised last, defaults included; a field
that came later (`_LATER`) stays out of it while it has the value that means what was done before
there was such a field. So nothing that is kept is lost to a field that nobody set.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.dynamics import DYNAMICS
from lottery_core.method.restart import RULES
from lottery_core.method.supermasks import SUPERMASKS
from lottery_core.spec.terms import AUGMENTATIONS, INITS, OPTIMISERS

# Raised by hand whenever the same request would now give other numbers.
VERSION = 3

# What names mean: raised beside its definition when the same name would give other numbers, so
# that only the levels which ask for it get other keys.
_VERSIONS = {
    "criterion": lambda name: CRITERIA[name].version,
    "restart": lambda name: RULES[name].version,
    "init": lambda name: INITS[name].version,
    "optimiser": lambda name: OPTIMISERS[name].version,
    "augmentation": lambda name: AUGMENTATIONS[name].version,
    "dynamics": lambda name: DYNAMICS[name].version,
    "supermask": lambda name: SUPERMASKS[name].version,
}

# Fields of recipes and rounds added since: the value of each that means what was done before.
_LATER: dict[str, object] = {
    "augmentation": "none",
    "reshuffled_as": "",
    "order": 0,
    "transplant": "",
    "dynamics": "",
    "as_long_as_search": False,
    "supermask": "",
}


def hashed(checked: object) -> dict:
    """The fields of a recipe or a round that a key covers; a name whose meaning has changed goes
    with its version."""
    found = {
        name: value
        for name, value in asdict(checked).items()
        if name not in _LATER or value != _LATER[name]
    }
    versions = {name: _VERSIONS[name](found[name]) for name in found.keys() & _VERSIONS.keys()}
    if "network" in found:
        versions["network"] = checked.net.version
    for field, version in versions.items():
        if version > 1:
            found[field] = f"{found[field]} {version}"
    return found


def key_of(*parts: object) -> str:
    """The key of these parts: 40 hex digits."""
    text = json.dumps((VERSION, *parts), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
