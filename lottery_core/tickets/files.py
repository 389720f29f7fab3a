"""Masks and tickets as files that NumPy or safetensors alone can read."""

from __future__ import annotations

import io
import json

import numpy as np
from safetensors.numpy import save

from lottery_core.store import Level


def mask_npz(level: Level) -> bytes:
    """The mask: one boolean array per weight, by its name (`numpy.load`)."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **level.mask)
    return buffer.getvalue()


def mask_safetensors(level: Level) -> bytes:
    """The mask: one boolean tensor per weight, by its name."""
    return save(level.mask, metadata=_header(level, "mask, True where a weight is kept"))


def ticket_safetensors(level: Level) -> bytes:
    """The ticket: `mask/<name>`, and `restart/<name>` with the weights its survivors restart
    from, biases included. They are not the trained weights, and the header says so."""
    arrays = {f"mask/{name}": values for name, values in level.mask.items()}
    arrays |= {f"restart/{name}": values for name, values in level.start.items()}
    return save(
        arrays,
        metadata=_header(level, "mask/* and restart/*: the weights training starts from"),
    )


def _header(level: Level, contents: str) -> dict[str, str]:
    return {
        "contents": contents,
        "level": str(level.info["level"]),
        "key": level.info["key"],
        "experiment": json.dumps(level.info["experiment"]),
    }
