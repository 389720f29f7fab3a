"""A Dask cluster on the loopback address: real scheduler, real workers with caches of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lottery_core.__main__ import start
from lottery_core.running.cluster import crew as crews
from lottery_core.running.cluster.messages import code_version, pack, unpack
from lottery_core.running.cluster.start import cluster_crew
from lottery_core.running.parts import Outcome
from lottery_core.running.queue import Queue
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import LevelProgress, Store

ROOT = Path(__file__).resolve().parents[1]
RECIPE = Recipe(network="16", iterations=60, evaluate_every=30, batch_size=16)
# Seconds a level: so that one is seen while it trains, however fast the machine.
MEDIUM = replace(RECIPE, network="128 64", iterations=25_000, evaluate_every=12_500)
LONG = replace(RECIPE, iterations=200_000, evaluate_every=10_000)
ROUNDS = rounds_of([0.5, 0.75])


def wait_until(true, seconds=300):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# Made for these tests and worth nothing anywhere else: whoever has it may talk to their scheduler.
TLS = {
    "tls_ca_file": str(ROOT / "tests" / "tls" / "certificate.pem"),
    "tls_cert": str(ROOT / "tests" / "tls" / "certificate.pem"),
    "tls_key": str(ROOT / "tests" / "tls" / "key.pem"),
}


def as_options(tls: dict[str, str]) -> list[str]:
    return [part for name, value in tls.items() for part in (f"--{name.replace('_', '-')}", value)]


class Cluster:
    """A scheduler, and workers without a nanny, so that one that is killed stays away."""

    def __init__(self, folder: Path, make_store, tls: dict[str, str] | None = None):
        self.folder, self._make_store = folder, make_store
        folder.mkdir()
        self.port, self._tls = free_port(), as_options(tls or {})
        self._protocol = "tls" if tls else "tcp"
        self.address = f"{self._protocol}://127.0.0.1:{self.port}"
        self.workers: list[subprocess.Popen] = []
        self.roots: list[Path] = []
        self.start_scheduler()

    def start_scheduler(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        options += ["--protocol", self._protocol, *self._tls]
        self.scheduler = self._run("dask_scheduler", *options)
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def have(self, count: int) -> list[Path]:
        """So many workers that live, those that are missing started; the roots of their caches."""
        living = [worker.poll() is None for worker in self.workers]
        for _ in range(count - sum(living)):
            self.add_worker()
        return [root for n, root in enumerate(self.roots) if self.workers[n].poll() is None]

    def add_worker(self, *where: str, scheduler: str = "") -> Path:
        """One more; the root of its cache."""
        root = self.folder / f"cache-{len(self.workers)}"
        self.roots.append(root)
        self._make_store(root)
        where += tuple(self._tls)
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard"]
        if "--listen-address" not in where:
            options += ["--host", "127.0.0.1"]
        options += where
        options += ["--local-directory", str(self.folder / f"dask-{len(self.workers)}")]
        self.workers.append(
            self._run("dask_worker", scheduler or self.address, *options, LOTTERY_CACHE=str(root))
        )
        return root

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def _run(self, command: str, *options: str, **environment: str) -> subprocess.Popen:
        with (self.folder / f"{command}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command}", *options],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )


@pytest.fixture(scope="module")
def cluster(make_store, tmp_path_factory):
    """One for all tests, each of which says how many workers it needs: a start takes seconds."""
    found = Cluster(tmp_path_factory.mktemp("cluster") / "shared", make_store)
    yield found
    found.stop()


@pytest.fixture
def lone(make_store, tmp_path):
    """A cluster of one's own."""
    found = Cluster(tmp_path / "cluster", make_store)
    yield found
    found.stop()


@contextmanager
def queue_of(cluster, store, **options):
    crew = cluster_crew(cluster.address, **options)
    crew.connect()
    queue = Queue(store, crew)
    try:
        yield queue
    finally:
        queue.close()


def done(store, experiment):
    job = store.job(experiment.key)
    assert job.state in ("queued", "running", "done"), job.message
    return job.state == "done"


def trained_in(root: Path) -> set[str]:
    folder = root / "levels"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_levels_are_trained_once_there_and_come_back_whole(cluster, store):
    roots = cluster.have(2)
    trunk, control = Experiment(RECIPE, ROUNDS), Experiment(RECIPE, ROUNDS, "reinit")
    with queue_of(cluster, store) as queue:
        for experiment in (trunk, control):
            queue.submit(experiment)
        wait_until(lambda: done(store, trunk) and done(store, control))
    keys = {*trunk.keys, *control.keys}
    for key in keys:
        assert store.read(key).info.key == key
    assert set().union(*map(trained_in, roots)) == keys  # by whom: this cluster is new
    # What a worker can do is its own.
    assert store.read_machine() == {}
    (other,) = (store.root / "machines").iterdir()
    assert store.read_machine(other.stem)["devices"][0] == "cpu"
    # A level that both have was trained by one and sent to the other.
    for key in keys:
        copies = [Store(root).take_out(key) for root in roots if key in trained_in(root)]
        assert all(copy == store.take_out(key) for copy in copies)


def test_its_progress_is_seen_here_and_stop_reaches_it(cluster, store):
    cluster.have(1)
    experiment = Experiment(LONG)
    with queue_of(cluster, store) as queue:
        queue.submit(experiment)
        wait_until(lambda: isinstance(store.read_progress(experiment.key), LevelProgress))
        first = store.read_progress(experiment.key)
        assert store.job(experiment.key).state == "running"
        wait_until(lambda: store.read_progress(experiment.key).iteration > first.iteration)
        queue.cancel(experiment.key)
        wait_until(lambda: store.job(experiment.key).state == "cancelled")
        assert store.read_progress(experiment.key) is None
        # The worker is free again.
        after = Experiment(replace(RECIPE, seed=1))
        queue.submit(after)
        wait_until(lambda: done(store, after))
    # It was asked how far it is twice a second, which does not bury what else it says.
    assert b"'look'" not in (cluster.folder / "dask_worker.log").read_bytes()


def test_a_killed_worker_costs_what_it_was_at_and_another_goes_on(cluster, store):
    cluster.have(2)
    experiment = Experiment(MEDIUM, ROUNDS[:1])
    with queue_of(cluster, store) as queue:
        queue.submit(experiment)
        wait_until(lambda: store.has(experiment.keys[0]))
        wait_until(lambda: store.read_progress(experiment.keys[1]) is not None)
        written = store.computed(experiment.keys[0])
        at = [(root / "progress" / experiment.keys[1]).exists() for root in cluster.roots]
        cluster.workers[at.index(True)].kill()
        wait_until(lambda: done(store, experiment))
        assert store.computed(experiment.keys[0]) == written


class Wire:
    """A way to a port that can be cut: then nothing passes, and nobody is told."""

    def __init__(self, port: int):
        self._to, self._open = port, threading.Event()
        self._open.set()
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._open.clear()

    def close(self) -> None:
        for one in (self._listening, *self._ends):
            with suppress(OSError):  # it is closed at the other side already
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self._listening.accept()
                self._ends.append(one)
                other = socket.create_connection(("127.0.0.1", self._to))
                self._ends.append(other)
                for ends in ((one, other), (other, one)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while content := one.recv(65_536):
                self._open.wait()
                other.sendall(content)
            other.shutdown(socket.SHUT_WR)


def test_a_worker_that_is_cut_off_is_given_up_and_another_does_its_work(lone, store, monkeypatch):
    port = free_port()
    there, back = Wire(port), Wire(lone.port)
    lone.add_worker(
        "--listen-address", f"tcp://127.0.0.1:{port}",
        "--contact-address", f"tcp://127.0.0.1:{there.port}",
        scheduler=f"tcp://127.0.0.1:{back.port}",
    )  # fmt: skip
    try:
        experiment = Experiment(MEDIUM)
        with queue_of(lone, store) as queue:
            wait_until(lambda: queue.queued().ready == (0.0,))
            # The other stands idle, so that it is given the part as soon as the first is given up.
            lone.add_worker()
            wait_until(lambda: queue.queued().ready == (0.0, 0.0))
            queue.submit(experiment)
            wait_until(lambda: store.read_progress(experiment.key) is not None)
            monkeypatch.setattr(crews, "_PATIENCE", 3.0)
            there.cut()
            back.cut()
            wait_until(lambda: done(store, experiment))
    finally:
        there.close()
        back.close()


def test_a_scheduler_that_dies_is_a_sentence_and_the_run_goes_on_when_it_is_back(
    cluster, store, monkeypatch
):
    monkeypatch.setattr(crews, "TRY_AGAIN", 0.2)
    cluster.have(1)
    experiment = Experiment(replace(MEDIUM, seed=2), ROUNDS[:1])
    with queue_of(cluster, store) as queue:
        queue.submit(experiment)
        wait_until(lambda: store.has(experiment.keys[0]))
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        wait_until(lambda: "scheduler" in queue.problem)
        assert cluster.address in queue.problem
        assert store.job(experiment.key).active
        cluster.start_scheduler()
        for worker in cluster.workers:  # which end with it, or find it again
            worker.kill()
            worker.wait()
        cluster.have(1)
        wait_until(lambda: done(store, experiment))
        wait_until(lambda: not queue.problem)


def test_other_code_on_a_worker_is_refused_with_a_sentence(cluster, store, monkeypatch):
    monkeypatch.setattr(crews, "code_version", lambda: "another-code")
    cluster.have(1)
    with queue_of(cluster, store) as queue:
        wait_until(lambda: "version" in queue.problem)
        words = r"The worker at tcp://.* has version \w{12} of this program, and here is another-"
        assert re.match(words, queue.problem)
        assert code_version() in queue.problem


def test_where_no_scheduler_is_the_address_is_named_before_anything_is_asked_for(monkeypatch):
    monkeypatch.setattr(crews, "_PATIENCE", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(InvalidValue, match=r"scheduler='tcp:.* can't be reached"):
        cluster_crew(address).connect()


def test_the_command_line_trains_there_and_prints_as_if_it_were_here(
    cluster, store, monkeypatch, capsys
):
    cluster.have(1)
    options = ["--network", "17", "--length", "60", "--unit", "iterations", "--rounds", "1"]
    options += ["--replicates", "1", "--controls", "none", "--cache", str(store.root)]
    command = ["lottery_core", "run", *options, "--scheduler", cluster.address]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        start()
    printed = capsys.readouterr().out
    assert ended.value.code in (0, None), printed
    assert "2 of 2 levels are finished" in printed
    assert printed.count("Accuracy on the test images:") == 2
    assert len(store.keys()) == 2


def test_with_a_shared_disk_workers_use_the_askers_cache_and_nothing_is_copied(cluster, store):
    (root,) = cluster.have(1)[:1]
    before = trained_in(root)
    experiment = Experiment(replace(RECIPE, seed=31), ROUNDS)
    with queue_of(cluster, store, is_shared=True) as queue:
        queue.submit(experiment)
        wait_until(lambda: done(store, experiment))
    assert {*store.keys()} == {*experiment.keys}
    assert trained_in(root) == before


def test_two_who_ask_for_the_same_have_it_trained_once_and_one_may_stop(
    cluster, make_store, tmp_path
):
    cluster.have(2)
    one, other = (make_store(tmp_path / name) for name in ("one", "other"))
    short = Experiment(replace(RECIPE, seed=32), ROUNDS)
    long = Experiment(replace(MEDIUM, seed=33))
    with queue_of(cluster, one) as first, queue_of(cluster, other) as second:
        first.submit(short)
        second.submit(short)
        wait_until(lambda: done(one, short) and done(other, short))
        for key in short.keys:  # the seconds it took are in it
            assert one.take_out(key) == other.take_out(key)
        for queue, store in ((first, one), (second, other)):
            queue.submit(long)
            wait_until(lambda store=store: store.read_progress(long.key) is not None)
        first.cancel(long.key)
        wait_until(lambda: one.job(long.key).state == "cancelled")
        wait_until(lambda: done(other, long))
    assert not one.has(long.key)


def test_over_tls_it_trains_as_without_and_who_has_no_certificate_is_refused(
    make_store, tmp_path, store, monkeypatch
):
    monkeypatch.setattr(crews, "_PATIENCE", 5.0)
    cluster = Cluster(tmp_path / "cluster", make_store, TLS)
    try:
        cluster.add_worker()
        experiment = Experiment(RECIPE)
        with queue_of(cluster, store, **TLS) as queue:
            queue.submit(experiment)
            wait_until(lambda: done(store, experiment))
        with pytest.raises(InvalidValue, match="can't be reached"):
            cluster_crew(cluster.address).connect()
    finally:
        cluster.stop()


def test_what_arrives_damaged_is_not_kept(store, tiny, make_store, tmp_path):
    from lottery_core.running import engine
    from lottery_core.training.context import Context

    list(engine.run(tiny, Context(store, loop="torch")))
    files = store.take_out(tiny.key)
    other = make_store(tmp_path / "other")
    broken = files | {"history.parquet": files["history.parquet"][:-1]}
    for key, held in ((tiny.key, broken), (tiny.keys[0], files), ("../jobs", files)):
        with pytest.raises(ValueError, match="arrived damaged"):
            other.put_in(key, held)
    assert other.keys() == []
    other.put_in(tiny.key, files)
    assert other.take_out(tiny.key) == files


def test_a_message_is_a_note_and_files_and_nothing_else():
    note, files = unpack(pack(vars(Outcome("done")), {"levels/a/b": b"\0\1"}))
    assert (note["state"], files) == ("done", {"levels/a/b": b"\0\1"})
    with pytest.raises(ValueError, match="arrived damaged"):
        unpack(b"no message")
