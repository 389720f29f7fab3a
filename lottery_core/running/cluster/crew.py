"""The workers of a Dask cluster, as a queue's crew: each is given one part at a time.

Which worker does what is the queue's to say, so that visitors take turns and a level is trained
once; Dask carries bytes, and tells who is there. Every half second each busy worker is asked how
far it is, which is shown as if it were here, and is told to stop if it is to.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from distributed import Client, Security

from lottery_core.data.prepared import prepared
from lottery_core.running.cluster import remote
from lottery_core.running.cluster.messages import code_version, pack, unpack
from lottery_core.running.crew import TRY_AGAIN, WorkerGone, perform
from lottery_core.running.parts import Outcome, Work, cancel_name
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS
from lottery_core.store import Store, StoreUnavailable

_LOOK = 0.5  # seconds between two looks
_PATIENCE = 10.0  # seconds until what does not answer is taken for gone
_WARM = 600.0  # seconds that a worker may take to get ready: it may have to compile
_TRIES = 4  # a message without levels, with them, with the data set, with what was lost meanwhile


class ClusterCrew:
    """All workers that a scheduler knows, as they come and go. With `is_shared` they have the same
    disk as the queue's store, at the same place, and nothing is copied."""

    def __init__(self, address: str, *, is_shared: bool = False, security: Security | None = None):
        self._address, self._is_shared, self._security = address, is_shared, security
        self._client: Client | None = None
        self._workers: dict[str, ClusterWorker] = {}
        self._greeting: set[str] = set()
        self._refused: dict[str, str] = {}
        self._closed = threading.Event()
        self._lost, self._count = "", -1

    @property
    def machine(self) -> str:
        """The name under which the store has what is known of the first worker's machine."""
        return next((one.machine for one in self._workers.values()), "")

    @property
    def problem(self) -> str:
        """What keeps it from its work right now, in a sentence; empty if nothing does."""
        if self._lost or self._count:
            return self._lost or " ".join(self._refused.values())
        return f"The scheduler at {self._address} has no workers yet: runs wait until one comes."

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler can't be reached now."""
        return bool(self._lost)

    def connect(self) -> None:
        """Reach the scheduler. Raises `InvalidValue` where that fails."""
        try:
            self._client = Client(
                self._address,
                security=self._security,
                timeout=_PATIENCE,
                set_as_default=False,
                name="lottery",
            )
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            raise InvalidValue(
                "scheduler", self._address, f"can't be reached ({error}); start one there"
            ) from error
        self._lost = ""

    def open(self, store: Store, join: Callable[[Executor], None]) -> None:
        """Hand each worker to `join` as soon as it is ready."""
        self._store, self._join = store, join
        self._root = str(store.root) if self._is_shared else ""
        threading.Thread(target=self._watch, daemon=True).start()

    def lost(self, executor: Executor) -> None:
        """One of the workers is broken; it is greeted anew if it is there."""
        self._workers = {at: one for at, one in self._workers.items() if one is not executor}
        executor.shutdown(wait=False)

    def ready_in(self, usual: float) -> tuple[float, ...]:
        """For each worker the seconds until it can begin."""
        return (0.0,) * len(self._workers) + (usual,) * len(self._greeting)

    def close(self) -> None:
        """Leave the cluster; its workers stop what they were given."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            if self._client is None:
                try:
                    self.connect()
                except InvalidValue as error:
                    self._lost = f"{error}. It is tried again every {TRY_AGAIN:g} seconds."
                    self._closed.wait(TRY_AGAIN)
                    continue
            try:
                self._follow(self._client)
            except Exception as error:  # noqa: BLE001 - whatever it is, the way there is gone
                self._lost = (
                    f"The scheduler at {self._address} is gone ({error or type(error).__name__}): "
                    "start it again. What is finished is kept; asked for again, runs go on after "
                    "their last whole level."
                )
            for worker in self._workers.values():
                worker.leave(self._lost or "the cluster was left")
            self._workers = {}
            with suppress(Exception):
                self._client.close(timeout=2)
            self._client = None

    def _follow(self, client: Client) -> None:
        while not self._closed.is_set():
            if client.status != "running":
                raise ConnectionError("the connection was closed")
            identity = client.sync(client.scheduler.identity, callback_timeout=_PATIENCE)
            there = set(identity["workers"])
            self._count = len(there)
            for address in self._workers.keys() - there:
                self._workers.pop(address).leave(f"the worker at {address} is gone")
            for address in there - self._workers.keys() - self._greeting - self._refused.keys():
                self._greeting.add(address)
                threading.Thread(target=self._greet, args=(client, address), daemon=True).start()
            self._refused = {at: why for at, why in self._refused.items() if at in there}
            self._closed.wait(_LOOK)

    def _greet(self, client: Client, address: str) -> None:
        """Have a worker that came get ready, if it has the same code."""
        try:
            ask = _Ask(client, address)
            there = json.loads(ask(remote.hello, timeout=_WARM))
            if there["code"] != code_version():
                self._refused[address] = (
                    f"The worker at {address} has version {there['code']} of this program, and "
                    f"here is {code_version()}: install the same on both."
                )
                return
            facts = json.loads(ask(remote.get_ready, self._root, timeout=_WARM))
            self._store.revise_machine(lambda _: facts, there["machine"])
            worker = ClusterWorker(ask, self._store, self._root, there["machine"])
            self._workers[address] = worker
            self._join(worker)
        except Exception as error:  # noqa: BLE001 - whatever it lacks, it is of no use
            self._refused[address] = (
                f"The worker at {address} can't be used ({type(error).__name__}: {error}): "
                "install this program there."
            )
        finally:
            self._greeting.discard(address)


class _Ask:
    """Has one worker call a function, and waits for what it says."""

    def __init__(self, client: Client, address: str):
        self.client, self.address = client, address

    def __call__(
        self,
        function: Callable[..., bytes],
        *args: object,
        key: str | None = None,
        timeout: float | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> bytes:
        """As a task, which is retried by nobody; `watch` is called while it runs, and may raise to
        give it up: with `WorkerGone` for all who asked for that key. Raises `WorkerGone`."""
        future = self.client.submit(
            function, *args, key=key, workers=[self.address], pure=False, retries=0
        )
        ended, began = threading.Event(), time.monotonic()
        future.add_done_callback(lambda _: ended.set())
        try:
            while not ended.wait(_LOOK):
                watch()
                if timeout is not None and time.monotonic() - began > timeout:
                    raise WorkerGone(f"the worker at {self.address} does not answer")
            return future.result()
        except WorkerGone:
            # The scheduler may not know yet, and would keep the task of that key for this worker.
            with suppress(Exception):
                self.client.cancel([future], force=True)
            raise
        finally:
            # Until that is through, the same key asked of another worker would be this task.
            with suppress(Exception):
                future.release()
                self.client.sync(asyncio.sleep, 0)

    def at_once(self, function: Callable[..., bytes | None], *args: object) -> bytes | None:
        """Beside what it is at."""
        options = {"workers": [self.address], "callback_timeout": _PATIENCE}
        return self.client.run(function, *args, **options)[self.address]


class ClusterWorker(Executor):
    """One worker of a cluster."""

    def __init__(self, ask: _Ask, store: Store, root: str, machine: str):
        self.machine = machine
        self._ask, self._store, self._root = ask, store, root
        self._thread = ThreadPoolExecutor(1)
        self._left, self._key, self._is_closed = "", "", False

    def submit(self, function: Callable, *args: object) -> Future:
        """`perform(root, work)` is done there, and what came of it kept here."""
        if self._left:
            raise WorkerGone(self._left)
        if function is not perform:
            return self._thread.submit(function, *args)
        return self._thread.submit(self._perform, args[1])

    def leave(self, why: str) -> None:
        """Give up what it is at; the reason is what is told."""
        self._left = why

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave it; what it is at is told to stop, as far as it can be reached."""
        self._is_closed = True
        self.leave(self._left or "the queue was closed")
        if cancel_futures and self._key:
            with suppress(Exception):
                self._ask.at_once(remote.look, self._key, self._root, True)
        self._thread.shutdown(wait=False, cancel_futures=cancel_futures)

    def _perform(self, work: Work) -> Outcome:
        part, recipe = work.part, work.part.experiment.recipe
        if work.folder is not None:
            raise InvalidValue(
                "dataset_folder", str(work.folder), "is on this machine; leave it out on a cluster"
            )
        note = {
            "root": self._root,
            "key": part.key,
            "experiment": part.experiment.as_dict(),
            "level": part.level,
            "task": part.task,
            "needs": part.needs,
            "data": DATASETS[recipe.dataset].digest,
            "device": work.device,
            "loop": work.loop,
        }
        files = self._tickets(work)
        self._key = part.key
        try:
            for attempt in range(_TRIES):
                answer, results = self._send(part.key, attempt, pack(note, files))
                if answer["state"] != "lacks":
                    break
                gone = self._add(files, answer["lacks"])
                if gone:
                    return Outcome("lacks", lacks=gone)
            try:
                self._keep(results)
            except ValueError as error:  # it is asked of another
                raise WorkerGone(f"what the worker at {self._ask.address} sent {error}") from error
            if "facts" in answer:
                self._store.revise_machine(lambda _: answer["facts"], self.machine)
        finally:
            self._key = ""
            self._store.clear_progress(part.key)
        return Outcome(answer["state"], answer["message"], tuple(answer.get("lacks", ())))

    def _send(self, key: str, attempt: int, message: bytes) -> tuple[dict, dict[str, bytes]]:
        def watch() -> None:
            if self._is_closed:  # another queue may wait for it too
                raise CancelledError
            if self._left:
                raise WorkerGone(self._left)
            self._look(key)

        try:
            # One name for the same part, whoever asks for it: the scheduler has it done once.
            return unpack(
                self._ask(remote.perform, message, key=f"lottery-{key}-{attempt}", watch=watch)
            )
        except WorkerGone:
            raise
        except Exception as error:
            why = self._left or f"the worker at {self._ask.address} failed ({error})"
            raise WorkerGone(why) from error

    def _look(self, key: str) -> None:
        is_stopped = False
        with suppress(StoreUnavailable):
            is_stopped = self._store.cancel_requested(cancel_name(key))
        try:
            content = self._ask.at_once(remote.look, key, self._root, is_stopped)
        except Exception as error:
            why = self._left or f"the worker at {self._ask.address} does not answer"
            raise WorkerGone(why) from error
        if content is not None and not self._root:
            self._store.put_progress(key, content)

    def _tickets(self, work: Work) -> dict[str, bytes]:
        """Those that the part's rounds take."""
        names = {step.ticket for step in work.part.experiment.rounds} - {""}
        found = {name: self._store.ticket_content(name) for name in names if not self._root}
        return {f"tickets/{name}": content for name, content in found.items() if content}

    def _add(self, files: dict[str, bytes], lacks: list[str]) -> tuple[str, ...]:
        """Have what the worker lacks come with the next message; the keys of levels that are not
        here either."""
        gone = []
        for key in lacks:
            if key.startswith(remote.DATA):
                name = key.removeprefix(remote.DATA)
                files[f"datasets/{name}"] = Path(prepared(name, self._store.datasets)).read_bytes()
            elif (held := self._store.take_out(key)) is None:
                gone.append(key)
            else:
                files |= {f"levels/{key}/{name}": content for name, content in held.items()}
        return tuple(gone)

    def _keep(self, results: dict[str, bytes]) -> None:
        """Put what came back into the store, verified."""
        levels: dict[str, dict[str, bytes]] = {}
        for name, content in results.items():
            kind, key, *file = name.split("/")
            if kind == "levels":
                levels.setdefault(key, {})[file[0]] = content
            else:
                self._store.put_measurement(key, content)
        for key, held in levels.items():
            self._store.put_in(key, held)
