"""Python code that a process brings along: a researcher's own criterion, or own network.

Such code has a name that says its version and the hash of its source,

    python:NAME:VERSION:HASH

by which experiments ask for it, so that it is part of their keys. It is known to the process that
registered it and to no other: no link, no command and no file can name it.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import re
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType

from lottery_core.method.criteria import CRITERIA, Criterion
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, apply
from lottery_core.spec.checks import InvalidValue, check_integer, check_known

_PREFIX = "python:"
_NAME = re.compile("[a-z][a-z0-9-]{0,39}")
_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = Path(sysconfig.get_path("stdlib"))

Score = Callable[[Arrays, Arrays], Arrays]


def is_own(name: object) -> bool:
    """Whether a name is that of code which a process brings along."""
    return isinstance(name, str) and name.startswith(_PREFIX)


def short(name: str) -> str:
    """A name for people: of own code what its author called it, other names as they are."""
    return name.split(":")[1] if is_own(name) else name


def check_public(field: str, name: str) -> None:
    """Raise `InvalidValue` for a name of own code, where it comes from a link or a command."""
    if is_own(name):
        raise InvalidValue(
            field,
            name,
            "is code that only Python can bring along; run it from there (docs/library.md), or "
            f"choose another {field}",
        )


def criterion(
    name: str, version: int, score: Score, *, reads: str = "trained", steps: int = 1
) -> str:
    """Register a pruning criterion of your own; returns what to ask for it by:
    `preset("quick", criterion=criterion("saliency", 1, saliency))`.

    `score(weights, gradients)` gets two dictionaries by the names of the prunable weights: float32
    arrays of their values, and of the slopes of the mean cross-entropy on 1,000 training images;
    pruned weights are 0.0 in both. It gives an array of scores for each: the lowest go first.
    `reads` says which weights: "trained" (those that the level before ended with) or "initial".
    In each of `steps` a part of what has to go goes, and the rest is scored anew.

    The name covers the source of `score` and of what it uses from your own files or cells: another
    source gives other levels. Raise `version` when something else changes the scores, such as a
    library. Known in this process alone. Raises `InvalidValue` for a source that can't be read.
    """
    check_known("reads", reads, ("trained", "initial"))
    check_integer("steps", steps, 1, 1_000)
    full = name_of(name, version, score, reads, steps)

    def scores(evidence: Evidence) -> Arrays:
        weights = evidence.trained if reads == "trained" else evidence.initial
        slopes = evidence.slopes.of_loss(weights, evidence.mask)
        kept = apply(weights, evidence.mask)
        found = score({weight: kept[weight] for weight in evidence.mask}, slopes)
        _check_scores(full, found, evidence.mask)
        return found

    CRITERIA[full] = Criterion(scores, name, reads, steps)
    return full


def _check_scores(name: str, scores: object, mask: Arrays) -> None:
    for weight, kept in mask.items():
        found = scores.get(weight) if isinstance(scores, dict) else None
        if getattr(found, "shape", None) != kept.shape:
            raise InvalidValue(
                "criterion",
                name,
                f"gives no array of {kept.shape} scores for {weight}; it must return a dictionary "
                "with one for each of the weights it is given",
            )


def name_of(name: str, version: int, code: Callable, *facts: object) -> str:
    """The full name of own code; `facts` are what besides its source decides what it does. Raises
    `InvalidValue`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidValue("name", name, "must be small letters, digits and hyphens: my-criterion")
    check_integer("version", version, 1, 1_000_000)
    if not isinstance(code, FunctionType | MethodType | partial | type):
        raise InvalidValue("code", code, "must be a function, or a class, written in Python")
    seen: list[object] = []
    text = "\n".join([*_sources(name, code, seen), *map(repr, facts)])
    return f"{_PREFIX}{name}:{version}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _sources(name: str, thing: object, seen: list[object]) -> Iterator[str]:
    """The source of `thing` and of all it uses that is not installed, once each, in order; `name`
    is what it is called where it is used."""
    if any(thing is one for one in seen):
        return
    if isinstance(thing, FunctionType | type | ModuleType):
        seen.append(thing)
        if _is_installed(thing):
            yield f"{name}={getattr(thing, '__qualname__', thing.__name__)}"
        elif isinstance(thing, FunctionType):
            yield from _of_function(thing, seen)
        elif isinstance(thing, type):
            yield from _of_class(thing, seen)
        else:
            yield Path(thing.__file__).read_text(encoding="utf-8")
    elif isinstance(thing, BuiltinFunctionType):
        yield f"{name}={thing.__qualname__}"
    elif (parts := _parts(thing)) is not None:
        yield f"{name}={type(thing).__name__} of {len(parts)}"
        for part in parts:
            yield from _sources(name, part, seen)
    else:
        yield f"{name}={_value(name, thing)}"
        if not _is_installed(type(thing)):
            yield from _sources(type(thing).__name__, type(thing), seen)


def _parts(thing: object) -> list[object] | None:
    """What is inside something that only holds other things; None for what is not of that kind."""
    if isinstance(thing, list | tuple):
        return [*thing]
    if isinstance(thing, dict):
        return [part for pair in thing.items() for part in pair]
    if isinstance(thing, staticmethod | classmethod | MethodType):
        return [thing.__func__]
    if isinstance(thing, property):
        return [thing.fget, thing.fset, thing.fdel]
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *sorted(thing.keywords.items())]
    if isinstance(thing, cached_property):
        return [thing.func]
    return None


def _of_class(one: type, seen: list[object]) -> Iterator[str]:
    for base in one.__bases__:
        yield from _sources(base.__name__, base, seen)
    if is_dataclass(one):  # the methods it is given have no source
        yield repr([(part.name, part.type) for part in fields(one)])
    for name, value in vars(one).items():
        is_method = isinstance(value, FunctionType)
        file = inspect.unwrap(value).__code__.co_filename if is_method else ""
        is_given = is_dataclass(one) and file == "<string>"
        if name != "_abc_impl" and not is_given and (is_method or not name.startswith("__")):
            yield from _sources(name, value, seen)


def _of_function(function: FunctionType, seen: list[object]) -> Iterator[str]:
    try:
        yield textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise InvalidValue(
            "code", function.__qualname__, "has no source that can be read; write it in a file or "
            "in a notebook's cell",
        ) from error  # fmt: skip
    for name, value in inspect.signature(function).parameters.items():
        if value.default is not value.empty:
            yield from _sources(name, value.default, seen)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        if name != "__class__":  # of `super()`: the class it is in
            yield from _sources(name, cell.cell_contents, seen)
    for name in sorted(set(_globals(function.__code__))):
        if name in function.__globals__:
            yield from _sources(name, function.__globals__[name], seen)


def _globals(code: CodeType) -> Iterator[str]:
    """Names of other code's or of variables that a function looks up outside itself."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
        elif isinstance(step.argval, CodeType):
            yield from _globals(step.argval)


def _is_installed(thing: FunctionType | type | ModuleType) -> bool:
    """Whether it belongs to Python, to a package that was installed, or to this one."""
    module = thing if isinstance(thing, ModuleType) else sys.modules.get(thing.__module__)
    if module is None or module.__name__ == "__main__":
        return False
    if module.__name__.partition(".")[0] == "lottery_core":
        return True
    file = getattr(module, "__file__", None)
    if file is None:  # part of the interpreter
        return True
    path = Path(file).resolve()
    return bool(_INSTALLED & {*path.parts}) or path.is_relative_to(_STANDARD)


def _value(name: str, value: object) -> str:
    """A value in a text that tells it from others."""
    text = repr(value)
    if " at 0x" in text or hasattr(value, "shape") or hasattr(value, "parameters"):
        raise InvalidValue(
            "code",
            name,
            f"is a {type(value).__name__} from outside the function, whose content can't be "
            "hashed; make it inside the function, or of plain numbers and text",
        )
    return text
