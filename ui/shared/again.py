"""A part of the page that is drawn again and again, but only while there is something to add."""

from __future__ import annotations

import streamlit as st

_AGAIN = st.components.v2.component(
    "lottery_again",
    html="<span hidden></span>",
    js="""
export default function ({ data, parentElement, setTriggerValue }) {
  clearTimeout(parentElement.lotteryAgain);
  parentElement.lotteryAgain = setTimeout(() => setTriggerValue("due", true), 1000 * data.after);
  return () => clearTimeout(parentElement.lotteryAgain);
}
""",
)


def again(after: float, so_far: str, key: str) -> None:
    """Have the fragment around this drawn once more, `after` seconds from when the browser has
    shown it. `so_far` says what is shown, and is another each time.

    A fragment of `run_every` could not be told to stop, and none may stand inside another: what it
    draws has no place any more when the outer one is drawn anew. Here the browser asks, so that a
    slow server has never more than one moment to catch up on.
    """
    _AGAIN(data={"after": after, "so_far": so_far}, key=key, on_due_change=lambda: None)
