"""Locks between processes; the system frees a dead owner's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lottery_core.store.files import Kept, StoreUnavailable, explained

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Lasting:
    """A lock that is held for long, and taken again where its file is deleted meanwhile, as all
    of a cache may be at any time."""

    def __init__(self, take: Callable[[], FileLock]):
        self._take = take
        self._hold()

    def _hold(self) -> None:
        self._lock = self._take()
        self._path = Path(self._lock.lock_file)
        self._file = self._found()

    def _found(self) -> tuple[int, int] | None:
        try:
            there = self._path.stat()
        except OSError:
            return None
        return there.st_dev, there.st_ino

    def renew(self) -> None:
        """Take it again if its file is gone, or another; costs a look at the file."""
        if self._file is None or self._found() != self._file:
            self._lock.release()
            with suppress(StoreUnavailable):  # the next time, perhaps
                self._hold()

    def release(self) -> None:
        """Let it go."""
        self._lock.release()

    def remove(self) -> None:
        """Let it go for good, and leave no file behind."""
        with suppress(OSError):
            self._path.unlink()
        self._lock.release()


class Locks(Kept):
    """One file a lock."""

    def lasting(self, name: str) -> Lasting:
        """The lock of that name, which nobody else takes, held until it is released. Raises
        `StoreUnavailable`."""
        return Lasting(lambda: self.take(name))

    def take(self, name: str, timeout: float = -1) -> FileLock | None:
        """The lock of that name, held, to be released; None if another holds it for so many more
        seconds (-1: however long). Raises `StoreUnavailable`."""
        path = self._lock_path(name)
        with explained(self.root):
            while True:
                path.parent.mkdir(parents=True, exist_ok=True)
                # Whoever may make files there may take it, whatever the umask of who made it.
                # Locks that a dead owner would keep ("soft") are none.
                mode = path.parent.stat().st_mode & 0o666 | 0o600
                lock = FileLock(path, mode=mode, fallback_to_soft=False)
                try:
                    lock.acquire(timeout=timeout)
                except Timeout:
                    return None
                except FileNotFoundError:  # the folder was deleted meanwhile
                    continue
                return lock

    @contextmanager
    def held(self, name: str, check: Callable[[], None] = lambda: None) -> Iterator[Lasting]:
        """Hold a lock; `check` is called while waiting for it and may raise to give up. Raises
        `StoreUnavailable`."""

        def take() -> FileLock:
            while (lock := self.take(name, timeout=0.2)) is None:
                check()
            return lock

        lock = Lasting(take)
        try:
            yield lock
        finally:
            lock.release()

    def is_held(self, name: str) -> bool:
        """Whether some process holds the lock now; looking makes and changes nothing."""
        path = self._lock_path(name)
        try:
            if fcntl is None:
                return path.exists() and self._is_refused(path)
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except (BlockingIOError, PermissionError):  # the second: as far as we can tell
            return True
        except OSError:  # nobody ever took it, or the file system keeps no locks
            return False

    def _is_refused(self, path: Path) -> bool:
        try:
            FileLock(path).acquire(blocking=False).lock.release()
        except Timeout:
            return True
        return False

    def _lock_path(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"
