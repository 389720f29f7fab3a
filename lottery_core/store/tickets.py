"""Tickets from outside."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from pathlib import Path

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.store.files import Kept
from lottery_core.store.tensors import load, metadata, save


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


class Tickets(Kept):
    """One file a ticket, under the `digest` of what it holds."""

    def write_ticket(self, digest: str, mask: Arrays, restart: Arrays | None) -> None:
        """Keep a mask (bool), and weights to restart from, under the `digest` of both. Raises
        `StoreUnavailable`."""
        content = save(_ticket(mask, restart), metadata={"weights": json.dumps([*mask])})
        self._put(self._ticket_path(digest), content)

    def ticket_content(self, digest: str) -> bytes | None:
        """The file as `write_ticket` made it, a .safetensors file like those from outside; None if
        absent. Raises `StoreUnavailable` where it is not ours to read."""
        if not re.fullmatch("[0-9a-f]{64}", digest):  # one from a link may be the way to elsewhere
            return None
        return self._get(self._ticket_path(digest), f"ticket {digest}")

    def put_ticket(self, digest: str, content: bytes) -> None:
        """Keep what `ticket_content` of another store gave. Raises ValueError where it is not the
        ticket of that digest, and `StoreUnavailable`."""
        try:
            _read_ticket(digest, content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"ticket {digest} arrived damaged ({error})") from error
        self._put(self._ticket_path(digest), content)

    def read_ticket(self, digest: str) -> tuple[Arrays, Arrays | None] | None:
        """Mask and restart weights, verified; None if absent, or with a warning if damaged. Raises
        `StoreUnavailable` where it is not ours to read."""
        content = self.ticket_content(digest)
        if content is None:
            return None
        try:
            return _read_ticket(digest, content)
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"ticket {digest} is damaged ({error}); it counts as absent until it is uploaded "
                "again",
                stacklevel=2,
            )
            return None

    def _ticket_path(self, digest: str) -> Path:
        return self.root / "tickets" / f"{digest}.safetensors"


def _ticket(mask: Arrays, restart: Arrays | None) -> Arrays:
    parts = {"mask": mask, "restart": restart or {}}
    return {f"{part}/{name}": values for part in parts for name, values in parts[part].items()}


def _read_ticket(key: str, content: bytes) -> tuple[Arrays, Arrays | None]:
    arrays = load(content)
    if digest(arrays) != key:
        raise ValueError("its digest does not match")
    order = json.loads(metadata(content)["weights"])
    mask = {name: arrays[f"mask/{name}"] for name in order}
    restart = {
        name.removeprefix("restart/"): values
        for name, values in arrays.items()
        if name.startswith("restart/")
    }
    if len(mask) + len(restart) != len(arrays):
        raise ValueError("its header names other weights")
    return mask, restart or None
