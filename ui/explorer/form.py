"""Widgets for the fields of a choice, each made from its row in the table of fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import streamlit as st

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.fields import FIELDS, Field
from lottery_core.spec.glossary import places
from lottery_core.spec.links import read_value, write_field, write_value
from ui.explorer.link import widget_key
from ui.explorer.source import Source
from ui.shared.text import capital, plain
from ui.shared.words import meaning


class Form:
    """What is chosen so far, in `new`, with a place for an error under each field in `slots`, and
    the `source` of the data.

    `base` holds the widgets' defaults; a field that is not asked for keeps its `current` value.
    Those that are `fixed` can be seen and not changed.
    """

    def __init__(self, base: Choice, current: Choice, fixed: Collection[str] = ()) -> None:
        self.base, self.current, self.fixed = base, current, fixed
        self.new: dict[str, object] = {}
        self.slots: dict = {}
        self.source = Source()

    @property
    def choice(self) -> Choice:
        """What is chosen, once everything is asked for."""
        return replace(self.current, **self.new)

    def value(self, name: str) -> object:
        """A field's value as it is chosen, or was before it is asked for."""
        return self.new.get(name, getattr(self.current, name))

    def applies(self, field: Field) -> bool:
        """Whether a field means anything beside what is chosen so far."""
        return field.when is None or self.value(field.when[0]) in field.when[1:]

    def slot(self, *names: str) -> None:
        """Leave a place here for what is wrong with these fields."""
        self.slots |= dict.fromkeys(names, st.empty())

    def ask(self, name: str, words: str = "") -> None:
        """The widget that fits a field's kind; `words` in place of the field's own."""
        field, value = FIELDS[name], getattr(self.base, name)
        field = replace(field, words=words or field.words)
        if field.known:
            (self._several if isinstance(value, tuple) else self._one)(name, field, value)
        elif isinstance(value, int | float):
            self._number(name, field, value)
        elif field.item in (int, float):
            self._numbers(name, field, value)
        else:
            self._text(name, field, value)

    def _one(self, name: str, field: Field, value: str) -> None:
        options = list(field.known)
        # A data set is written as whoever named it does.
        begin = str if name == "dataset" else capital
        self.new[name] = st.selectbox(
            field.words,
            options,
            options.index(value) if value in options else len(options) - 1,
            key=widget_key(name),
            format_func=lambda option: begin(field.words_of(option)),
            help=_explained(field) or field.more or _words_in(field) or None,
            disabled=name in self.fixed,
        )
        self.slot(name)

    def _several(self, name: str, field: Field, value: tuple[str, ...]) -> None:
        self.new[name] = tuple(
            st.multiselect(
                field.words,
                list(field.known),
                value,
                key=widget_key(name),
                format_func=lambda option: capital(field.words_of(option)),
                help=_explained(field) or field.more or None,
                disabled=name in self.fixed,
            )
        )
        self.slot(name)

    def _number(self, name: str, field: Field, value: float) -> None:
        whole = isinstance(value, int)
        given = st.number_input(
            field.words,
            value=round(100 * value, 10) if field.percent else value,
            step=1 if whole else field.step,
            format=None if whole else "%.6g",
            key=widget_key(name),
            help=field.more or None,
            disabled=name in self.fixed,
        )
        self.new[name] = round(given / 100, 12) if field.percent else given
        self.slot(name)

    def _numbers(self, name: str, field: Field, value: tuple[float, ...]) -> None:
        by = 100 if field.percent else 1
        shown = ", ".join(f"{by * number:.10g}" for number in value)
        text = self._text_input(name, field, shown)
        try:
            parts = [field.item(part) for part in text.replace(",", " ").split()]
        except ValueError:
            used = write_value(getattr(self.current, name))
            self.slots[name].warning(
                f"{plain(repr(text))} is not numbers with commas between; {used} is used."
            )
        else:
            self.new[name] = tuple(parts if by == 1 else (round(n / by, 12) for n in parts))

    def _text(self, name: str, field: Field, value: object) -> None:
        text = self._text_input(name, field, write_field(name, value).replace("none", ""))
        try:
            self.new[name] = read_value(name, text)
        except InvalidValue as error:
            self.slots[name].warning(plain(str(error)))

    def _text_input(self, name: str, field: Field, shown: str) -> str:
        text = st.text_input(
            field.words,
            shown,
            key=widget_key(name),
            placeholder=field.example,
            help=None if field.percent else field.more or None,
            disabled=name in self.fixed,
        )
        self.slot(name)
        return text


def _words_in(field: Field) -> str:
    """The meaning of words that stand among the known values."""
    texts = " ".join(field.words_of(name) for name in field.known)
    return meaning(*(name for *_, name in places(texts)))


def _explained(field: Field) -> str:
    """A line for each known value that has a summary."""
    known = field.known.items() if isinstance(field.known, Mapping) else ()
    return "  \n".join(
        f"{capital(field.words_of(name))}: {one.summary}."
        for name, one in known
        if hasattr(one, "summary")
    )
