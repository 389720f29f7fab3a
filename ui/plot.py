"""Plotly figures that update in place.

`st.plotly_chart` mounts a new node on every change and shows an empty frame in between. This
component keeps its node and hands each new figure to `Plotly.react`, with the plotly.js that
the plotly package brings. Text, grid and background take the page's colours.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st

from lottery_core.figures import Curve

_SCRIPT = Path(__file__).resolve().parent.parent / "static" / "plotly.min.js"


def _provide_script() -> None:
    """Put plotly's own script where Streamlit serves static files from."""
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    if not _SCRIPT.exists() or _SCRIPT.stat().st_size != source.stat().st_size:
        _SCRIPT.parent.mkdir(exist_ok=True)
        part = _SCRIPT.with_suffix(".part")
        shutil.copyfile(source, part)
        part.replace(_SCRIPT)


_provide_script()
_SOURCE = (Path(__file__).parent / "plot.js").read_text()
_PLOT = st.components.v2.component(
    "lottery_plot",
    html='<div class="lottery-plot"></div>',
    css=".lottery-plot { width: 100%; }\n.lottery-plot:focus-visible { outline: 2px solid; }",
    js=_SOURCE,
    isolate_styles=False,
)

_LEGEND = st.components.v2.component(
    "lottery_legend",
    html='<div class="lottery-legend"></div>',
    css="""
.lottery-legend { display: flex; flex-wrap: wrap; gap: 0.25rem 0.5rem; }
.lottery-legend button {
  display: flex; align-items: center; gap: 0.5rem; padding: 0.25rem 0.5rem;
  border: 0; border-radius: 0.5rem; background: none; color: inherit;
  font: inherit; font-size: 0.875rem; text-align: left; cursor: pointer;
}
.lottery-legend button:hover { background: var(--st-secondary-background-color); }
.lottery-legend button:focus-visible { outline: 2px solid; }
.lottery-legend button[aria-pressed="false"] { opacity: 0.45; text-decoration: line-through; }
.lottery-legend svg { flex: none; }
""",
    js=_SOURCE,
    isolate_styles=False,
)

_LIBRARY = st.components.v2.component(
    "lottery_plot_library",
    html="<span hidden></span>",
    js="""
export default function () {
  const timer = setTimeout(
    () => import(new URL("app/static/plotly.min.js", document.baseURI).href), 1000
  );
  return () => clearTimeout(timer);
}
""",
)


def preload() -> None:
    """Have the browser fetch and parse plotly.js before the first chart: a second's work, done
    once the page is there to be read."""
    _LIBRARY(key="plot_library")


def plot(figure: go.Figure, key: str, group: str = "") -> None:
    """Show a figure; the same `key` on the next run updates it in place.

    Charts of one `group` share a `legend`, and what is pointed at in one is shown in the others
    that have the same x axis.
    """
    height = figure.layout.height
    _PLOT(
        data={
            "figure": figure.to_json(),
            "alt": figure.layout.meta["alt"],
            "height": height,
            "group": group,
        },
        key=key,
        height=height,
    )


def legend(curves: Sequence[Curve], key: str, group: str) -> None:
    """The one legend of a group's charts: a button a curve, which hides it in all of them."""
    entries = [
        {
            "curve": curve.group,
            "name": curve.name,
            "colour": curve.style.colour,
            "dash": curve.style.dash,
            "symbol": curve.style.symbol,
        }
        for curve in curves
    ]
    _LEGEND(data={"legend": entries, "group": group}, key=key)
