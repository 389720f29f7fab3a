"""Text that came from outside, shown as it is."""

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|$~:])")


def plain(text: str) -> str:
    """`text` with Markdown's and HTML's signs made harmless: no link, image or formula."""
    return _MARKUP.sub(r"\\\1", text)
