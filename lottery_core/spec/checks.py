"""Errors that name the value, the rule and the remedy, and the checks that raise them."""

from __future__ import annotations

import re
from collections.abc import Sequence


class InvalidValue(ValueError):
    """A value that breaks a rule. `field` names it; the message gives value, rule and remedy."""

    def in_percent(self, words: str) -> str:
        """The same of a fraction that people see in percent, where the rule is one of numbers;
        `words` name it: "% per round"."""
        return str(self)

    def __init__(self, field: str, value: object, rule: str):
        self.field, self.value = field, value
        shown = repr(value)
        super().__init__(f"{field}={shown if len(shown) <= 80 else shown[:77] + '...'} {rule}")


class OutOfRange(InvalidValue):
    """A number outside of its range, from `low` to `high`, whose `ends` are said in words: "above",
    "at most"."""

    def __init__(self, field: str, value: object, low: float, high: float, ends: tuple[str, str]):
        self.low, self.high, self.ends = low, high, ends
        super().__init__(field, value, f"must be a number {ends[0]} {low:g} and {ends[1]} {high:g}")

    def in_percent(self, words: str) -> str:
        """ "200 % per round must be above 0 % and below 100 %"."""
        if not isinstance(self.value, int | float):
            return str(self)
        begin, end = self.ends
        return (
            f"{100 * self.value:.10g} {words} must be {begin} {100 * self.low:g}\u202f% and {end} "
            f"{100 * self.high:g}\u202f%"
        )


def check_known(field: str, value: object, known: Sequence[str] | dict[str, object]) -> None:
    """Raise `InvalidValue` unless `value` is one of `known`."""
    if not isinstance(value, str) or value not in known:
        raise InvalidValue(field, value, f"is unknown; choose one of {', '.join(known)}")


def check_integer(field: str, value: object, low: int, high: int) -> None:
    """Raise `InvalidValue` unless `value` is an int in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidValue(field, value, f"must be a whole number from {low:,} to {high:,}")


def check_number(
    field: str, value: object, low: float, high: float, *, above: bool = False, below: bool = False
) -> None:
    """Raise `InvalidValue` unless low <= value <= high (`above`, `below`: the end is excluded)."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if good:  # no comparison with NaN holds
        good = (value > low if above else value >= low) and (
            value < high if below else value <= high
        )
    if not good:
        ends = "above" if above else "at least", "below" if below else "at most"
        raise OutOfRange(field, value, low, high, ends)


def check_content(value: object) -> None:
    """Raise `InvalidValue` unless `value` is empty or a SHA-256 sum."""
    if not isinstance(value, str) or not (value == "" or re.fullmatch("[0-9a-f]{64}", value)):
        raise InvalidValue(
            "content", value, "must be the SHA-256 of the files, 64 hex digits; or leave it out"
        )


def make_floats(checked: object, *names: str) -> None:
    """Have these fields of a frozen value be floats."""
    # 0, 0.0 and -0.0 must not make three keys of one request.
    for name in names:
        object.__setattr__(checked, name, float(getattr(checked, name)) + 0.0)


def is_whole(text: str) -> bool:
    """Whether a text from outside is a whole number that `int` reads: the digits 0 to 9, which
    `str.isdigit` is not particular about, and not thousands of them, which Python refuses."""
    return text.isascii() and text.isdecimal() and len(text) <= 18
