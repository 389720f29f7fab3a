"""Plotly figures that update in place.

`st.plotly_chart` mounts a new node on every change and shows an empty frame in between. This
component keeps its node and hands each new figure to `Plotly.react`, with the plotly.js that
the plotly package brings. Text, grid and background take the page's colours.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st

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
_PLOT = st.components.v2.component(
    "lottery_plot",
    html='<div class="lottery-plot"></div>',
    css=".lottery-plot { width: 100%; }\n.lottery-plot:focus-visible { outline: 2px solid; }",
    js=(Path(__file__).parent / "plot.js").read_text(),
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


def plot(figure: go.Figure, key: str) -> None:
    """Show a figure; the same `key` on the next run updates it in place."""
    height = figure.layout.height
    _PLOT(
        data={"figure": figure.to_json(), "alt": figure.layout.meta["alt"], "height": height},
        key=key,
        height=height,
    )
