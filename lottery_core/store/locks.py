"""Locks between processes; the system frees a dead owner's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lottery_core.store.files import Kept, explained

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Locks(Kept):
    """One file a lock."""

    def take(self, name: str, timeout: float = -1) -> FileLock | None:
        """The lock of that name, held, to be released; None if another holds it for so many more
        seconds (-1: however long). Raises `StoreUnavailable`."""
        path = self._lock_path(name)
        with explained(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever may make files there may take it, whatever the umask of who made it. Locks
            # that a dead owner would keep ("soft") are none.
            mode = path.parent.stat().st_mode & 0o666 | 0o600
            lock = FileLock(path, mode=mode, fallback_to_soft=False)
            try:
                lock.acquire(timeout=timeout)
            except Timeout:
                return None
            return lock

    @contextmanager
    def held(self, name: str, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold a lock; `check` is called while waiting for it and may raise to give up. Raises
        `StoreUnavailable`."""
        while (lock := self.take(name, timeout=0.2)) is None:
            check()
        try:
            yield
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
