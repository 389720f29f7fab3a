"""A class: visitors who train one recipe, each with a seed of their own, and whoever teaches them.

Who opens a class teaches it. In another browser, the teacher's link makes one a teacher: it holds
a word of which the cache keeps the SHA-256 alone. Everything that only a teacher may do asks here
who asks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from lottery_core.findings.outcome import Outcome
from lottery_core.findings.replicates import Infos
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.links import read_choice, write_choice
from lottery_core.store import Class, Store

LIFE = 30 * 86_400  # seconds without any visitor after which a class is over
MAX_SEATS = 100
MAX_CLASSES = 200
_BLOCKS = 1_000  # of seeds, one a class: any two have other seeds but by chance
_DAY = 86_400  # seconds; how exactly it is known when somebody came last


def check_name(text: str) -> str:
    """The name of a class as it is kept, in small letters. Raises `InvalidValue`."""
    name = text.strip().lower()
    if not re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", name):
        raise InvalidValue(
            "class",
            text,
            "is no name for a class: 1 to 40 letters from a to z, digits, and hyphens between "
            "them, as in physics-10b",
        )
    return name


def find(store: Store, name: str) -> Class | None:
    """The class of that name; None if there is none, or it is over. Raises `InvalidValue` for
    what is no name, `StoreUnavailable`."""
    return _alive(store.class_of(check_name(name)))


def open_class(store: Store, name: str, visitor: str, preset: str, choice: Choice) -> str:
    """Open a class of the recipe of `choice`, taught by `visitor`; gives the word for
    `become_teacher`. Its seeds begin at random, so that nothing of it is in the cache yet.

    Raises `InvalidValue` for a name that is none or is taken, for a choice that can't run, and
    where there are too many classes; `StoreUnavailable`.
    """
    name = check_name(name)
    word, now = secrets.token_urlsafe(12), time.time()
    first = MAX_SEATS * secrets.randbelow(_BLOCKS)
    new = Class(
        name=name,
        recipe=_recipe_of(preset, choice),
        first_seed=first,
        opened=now,
        seen=now,
        secret=_digest(word),
        seats={visitor: 0},
        teachers=(visitor,),
    )
    _check_number(store)

    def change(found: Class | None) -> Class:
        if _alive(found):
            raise InvalidValue("class", name, "is taught already; choose another name")
        return new

    store.revise_class(name, change)
    return word


def take_seat(store: Store, name: str, visitor: str) -> Class | None:
    """The class, in which the visitor has a seat now: the one they had, or else the next. None
    where there is no such class. Raises `InvalidValue` where all seats are taken."""
    found = find(store, name)
    if found is None or (visitor in found.seats and time.time() - found.seen < _DAY):
        return found

    def change(found: Class | None) -> Class | None:
        if not _alive(found):
            return found
        seats = dict(found.seats)
        if visitor not in seats and len(seats) >= MAX_SEATS:
            raise InvalidValue(
                "class",
                found.name,
                f"has {MAX_SEATS} seats, and all are taken; its teacher can open another class",
            )
        seats.setdefault(visitor, len(seats))
        return replace(found, seats=seats, seen=time.time())

    store.revise_class(found.name, change)
    return find(store, name)


def become_teacher(store: Store, name: str, visitor: str, word: str) -> None:
    """Make the visitor a teacher, who has the word of the teacher's link. Raises `InvalidValue`
    for another word."""

    def change(found: Class) -> Class:
        if not hmac.compare_digest(found.secret, _digest(word)):
            raise InvalidValue(
                "class", name, "has another teacher's link; ask who teaches it for a new one"
            )
        return replace(found, teachers=tuple(dict.fromkeys((*found.teachers, visitor))))

    _revise(store, name, change)


def new_word(store: Store, name: str, visitor: str) -> str:
    """A new word for `become_teacher`; the one before is worth nothing from now on."""
    word = secrets.token_urlsafe(12)
    _teach(store, name, visitor, secret=_digest(word))
    return word


def lock(store: Store, name: str, visitor: str, locked: bool) -> None:
    """Let the class choose for themselves, or not. Raises `InvalidValue` unless the visitor
    teaches it."""
    _teach(store, name, visitor, locked=bool(locked))


def give(store: Store, name: str, visitor: str, preset: str, choice: Choice) -> None:
    """Give the class another recipe. Raises `InvalidValue` for one that can't run, and unless the
    visitor teaches it."""
    _teach(store, name, visitor, recipe=_recipe_of(preset, choice))


def close(store: Store, name: str, visitor: str) -> None:
    """End a class: its name is free again, what was trained is kept. Raises `InvalidValue` unless
    the visitor teaches it."""

    def change(found: Class) -> None:
        _check_teacher(found, visitor)

    _revise(store, name, change)


def choice_of(found: Class, seed: int) -> tuple[str, Choice]:
    """The preset and the class's recipe as a choice with that seed. Raises `InvalidValue` where
    another version has written what this one can't read."""
    preset, choice = read_choice(found.recipe)
    return preset, replace(choice, seed=seed, replicates=1)


def arms_of(found: Class) -> dict[str, tuple[Experiment, ...]]:
    """What all who have a seat train of the class's recipe, as `Choice.arms` has it."""
    of_each = [choice_of(found, seed)[1].arms() for seed in found.seeds]
    return {name: tuple(arms[name][0] for arms in of_each) for name in of_each[0]}


def pooled(
    arms: Mapping[str, tuple[Experiment, ...]],
    runs: Mapping[str, Mapping[int, Infos]],
    *,
    finished: bool = False,
    until: Until | None = None,
) -> Outcome:
    """What came of a class's `arms_of`, over the seeds that have begun, or are `finished`; `runs`
    and `until` as `Outcome` has them. Where there are none yet, nothing came of the first."""
    least = {one.recipe.seed: len(one.keys) if finished else 1 for one in arms["main"]}
    seeds = {seed for seed, infos in runs["main"].items() if len(infos) >= least[seed]}
    shown = seeds or {arms["main"][0].recipe.seed}
    return Outcome(
        {name: tuple(one for one in arm if one.recipe.seed in shown) for name, arm in arms.items()},
        {name: {seed: arm[seed] for seed in arm if seed in seeds} for name, arm in runs.items()},
        until,
    )


def _recipe_of(preset: str, choice: Choice) -> dict[str, str]:
    alone = replace(choice, seed=0, replicates=1)
    alone.arms()  # raises for what can't run
    params = write_choice(preset, alone)
    return {name: text for name, text in params.items() if name not in ("seed", "replicates")}


def _teach(store: Store, name: str, visitor: str, **changes: object) -> None:
    def change(found: Class) -> Class:
        _check_teacher(found, visitor)
        return replace(found, **changes)

    _revise(store, name, change)


def _check_teacher(found: Class, visitor: str) -> None:
    if visitor not in found.teachers:
        raise InvalidValue(
            "class",
            found.name,
            "is another's: only who opened it, or has its teacher's link, may do that",
        )


def _revise(store: Store, name: str, change: Callable[[Class], Class | None]) -> None:
    name = check_name(name)

    def of_alive(found: Class | None) -> Class | None:
        if not _alive(found):
            raise InvalidValue("class", name, "is no class here, or is over; open it")
        return change(found)

    store.revise_class(name, of_alive)


def _check_number(store: Store) -> None:
    """Raise `InvalidValue` where there are too many classes; those that are over are removed."""
    classes = store.classes()
    for one in classes:
        if not _alive(one):
            store.revise_class(one.name, lambda found: _alive(found))
    if sum(_alive(one) is not None for one in classes) >= MAX_CLASSES:
        raise InvalidValue(
            "class", MAX_CLASSES, "classes are open here, and no more may be; close one"
        )


def _alive(found: Class | None) -> Class | None:
    return found if found and time.time() - found.seen < LIFE else None


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
