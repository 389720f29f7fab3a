"""Where compiled code is kept for the next process, and whether it is there yet.

Known without importing the compiler, which takes a second.
"""

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

from lottery_core.store import CACHE, processor


def _folder() -> Path:
    # Numba itself looks at the age of one file; this names the content of all that is compiled,
    # and what it is compiled by and for.
    here = Path(__file__).parent
    content = b"".join((here / f"{name}.py").read_bytes() for name in ("compiled", "vectors"))
    content += f"{version('numba')} {sys.version} {processor()}".encode()
    return CACHE / "compiled" / hashlib.sha256(content).hexdigest()[:16]


FOLDER = _folder()
_READY = FOLDER / "complete"


def is_ready() -> bool:
    """Whether everything has been compiled on this machine before."""
    return _READY.is_file()


def mark_ready() -> None:
    """Say that everything has been compiled."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _READY.touch()
