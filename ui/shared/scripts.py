"""Scripts of components that are drawn again and again.

What a component is registered with travels with every drawing of it. So its script comes with the
page once, and what is registered are a few lines that call it. A drawing may come before the
script: it waits.
"""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

_BEGINS = "export default function ("
_PART = """
const part = ((globalThis.lotteryParts ??= {})[NAME] ??= {});
part.ready ??= new Promise((done) => { part.done = done; });
"""
_BRING = """
export default function () { part.done(show); }
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
_BRINGING: dict = {}


def brought(name: str, *files: Path) -> str:
    """Have every page bring the script in these `files`, under a `name` that no other has; what to
    register its component with instead."""
    script = "\n".join(file.read_text(encoding="utf-8") for file in files)
    if script.count(_BEGINS) != 1:
        raise ValueError(f"the script {name!r} must hold {_BEGINS!r} once, at a line's beginning")
    part = _PART.replace("NAME", json.dumps(name))
    _BRINGING[name] = st.components.v2.component(
        f"lottery_{name}_script",
        html="<span hidden></span>",
        js=script.replace(_BEGINS, "const show = function (") + part + _BRING,
    )
    return part + _CALL


def send_scripts() -> None:
    """Send them with the page."""
    for name, bring in list(_BRINGING.items()):
        bring(key=f"script_{name}")
