"""Classes that are taught: one record each, on disk, so that a restart of the server loses none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lottery_core.store.files import Remembered
from lottery_core.store.info import known_fields
from lottery_core.store.locks import Locks

_READ = 200  # classes that are remembered as they were read last


@dataclass(frozen=True)
class Class:
    """Visitors who train one recipe, each with a seed of their own.

    `recipe` is a choice as in a link to it, without seeds: who has seat n trains with seed
    `first_seed` + n. `seats` say by visitor who has which; seat 0 is that of who opened the class.
    `teachers` are the visitors who may lock the choices and change the recipe, and `secret` the
    SHA-256 of the word that makes a visitor one of them. Times are seconds since 1970; `seen` is
    about when somebody came last.
    """

    name: str
    recipe: Mapping[str, str]
    first_seed: int
    opened: float
    seen: float
    secret: str
    locked: bool = False
    seats: Mapping[str, int] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()

    def seed_of(self, visitor: str) -> int:
        """The seed of a visitor who has a seat; KeyError for another."""
        return self.first_seed + self.seats[visitor]

    @property
    def seeds(self) -> list[int]:
        """The seeds of all who have a seat, in the order in which they came."""
        return sorted(self.first_seed + seat for seat in self.seats.values())


class Classes(Locks):
    """One file a class. All raise `StoreUnavailable`."""

    def __init__(self, root: str | Path):
        super().__init__(root)
        self._classes: Remembered[Class | None] = Remembered(_READ)

    def class_of(self, name: str) -> Class | None:
        """The class of that name, however old; None if there is none, or it is damaged."""
        path = self._class_path(name)

        def read() -> Class | None:
            content = self._get(path, f"class {name}")
            return None if content is None else _class(content)

        return self._classes.get(path, read)

    def classes(self) -> list[Class]:
        """All classes that can be read, by name."""
        names = sorted(name.removesuffix(".json") for name in self._names("classes"))
        return [found for name in names if name[0] != "." and (found := self.class_of(name))]

    def revise_class(self, name: str, change: Callable[[Class | None], Class | None]) -> None:
        """Put `change(class)` in place of a class, while nobody else does; None removes it. What
        `change` raises leaves all as it is."""
        with self.held(f"class-{name}"):
            found = self.class_of(name)
            changed = change(found)
            if changed is None:
                self._forget(self._class_path(name))
            elif changed != found:
                content = json.dumps(asdict(changed), indent=1).encode()
                self._put(self._class_path(name), content)

    def _class_path(self, name: str) -> Path:
        return self.root / "classes" / f"{name}.json"


def _class(content: bytes) -> Class | None:
    try:
        plain = known_fields(Class, json.loads(content))
        return Class(**{**plain, "teachers": tuple(plain["teachers"])})
    except (ValueError, TypeError, KeyError):
        return None
