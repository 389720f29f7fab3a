"""Words that several pages need: text from outside shown as it is, beginnings of sentences."""

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|$~:])")


def plain(text: str) -> str:
    """`text` with Markdown's and HTML's signs made harmless: no link, image or formula."""
    return _MARKUP.sub(r"\\\1", text)


def capital(text: str) -> str:
    """`text` as the beginning of a sentence."""
    return f"{text[:1].upper()}{text[1:]}"


def many(n: int, thing: str) -> str:
    """So many of a thing: "1 round", "2 rounds"."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def missing_in_words(levels: int) -> str:
    """How many levels are to be trained first."""
    return f"the {many(levels, 'level')} that {'is' if levels == 1 else 'are'} not in the cache"


def seeds_in_words(n: int) -> str:
    """How many seeds."""
    return f"{n} seeds" if n > 1 else "one seed"
