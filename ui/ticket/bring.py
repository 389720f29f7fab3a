"""A mask or ticket that is brought along: read and verified, then trained (`bring_form`,
`bring_trials`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pandas as pd
import streamlit as st

from lottery_core.findings.anatomy import kept_per_pixel, short
from lottery_core.report import weight_figures
from lottery_core.spec.checks import InvalidValue
from lottery_core.store import Level
from lottery_core.tickets import transfer, unpacking
from lottery_core.tickets.incoming import Upload, read_upload
from lottery_core.tickets.reading import Reading
from lottery_core.tickets.verify import Finding, origin, verify, verify_in_words
from ui.shared.plot import plot
from ui.shared.runtime import runtime
from ui.shared.text import plain
from ui.ticket.bring_form import show_form
from ui.ticket.bring_trials import show_trials
from ui.ticket.subject import FORM, LINK
from ui.ticket.takeaway import finished_count

_SIGNS = {"matches": "✓ matches", "differs": "✗ differs", "unknown": "? unknown"}


@dataclass(frozen=True)
class _File:
    """A file's bytes, and what tells it from others."""

    id: str
    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class _Read:
    """What came of a file: an upload, or why there is none."""

    upload: Upload | None
    problem: str = ""


def show_bring(ticket: str) -> str:
    """Upload, verify, train; `ticket` is the content hash that the link names. Returns that of
    the ticket on the screen."""
    st.header("Bring a mask or a ticket")
    left, right = st.columns([3, 2])
    with left:
        given = st.file_uploader(
            "A .npz or .safetensors file, from here or from elsewhere",
            max_upload_size=unpacking.MAX_FILE // 2**20,
            key="bring_file",
            on_change=_put_away,
        )
        file = _known_file(given, ticket)
        network = st.text_input(
            "Its network, if the file can't tell",
            LINK.asked.get("network", ""),
            key=LINK.widget_key("bring_network"),
            placeholder="lenet-5, or 8 8 pool 16 16 pool 32",
            help="Shapes of convolutions do not tell where pools are. If it is left empty, what "
            "the layers were taken for stands under Worked out.",
        )
        LINK.change(network=network.strip() or None)
    with right:
        st.caption(
            "A mask has one boolean array for each layer, fully connected or convolution, as torch "
            "or TensorFlow stores it; a ticket has weights besides. Names may be anybody's: what "
            "became of each is shown. Nothing in a file is ever executed: pickles are refused."
        )
    if file is not None:
        found = _read(file, network)
        if found.upload is None:
            st.error(plain(found.problem), icon=":material/block:")
        else:
            upload = found.upload
            ticket = st.session_state.bring_ticket = upload.content_digest
            _show_findings(upload)
            show_form(upload, _origin(upload.sha256, upload.network, finished_count(), upload))
    if ticket:
        show_trials(ticket)
    return ticket


def _known_file(given, ticket: str) -> _File | None:
    """The file that is given, or was before one looked at something else, or that this cache has
    kept of the ticket that the link names."""
    state = st.session_state
    if given is not None:
        if "bring_kept" not in state or state.bring_kept.id != given.file_id:
            state.bring_kept = _File(given.file_id, given.name, given.getvalue())
        return state.bring_kept
    file = state.get("bring_kept")
    if ticket and state.get("bring_ticket") != ticket:  # a link to another
        file = None
    if file is None and ticket:
        content = runtime().store.ticket_content(ticket)
        if content is None:
            st.warning(
                "The link names a ticket whose file this cache does not have: it is kept once it "
                "is trained here. Bring the file again to see what is in it."
            )
            return None
        file = state.bring_kept = _File(ticket, f"ticket {ticket[:8]}", content)
    if file is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"What was brought before: **{plain(file.name)}**")
            st.button("Put it away", key="bring_away", on_click=_put_away)
    return file


def _put_away() -> None:
    for name in ("bring_kept", "bring_read"):
        st.session_state.pop(name, None)
    LINK.change(ticket=None, **dict.fromkeys(FORM))


def _read(file: _File, network: str) -> _Read:
    # Once a file and network, not once a look at the page.
    asked, known = (file.id, network), st.session_state.get("bring_read")
    if known is None or known[0] != asked:
        try:
            found = _Read(read_upload(file.name, file.content, network or _trained_as(file.id)))
        except InvalidValue as error:
            found = _Read(None, str(error))
        known = st.session_state.bring_read = (asked, found)
    return known[1]


def _trained_as(ticket: str) -> str:
    """The network that a ticket was trained as here; a file that the cache kept can't tell."""
    for trial in transfer.trials(ticket, runtime().store.jobs()):
        return trial.arms["main"][0].recipe.net.text
    return ""


# What is true of it


@st.cache_data(show_spinner="Looking for it in the cache", max_entries=8)
def _findings(sha256: str, network: str, levels: int, _upload: Upload) -> list[Finding]:
    return verify(_upload, runtime().store)


@st.cache_resource(show_spinner=False, max_entries=8)
def _origin(sha256: str, network: str, levels: int, _upload: Upload) -> Level | None:
    found = origin(_upload, runtime().store)
    return found and replace(found, mask={}, start={}, end={}, snapshots={})


def _show_findings(upload: Upload) -> None:
    findings = _findings(upload.sha256, upload.network, finished_count(), upload)
    words = plain(verify_in_words(findings))
    verdicts = {finding.verdict for finding in findings}
    show = st.info if "unknown" in verdicts else st.success
    (st.warning if "differs" in verdicts else show)(words, icon=":material/fact_check:")
    _show_reading(upload.reading)
    left, right = st.columns([3, 2])
    with left:
        rows = pd.DataFrame(
            {
                "what": [finding.what for finding in findings],
                "verdict": [_SIGNS[finding.verdict] for finding in findings],
                "the file says": [finding.claimed for finding in findings],
                "found": [finding.found for finding in findings],
            }
        )
        st.dataframe(rows, hide_index=True, width="stretch")
        st.dataframe(
            pd.DataFrame(
                {
                    "layer": [short(name) for name in upload.mask],
                    "shape": [" x ".join(map(str, kept.shape)) for kept in upload.mask.values()],
                    "kept": [int(kept.sum()) for kept in upload.mask.values()],
                    "density, %": [100 * kept.mean() for kept in upload.mask.values()],
                }
            ),
            hide_index=True,
            width="stretch",
            column_config={
                "kept": st.column_config.NumberColumn(format="localized"),
                "density, %": st.column_config.NumberColumn(format="%.2f"),
            },
        )
    with right:
        units = len(next(iter(upload.mask.values())))
        per_pixel = kept_per_pixel(upload.mask, upload.net.input)
        if per_pixel is not None:
            plot(weight_figures.pixels_figure(per_pixel, units, 360), "plot_brought_pixels")
        key = upload.claims.get("key")
        if key and runtime().store.has(key):
            st.page_link(
                "pages/ticket.py",
                label="Look inside that level",
                icon=":material/search:",
                query_params={"key": key, "view": "inside"},
            )


def _show_reading(reading: Reading) -> None:
    """What became of every name in the file."""
    left, right = st.columns([3, 2])
    with left:
        st.markdown("**Used as**")
        rows = pd.DataFrame(reading.used_as, columns=["name in the file", "used as"])
        st.dataframe(rows, hide_index=True, width="stretch")
    with right:
        st.markdown("**Left out**")
        why: dict[str, list[str]] = {}
        for name, reason in reading.left_out:
            why.setdefault(reason, []).append(name)
        _list(f"{plain(', '.join(names))}: {reason}" for reason, names in why.items())
        st.markdown("**Worked out**")
        _list(map(plain, reading.worked_out))


def _list(lines: Iterable[str]) -> None:
    st.caption("\n".join(f"- {line}" for line in lines) or "Nothing.")
