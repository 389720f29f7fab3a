"""First come, first served; what dies takes nothing else down; nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lottery_core import queue as queues
from lottery_core.experiment import Experiment, InvalidValue, Recipe, rounds_of
from lottery_core.queue import MAX_QUEUED, Queue
from lottery_core.store import Job

ROOT = Path(__file__).resolve().parents[1]
RECIPE = Recipe(hidden=(8,), iterations=12, evaluate_every=6, batch_size=16)
MEDIUM = {"iterations": 6_000, "evaluate_every": 3_000}
LONG = replace(RECIPE, iterations=200_000, evaluate_every=10_000)


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.01)


def wait_for(store, key, *states):
    wait_until(lambda: store.job(key).state in states)
    return store.job(key)


def gone(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    # A zombie is gone too; its parent has yet to look.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


# Real worker processes: one queue for all tests, as its start takes seconds


@pytest.fixture(scope="module")
def shop(make_store, tmp_path_factory):
    """(store, queue) with one worker process."""
    store = make_store(tmp_path_factory.mktemp("queue"))
    queue = Queue(store, workers=1)
    yield store, queue
    queue.close()


def test_a_submitted_experiment_is_done_and_in_the_store(shop):
    store, queue = shop
    experiment = Experiment(RECIPE, rounds_of([0.5]))
    assert queue.submit(experiment).state == "queued"
    ended = wait_for(store, experiment.key, "done")
    assert all(store.read(key) for key in experiment.keys)
    assert ended.process != os.getpid()


def test_a_running_job_is_joined_cancelled_within_a_second_and_taken_up_after_its_levels(shop):
    store, queue = shop
    experiment = Experiment(replace(RECIPE, seed=1, **MEDIUM), rounds_of([0.5]))
    first = queue.submit(experiment)
    wait_until(lambda: store.has(experiment.keys[0]) and store.read_progress(experiment.key))
    joined = queue.submit(experiment)
    assert (joined.state, joined.submitted) == ("running", first.submitted)

    queue.cancel(experiment.key)
    asked = time.monotonic()
    ended = wait_for(store, experiment.key, "cancelled")
    assert time.monotonic() - asked < 3
    assert ended.finished
    assert store.has(experiment.keys[0])
    assert not store.has(experiment.keys[1])
    assert store.read_progress(experiment.key) is None

    written = (store.root / "levels" / experiment.keys[0]).stat().st_mtime_ns
    queue.submit(experiment)
    wait_for(store, experiment.key, "done")
    assert (store.root / "levels" / experiment.keys[0]).stat().st_mtime_ns == written


def test_a_killed_worker_is_named_and_replaced_and_the_queue_goes_on(shop):
    store, queue = shop
    long = Experiment(replace(LONG, seed=2))
    after = Experiment(replace(RECIPE, seed=3))
    queue.submit(long)
    running = wait_for(store, long.key, "running")
    queue.submit(after)
    os.kill(running.process, signal.SIGKILL)
    killed = wait_for(store, long.key, "killed")
    wait_until(lambda: "SIGKILL" in store.job(long.key).message)
    assert not killed.active
    assert store.job(long.key).finished

    done = wait_for(store, after.key, "done")
    assert done.process != running.process
    assert gone(running.process)


def test_a_killed_job_can_be_asked_for_again(shop):
    store, queue = shop
    experiment = Experiment(replace(RECIPE, seed=4, **MEDIUM), rounds_of([0.5]))
    queue.submit(experiment)
    wait_until(lambda: store.has(experiment.keys[0]) and store.read_progress(experiment.key))
    os.kill(store.job(experiment.key).process, signal.SIGKILL)
    wait_for(store, experiment.key, "killed")
    written = (store.root / "levels" / experiment.keys[0]).stat().st_mtime_ns
    queue.submit(experiment)
    wait_for(store, experiment.key, "done")
    assert store.job(experiment.key).message == ""
    assert (store.root / "levels" / experiment.keys[0]).stat().st_mtime_ns == written


def test_an_idle_worker_that_dies_is_replaced_before_the_next_job(shop):
    store, queue = shop
    one, other = (Experiment(replace(RECIPE, seed=seed)) for seed in (5, 6))
    queue.submit(one)
    worker = wait_for(store, one.key, "done").process
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: gone(worker))
    time.sleep(0.5)  # so that its executor has noticed
    queue.submit(other)
    assert wait_for(store, other.key, "done").process != worker


def test_a_failed_job_carries_the_errors_message_and_the_queue_goes_on(shop):
    store, queue = shop
    diverging = Experiment(
        replace(RECIPE, learning_rate=10, weight_decay=1, iterations=500, evaluate_every=250)
    )
    after = Experiment(replace(RECIPE, seed=7))
    queue.submit(diverging)
    queue.submit(after)
    failed = wait_for(store, diverging.key, "failed")
    assert failed.message.endswith("choose a learning rate below 10")
    wait_for(store, after.key, "done")


def test_closing_stops_what_runs_at_once_and_leaves_no_process(make_store, tmp_path):
    store = make_store(tmp_path / "store")
    queue = Queue(store, workers=1)
    running, waiting = (Experiment(replace(LONG, seed=seed)) for seed in (1, 2))
    queue.submit(running)
    queue.submit(waiting)
    process = wait_for(store, running.key, "running").process
    queue.close()
    assert gone(process)
    assert store.job(running.key).state == "killed"
    ended = store.job(waiting.key)
    assert (ended.state, ended.message) == ("cancelled", "the server stopped")
    queue.close()


SERVER = """
import json, sys, time
from lottery_core.choice import PRESETS
from lottery_core.data import is_prepared
from lottery_core.experiment import Experiment
from lottery_core.pictures import unpack
from lottery_core.queue import Queue
from lottery_core.speed import seconds_of_level
from lottery_core.store import Store

store = Store(sys.argv[1])
if __name__ == "__main__":
    experiment = Experiment.from_dict(json.loads(sys.argv[2]))
    queue = Queue(store, workers=1)
    key = queue.submit(experiment).key
    while store.job(key).state != "running":
        time.sleep(0.01)
    PRESETS["paper"].choice.experiments()
    seconds_of_level(store.read_machine(), experiment, 0)
    store.jobs(), store.read(key), is_prepared("mnist", store.datasets)
    print(store.job(key).process, "torch" in sys.modules, flush=True)
    time.sleep(600)
"""


def test_a_server_needs_no_torch_and_when_it_is_killed_its_workers_end_too(make_store, tmp_path):
    store = make_store(tmp_path / "store")
    experiment = Experiment(LONG)
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    server = subprocess.Popen(
        [sys.executable, script, store.root, json.dumps(experiment.as_dict())],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        worker, torch_is_there = server.stdout.readline().split()
    finally:
        server.kill()
        server.communicate()
    assert torch_is_there == "False"
    wait_until(lambda: gone(int(worker)), 10)
    wait_until(lambda: store.job(experiment.key).state == "killed", 10)
    assert not store.is_held(f"level-{experiment.key}")


# The queue itself, on threads that do what the test says


@pytest.fixture
def desk(store, monkeypatch):
    """(store, queue, begun, go_on): a queue whose one worker is a thread.

    A job is listed in `begun` when it starts and ends when its key is put in `go_on`.
    """
    begun, go_on = [], {}

    def perform(root, job, folder):
        begun.append(job.key)
        wait_until(lambda: job.key in go_on or store.cancel_requested(job.key), 60)
        ending = go_on.get(job.key, "cancelled")
        if isinstance(ending, Exception):
            raise ending
        store.write_job(replace(job, state=ending))

    monkeypatch.setattr(queues, "_perform", perform)
    queue = Queue(store, workers=1, start=lambda root: ThreadPoolExecutor(1))
    yield store, queue, begun, go_on
    queue.close()
    go_on.update(dict.fromkeys(begun, "done"))


def experiments(count):
    return [Experiment(replace(RECIPE, seed=seed)) for seed in range(count)]


def test_any_executor_will_do(store, tiny):
    queue = Queue(store, workers=2, start=lambda root: ThreadPoolExecutor(1))
    try:
        queue.submit(tiny)
        assert wait_for(store, tiny.key, "done").process == os.getpid()
    finally:
        queue.close()


def test_jobs_start_in_order_of_arrival(desk):
    store, queue, begun, go_on = desk
    keys = [queue.submit(experiment).key for experiment in experiments(5)]
    assert begun == keys[:1]
    go_on.update(dict.fromkeys(keys, "done"))
    wait_until(lambda: len(begun) == 5)
    assert begun == keys
    wait_for(store, keys[-1], "done")


def test_asking_twice_joins_the_job_that_waits_or_runs(desk):
    store, queue, begun, go_on = desk
    running, waiting = experiments(2)
    jobs = [queue.submit(experiment) for experiment in (running, waiting, running, waiting)]
    assert jobs[2] == jobs[0]
    assert jobs[3] == jobs[1]
    go_on.update({job.key: "done" for job in jobs})
    wait_for(store, waiting.key, "done")
    assert begun == [running.key, waiting.key]


def test_a_finished_job_can_be_asked_for_again(desk):
    store, queue, begun, go_on = desk
    (experiment,) = experiments(1)
    go_on[experiment.key] = "done"
    queue.submit(experiment)
    wait_for(store, experiment.key, "done")
    wait_until(lambda: queue._idle)
    queue.submit(experiment)
    wait_until(lambda: len(begun) == 2)


def test_a_full_queue_refuses_more_with_the_remedy_but_joins_what_it_has(desk):
    store, queue, *_ = desk
    many = experiments(MAX_QUEUED + 2)
    for experiment in many[:-1]:
        queue.submit(experiment)
    with pytest.raises(InvalidValue, match=rf"^queue={MAX_QUEUED} is full; wait for a run to end"):
        queue.submit(many[-1])
    assert store.job(many[-1].key) is None
    assert queue.submit(many[3]).state == "queued"


def test_a_waiting_job_is_cancelled_at_once_and_never_starts(desk):
    store, queue, begun, go_on = desk
    running, waiting, last = experiments(3)
    for experiment in (running, waiting, last):
        queue.submit(experiment)
    queue.cancel(waiting.key)
    assert store.job(waiting.key).state == "cancelled"
    assert store.job(last.key).state == "queued"
    go_on.update(dict.fromkeys([running.key, last.key], "done"))
    wait_for(store, last.key, "done")
    assert begun == [running.key, last.key]


def test_a_job_handed_to_a_worker_that_is_not_ready_yet_is_cancelled_at_once(desk):
    store, queue, *_ = desk
    (experiment,) = experiments(1)
    queue.submit(experiment)  # the worker of this desk never says "running"
    queue.cancel(experiment.key)
    assert store.job(experiment.key).state == "cancelled"


def test_cancelling_what_is_unknown_does_nothing(desk):
    store, queue, *_ = desk
    queue.cancel("unknown")
    assert list((store.root / "jobs").iterdir()) == []


def test_a_cancelled_job_asked_for_again_starts_when_the_first_has_stopped(store, monkeypatch):
    begun, stop = [], threading.Event()

    def perform(root, job, folder):
        begun.append(job.key)
        store.write_job(replace(job, state="running"))
        if len(begun) == 1:
            assert stop.wait(60)
            assert store.cancel_requested(job.key)  # nobody took the request back meanwhile
            store.write_job(replace(job, state="cancelled"))
        else:
            assert not store.cancel_requested(job.key)
            store.write_job(replace(job, state="done"))

    monkeypatch.setattr(queues, "_perform", perform)
    queue = Queue(store, workers=2, start=lambda root: ThreadPoolExecutor(1))
    try:
        (experiment,) = experiments(1)
        queue.submit(experiment)
        wait_until(lambda: begun)
        wait_for(store, experiment.key, "running")
        queue.cancel(experiment.key)
        assert queue.submit(experiment).state == "queued"
        assert queue.submit(experiment).state == "queued"
        time.sleep(0.2)
        assert len(begun) == 1
        stop.set()
        wait_for(store, experiment.key, "done")
        wait_until(lambda: len(queue._idle) == 2)
        assert len(begun) == 2
    finally:
        stop.set()
        queue.close()


def test_an_error_of_the_executor_itself_ends_in_the_record(desk):
    store, queue, _, go_on = desk
    broken, after = experiments(2)
    go_on[broken.key] = TypeError("cannot be sent")
    go_on[after.key] = "done"
    queue.submit(broken)
    queue.submit(after)
    assert wait_for(store, broken.key, "failed").message == "TypeError: cannot be sent"
    wait_for(store, after.key, "done")


def test_a_queued_job_whose_server_died_shows_as_killed_and_can_be_asked_for_again(desk):
    store, queue, _, go_on = desk
    (experiment,) = experiments(1)
    store.write_job(Job(experiment.key, "queued", "queue-gone", time.time(), experiment.as_dict()))
    assert store.job(experiment.key).state == "killed"
    go_on[experiment.key] = "done"
    queue.submit(experiment)
    wait_for(store, experiment.key, "done")


def test_closing_leaves_no_lock_file_of_the_queue(store):
    queue = Queue(store, workers=0)
    assert list((store.root / "locks").iterdir())
    queue.close()
    assert not list((store.root / "locks").iterdir())
