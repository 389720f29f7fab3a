"""What became of every name in a file that was brought along."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reading:
    """An account of a file that was read: no array in it is without a word.

    `used_as` and `left_out` pair each array's name in the file with what it was used as ("mask of
    fc1") or why it was not; fields of a file of ours that are ignored are among the latter, as
    "header: key". `worked_out` are sentences on what no name in the file gave.
    """

    used_as: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    worked_out: tuple[str, ...]

    def in_lines(self) -> Iterator[str]:
        """All of it as lines of text."""
        for title, pairs in (("Used as", self.used_as), ("Left out", self.left_out)):
            if pairs:
                yield f"{title}:"
                yield from (f"  {name}: {words}" for name, words in pairs)
        if self.worked_out:
            yield "Worked out:"
            yield from (f"  {sentence}" for sentence in self.worked_out)


@dataclass
class Notes:
    """A `Reading` in the making."""

    used_as: dict[str, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    worked_out: list[str] = field(default_factory=list)

    def reading(self) -> Reading:
        """What was noted."""
        return Reading(tuple(self.used_as.items()), tuple(self.left_out), tuple(self.worked_out))
