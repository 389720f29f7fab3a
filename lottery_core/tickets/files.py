"""Tickets as files to take away: every format, its name, and how its bytes are made.

To add a format, write a function (store, key) -> bytes and list it in `FORMATS`. Each file can be
read without this project, and says in its header, where it has one, what it holds.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lottery_core.findings.recipe_words import last_round
from lottery_core.method.masks import Arrays
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.store import Level, LevelInfo, Store
from lottery_core.store.info import plain_counts
from lottery_core.store.tensors import save
from lottery_core.tickets import card, script
from lottery_core.tickets.content import (
    FORMAT,
    digest,
    in_header,
    known_network_of,
    network_of,
    own_code_of,
    parts_of,
)
from lottery_core.tickets.smaller import Smaller, smaller

_TIMEOUT = 120  # seconds; what needs torch takes about three
_RESULTS = (
    "test_accuracy",
    "validation_accuracy",
    "early_stop_iteration",
    "test_accuracy_at_early_stop",
    "iterations_trained",
    "explored",
    "settled",
)


class ExportFailed(RuntimeError):
    """A file could not be made in a process of its own; the message says why."""


@dataclass(frozen=True)
class Format:
    """One kind of file: `make(store, key)` gives its bytes, `stem` and `suffix` its name. Where
    `needs_torch`, `make` imports torch, which a web process must not (`export_in_subprocess`).
    Where `says_network`, it is of no use without all that the network computes."""

    title: str
    summary: str
    stem: str
    suffix: str
    make: Callable[[Store, str], bytes]
    needs_torch: bool = False
    says_network: bool = False


def mask_npz(level: Level) -> bytes:
    """The mask: one boolean array per weight, by its name (`numpy.load`)."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **level.mask)
    return buffer.getvalue()


def mask_safetensors(level: Level) -> bytes:
    """The mask: one boolean tensor per weight, by its name."""
    contents = "The mask alone, one boolean tensor per weight: True where the weight is kept."
    return save(level.mask, metadata=_header(level, contents, ("mask",)))


def ticket_safetensors(level: Level) -> bytes:
    """The ticket: `mask/<name>`, `restart/<name>` with the weights that its training starts from,
    and `trained/<name>` with those it ends with; biases and batch norm are in the last two."""
    arrays = {
        f"{part}/{name}": values
        for part, weights in parts_of(level).items()
        for name, values in weights.items()
    }
    contents = (
        "mask/*: True where a weight is kept. restart/*: the weights before training, which the "
        "survivors restart from. trained/*: the weights after training."
    )
    return save(arrays, metadata=_header(level, contents, ("mask", "restart", "trained")))


def _header(level: Level, contents: str, parts: tuple[str, ...]) -> dict[str, str]:
    info, arrays, net = level.info, parts_of(level), network_of(level.info)
    more = {"network": json.dumps(in_header(net))} if net and net.operations else {}
    if own := own_code_of(info.experiment, "network"):
        contents += f" Names are those of the state_dict of its author's own module, {own[0]}."
    if info.explored is not None:
        contents += " Its mask changed in training; what grew then is 0 in restart/*."
    if last_round(info.experiment).get("supermask"):
        contents += " Its mask was learned, and no weight was trained."
    more |= {"data": info.data} if info.data else {}  # SHA-256 of the images and labels
    return more | {
        "format": FORMAT,
        "contents": contents,
        "key": info.key,
        "level": str(info.level),
        "experiment": json.dumps(info.experiment),
        "layers": json.dumps(plain_counts(info.layers)),
        "results": json.dumps({name: getattr(info, name) for name in _RESULTS}),
        "versions": json.dumps(info.versions),
        "digests": json.dumps({part: digest(arrays[part]) for part in parts}),
    }


def _of_level(make: Callable[[Level], bytes]) -> Callable[[Store, str], bytes]:
    return lambda store, key: make(read(store, key))


def read(store: Store, key: str) -> Level:
    """A level to make a file of. Raises `InvalidValue` if it is not there or damaged."""
    level = store.read(key)
    if level is None:
        rule = "is not in this cache; `python -m lottery_core list` shows what is"
        if store.damaged(key):
            rule = "is damaged; run its experiment again"
        raise InvalidValue("key", key, rule)
    return level


def _pt(part: str) -> Callable[[Store, str], bytes]:
    def make(store: Store, key: str) -> bytes:
        from lottery_core.tickets import torch_form  # torch: only when such a file is asked for

        level = read(store, key)
        weights, net = parts_of(level)[part], network_of(level.info)
        order = net.parameters | net.buffers if net else sorted(weights)
        return torch_form.pruned_state({name: weights[name] for name in order}, level.mask)

    return make


def _onnx(store: Store, key: str) -> bytes:
    from lottery_core.tickets import onnx_form  # onnx: a fifth of a second that few ask for

    return onnx_form.network(read(store, key), store.datasets)


def _smaller(store: Store, key: str) -> tuple[LevelInfo, Smaller, Arrays]:
    """A level with its smaller network and the trained weights of that, in a state dict's order."""
    level = read(store, key)
    net = known_network_of(level.info)
    found = smaller(net, level.mask)
    if not found.is_smaller:
        raise InvalidValue(
            "key",
            key,
            "has no unit that is gone as a whole, so no smaller network; take the ticket, or prune "
            "by a criterion that takes whole units, such as unit-norm",
        )
    weights = found.of(level.end, net)
    order = found.network.parameters | found.network.buffers
    return level.info, found, {name: weights[name] for name in order}


def _smaller_safetensors(store: Store, key: str) -> bytes:
    info, found, weights = _smaller(store, key)
    contents = (
        "The trained weights of the network without the units that no answer depends on: a state "
        "dict, as of a dense network with these shapes."
    )
    return save(
        weights,
        metadata={
            "contents": contents,
            "key": info.key,
            "level": str(info.level),
            "network": json.dumps(in_header(found.network)),
            "units": json.dumps(found.units),
            "recipe": json.dumps(info.experiment["recipe"]),
            "versions": json.dumps(info.versions),
        },
    )


def _smaller_pt(store: Store, key: str) -> bytes:
    from lottery_core.tickets import torch_form

    _, _, weights = _smaller(store, key)
    return torch_form.pruned_state(weights, {})


def _smaller_onnx(store: Store, key: str) -> bytes:
    from lottery_core.tickets import onnx_form

    info, found, weights = _smaller(store, key)
    return onnx_form.of(found.network, weights, info, store.datasets)


def _card(store: Store, key: str) -> bytes:
    return card.card(card.gather(store, read(store, key))).encode()


def _script(store: Store, key: str) -> bytes:
    info = read(store, key).info
    return script.script(info, file_name(info, "script"), file_name(info, "ticket")).encode()


def _bundle(store: Store, key: str) -> bytes:
    buffer, info = io.BytesIO(), read(store, key).info
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("ticket", "script", "card"):
            archive.writestr(file_name(info, name), export(store, key, name))
    return buffer.getvalue()


FORMATS: dict[str, Format] = {
    "ticket": Format(
        "Ticket, .safetensors",
        "mask, restart weights and trained weights, with recipe and results in the header",
        "ticket",
        ".safetensors",
        _of_level(ticket_safetensors),
    ),
    "mask": Format(
        "Mask, .safetensors",
        "which weights are kept: booleans by weight name",
        "mask",
        ".safetensors",
        _of_level(mask_safetensors),
    ),
    "mask-npz": Format(
        "Mask, .npz",
        "the same for numpy.load",
        "mask",
        ".npz",
        _of_level(mask_npz),
    ),
    "pt": Format(
        "Ticket, .pt",
        "weight_orig (restart weights) and weight_mask, as torch.nn.utils.prune names them",
        "ticket",
        ".pt",
        _pt("restart"),
        needs_torch=True,
    ),
    "pt-trained": Format(
        "Trained, .pt",
        "weight_orig (trained weights) and weight_mask, as torch.nn.utils.prune names them",
        "trained",
        ".pt",
        _pt("trained"),
        needs_torch=True,
    ),
    "onnx": Format(
        "Trained, .onnx",
        "the trained sparse network for other runtimes, from images to logits",
        "trained",
        ".onnx",
        _onnx,
        says_network=True,
    ),
    "smaller": Format(
        "Smaller network, .safetensors",
        "the trained network without the units that are gone: dense, with smaller shapes",
        "smaller",
        ".safetensors",
        _smaller_safetensors,
        says_network=True,
    ),
    "smaller-pt": Format(
        "Smaller network, .pt",
        "the same for load_state_dict of a torch module with these shapes",
        "smaller",
        ".pt",
        _smaller_pt,
        needs_torch=True,
        says_network=True,
    ),
    "smaller-onnx": Format(
        "Smaller network, .onnx",
        "the same for other runtimes, from images to logits",
        "smaller",
        ".onnx",
        _smaller_onnx,
        says_network=True,
    ),
    "card": Format(
        "Ticket card, .md",
        "recipe, counts, accuracies over the seeds, controls, and the command that repeats it",
        "card",
        ".md",
        _card,
    ),
    "script": Format(
        "Script, .py",
        "trains the ticket beside it with torch, torchvision and numpy alone",
        "train-ticket",
        ".py",
        _script,
        says_network=True,
    ),
    "bundle": Format(
        "All of it, .zip",
        "ticket, script and card together",
        "ticket",
        ".zip",
        _bundle,
        says_network=True,
    ),
}


# What only a level can be taken as of which whole units are gone.
OF_SMALLER = tuple(name for name, form in FORMATS.items() if form.stem == "smaller")


def offered(level: Level) -> tuple[str, ...]:
    """The names of the formats that a level of a network whose operations are known can have."""
    is_smaller = smaller(known_network_of(level.info), level.mask).is_smaller
    return tuple(name for name in FORMATS if is_smaller or name not in OF_SMALLER)


def file_name(info: LevelInfo, name: str) -> str:
    """What a level's file in that format is called: `ticket-3f2a91c4-level3.safetensors`. The
    short key tells which files belong together."""
    check_known("format", name, FORMATS)
    form = FORMATS[name]
    return f"{form.stem}-{info.key[:8]}-level{info.level}{form.suffix}"


def export(store: Store, key: str, name: str) -> bytes:
    """The file of a level in one of `FORMATS`. Raises `InvalidValue` for an unknown format, for a
    level that is not there or damaged, and for a format that says what the network computes where
    that is not known (a torch module of somebody's own)."""
    check_known("format", name, FORMATS)
    if FORMATS[name].says_network:
        known_network_of(store.info(key) or read(store, key).info)
    return FORMATS[name].make(store, key)


def export_in_subprocess(store: Store, key: str, name: str) -> bytes:
    """`export` by the command line in a process of its own, for pages: a web process imports no
    torch. Raises `ExportFailed`."""
    options = ["--format", name, "--out", "-", "--cache", str(store.root)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lottery_core", "export", key, *options],
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise ExportFailed(f"the file was not made within {_TIMEOUT} s; try again") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ExportFailed(f"the file could not be made: {lines[-1] if lines else 'no reason'}")
    return done.stdout
