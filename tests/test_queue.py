"""Visitors in turn; what dies takes nothing else down; nothing is left behind."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lottery_core.findings.lines import with_seed
from lottery_core.running import crew
from lottery_core.running import queue as queues
from lottery_core.running.crew import Crew
from lottery_core.running.fair import MAX_OF_ONE, runs_of_one
from lottery_core.running.parts import Outcome, cancel_name
from lottery_core.running.queue import MAX_DEATHS, Queue
from lottery_core.running.workers import workers_here
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_REPLICATES
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Job, Store, StoreUnavailable

ROOT = Path(__file__).resolve().parents[1]
RECIPE = Recipe(network="8", iterations=12, evaluate_every=6, batch_size=16)
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
    queue = Queue(store, Crew(1))
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


def test_a_killed_worker_costs_what_it_was_at_and_the_run_goes_on(shop):
    store, queue = shop
    experiment = Experiment(replace(RECIPE, seed=4, **MEDIUM), rounds_of([0.5]))
    queue.submit(experiment)
    wait_until(lambda: store.has(experiment.keys[0]) and store.read_progress(experiment.key))
    process = store.job(experiment.key).process
    os.kill(process, signal.SIGKILL)
    written = (store.root / "levels" / experiment.keys[0]).stat().st_mtime_ns
    done = wait_for(store, experiment.key, "done")
    assert (done.message, gone(process), done.process != process) == ("", True, True)
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
    queue = Queue(store, Crew(1))
    running, waiting = (Experiment(replace(LONG, seed=seed)) for seed in (1, 2))
    queue.submit(running)
    queue.submit(waiting)
    process = wait_for(store, running.key, "running").process
    queue.close()
    assert gone(process)
    for experiment in (running, waiting):
        ended = store.job(experiment.key)
        assert (ended.state, ended.message) == ("cancelled", "the server stopped")
        assert ended.finished
    queue.close()


SERVER = """
import json, sys, time
from lottery_core.spec.presets import PRESETS
from lottery_core.data import is_prepared
from lottery_core.spec.experiment import Experiment
from lottery_core.store.pictures import unpack
from lottery_core.running.crew import Crew
from lottery_core.running.parts import Outcome, cancel_name
from lottery_core.running.queue import MAX_DEATHS, Queue
from lottery_core.running.time_left import seconds_of_level
from lottery_core.store import Store

store = Store(sys.argv[1])
if __name__ == "__main__":
    experiment = Experiment.from_dict(json.loads(sys.argv[2]))
    queue = Queue(store, Crew(1))
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
    ended = store.job(experiment.key)
    assert (ended.state, ended.message) == ("cancelled", "the server stopped")
    assert not store.is_held(f"level-{experiment.key}")


STARTING = """
import sys, time
from lottery_core.running.crew import Crew
from lottery_core.running.parts import Outcome, cancel_name
from lottery_core.running.queue import MAX_DEATHS, Queue
from lottery_core.store import Store

if __name__ == "__main__":
    print("begins", flush=True)
    queue = Queue(Store(sys.argv[1]), Crew(2))
    time.sleep(600)
"""


def in_session(session):
    """The processes of a session that have not ended."""
    if Path("/proc/self/stat").exists():
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has just ended
                state, _, _, sess, *_ = path.read_text().rpartition(")")[2].split()
                if int(sess) == session and state != "Z":
                    found.append(int(path.parent.name))
        return found
    command = ["ps", "-A", "-o", "pid=,sess=,stat="]
    every = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows = [line.split() for line in every.stdout.splitlines()]
    return [int(pid) for pid, sess, state in rows if int(sess) == session and state[0] != "Z"]


# Until loky has spawned, until workers have imported anything, until torch is there, after it.
@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.0, 2.5])
def test_a_server_killed_at_any_moment_of_its_workers_start_leaves_no_process(
    make_store, tmp_path, seconds
):
    script = tmp_path / "server.py"
    script.write_text(STARTING)
    server = subprocess.Popen(
        [sys.executable, script, make_store(tmp_path / "store").root],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server.stdout.readline()
    time.sleep(seconds)
    server.kill()
    server.wait()
    wait_until(lambda: not in_session(server.pid), 30)
    server.stdout.close()


# The queue itself, on threads that do what the test says


@pytest.fixture
def desk(store, monkeypatch):
    """(store, queue, begun, go_on): a queue whose one worker is a thread.

    A training is listed in `begun` when it starts and ends when its key is put in `go_on`.
    """
    begun, go_on = [], {}

    def perform(root, work):
        key = work.part.key
        begun.append(key)
        wait_until(lambda: key in go_on or store.cancel_requested(cancel_name(key)), 60)
        ending = go_on.get(key, "cancelled")
        if isinstance(ending, Exception):
            raise ending
        return Outcome(ending)

    monkeypatch.setattr(queues, "perform", perform)
    queue = Queue(store, Crew(1, lambda root: ThreadPoolExecutor(1)))
    yield store, queue, begun, go_on
    queue.close()
    go_on.update(dict.fromkeys(begun, "done"))


def experiments(count):
    return [Experiment(replace(RECIPE, seed=seed)) for seed in range(count)]


def no_space(*args, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_any_executor_will_do(store, tiny):
    queue = Queue(store, Crew(2, lambda root: ThreadPoolExecutor(1)))
    try:
        queue.submit(tiny)
        wait_for(store, tiny.key, "done")
        assert all(store.read(key) for key in tiny.keys)
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


def test_visitors_take_turns_and_who_comes_last_need_not_wait_for_all_of_the_firsts(
    desk, monkeypatch
):
    _, queue, begun, go_on = desk
    asking = []
    monkeypatch.setattr(queue, "_visitor", lambda: asking[-1])
    keys = [one.key for one in experiments(6)]
    for who, experiment in zip("aaabbc", experiments(6), strict=True):
        asking.append(who)
        queue.submit(experiment)
    go_on.update(dict.fromkeys(keys, "done"))
    wait_until(lambda: len(begun) == 6)
    a, a_second, a_third, b, b_second, c = keys
    assert begun == [a, b, c, a_second, b_second, a_third]


def test_a_job_gives_way_between_two_trainings_where_others_wait_and_goes_on_after_them(store):
    asking = ["first"]
    one = Crew(1, lambda root: ThreadPoolExecutor(1))
    queue = Queue(store, one, visitor=lambda: asking[-1])
    long, other = (
        Experiment(
            replace(RECIPE, seed=seed), rounds_of([1 - 0.5**n for n in range(1, rounds + 1)])
        )
        for seed, rounds in ((0, 4), (1, 1))
    )
    try:
        queue.submit(long)
        asking.append("second")
        queue.submit(other)
        for experiment in (other, long):
            wait_for(store, experiment.key, "done")
        dense, last = (store.computed(key) for key in (other.keys[0], long.keys[-1]))
        assert dense < last
        assert all(store.read(key) for one in (long, other) for key in one.keys)
        ended = store.job(long.key)
        assert ended.started < store.job(other.key).started
    finally:
        queue.close()


def test_a_run_that_waits_between_two_trainings_is_queued_and_can_be_cancelled(desk, monkeypatch):
    store, queue, begun, go_on = desk
    first = Experiment(RECIPE, rounds_of([0.5]))
    (second,) = [Experiment(replace(RECIPE, seed=1))]
    asking = ["first"]
    monkeypatch.setattr(queue, "_visitor", lambda: asking[-1])
    queue.submit(first)
    asking.append("second")
    queue.submit(second)
    assert store.job(first.key).state == "running"
    go_on[first.keys[0]] = "done"
    wait_until(lambda: second.key in begun)
    waiting = wait_for(store, first.key, "queued")
    assert waiting.started
    queue.cancel(first.key)
    assert store.job(first.key).state == "cancelled"
    go_on[second.key] = "done"
    wait_for(store, second.key, "done")
    wait_until(lambda: queue._idle)
    assert begun == [first.keys[0], second.key]


def test_a_visitor_has_as_many_runs_as_the_server_grants_and_others_still_may(desk, monkeypatch):
    store, queue, *_ = desk
    monkeypatch.setenv("LOTTERY_RUNS_A_VISITOR", "2")
    monkeypatch.setattr(queue, "_most", runs_of_one())
    asking = ["first"]
    monkeypatch.setattr(queue, "_visitor", lambda: asking[-1])
    one, two, three = experiments(3)
    queue.submit_all([one, two])
    with pytest.raises(InvalidValue, match=r"queue=2 .*one visitor may have 2"):
        queue.submit(three)
    assert store.job(three.key) is None
    asking.append("second")
    queue.submit(three)


@pytest.mark.parametrize("asked", ["0", "-1", "many", "1e9"])
def test_a_number_of_runs_a_visitor_that_is_none_is_refused(monkeypatch, asked):
    monkeypatch.setenv("LOTTERY_RUNS_A_VISITOR", asked)
    with pytest.raises(InvalidValue, match="must be a whole number from 1 to"):
        runs_of_one()


def test_asking_twice_joins_the_job_that_waits_or_runs(desk):
    store, queue, begun, go_on = desk
    running, waiting = experiments(2)
    jobs = [queue.submit(experiment) for experiment in (running, waiting, running, waiting)]
    assert [job.key for job in jobs[2:]] == [job.key for job in jobs[:2]]
    assert [job.submitted for job in jobs[2:]] == [job.submitted for job in jobs[:2]]
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


def test_the_largest_choice_fits_an_empty_queue(store):
    choice = Choice(replicates=MAX_REPLICATES, controls=tuple(ARMS))
    queue = Queue(store, Crew(0))
    try:
        jobs = queue.submit_all(choice.experiments())
        assert len(jobs) == MAX_REPLICATES * (1 + len(ARMS))
        assert {job.state for job in store.jobs()} == {"queued"}
        more = [with_seed(choice.experiment(), 100)]
        with pytest.raises(InvalidValue, match="has no room for 1 more runs"):
            queue.check_room(more)
        queue.check_room(choice.experiments())  # what it has already takes no room
    finally:
        queue.close()


def test_a_full_queue_refuses_more_with_the_remedy_but_joins_what_it_has(desk):
    store, queue, *_ = desk
    many = experiments(MAX_OF_ONE + 1)
    for experiment in many[:-1]:
        queue.submit(experiment)
    with pytest.raises(InvalidValue, match=rf"^queue={MAX_OF_ONE} has no room for 1 more runs"):
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
    queue._idle[0].ready = Future()  # its process still imports
    queue.submit(experiment)
    assert store.job(experiment.key).state == "queued"
    queue.cancel(experiment.key)
    assert store.job(experiment.key).state == "cancelled"


def test_cancelling_what_is_unknown_does_nothing(desk):
    store, queue, *_ = desk
    queue.cancel("unknown")
    assert list(store.root.glob("jobs/*")) == []


def test_a_cancelled_job_asked_for_again_starts_when_the_first_has_stopped(store, monkeypatch):
    begun, stop = [], threading.Event()

    def perform(root, work):
        name = cancel_name(work.part.key)
        begun.append(work.part.key)
        if len(begun) == 1:
            assert stop.wait(60)
            assert store.cancel_requested(name)  # nobody took the request back meanwhile
            return Outcome("cancelled")
        assert not store.cancel_requested(name)
        return Outcome("done")

    monkeypatch.setattr(queues, "perform", perform)
    queue = Queue(store, Crew(2, lambda root: ThreadPoolExecutor(1)))
    try:
        (experiment,) = experiments(1)
        queue.submit(experiment)
        wait_until(lambda: begun)
        wait_for(store, experiment.key, "running")
        queue.cancel(experiment.key)
        assert queue.submit(experiment).state == "queued"
        assert queue.submit(experiment).key == experiment.key
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


def test_a_training_that_kills_three_workers_is_given_up_by_name_and_the_queue_goes_on(desk):
    store, queue, begun, go_on = desk
    deadly, after = experiments(2)
    go_on[deadly.key] = BrokenExecutor("exit codes {SIGKILL(-9)}")
    go_on[after.key] = "done"
    queue.submit(deadly)
    queue.submit(after)
    ended = wait_for(store, deadly.key, "killed")
    assert ended.message == (
        "the worker process was ended by SIGKILL (Killed), 3 times at the same training"
    )
    assert ended.finished
    wait_for(store, after.key, "done")
    assert begun == [deadly.key] * MAX_DEATHS + [after.key]


def test_a_queued_job_whose_server_died_says_so_and_can_be_asked_for_again(desk):
    store, queue, _, go_on = desk
    (experiment,) = experiments(1)
    store.write_job(Job(experiment.key, "queued", "queue-gone", time.time(), experiment.as_dict()))
    found = store.job(experiment.key)
    assert (found.state, found.message) == ("cancelled", "the server stopped")
    go_on[experiment.key] = "done"
    queue.submit(experiment)
    wait_for(store, experiment.key, "done")


# What is in the way of the queue itself


def test_a_worker_comes_back_though_the_end_of_its_run_cannot_be_written(desk, monkeypatch):
    store, queue, begun, go_on = desk
    failing, after = experiments(2)
    queue.submit(failing)
    wait_until(lambda: begun)
    with monkeypatch.context() as full:
        full.setattr("lottery_core.store.files.write", no_space)
        go_on[failing.key] = TypeError("cannot be sent")
        wait_until(lambda: queue._idle)
        assert "is full" in queue.problem
        found = store.job(failing.key)
        assert (found.state, found.message) == ("failed", "TypeError: cannot be sent")
        with pytest.raises(StoreUnavailable, match="is full"):
            queue.submit(after)
    assert queue.problem == ""
    go_on[after.key] = "done"
    queue.submit(after)
    wait_for(store, after.key, "done")
    # Told as soon as there is room again, so that other processes know it too.
    assert Store(store.root).job(failing.key).state == "failed"


def test_records_deleted_during_a_run_cost_no_worker_and_the_run_is_joined(desk):
    store, queue, begun, go_on = desk
    running, after = experiments(2)
    queue.submit(running)
    wait_until(lambda: begun)
    shutil.rmtree(store.root / "jobs")
    assert queue.submit(running).state == "running"
    go_on.update(dict.fromkeys([running.key, after.key], "done"))
    queue.submit(after)
    wait_for(store, after.key, "done")
    wait_for(store, running.key, "done")
    assert begun == [running.key, after.key]


def test_after_the_whole_cache_was_deleted_the_next_run_is_queued_and_done(make_store, tmp_path):
    store = make_store(tmp_path / "store")
    queue = Queue(store, Crew(1, lambda root: ThreadPoolExecutor(1)))
    try:
        first, second = experiments(2)
        queue.submit(first)
        wait_for(store, first.key, "done")
        for folder in store.root.iterdir():
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
        with store.held(f"level-{second.key}"):  # so that it is seen while it waits for this
            assert queue.submit(second).active
            time.sleep(0.3)
            assert store.job(second.key).active
            shutil.rmtree(store.root / "locks")
        assert wait_for(store, second.key, "done").message == ""
    finally:
        queue.close()


def test_a_worker_that_cannot_be_started_is_tried_again_until_it_can(store, monkeypatch):
    monkeypatch.setattr(crew, "TRY_AGAIN", 0.05)
    tries = []

    def start(root):
        tries.append(root)
        if len(tries) < 4:
            raise OSError("no more processes")
        return ThreadPoolExecutor(1)

    queue = Queue(store, Crew(1, start))
    try:
        assert "can't be started (OSError: no more processes)" in queue.problem
        (experiment,) = experiments(1)
        queue.submit(experiment)
        wait_for(store, experiment.key, "done")
        assert queue.problem == ""
        assert len(tries) == 4
    finally:
        queue.close()


@pytest.mark.parametrize("asked", ["0", "65", "two", "-1", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused(monkeypatch, asked):
    monkeypatch.setenv("LOTTERY_WORKERS", asked)
    with pytest.raises(InvalidValue, match=r"must be a whole number from 1 to 64; unset it"):
        workers_here()


def test_the_number_of_workers_is_what_was_asked_for_or_what_the_machine_grants(monkeypatch):
    monkeypatch.setenv("LOTTERY_WORKERS", " 3 ")
    assert workers_here() == 3
    monkeypatch.setenv("LOTTERY_WORKERS", "")
    # loky reads the quota of a container's control group.
    monkeypatch.setattr("loky.cpu_count", lambda: 5)
    assert workers_here() == 5


def test_a_cache_with_a_limit_is_kept_to_it_after_each_run(desk, monkeypatch):
    store, queue, _, go_on = desk
    kept = []
    monkeypatch.setattr(queues, "keep_to_limit", kept.append)
    go_on.update({one.key: "done" for one in experiments(2)})
    for limit, experiment in zip(("", "5GB"), experiments(2), strict=True):
        monkeypatch.setenv("LOTTERY_CACHE_LIMIT", limit)
        queue.submit(experiment)
        wait_for(store, experiment.key, "done")
    wait_until(lambda: kept)
    assert kept == [store.root]


def test_a_job_that_another_process_performs_waits_for_it_and_is_done_with_it(desk):
    store, queue, begun, _ = desk
    (experiment,) = experiments(1)
    with store.held(f"job-{experiment.key}"):
        queue.submit(experiment)
        time.sleep(0.6)
        assert store.job(experiment.key).state == "queued"
        assert begun == []
        (store.root / "levels" / experiment.key).mkdir(parents=True)
        (store.root / "levels" / experiment.key / "SHA256SUMS").touch()
    wait_for(store, experiment.key, "done")
    assert begun == []
    wait_until(lambda: not store.is_held(f"job-{experiment.key}"))  # it says so, then lets go


def test_another_process_stops_a_job_of_this_queue(desk):
    store, queue, begun, _ = desk
    running, waiting = experiments(2)
    for experiment in (running, waiting):
        queue.submit(experiment)
    wait_until(lambda: begun)
    for experiment in (running, waiting):
        Store(store.root).request_cancel(experiment.key)
        wait_for(store, experiment.key, "cancelled")


def test_closing_leaves_no_lock_file_of_the_queue(store):
    queue = Queue(store, Crew(0))
    assert list((store.root / "locks").iterdir())
    queue.close()
    assert not list((store.root / "locks").iterdir())
