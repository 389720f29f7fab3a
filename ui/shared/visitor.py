"""Who looks at a page, as far as the server can tell them apart."""

from __future__ import annotations

import hashlib
from itertools import cycle

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_COOKIE = "_streamlit_xsrf"  # Streamlit gives one to each browser


def visitor() -> str:
    """A name for the browser that looks, the same in all its windows and after a reload; where it
    takes no cookies, for this page alone. Empty where no page is drawn."""
    context = get_script_run_ctx()
    if context is None:
        return ""
    told = _token(st.context.cookies.get(_COOKIE, "")) or context.session_id.encode()
    # What is kept of it can't be used to speak in the browser's name.
    return hashlib.blake2b(told, digest_size=6).hexdigest()


def _token(cookie: str) -> bytes:
    """What stays the same in the cookie, which is written anew with another mask each time; empty
    for what is no such cookie."""
    try:
        _, mask, masked, _ = cookie.split("|")
        return bytes(
            one ^ other for one, other in zip(cycle(bytes.fromhex(mask)), bytes.fromhex(masked))
        )
    except ValueError:
        return b""
