"""What a page shows, between its link, the session and its widgets: one way for all pages.

A link says what to show. The row of pages leads back without parameters: then a page shows again
what it showed last. Streamlit's own `bind="query-params"` does not serve here: it drops a page's
parameters as soon as another page is opened, and fails where a program writes others beside them.

Widgets are never set from here once they are mounted: what the browser sends at that moment would
overwrite it. A new choice from outside makes a new generation of widgets instead, whose defaults
are what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import streamlit as st

COMMON = ("large", "class", "teach")  # what a link says for every page, or beside all choices


@dataclass
class _Kept:
    """What the session knows of a page."""

    asked: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    generation: int = 0


class Link:
    """The link of one page. `page` is a name of its own for what is kept in the session."""

    def __init__(self, page: str) -> None:
        self._name = f"link_{page}"

    @property
    def _kept(self) -> _Kept:
        return st.session_state.setdefault(self._name, _Kept())

    @property
    def asked(self) -> dict[str, str]:
        """The parameters with which the page was opened last: defaults of its widgets."""
        return self._kept.asked

    @property
    def params(self) -> dict[str, str]:
        """The parameters of what is shown now."""
        return self._kept.params

    def follow(self) -> bool:
        """Take over what the URL says when it is not what was written last; whether it was."""
        url, is_known = self._url(), self._name in st.session_state
        if is_known and url == self.params:
            return False
        # Back from another page there are no parameters.
        self._kept.asked = dict(url or self.params)
        self._kept.params = dict(self.asked)
        self.renew()
        return True

    def write(self, params: Mapping[str, str]) -> None:
        """Say in the URL what is shown."""
        self._kept.params = dict(params)
        if self.params != self._url():
            common = {name: st.query_params[name] for name in COMMON if name in st.query_params}
            st.query_params.from_dict(self.params | common)

    def change(self, **changes: str | None) -> None:
        """As `write`, with these parameters changed; None takes one out."""
        changed = self.params | changes
        self.write({name: value for name, value in changed.items() if value is not None})

    def renew(self) -> None:
        """Have new widgets, which show their defaults: what is shown now."""
        self._kept.asked = dict(self.params)
        self._kept.generation += 1

    def option(self, name: str, words: Mapping[str, str], choose: Callable[..., str]) -> str:
        """One of the names in `words`, of which the link says it where it is not the first:
        `choose(key, default)` shows the widget."""
        first, asked = next(iter(words)), self.asked.get(name)
        chosen = choose(self.widget_key(name), asked if asked in words else first)
        self.change(**{name: None if chosen == first else chosen})
        return chosen

    def widget_key(self, name: str) -> str:
        """A key for a widget that shows what was last asked for."""
        return f"{name}_{self._kept.generation}"

    @staticmethod
    def _url() -> dict[str, str]:
        return {name: text for name, text in st.query_params.items() if name not in COMMON}
