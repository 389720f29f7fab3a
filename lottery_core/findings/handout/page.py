"""One HTML file that opens from disk: text, tables and charts, with all that draws them inside."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from lottery_core.findings.handout.asked import slug
from lottery_core.report.figures import Figure
from lottery_core.report.script import SCRIPT

MAX_BYTES = 8_000_000  # of a file: what a mail still takes along
_HERE = Path(__file__).parent


class Page:
    """Parts are added from top to bottom; `html` puts them together. Text from outside is shown as
    it is: no part of it is read as HTML."""

    def __init__(self, title: str, stem: str):
        """`stem` is how the names of the charts that a reader saves begin."""
        self.title, self._stem = title, stem
        self._parts = [f"<h1>{escape(title)}</h1>"]

    def heading(self, text: str, level: int = 2) -> None:
        """A heading; levels go down by one at a time."""
        self._parts.append(f'<h{level} id="{slug(text)}">{escape(text)}</h{level}>')

    def text(self, text: str, role: str = "") -> None:
        """A paragraph; its `role` is its class in the style sheet."""
        self._parts.append(f'<p class="{role or "text"}">{_marked(text)}</p>')

    def said(self, sentences: Sequence[str], role: str) -> None:
        """A sentence, and below it others as a list."""
        first, *others = map(_marked, sentences)
        items = "".join(f"<li>{one}</li>" for one in others)
        more = f"<ul>{items}</ul>" if items else ""
        self.html(f'<div class="{role}"><p>{first}</p>{more}</div>')

    def html(self, html: str) -> None:
        """A part that is HTML already."""
        self._parts.append(html)

    def chart(self, figure: Figure, about: str = "") -> None:
        """A figure to point at and zoom into, and buttons that save it; `about` is what its file's
        name says besides its title."""
        self.html(chart_html(figure, f"{self._stem}-{about}"))

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, numbers: int = 0
    ) -> None:
        """A table; its columns from `numbers` on are set to the right, and each row's first cell is
        its heading."""
        first = numbers or len(head)  # the first column of numbers
        top = "".join(
            f'<th scope="col"{_kind(n, first)}>{_marked(cell)}</th>' for n, cell in enumerate(head)
        )
        body = "".join(f"<tr>{_row(row, first)}</tr>" for row in rows)
        name = slug(caption)
        kind = ' class="pairs"' if len(head) == 2 else ""  # of words, which may be long
        # Its words stand above the part that scrolls, so that a narrow page wraps them.
        self.html(
            f'<p class="note" id="{name}">{escape(caption)}</p>'
            f'<div class="wide" role="region" tabindex="0" aria-labelledby="{name}">'
            f'<table aria-labelledby="{name}"{kind}>'
            f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def code(self, text: str, label: str) -> None:
        """Something to type, with a button that copies it."""
        self.html(
            f'<figure class="code"><figcaption>{escape(label)} <button type="button" '
            f'class="copy">Copy</button></figcaption><pre tabindex="0"><code>{escape(text)}</code>'
            "</pre></figure>"
        )

    def write(self) -> bytes:
        """The file."""
        template = Template((_HERE / "page.html").read_text(encoding="utf-8"))
        return template.substitute(
            title=escape(self.title),
            style=(_HERE / "page.css").read_text(encoding="utf-8"),
            body="\n".join(self._parts),
            plotly=SCRIPT.read_text(encoding="utf-8"),
            script=(_HERE / "page.js").read_text(encoding="utf-8"),
        ).encode()

    def room(self) -> int:
        """How many bytes there are left of `MAX_BYTES`."""
        return MAX_BYTES - len(self.write())


def chart_html(figure: Figure, name: str, more: str = "") -> str:
    """A figure as a part of a page; `name` begins the name of its file, `more` are attributes."""
    alt, title = figure.layout.meta["alt"], figure.layout.title.text
    return (
        f'<figure class="chart" data-name="{slug(f"{name} {title}")}"{more}>'
        f'<div class="plot" role="img" tabindex="0" aria-label="{escape(alt)}" '
        f'style="height:{figure.layout.height}px"></div>'
        f"<noscript><p>{escape(alt)}</p></noscript>"
        f'<figcaption>Save: <button type="button" data-format="svg" aria-label="'
        f'Save as SVG: {escape(title)}">SVG</button> <button type="button" data-format="png" '
        f'aria-label="Save as PNG: {escape(title)}">PNG</button></figcaption>'
        f"{json_html(figure.to_json())}</figure>"
    )


def json_html(text: str) -> str:
    """JSON as a part of a page, for its script."""
    # No text in it can end the element: "<" stands in texts alone, where this is another way to
    # write it.
    return f'<script type="application/json">{text.replace("<", chr(92) + "u003c")}</script>'


def script_data(value: object) -> str:
    """Plain values as a part of a page, for its script."""
    return json_html(json.dumps(value, separators=(",", ":")))


def _row(cells: Sequence[str], numbers: int) -> str:
    first, *rest = (f"{_kind(n, numbers)}>{_marked(cell)}" for n, cell in enumerate(cells))
    return f'<th scope="row"{first}</th>' + "".join(f"<td{cell}</td>" for cell in rest)


def _kind(column: int, numbers: int) -> str:
    return ' class="number"' if column >= numbers else ""


def _marked(text: str) -> str:
    """Text as HTML, with `code` and **bold** marked as in Markdown."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
