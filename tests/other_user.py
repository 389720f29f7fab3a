"""Code run by a user to whom permissions mean something.

The superuser may read and write everything. Where the tests run as such, the code runs as a user
without rights, in this user's own group; anywhere else as whoever runs the tests.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534
SUPERUSER = hasattr(os, "geteuid") and os.geteuid() == 0

# Imported before rights are dropped, for the project may lie where nobody else may look.
_BEGIN = f"""
import contextlib, io, json, os, sys, warnings
import onnx
from lottery_core import __main__
from lottery_core.store import Instability, Job, Level, Store, StoreUnavailable, Waiting
from lottery_core.tickets import onnx_form

warnings.simplefilter("error")
if os.geteuid() == 0:
    os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
    os.environ["HOME"] = "/nowhere"

def command(*arguments):
    "Exit code and what is printed by a command."
    sys.argv, printed, code = ["lottery_core", *map(str, arguments)], io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            __main__.start()
        except SystemExit as ended:
            code = ended.code or 0
    return (1, printed.getvalue() + code) if isinstance(code, str) else (code, printed.getvalue())

def refused(call, *arguments):
    "The words with which a call is refused."
    try:
        return f"not refused: {{call(*arguments)!r}}"
    except StoreUnavailable as error:
        return str(error)

root, given = sys.argv[1], json.loads(sys.argv[2])
store = Store(root)
"""


def as_other_user(code: str, root: Path, given: object = None, umask: int = 0o022) -> object:
    """What `code` puts into `found`, as JSON carries it; it knows `store`, that of `root`, what is
    `given`, and the functions above."""
    program = f"{_BEGIN}{code}\nprint(json.dumps(found))"
    done = subprocess.run(
        [sys.executable, "-c", program, root, json.dumps(given)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        umask=umask,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def public_folder() -> Iterator[Path]:
    """A temporary folder that others may enter; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        allow(folder, 0o700)
        shutil.rmtree(folder)


def allow(folder: Path, mode: int, take: int = 0) -> None:
    """Add permissions to a folder and all that lies in it, or take some away."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~take | mode & (0o777 if path.is_dir() else 0o666))
