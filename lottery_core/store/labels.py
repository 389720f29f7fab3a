"""What people call the runs they keep: a name, tags and a note for each line of runs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lottery_core.spec.checks import InvalidValue
from lottery_core.store.files import Remembered
from lottery_core.store.locks import Locks

MAX_NAME, MAX_TAGS, MAX_TAG, MAX_NOTE = 80, 12, 30, 2_000  # characters, and how many tags
_READ = 20_000  # labels that are remembered as they were read last
_LINE = re.compile("[0-9a-f]{6,40}")


@dataclass(frozen=True)
class Label:
    """A run's name, tags and note, each of which may be empty. Raises `InvalidValue` for what is
    too long, and for a tag that is empty or has a comma or a bar, which part tags in lists."""

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        for field, most in (("name", MAX_NAME), ("note", MAX_NOTE)):
            text = getattr(self, field)
            if not isinstance(text, str) or len(text) > most:
                raise InvalidValue(field, text, f"must be a text of at most {most:,} characters")
        if "\n" in self.name:
            raise InvalidValue("name", self.name, "must be one line; put more into the note")
        if len(self.tags) > MAX_TAGS:
            raise InvalidValue("tags", len(self.tags), f"are too many; give at most {MAX_TAGS}")
        for tag in self.tags:
            if not isinstance(tag, str) or not re.fullmatch(rf"[^,|\n]{{1,{MAX_TAG}}}", tag):
                rule = f"must have 1 to {MAX_TAG} characters, none of them a comma or |"
                raise InvalidValue("tag", tag, rule)

    @classmethod
    def of(cls, name: str, tags: Sequence[str], note: str) -> Label:
        """As typed: without spaces around, and each tag once. Raises `InvalidValue`."""
        once = dict.fromkeys(tag.strip() for tag in tags)
        return cls(name.strip(), tuple(tag for tag in once if tag), note.strip())

    def in_words(self) -> str:
        """ "Baseline #thesis": the name and the tags."""
        return " ".join((self.name, *(f"#{tag}" for tag in self.tags))).strip()


NO_LABEL = Label()


class Labels(Locks):
    """One file a line (see `findings.lines.line_id`), so that all seeds of a run have one name.
    All raise `StoreUnavailable`."""

    def __init__(self, root: str | Path):
        super().__init__(root)
        self._labels: Remembered[Label] = Remembered(_READ)

    def label(self, line: str) -> Label:
        """What a line is called; an empty label if nobody named it, or the file is damaged."""
        path = self._label_path(line)

        def read() -> Label:
            content = self._get(path, f"label {line}")
            return NO_LABEL if content is None else _label(content)

        return self._labels.get(path, read)

    def labels(self) -> dict[str, Label]:
        """All labels that say something, by line."""
        names = (name.removesuffix(".json") for name in self._names("labels"))
        found = {name: self.label(name) for name in sorted(names) if _LINE.fullmatch(name)}
        return {name: label for name, label in found.items() if label != NO_LABEL}

    def write_label(self, line: str, label: Label) -> None:
        """Replace what a line is called; an empty label leaves no file."""
        if label == NO_LABEL:
            self._forget(self._label_path(line))
        else:
            self._put(self._label_path(line), json.dumps(asdict(label), indent=1).encode())

    def _label_path(self, line: str) -> Path:
        if not _LINE.fullmatch(line):  # one from a link may be the way to elsewhere
            raise InvalidValue("line", line, "is no name of a line of runs")
        return self.root / "labels" / f"{line}.json"


def _label(content: bytes) -> Label:
    try:
        plain = json.loads(content)
        return Label(plain["name"], tuple(plain["tags"]), plain["note"])
    except (ValueError, TypeError, KeyError):
        return NO_LABEL
