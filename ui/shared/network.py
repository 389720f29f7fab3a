"""A network as a picture, layer by layer; press a layer to look at its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from lottery_core.findings.anatomy import short
from lottery_core.report.sparsity_figures import layer_colours
from lottery_core.spec.networks import Network, Shape
from ui.shared.scripts import brought

_HTML = """
<div class="lottery-network">
  <div class="layers" role="group"></div>
  <div class="detail" hidden>
    <label><span></span> <input type="number" min="0" step="1"></label>
    <button type="button">All layers</button>
  </div>
</div>
"""
_CSS = """
.lottery-network { color: var(--st-text-color); font-family: var(--st-font); font-size: 0.75rem; }
.lottery-network .layers {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(2.9rem, 1fr)); row-gap: 0.3rem;
}
.lottery-network .layers.many .name { flex-direction: column; }
.lottery-network .layers button {
  display: block; width: 100%; padding: 0; border: 0; background: none; color: inherit;
  font: inherit; line-height: 1.25; cursor: pointer; border-radius: 0.25rem;
}
.lottery-network .area { display: flex; align-items: center; height: 2.6rem; }
.lottery-network svg { flex: 1 1 0; min-width: 0; height: 100%; overflow: hidden; }
.lottery-network line {
  stroke: currentColor; stroke-width: 1; opacity: 0.5; vector-effect: non-scaling-stroke;
  transition: opacity 0.6s;
}
.lottery-network line.dead { opacity: 0; }
.lottery-network .box {
  flex: 1.6 1 0; max-width: 7rem; box-sizing: border-box; display: flex; align-items: flex-end;
  border: 1.5px solid currentColor; border-radius: 0.2rem; overflow: hidden;
  background: var(--st-background-color);
}
.lottery-network .full { width: 100%; min-height: 2px; transition: height 0.6s; }
.lottery-network .name {
  display: flex; flex-wrap: wrap; justify-content: flex-end; column-gap: 0.35rem;
  text-align: right; font-variant-numeric: tabular-nums;
}
.lottery-network .layers button:hover .box { border-color: var(--st-primary-color); }
.lottery-network button:focus-visible { outline: 2px solid var(--st-primary-color); }
.lottery-network button[aria-pressed="true"] .box {
  border-color: var(--st-primary-color); box-shadow: 0 0 0 2px var(--st-primary-color);
}
.lottery-network button[aria-pressed="true"] b { text-decoration: underline; }
.lottery-network .detail {
  display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 1rem; padding-top: 0.3rem;
  font-size: 0.875rem;
}
.lottery-network .detail[hidden], .lottery-network .detail button[hidden] { display: none; }
.lottery-network .detail input, .lottery-network .detail button {
  min-height: 1.75rem; padding: 0 0.5rem; font: inherit; color: inherit;
  background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.lottery-network .detail input { width: 5rem; }
.lottery-network .detail button { cursor: pointer; }
"""
_NETWORK = st.components.v2.component(
    "lottery_network",
    html=_HTML,
    css=_CSS,
    js=brought("network", Path(__file__).parent / "network.js"),
)


def choose_part(
    network: Network, kept: Mapping[str, int], key: str, *, always: bool = False, units: bool = True
) -> tuple[str, int | None]:
    """The name of a weight, empty for none, and the number of one of its units where one is chosen.

    A box is as high as its layer is large (log10 of its weights), and filled as far as its weights
    are `kept`; so many lines lead into it. With `always` one layer is chosen all the time; without
    `units` layers alone can be.
    """
    names = list(network.shapes)
    first = {"layer": 0, "unit": None} if always else None
    chosen = st.session_state.get(key, {}).get("chosen", first)
    layers = _layers(network, kept)
    result = _NETWORK(
        data={
            "label": f"{network.in_words}; a box a layer, filled as far as its weights are kept",
            "layers": layers,
            "chosen": chosen,
            "always": always,
            "units": units,
        },
        key=key,
        on_chosen_change=lambda: None,
    )
    chosen = result.chosen or first
    # A forged client may send anything.
    if not isinstance(chosen, Mapping) or chosen.get("layer") not in range(len(names)):
        return (names[0] if always else ""), None
    layer, unit = chosen["layer"], chosen.get("unit")
    return names[layer], unit if unit in range(layers[layer]["units"]) else None


def _layers(network: Network, kept: Mapping[str, int]) -> list[dict]:
    sizes = {name: math.prod(shape) for name, shape in network.shapes.items()}
    most = math.log10(max(sizes.values()))
    found = []
    colours = layer_colours(len(sizes))
    for colour, (name, shape) in zip(colours, network.shapes.items(), strict=True):
        density = kept[name] / sizes[name]
        found.append(
            {
                "name": short(name),
                "words": f"{short(name)}, {shape_in_words(shape)}: {kept[name]:,} of "
                f"{sizes[name]:,} weights kept, {100 * density:.3g}\u202f%",
                "tall": max(0.25, math.log10(max(sizes[name], 2)) / most),
                "density": density,
                "part": f"{100 * density:.3g}\u202f%",
                "colour": colour,
                "units": shape[0],
                "word": "channel" if shape[2:] else "unit",
            }
        )
    return found


def shape_in_words(shape: Shape) -> str:
    """A layer's weights: "16x6 kernels of 5x5", "10 units, 84 inputs"."""
    outputs, inputs, *kernel = shape
    if not kernel:
        return f"{outputs} units, {inputs} inputs"
    return f"{outputs}x{inputs} kernels of {kernel[0]}x{kernel[1]}"
