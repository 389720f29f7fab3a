"""Which rows of the shelf somebody asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lottery_core.findings.shelf import Row, Run
from lottery_core.spec.checks import InvalidValue

Item = TypeVar("Item", Row, Run)


@dataclass(frozen=True)
class Filter:
    """Rows of one of the data sets, and one of the networks, and so on; where none is named, of
    all. `words` must all stand in what is said of a run, its name, tags and note included, or begin
    its key."""

    dataset: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    criterion: tuple[str, ...] = ()
    arm: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    words: str = ""

    def of(self, found: Iterable[Item]) -> list[Item]:
        """Those of rows or runs that are asked for, in their order."""
        wanted = {name: set(getattr(self, name)) for name in ASPECTS}
        asked = {name: names for name, names in wanted.items() if names}
        words = self.words.lower().split()
        return [
            one
            for one in found
            if all(names & set(ASPECTS[name](one)) for name, names in asked.items())
            and (not words or _says(one, words))
        ]

    @classmethod
    def checked(cls, found: Sequence[Item], words: str = "", **asked: Sequence[str]) -> Filter:
        """With names that `found` has. Raises `InvalidValue` for others."""
        for aspect, names in asked.items():
            known = options(found)[aspect]
            for name in names:
                if name not in known:
                    rule = f"is of no run here; choose one of {', '.join(known) or '(none)'}"
                    raise InvalidValue(aspect, name, rule)
        return cls(**{aspect: tuple(names) for aspect, names in asked.items()}, words=words)


# What a row or a run can be asked for by, and its names for that.
ASPECTS: Mapping[str, Callable[[Row | Run], Iterable[str]]] = {
    "dataset": lambda one: (one.facts.data_title,),
    "network": lambda one: (one.facts.network,),
    "criterion": lambda one: (one.facts.criterion,),
    "arm": lambda one: (one.facts.arm,),
    "state": lambda one: one.states,
    "tag": lambda one: one.label.tags,
}


def options(found: Iterable[Row | Run]) -> dict[str, list[str]]:
    """What can be asked for, by aspect, in order of the alphabet."""
    names: dict[str, set[str]] = {aspect: set() for aspect in ASPECTS}
    for one in found:
        for aspect, names_of in ASPECTS.items():
            names[aspect].update(names_of(one))
    return {aspect: sorted(known) for aspect, known in names.items()}


def _says(one: Row | Run, words: list[str]) -> bool:
    facts, label = one.facts, one.label
    said = " ".join(
        (
            facts.key,
            facts.network,
            facts.data_title,
            facts.title,
            facts.criterion,
            facts.schedule,
            *one.states,
            label.name,
            *label.tags,
            label.note,
        )
    ).lower()
    return all(word in said for word in words)
