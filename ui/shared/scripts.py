"""Scripts of components that are drawn again and again.

What a component is registered with travels with every drawing of it. So its script comes with the
page once, all of them in one message, and what is registered are a few lines that call it. A
drawing may come before the script: it waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import streamlit as st

_BEGINS = "export default function ("
_PART = """
const part = ((globalThis.lotteryParts ??= {})[NAME] ??= {});
part.ready ??= new Promise((done) => { part.done = done; });
"""
_CALL = """
export default function (component) {
  let unmount, gone;
  part.ready.then((show) => { if (!gone) unmount = show(component); });
  return () => {
    gone = true;
    unmount?.();
  };
}
"""
_SCRIPTS: dict[str, str] = {}


def brought(name: str, *files: Path) -> str:
    """Have every page bring the script in these `files`, under a `name` that no other has; what to
    register its component with instead."""
    script = "\n".join(file.read_text(encoding="utf-8") for file in files)
    if script.count(_BEGINS) != 1:
        raise ValueError(f"the script {name!r} must hold {_BEGINS!r} once, at a line's beginning")
    part = _PART.replace("NAME", json.dumps(name))
    # In braces, so that no name in it is another script's.
    shown = script.replace(_BEGINS, "const show = function (")
    _SCRIPTS[name] = f"{{\n{shown}{part}part.done(show);\n}}\n"
    return part + _CALL


def send_scripts() -> None:
    """Send them with the page."""
    _bringing(tuple(_SCRIPTS))(key="scripts_of_all")


@lru_cache
def _bringing(names: tuple[str, ...]) -> Callable[..., object]:
    """The component that brings these."""
    return st.components.v2.component(
        f"lottery_scripts_{len(names)}",
        html="<span hidden></span>",
        js="".join(_SCRIPTS[name] for name in names) + "export default function () {}\n",
    )
