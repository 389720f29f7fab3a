"""Counts and foreign names as they stand in a sentence."""

from __future__ import annotations

from collections.abc import Iterable

NAMED = 10  # of many names; the rest is counted
_LONGEST = 100  # characters of one name
JOINERS = "\u200c\u200d"  # invisible, and part of words in several scripts


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 image", "3,000 images"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def shown(name: str) -> str:
    """A file's name on one line, whatever signs it is made of, and not long."""
    plain = "".join(
        sign
        if sign.isprintable() or sign in JOINERS
        else sign.encode("unicode_escape", "surrogatepass").decode("ascii")
        for sign in name
    )
    return plain if len(plain) <= _LONGEST else f"...{plain[3 - _LONGEST :]}"


def few(names: Iterable[str]) -> str:
    """The first ten names, and how many more there are."""
    names = [*names]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
