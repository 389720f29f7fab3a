"""What is written down beside levels: progress, measurements, facts about the machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lottery_core.store.files import Remembered, StoreUnavailable
from lottery_core.store.locks import Locks
from lottery_core.store.measurements import Measurement, plain_measurement, read_measurement
from lottery_core.store.progress import Progress, from_plain, to_plain
from lottery_core.store.tensors import load, metadata, save

_READ = 32  # progresses that are remembered as they were read last


class Notes(Locks):
    """One file each. Progress and the machine's facts are a convenience: where they can't be kept
    or read, nothing fails, and there are none."""

    def __init__(self, root: str | Path):
        super().__init__(root)
        self._progress: Remembered[Progress | None] = Remembered(_READ)

    # Progress of what is being trained or measured

    def write_progress(self, key: str, progress: Progress) -> None:
        """Replace the progress of a level or a measurement."""
        plain, arrays = to_plain(progress)
        content = save(arrays, metadata={"progress": json.dumps(plain)})
        with suppress(StoreUnavailable):
            self._put(self._progress_path(key), content)

    def read_progress(self, key: str) -> Progress | None:
        """What `write_progress` wrote last; None if there is none."""
        path = self._progress_path(key)

        def read() -> Progress | None:
            try:
                content = path.read_bytes()
                return from_plain(json.loads(metadata(content)["progress"]), load(content))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return None

        return self._progress.get(path, read)

    def clear_progress(self, key: str) -> None:
        """Forget a progress."""
        with suppress(StoreUnavailable):
            self._forget(self._progress_path(key))

    def _progress_path(self, key: str) -> Path:
        return self.root / "progress" / key

    # What was measured on the levels of an experiment

    def write_measurement(self, key: str, measured: Measurement) -> None:
        """Replace what was measured under that key, one of `task_key`. Raises
        `StoreUnavailable`."""
        content = json.dumps(plain_measurement(measured), indent=1)
        self._put(self._measurement_path(key), content.encode())

    def read_measurement(self, key: str) -> Measurement | None:
        """What `write_measurement` wrote last; None if there is nothing, or it is damaged. Raises
        `StoreUnavailable` where it is not ours to read."""
        content = self._get(self._measurement_path(key), f"measurement {key}")
        try:
            return None if content is None else read_measurement(key, json.loads(content))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _measurement_path(self, key: str) -> Path:
        return self.root / "measurements" / f"{key}.json"

    # What this machine can do

    def read_machine(self) -> dict:
        """What is known of this machine (see speed.py); empty if there is nothing readable."""
        with suppress(StoreUnavailable):
            return self._machine()
        return {}

    def revise_machine(self, change: Callable[[dict], dict]) -> None:
        """Put `change(facts)` in place of the facts that are known of this machine."""
        with suppress(StoreUnavailable), self.held("machine"):
            facts = self._machine()
            self._put(self.root / "machine.json", json.dumps(change(facts), indent=1).encode())

    def _machine(self) -> dict:
        content = self._get(self.root / "machine.json", "what is known of the machine")
        return _dictionary(content or b"") or {}


def _dictionary(content: bytes) -> dict | None:
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError):
        return None


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
