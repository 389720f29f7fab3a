"""Which lines are looked at and how, as a link says it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from lottery_core.findings.lines import MAX_LINES
from lottery_core.findings.replicates import KINDS
from lottery_core.spec.checks import InvalidValue, check_known, check_number, is_whole
from lottery_core.spec.limits import MAX_SEED


@dataclass(frozen=True)
class View:
    """Names of the lines, the seeds of them that are looked at (all where none is named), and how
    they are shown. Without a `reference` it is the first line, without a `percent` (of weights)
    the page's own choice."""

    lines: tuple[str, ...] = ()
    reference: str = ""
    percent: float | None = None
    bands: str = "range"
    curve: str = "accuracy"
    axis: str = "whole"
    seeds: tuple[int, ...] = ()


VIEWS = {"bands": KINDS, "curve": ("accuracy", "loss"), "axis": ("whole", "near")}


def read_view(params: Mapping[str, str], known: Container[str]) -> tuple[View, list[str]]:
    """The view that a link asks for, and what is wrong with the link; a bad value spoils only
    itself. `known` has the names of the lines that can be shown."""
    found, problems = View(), []
    for name, text in params.items():
        try:
            if name == "lines":
                asked = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part))
                found = replace(found, lines=tuple(n for n in asked if n in known)[:MAX_LINES])
                _check_lines(asked, known)
            elif name == "reference":
                _check_lines((text,), known)
                found = replace(found, reference=text)
            elif name == "seeds":
                found = replace(found, seeds=read_seeds(text))
            elif name == "percent":
                found = replace(found, percent=_number(text))
            elif name in VIEWS:
                check_known(name, text, list(VIEWS[name]))
                found = replace(found, **{name: text})
            else:
                names = ", ".join(field.name for field in fields(View))
                raise InvalidValue(name, text, f"is unknown; known are {names}")
        except InvalidValue as error:
            problems.append(str(error))
    if found.reference and found.reference not in found.lines:
        found = replace(found, reference="")
    return found, problems


def write_view(view: View) -> dict[str, str]:
    """The parameters that `read_view` reads back; what is as always is left out."""
    params = {"lines": ",".join(view.lines)} if view.lines else {}
    if view.reference not in ("", *view.lines[:1]):
        params["reference"] = view.reference
    if view.seeds:
        params["seeds"] = ",".join(map(str, view.seeds))
    if view.percent is not None:
        params["percent"] = f"{view.percent:g}"
    usual = View()
    changed = {name: getattr(view, name) for name in VIEWS}
    return params | {n: value for n, value in changed.items() if value != getattr(usual, n)}


def _check_lines(asked: Sequence[str], known: Container[str]) -> None:
    missing = [name for name in asked if name not in known]
    if missing:
        raise InvalidValue("line", ", ".join(missing), "is not in this cache")
    if len(asked) > MAX_LINES:
        raise InvalidValue("lines", len(asked), f"are too many; the first {MAX_LINES} are shown")


def read_seeds(text: str) -> tuple[int, ...]:
    """Seeds as in a link: 0,1,2. Raises `InvalidValue`."""
    parts = text.split(",")
    if not all(is_whole(part.strip()) and int(part) <= MAX_SEED for part in parts):
        raise InvalidValue("seeds", text, f"must be whole numbers from 0 to {MAX_SEED}, as in 0,1")
    return tuple(sorted({int(part) for part in parts}))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidValue("percent", text, "must be a number") from None
    check_number("percent", value, 0, 100, above=True)
    return value
