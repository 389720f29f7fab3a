"""What became of the weight that the mouse rests on."""

from __future__ import annotations

import math
from pathlib import Path

import streamlit as st

from lottery_core.findings import anatomy
from lottery_core.findings.flow import reads_pixels
from lottery_core.findings.life import life_of
from lottery_core.report.tiles import weight_at
from lottery_core.spec.experiment import Experiment
from ui.shared.reading import deaths, look, whole
from ui.shared.runtime import has_level
from ui.shared.scripts import brought

_KEY = "life"
_OF = "life_of"  # in the session: whose weights are on the screen
_LIFE = st.components.v2.component(
    "lottery_life",
    html='<div class="lottery-life" role="status" hidden></div>',
    css="""
.lottery-life {
  position: fixed; z-index: 1000; max-width: 24rem; padding: 0.4rem 0.6rem; pointer-events: none;
  white-space: pre-line; font-family: var(--st-font); font-size: 0.8rem; line-height: 1.35;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: 0.4rem;
}
.lottery-life[hidden] { display: none; }
""",
    js=brought("life", Path(__file__).parent / "life.js"),
)
_COLOURS = ("red", "green", "blue")


def weights_are_of(experiment: Experiment, n: int) -> None:
    """Note which level's weights are drawn."""
    st.session_state[_OF] = experiment, n


@st.fragment
def show_life() -> None:
    """Say it beside the mouse; a fragment of its own, so that nothing else is drawn for it.

    It stands inside no other: where one is drawn anew before all of it was sent, Streamlit leaves
    out what was not, but not what is inside it, for which there is no place in the browser then.
    """
    at = st.session_state.get(_KEY, {}).get("at")
    drawn = st.session_state.get(_OF)
    text = _told(*drawn, at) if drawn else ""
    _LIFE(data={"at": at, "text": text}, key=_KEY, on_at_change=lambda: None)


def _told(experiment: Experiment, n: int, at: object) -> str:
    network = experiment.recipe.net
    names = list(network.shapes)
    # A forged client may send anything.
    if not isinstance(at, dict) or at.get("layer") not in range(len(names)):
        return ""
    x, y = at.get("x"), at.get("y")
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in (x, y)):
        return ""
    name = names[at["layer"]]
    shape = network.shapes[name]
    keys = anatomy.chain(experiment, n)
    if not all(map(has_level, keys)):
        return "What became of each weight is known when this level is finished."
    shown = look(keys[-1], "end")
    if shown is None:
        return ""
    picture = shown.layers[name]
    if picture.block > 1 or picture.values.ndim < len(shape):
        return "A cell here holds many weights, and shows how many of them are kept."
    in_colour = reads_pixels(network, name) and len(shape) == 4 and shape[1] == 3
    place = weight_at((shape[0], 1, *shape[2:]) if in_colour else shape, x, y)
    if place is None:
        return ""
    if not in_colour:
        return _life(keys, name, place)
    return "\n".join(
        f"{colour}: {_life(keys, name, (place[0], k, *place[2:]))}"
        for k, colour in enumerate(_COLOURS)
    )


def _life(keys: tuple[str, ...], name: str, place: tuple[int, ...]) -> str:
    died = deaths(keys)
    if died is None:
        return ""
    where = f"{anatomy.short(name)} {list(place)}: "
    try:
        life = life_of(lambda i: whole(keys[i]), len(keys) - 1, int(died[name][place]), name, place)
    except AttributeError:  # a level has gone meanwhile
        return ""
    return where + life.in_words()
