"""Feature maps of one image, through the dense network and the ticket side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import streamlit as st

from lottery_core.findings.features import Stage
from lottery_core.report.pixels import bright_of, png_of
from ui.shared.frame import one_of

CHANNELS = 8  # of a layer that are shown
_FEW = 7  # layers that are all shown; of more some
_STYLE = """<style>
.lottery-maps { display: grid; grid-template-columns: 7.5rem repeat(2, minmax(0, 1fr));
  gap: 0.2rem 1.2rem; font-size: 0.85rem; max-width: 76rem; }
.lottery-maps > b { padding-bottom: 0.2rem; }
.lottery-maps .layer { align-self: center; line-height: 1.25; }
.lottery-maps .layer small, .lottery-maps figcaption { opacity: 0.75; font-size: 0.72rem; }
.lottery-maps figure { margin: 0 0 0.4rem; min-width: 0; }
.lottery-maps img { width: 100%; display: block; image-rendering: pixelated; }
.lottery-maps figcaption { display: grid; grid-template-columns: repeat(8, 1fr);
  text-align: center; line-height: 1.15; }
@media (max-width: 640px) {
  .lottery-maps { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.2rem 0.6rem; }
  .lottery-maps .layer { grid-column: 1 / -1; }
  .lottery-maps > b:first-child { display: none; }
}
</style>"""


def show_maps(stages: Sequence[Stage], ticket: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """A row a layer: the same channels in the dense network and in the `ticket`, which is what it
    is called."""
    st.header("What they make of it, layer by layer")
    st.caption(
        f"Feature maps after each convolution and its ReLU: the {CHANNELS} channels that say most "
        "of this image, most first, the same for both. Each channel has one scale for both, from "
        "0, dark, to its largest value, bright. Dead: no signal of the image passes it."
    )
    if len(stages) > _FEW:
        every = -(-len(stages) // _FEW)
        words = {"some": f"{len(stages[::every])} of them", "all": f"All {len(stages)}"}
        if one_of("Layers", "maps_of", words) == "some":
            stages = stages[::every]
    rows = "".join(_row(stage, ticket, shapes[f"{stage.layer}.weight"]) for stage in stages)
    st.html(
        f'{_STYLE}<div class="lottery-maps"><b></b><b>Dense</b><b>{escape(ticket)}</b>{rows}</div>'
    )


def _row(stage: Stage, ticket: str, shape: tuple[int, ...]) -> str:
    sides = "x".join(map(str, stage.dense.shape[1:]))
    added = ", with the shortcut" if stage.summed else ""
    name = f"<b>{stage.layer}</b>{added}<br><small>{shape[0]} channels of {sides}</small>"
    largest = np.maximum(stage.dense, stage.ticket).max(axis=(1, 2), keepdims=True)
    parts = [f'<div class="layer">{name}</div>']
    none = np.zeros_like(stage.dead)
    for who, maps, dead in (("Dense", stage.dense, none), (ticket, stage.ticket, stage.dead)):
        pairs = zip(stage.channels, dead, strict=True)
        numbers = [f"{n} dead" if gone else str(n) for n, gone in pairs]
        strip = _strip(maps / np.where(largest > 0, largest, 1))
        alt = escape(f"{who}, {stage.layer}: channels {', '.join(numbers)}", quote=True)
        labels = "".join(f"<span>{label}</span>" for label in numbers)
        parts.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{strip}">'
            f"<figcaption>{labels}</figcaption></figure>"
        )
    return "".join(parts)


def _strip(maps: np.ndarray) -> str:
    """A PNG of `CHANNELS` places beside each other, with gaps that one can look through."""
    rows, columns = maps.shape[1:]
    gap = max(1, columns // 12)
    strip = np.zeros((rows, CHANNELS * (columns + gap) - gap, 4), np.uint8)
    for n, values in enumerate(maps):
        place = strip[:, n * (columns + gap) : n * (columns + gap) + columns]
        place[..., :3], place[..., 3] = bright_of(values), 255
    return png_of(strip)
