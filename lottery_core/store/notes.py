"""What is written down beside levels: progress, measurements, facts about the machine."""

from __future__ import annotations

import json
import platform
import re
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

    def progress_content(self, key: str) -> bytes | None:
        """The file of a progress, as `put_progress` of another store takes it; None if absent."""
        with suppress(StoreUnavailable):
            return self._get(self._progress_path(key), f"progress {key}")
        return None

    def put_progress(self, key: str, content: bytes) -> None:
        """Show what another store knows of a progress."""
        with suppress(StoreUnavailable):
            self._put(self._progress_path(key), content)

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

    def measurement_content(self, key: str) -> bytes | None:
        """The file of a measurement, as `put_measurement` of another store takes it."""
        return self._get(self._measurement_path(key), f"measurement {key}")

    def put_measurement(self, key: str, content: bytes) -> None:
        """Keep what another store measured. Raises ValueError where it is no measurement, and
        `StoreUnavailable`."""
        try:
            self.write_measurement(key, read_measurement(key, json.loads(content)))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"measurement {key} arrived damaged ({error})") from error

    def _measurement_path(self, key: str) -> Path:
        return self.root / "measurements" / f"{key}.json"

    # What this machine can do, and others that train for it

    def read_machine(self, name: str = "") -> dict:
        """What is known of this machine (see time_left.py), or of another of that name; empty if
        there is nothing readable."""
        with suppress(StoreUnavailable):
            return self._machine(name)
        return {}

    def revise_machine(self, change: Callable[[dict], dict], name: str = "") -> None:
        """Put `change(facts)` in place of the facts that are known of this machine, or another."""
        with suppress(StoreUnavailable), self.held("machine"):
            facts = json.dumps(change(self._machine(name)), indent=1)
            self._put(self._machine_path(name), facts.encode())

    def _machine(self, name: str) -> dict:
        content = self._get(self._machine_path(name), "what is known of the machine")
        return _dictionary(content or b"") or {}

    def _machine_path(self, name: str) -> Path:
        if not name:
            return self.root / "machine.json"
        return self.root / "machines" / f"{re.sub('[^a-z0-9.-]', '-', name.lower())}.json"


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
