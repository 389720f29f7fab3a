"""Where compiled code is kept for the next process, and whether it is there yet.

Known without importing the compiler, which takes a second.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lottery_core.store import CACHE, processor
from lottery_core.store.places import users_own


class CannotCompile(RuntimeError):
    """The compiled loop can't be had here; the message says why and what helps."""


_places: list[Path] = []  # the one this process has settled on


def place(root: Path = CACHE) -> Path:
    """The folder that holds `compiled/` for this process: the first `root` that is asked for, as
    code is loaded once, or where nothing can be written there the user's own cache. Raises
    `CannotCompile` where neither can be written."""
    if not _places:
        _places.append(_first_writable(root, users_own()))
    return _places[0]


def folder(root: Path = CACHE) -> Path:
    """Where this process's compiled code lies: see `place`."""
    return place(root) / "compiled" / tag()


@cache
def tag() -> str:
    """Names the content of all that is compiled and where it stands, what it is compiled by and
    for, and whose it is.

    Numba itself looks at the content of one file, and finds what it has compiled by its place.
    """
    here = Path(__file__).parent
    names = ["blas", "compiled", "layers", "sparse_products", "vectors"]
    names += [f"convolution/{name}" for name in ("kernels", "norms", "planes", "program", "steps")]
    content = b"".join((here / f"{name}.py").read_bytes() for name in names)
    content += f"{here} {version('numba')} {sys.version} {processor()} {_user()}".encode()
    return hashlib.sha256(content).hexdigest()[:16]


def is_ready(root: Path = CACHE) -> bool:
    """Whether everything has been compiled on this machine before."""
    return (folder(root) / "complete").is_file()


def mark_ready(root: Path = CACHE) -> None:
    """Say that everything has been compiled."""
    (folder(root) / "complete").touch()


def _first_writable(*places: Path) -> Path:
    problems = []
    for one in places:
        code = one / "compiled" / tag()
        try:
            # Private, in a cache shared by a group too: what lies there is run as its user.
            code.parent.mkdir(parents=True, exist_ok=True)
            code.mkdir(mode=0o700, exist_ok=True)
            if code.stat().st_uid != _user():
                raise PermissionError(f"{code} belongs to somebody else")
            with tempfile.TemporaryFile(dir=code) as probe:
                probe.write(b"?")
            return one
        except OSError as error:
            problems.append(str(error))
    raise CannotCompile(
        f"compiled code can be kept nowhere ({'; '.join(problems)}); make room for it in the cache "
        "or in your home, or choose loop=torch"
    )


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0  # Windows: no user has a number
