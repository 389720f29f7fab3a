"""What several test files share: a store of one's own over the one prepared MNIST."""

import functools
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import scipy.linalg  # noqa: F401 - it has a BLAS of its own, which is limited too
from filelock import FileLock
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

import ui.shared.runtime
from lottery_core.__main__ import start
from lottery_core.data import load_data, prepare
from lottery_core.method import criteria
from lottery_core.running.crew import Crew
from lottery_core.spec import networks
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Store
from lottery_core.training import kept
from tests import images

# The same examples in every run; a busy machine is not a failure.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parents[1]


# The longest files begin first, so that nobody waits for one of them in the end; then those that
# need no compiled code, while that is made.
LONGEST = ("test_explorer", "test_accessible")
MEANWHILE = (
    "test_criteria", "test_per_image", "test_imports", "test_incoming", "test_package",
    "test_budgets", "test_choice", "test_cifar", "test_layers", "test_matching", "test_models",
    "test_networks", "test_pruning", "test_restart", "test_rubbed",
)  # fmt: skip
ORDER = {name: n for n, name in enumerate((*LONGEST, *MEANWHILE))}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In this order, where several processes share all tests, and where one has them."""
    items.sort(key=lambda item: ORDER.get(item.path.stem, len(ORDER)))


@pytest.fixture(scope="session")
def compiled() -> None:
    """The compiled loop is on disk: made once for all processes that test, a minute."""
    with FileLock(kept.folder().with_suffix(".lock")):
        if not kept.is_ready():
            command = [sys.executable, "-m", "lottery_core.training.loops"]
            subprocess.run(command, cwd=ROOT, check=True)


@pytest.fixture(scope="module", autouse=True)
def compiled_but_meanwhile(request) -> None:
    """So for every file that may need it."""
    if request.path.stem not in MEANWHILE:
        request.getfixturevalue("compiled")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums take the thread that a worker has: more of them, with a test on every core, would wait
    for one another, and threads that wait keep a core busy."""
    from lottery_core.training.torch_loop import one_torch_thread  # loads torch

    with one_torch_thread(), threadpool_limits(1, "blas"):
        yield


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The project's data sets, with MNIST prepared from the files that come with it."""
    folder = ROOT / "cache" / "datasets"
    prepare("mnist", folder)
    return folder


@pytest.fixture(scope="session")
def make_store(datasets):
    """Makes an empty store in a folder."""

    def make(root: Path) -> Store:
        store = Store(root)
        root.mkdir(parents=True, exist_ok=True)
        store.datasets.symlink_to(datasets)
        (root / "compiled").symlink_to(kept.folder().parent)
        return store

    return make


@pytest.fixture
def store(make_store, tmp_path) -> Store:
    """An empty store that knows MNIST."""
    return make_store(tmp_path / "store")


@pytest.fixture
def shared(store, monkeypatch):
    """The pages' runtime over an empty store, with a thread for a worker."""
    monkeypatch.setattr(ui.shared.runtime, "CACHE", store.root)
    threads = functools.partial(Crew, start=lambda root: ThreadPoolExecutor(1))
    monkeypatch.setattr(ui.shared.runtime, "Crew", threads)
    ui.shared.runtime.forget_runtime()
    yield ui.shared.runtime.runtime()
    ui.shared.runtime.runtime().queue.close()
    ui.shared.runtime.forget_runtime()


@pytest.fixture
def forgotten():
    """What a test registers, a criterion or a network, is known to it alone."""
    before = [(known, dict(known)) for known in (criteria.CRITERIA, networks.OWN)]
    yield
    for known, was in before:
        known.clear()
        known.update(was)
    networks.network.cache_clear()


@pytest.fixture
def command(monkeypatch, capsys):
    """Exit code and all that is printed by a command, called in this process."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lottery_core", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            start()
        printed, code = "".join(capsys.readouterr()), ended.value.code
        return (1, printed + code) if isinstance(code, str) else (code or 0, printed)

    return call


@pytest.fixture(scope="session")
def mnist(datasets):
    """What is trained on of MNIST, with 500 images held out and 500 to test on."""
    return images.judged_on(load_data(Recipe(), datasets), 500)


@pytest.fixture(scope="module")
def judged_on_few():
    """Levels that this process trains are judged on 500 images held out and 500 to test on."""
    with images.judged_on_few():
        yield


@pytest.fixture
def tiny() -> Experiment:
    """An experiment of a dense network and two rounds that takes a blink."""
    recipe = Recipe(network="8", iterations=12, evaluate_every=6, batch_size=16)
    return Experiment(recipe, rounds_of([0.5, 0.75]))
