"""A choice as text: in a link, on the command line, in the sidebar's fields."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from shlex import quote

from lottery_core.spec.checks import InvalidValue, check_content, check_known
from lottery_core.spec.choice import TYPES, Choice, held_out_for, rates_for
from lottery_core.spec.fields import FIELDS
from lottery_core.spec.notation import called, shortest
from lottery_core.spec.own import check_public
from lottery_core.spec.presets import DEFAULT_PRESET, PRESETS

_LARGEST = 1e15  # a browser holds whole numbers a little beyond it exactly


def write_value(value: object) -> str:
    """A field's value as text: `128,64`, `0.4`, `fc1=0.5`."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return ",".join(f"{name}={write_value(factor)}" for name, factor in value)
    if isinstance(value, tuple):
        return ",".join(write_value(item) for item in value) or "none"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def write_field(field: str, value: object) -> str:
    """As `write_value`, of a field of `Choice`: a network by its name, where it has one."""
    return called(value) if field == "network" else write_value(value)


def read_value(field: str, text: str) -> object:
    """The inverse of `write_field` for a field of `Choice`. Raises `InvalidValue`."""
    kind = TYPES[field]
    check_public(field, text.strip())
    try:
        value = _read_items(field, text.strip()) if kind is tuple else kind(text.strip())
        if kind in (int, float) and not abs(value) <= _LARGEST:  # NaN too
            raise ValueError
    except ValueError:
        rule = {
            int: "must be a whole number",
            float: "must be a number",
            tuple: "must be layers with factors, as in fc1=1,fc2=0.5"
            if field == "layer_factors"
            else "must be numbers with commas between them",
        }[kind]
        raise InvalidValue(field, text.strip(), rule) from None
    if field == "network":
        return shortest(value)
    if field == "content":
        check_content(value)
    if known := FIELDS[field].known:
        for item in value if kind is tuple else (value,):
            check_known(field, item, known)
    return value


def _read_items(field: str, text: str) -> tuple:
    parts = [] if text.lower() in ("", "none") else text.split(",")
    return tuple(FIELDS[field].item(part) for part in parts)


def read_choice(params: Mapping[str, str]) -> tuple[str, Choice]:
    """(preset, choice) from the parameters of a link or a command.

    Raises `InvalidValue` for an unknown name, and for a value that can't be read; whether the
    values go together is checked by `Choice.experiment`.
    """
    preset = params.get("preset", DEFAULT_PRESET)
    check_known("preset", preset, PRESETS)
    changes = {}
    for name, text in params.items():
        if name == "preset":
            continue
        if name not in TYPES and name != "hidden":
            raise InvalidValue(name, text, f"is unknown; known are {', '.join(TYPES)}")
        if name == "hidden":  # the short form, from before there were other networks
            name = "network"
        changes[name] = read_value(name, text)
    choice = replace(PRESETS[preset].choice, **changes)
    if "validation_size" not in changes:
        choice = replace(choice, validation_size=held_out_for(choice))
    if not changes.keys() & {"warmup", "decay_at"}:
        choice = replace(choice, **rates_for(choice, PRESETS[preset].choice))
    return preset, choice


def write_choice(preset: str, choice: Choice) -> dict[str, str]:
    """The parameters that `read_choice` reads back: the preset, what differs from it, and what is
    like it where reading would fit another value to the rest."""
    params = {"preset": preset} | _differing(PRESETS[preset].choice, choice)
    with suppress(InvalidValue):  # which whoever makes an experiment of the choice tells of
        params |= _differing(read_choice(params)[1], choice)
    return params


def _differing(base: Choice, choice: Choice) -> dict[str, str]:
    return {
        name: write_field(name, value)
        for name, value in asdict(choice).items()
        if value != getattr(base, name)
    }


def command(preset: str, choice: Choice) -> str:
    """The command that repeats a choice without a browser."""
    options = " ".join(
        f"--{name.replace('_', '-')} {quote(text)}"
        for name, text in write_choice(preset, choice).items()
    )
    return f"python -m lottery_core run {options} --out results"


def python(preset: str, choice: Choice) -> str:
    """The Python that makes a choice and runs it."""
    base = asdict(PRESETS[preset].choice)
    changes = [
        f"{name}={_literal(value)}" for name, value in asdict(choice).items() if value != base[name]
    ]
    asked = ", ".join([_literal(preset), *changes])
    if len(asked) > 70:
        asked = "".join(f"\n    {part}," for part in [_literal(preset), *changes]) + "\n"
    return (
        f"import lottery_core as lt\n\nchoice = lt.preset({asked})\nrun = lt.run(choice)\n"
        "run.figure()\n"
    )


def _literal(value: object) -> str:
    text = repr(value)
    return text if '"' in text else text.replace("'", '"')
