"""The package as `pip install .` leaves it, far from any checkout."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "setup.py", "pyproject.toml", "requirements.txt", "requirements-cluster.txt", "README.md",
    "LICENSE", "app.py",
    "lottery_core", "ui", "pages", "static", ".streamlit",
)  # fmt: skip
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The commands of an environment that has the package, and nobody's checkout; all that it
    needs is the tests' own."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, source / part)
    raw = Path("cache", "datasets", "MNIST", "raw")
    (source / raw).mkdir(parents=True)
    for archive in (ROOT / raw).glob("*.gz"):
        shutil.copyfile(archive, source / raw / archive.name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('wheel'))"
    (source / "wheel").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "wheel").iterdir()

    home = folder / "environment"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", place], text=True).strip())
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "theirs.pth").write_text("\n".join(ours))
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "-q"]
    subprocess.run([*command, "--no-index", wheel], check=True)
    for path in site.rglob("lottery_core"):  # as where somebody else installed it
        for one in (path, *path.rglob("*")):
            one.chmod(0o555 if one.is_dir() else 0o444)
    yield home / "bin"
    for one in site.rglob("*"):
        if one.is_dir():
            one.chmod(0o755)


@pytest.fixture
def somewhere(tmp_path):
    """An empty folder, and an environment whose user's cache is beside it."""
    (tmp_path / "empty").mkdir()
    other = {"LOTTERY_CACHE", "PYTHONPATH", "XDG_CACHE_HOME"}
    env = {name: value for name, value in os.environ.items() if name not in other}
    return tmp_path / "empty", env | {"XDG_CACHE_HOME": str(tmp_path / "caches")}


def test_in_a_checkout_the_cache_and_the_pages_are_its_own(somewhere):
    folder, env = somewhere
    code = "from lottery_core.store.places import APP, CACHE; print(APP, CACHE)"
    command = [sys.executable, "-c", code]
    printed = subprocess.check_output(command, cwd=folder, env=env | {"PYTHONPATH": str(ROOT)})
    assert printed.decode().split() == [str(ROOT / "app.py"), str(ROOT / "cache")]


def test_the_app_gets_the_cache_that_is_named_and_streamlit_the_other_options(
    command, monkeypatch, tmp_path
):
    started = []

    def become(program: str, arguments: list[str]) -> None:
        started.append([program, arguments[1:], os.environ["LOTTERY_CACHE"]])
        raise SystemExit

    monkeypatch.setenv("LOTTERY_CACHE", "elsewhere")
    monkeypatch.setattr(os, "execv", become)
    assert command("app", "--cache", tmp_path, "--server.port", "1234") == (0, "")
    page = ["-m", "streamlit", "run", str(ROOT / "app.py")]
    assert started == [[sys.executable, [*page, "--server.port", "1234"], str(tmp_path)]]


@pytest.mark.slow
def test_the_command_runs_in_an_empty_folder_and_keeps_results_in_the_users_cache(
    installed, somewhere
):
    folder, env = somewhere
    short = ["--length", "0.05", "--rounds", "1", "--controls", "none", "--loop", "torch"]
    short += ["--replicates", "1"]
    run = [installed / "lottery", "run", "--preset", "quick", *short, "--out", "results"]
    done = subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Accuracy on the test images" in done.stdout
    assert [path.name for path in folder.iterdir()] == ["results"]
    cache = folder.parent / "caches" / "lottery-ticket-explorer"
    assert len(list((cache / "levels").iterdir())) == 2
    listed = subprocess.run(
        [installed / "lottery", "list"], cwd=folder, env=env, capture_output=True, text=True
    )
    assert "2 of 2" in listed.stdout


@pytest.mark.slow
def test_python_finds_the_package_and_nothing_of_ours_under_other_names(installed, somewhere):
    folder, env = somewhere
    code = (
        "import importlib.util, json, lottery_core as lt; from lottery_core.training import kept;"
        "from lottery_core.store import CACHE;"
        "found = [n for n in ('ui', 'pages', 'app', 'setup') if importlib.util.find_spec(n)];"
        "print(json.dumps([lt.__file__, found, str(CACHE), str(kept.folder()), lt.preset().rate]))"
    )
    printed = subprocess.check_output([installed / "python", "-c", code], cwd=folder, env=env)
    file, others, cache, compiled, rate = json.loads(printed)
    assert Path(file).is_relative_to(installed.parent)
    assert (others, rate) == ([], 0.5)
    assert cache == str(folder.parent / "caches" / "lottery-ticket-explorer")
    assert Path(compiled).is_relative_to(cache)


@pytest.mark.slow
def test_lottery_app_serves_the_pages_on_this_machine_alone(installed, somewhere):
    folder, env = somewhere
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.headless", "true"]
    with subprocess.Popen(
        [installed / "lottery", "app", *options],
        cwd=folder,
        env=env | {"LOTTERY_WORKERS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            assert read(f"{address}/_stcore/health") == b"ok"
            assert b"<title>" in read(address)
        finally:
            server.terminate()
        said = server.stdout.read()
    assert f"127.0.0.1:{port}" in said  # as .streamlit/config.toml has it
    assert "Traceback" not in said


OPEN_ALL = """
import sys
from lottery_core.store.places import APP
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(APP.parent))  # as `streamlit run` does
first = AppTest.from_file(str(APP), default_timeout=100)
pages = [first, *(first.switch_page(f"pages/{name}") for name in sys.argv[1:])]
print([str(fault.value) for page in pages for fault in page.run().exception])
"""


@pytest.mark.slow
def test_every_page_opens_where_it_is_installed(installed, somewhere):
    folder, env = somewhere
    names = [path.name for path in (ROOT / "pages").glob("*.py")]
    command = [installed / "python", "-c", OPEN_ALL, *names]
    env |= {"LOTTERY_WORKERS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def read(address: str) -> bytes:
    """What an address answers, as soon as it does."""
    late = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address) as answer:  # noqa: S310 - our own server
                return answer.read()
        except OSError:
            if time.monotonic() > late:
                raise
            time.sleep(0.3)
