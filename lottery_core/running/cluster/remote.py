"""What runs in a worker on another machine, over a cache of its own (`LOTTERY_CACHE` there)."""

from __future__ import annotations

import json
import logging
import platform
from functools import lru_cache

from lottery_core.data import own
from lottery_core.running.cluster.messages import code_version, pack, unpack
from lottery_core.running.parts import Outcome, Part, Work, cancel_name
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.store import CACHE, Store, StoreUnavailable

DATA = "data:"  # what a data set that is lacking begins with, among the keys of levels


@lru_cache(maxsize=4)
def _store(root: str) -> Store:
    return Store(root or CACHE)


def hello() -> bytes:
    """Which code is here and, if it is the asker's, after getting ready, what this machine can do:
    in JSON."""
    return json.dumps({"code": code_version(), "machine": platform.node()}).encode()


def get_ready(root: str) -> bytes:
    """Load torch, measure this machine and compile, once; what it can do, in JSON."""
    from lottery_core.running import worker

    logging.getLogger("distributed.worker").addFilter(_is_no_look)
    store = _store(root)
    store.make()
    worker.get_ready(store)
    return json.dumps(store.read_machine()).encode()


def _is_no_look(record: logging.LogRecord) -> bool:
    # Dask logs whatever is called beside a task; this is, twice a second, and buries the rest.
    return record.args != (look.__name__,)


def look(key: str, root: str, is_stopped: bool) -> bytes | None:
    """How far a part is, as a store keeps it; tells it to stop, if it is to."""
    store = _store(root)
    if is_stopped:
        store.request_cancel(cancel_name(key))
    return store.progress_content(key)


def perform(message: bytes) -> bytes:
    """Do what a message asks for; its answer, with what came of it."""
    try:
        note, files = unpack(message)
        store = _store(note["root"])
        lacks = _take_in(store, note, files)
        outcome = Outcome("lacks", lacks=lacks) if lacks else _perform(store, note)
    except (ValueError, KeyError, StoreUnavailable) as error:
        return pack({"state": "failed", "message": f"on {platform.node()}: {error}"}, {})
    answer = vars(outcome) | {"facts": store.read_machine()}
    is_copied = outcome.state == "done" and not note["root"]
    return pack(answer, _results(store, note) if is_copied else {})


def _take_in(store: Store, note: dict, files: dict[str, bytes]) -> tuple[str, ...]:
    """Keep what came with a message; the data set, if this machine has none of that name."""
    levels: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        kind, key, *file = name.split("/")
        if kind == "levels":
            levels.setdefault(key, {})[file[0]] = content
        elif kind == "tickets":
            store.put_ticket(key, content)
        elif kind == "datasets":
            own.put_in(key, content, store.datasets)
    for key, held in levels.items():
        store.put_in(key, held)
    own.register(store.datasets)
    recipe = note["experiment"]["recipe"]
    name = recipe["dataset"]
    if name not in DATASETS:
        return (DATA + name,)
    if DATASETS[name].digest != note["data"]:
        rule = "has other images here than where it was asked for; rename one of the two"
        raise InvalidValue("dataset", name, rule)
    return ()


def _perform(store: Store, note: dict) -> Outcome:
    from lottery_core.running import worker

    experiment = Experiment.from_dict(note["experiment"])
    part = Part(note["key"], experiment, note["level"], note["task"], tuple(note["needs"]))
    store.clear_cancel(cancel_name(part.key))
    return worker.perform_part(store, Work(part, note["device"], note["loop"]))


def _results(store: Store, note: dict) -> dict[str, bytes]:
    key = note["key"]
    if note["task"] != "run":
        return {f"measurements/{key}": store.measurement_content(key) or b""}
    files = store.take_out(key)
    if files is None:
        raise ValueError(f"level {key} is gone from the worker's cache")
    return {f"levels/{key}/{name}": content for name, content in files.items()}
