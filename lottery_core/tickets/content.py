"""What a ticket file holds, and the hash that names it."""

from __future__ import annotations

import hashlib

import numpy as np

from lottery_core.pruning import Arrays

FORMAT = "lottery-ticket 1"  # the header field "format" of every file of ours
PARTS = ("mask", "restart", "trained")


def digest(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and values: the same for the same arrays in any file.

    Little-endian and in the order of the names, so that it can be repeated with NumPy alone.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        total.update(f"{name} {values.dtype.name} {values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()
