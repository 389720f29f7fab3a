"""Files that appear whole or not at all, and what is said where the system refuses one."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

Found = TypeVar("Found")

_NEW = ".new-"  # what a write begins with before it is renamed into place
_ABANDONED = 3600  # seconds after which such a file's writer is taken for dead

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_ANOTHER = "another cache with --cache or LOTTERY_CACHE"


class StoreUnavailable(RuntimeError):
    """The system does not let a cache be used as asked; the message says why and what helps."""


@contextmanager
def explained(root: Path, reading: str = "") -> Iterator[None]:
    """Inside, whatever the system refuses is a `StoreUnavailable`; `reading` names what is read
    there, if anything is."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(_in_words(error, root, reading)) from error


def _in_words(error: OSError, root: Path, reading: str) -> str:
    what = (error.strerror or str(error) or type(error).__name__).lower()
    where = error.filename or root
    if error.errno in _FULL:
        return (
            f"the disk that holds {root} is full ({what}): free some space and start again; "
            "finished levels are kept"
        )
    if error.errno in _FORBIDDEN and reading:
        return (
            f"{reading} in {root} is not yours to read ({what}): ask its owner for read permission "
            f"(chmod -R g+rX {root}), or choose {_ANOTHER}"
        )
    if error.errno in _FORBIDDEN:
        return (
            f"{where} can't be written here ({what}): choose {_ANOTHER}, or ask its owner for "
            "write permission"
        )
    if error.errno in _NO_LOCKS:
        return (
            f"the file system that holds {root} keeps no locks ({what}): choose {_ANOTHER}, on a "
            "disk of this machine"
        )
    return f"{where} can't be used ({what}): mend that, or choose {_ANOTHER}"


class Remembered(Generic[Found]):
    """What files were found to hold, as they were read last: many look at a few of them again and
    again, and what nobody has written since is not read again."""

    def __init__(self, most: int):
        self._known: dict[Path, tuple[object, Found]] = {}
        self._most = most

    def get(self, path: Path, read: Callable[[], Found]) -> Found:
        """What `read` says of the file now, or said of it when it was the same."""
        try:
            fact = path.stat()
        except OSError:  # `read` tells of what is absent, and of what is not ours to read
            self._known.pop(path, None)
            return read()
        # A file that is put in another's place is another, however fast that was.
        identity = fact.st_ino, fact.st_size, fact.st_mtime_ns
        known = self._known.get(path)
        if known and known[0] == identity:
            return known[1]
        found = read()
        self._known[path] = identity, found
        if len(self._known) > self._most:
            self._known.pop(next(iter(self._known)), None)
        return found


class Kept:
    """Files below one folder, which is made when something is first written there."""

    def __init__(self, root: str | Path):
        """Raises `StoreUnavailable` where `root` can't be a folder."""
        try:
            self.root = Path(root).expanduser().resolve()
        except RuntimeError as error:  # "~" of nobody; a link that leads to itself
            raise StoreUnavailable(f"{root} names no folder ({error}): choose {_ANOTHER}") from None
        with explained(self.root, "the cache"):
            there = next(path for path in (self.root, *self.root.parents) if path.exists())
        if not there.is_dir():
            raise StoreUnavailable(f"{there} is a file, not a folder: choose {_ANOTHER}")

    def make(self) -> None:
        """Make the folder, as the first write would. Raises `StoreUnavailable`."""
        with explained(self.root):
            self.root.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what killed writers left half-written, as far as that is ours to remove."""
        with suppress(OSError):
            for path in self.root.glob(f"*/{_NEW}*"):
                # Its writer may live after all, or another sweeper be faster.
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED:
                        remove(path)

    def _names(self, folder: str) -> list[str]:
        """What lies in a folder, of which nothing need be there. Raises `StoreUnavailable`."""
        with explained(self.root, f"the folder {folder}"):
            try:
                return [path.name for path in (self.root / folder).iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []

    def _put(self, path: Path, content: bytes) -> None:
        """Readers see the old content or the new, never a part. Raises `StoreUnavailable`."""
        with explained(self.root):
            place(path, lambda new: write(new, content))

    def _get(self, path: Path, what: str) -> bytes | None:
        """A file's content; None if it is absent. Raises `StoreUnavailable`."""
        with explained(self.root, what):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def _forget(self, path: Path) -> None:
        """Remove a file, if it is there. Raises `StoreUnavailable`."""
        with explained(self.root), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def place(target: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file or a folder under another name beside `target`, then put it there,
    whole; on failure nothing of it is left.

    The folder around it is made if it is missing; one that somebody deletes meanwhile, as a
    cache may be at any time, is made again.
    """
    try:
        _place(target, write)
    except FileNotFoundError:
        _place(target, write)


def _place(target: Path, write: Callable[[Path], object]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not by `tempfile`, whose files are their owner's alone: the umask decides who reads these.
    new = target.parent / f"{_NEW}{uuid.uuid4().hex}"
    old = new.with_suffix(".old")
    try:
        write(new)
        if new.is_dir() and target.exists():  # a folder can't be renamed onto another
            target.rename(old)
        new.replace(target)
    finally:
        remove(new)
        remove(old)


def write(path: Path, content: bytes, synced: bool = False) -> None:
    """Write a file and, if `synced`, return when it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        if synced:
            file.flush()
            os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk, where the file system can do that."""
    if os.name == "posix":
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as that goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
