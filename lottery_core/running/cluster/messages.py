"""What travels between a queue and a worker on another machine: a note in JSON, and files.

No object is pickled: whoever reads a message can't be made to run what it holds. Each level comes
with its own sums, and is verified where it arrives.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_NOTE = "note.json"
_PACKAGE = Path(__file__).resolve().parents[2]
# What an installed package has beside the code of the core: the pages, and archives of data.
_NOT_CORE = ("explorer", "archives")


def pack(note: Mapping, files: Mapping[str, bytes]) -> bytes:
    """One message of a note, which is plain JSON, and files by name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as message:
        message.writestr(_NOTE, json.dumps(note))
        for name, held in files.items():
            message.writestr(name, held)
    return content.getvalue()


def unpack(content: bytes) -> tuple[dict, dict[str, bytes]]:
    """Note and files of a message. Raises ValueError for what is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as message:
            files = {name: message.read(name) for name in message.namelist()}
        return dict(json.loads(files.pop(_NOTE))), files
    except (zipfile.BadZipFile, KeyError, TypeError) as error:
        raise ValueError(f"a message arrived damaged ({error})") from error


@lru_cache(maxsize=1)
def code_version() -> str:
    """Twelve letters that differ where the core's code does: both ends must mean the same."""
    total = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        inside = path.relative_to(_PACKAGE)
        if not set(inside.parts) & set(_NOT_CORE):
            total.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]
