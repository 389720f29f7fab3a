"""Plotly figures that update in place.

`st.plotly_chart` mounts a new node on every change and shows an empty frame in between. This
component keeps its node and hands each new figure to `Plotly.react`, with the plotly.js that
the plotly package brings. Text, grid and background take the page's colours.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st

from lottery_core.report.figures import Curve

_TALLER = 1.4  # by how much a chart is that is written large
_SCRIPT = Path(__file__).resolve().parents[2] / "static" / "plotly.min.js"


_OURS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def provide_script(target: Path = _SCRIPT) -> bool:
    """Put plotly's own script where Streamlit serves static files from; whether it is there now.

    Any number of first starts at once may do so. Where nothing can be written, as in an
    installation that belongs to somebody else, pages send the script themselves.
    """
    try:
        if target.is_file() and target.stat().st_size == _OURS.stat().st_size:
            return True
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".plotly-") as folder:
            part = Path(folder) / target.name
            shutil.copyfile(_OURS, part)
            part.replace(target)
    except OSError:
        return False
    return True


_IS_SERVED = provide_script()
_SOURCE = (Path(__file__).parent / "plot.js").read_text()
_PLOT = st.components.v2.component(
    "lottery_plot",
    html='<div class="lottery-plot"></div>',
    css="""
.lottery-plot { width: 100%; }
.lottery-plot:focus-visible { outline: 2px solid; }
.lottery-plot:fullscreen { background: var(--st-background-color); }
/* Where the title needs all of the width, the toolbar comes below it, to whom touches the chart. */
.lottery-plot.narrow .modebar-container { top: 1.9rem !important; }
.lottery-plot.narrow:not(:focus, :focus-within) .modebar-container { display: none; }
""",
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
export default function ({ data }) {
  if (data.script) {
    globalThis.lotteryPlotly ??= URL.createObjectURL(
      new Blob([data.script], { type: "text/javascript" })
    );
  }
  if (!data.soon) return;
  const served = new URL("app/static/plotly.min.js", document.baseURI).href;
  const timer = setTimeout(() => import(globalThis.lotteryPlotly ?? served), 1000);
  return () => clearTimeout(timer);
}
""",
)


def preload() -> None:
    """Have the browser fetch and parse plotly.js before the first chart: a second's work, done
    once the page is there to be read."""
    _LIBRARY(key="plot_library", data={"soon": True})


def send_script() -> None:
    """Send plotly.js with the page, where it can't be served as a file; once a page."""
    if not _IS_SERVED:
        _LIBRARY(key="plot_script", data={"script": _OURS.read_text(encoding="utf-8")})


def plot(figure: go.Figure, key: str, group: str = "", *, styled: bool = False) -> None:
    """Show a figure; the same `key` on the next run updates it in place. It is as high as it says,
    or where it is `styled` as the page's style sheet has it.

    Charts of one `group` share a `legend`, and what is pointed at in one is shown in the others
    that have the same x axis.
    """
    large = st.session_state.get("large", False)  # see `ui.shared.frame`
    height = round(figure.layout.height * (_TALLER if large else 1))
    _PLOT(
        data={
            "figure": figure.to_json(),
            "alt": figure.layout.meta["alt"],
            "height": "" if styled else f"{height}px",
            "group": group,
            "served": _IS_SERVED,
            "large": large,
        },
        key=key,
        height="content" if styled else height,
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
