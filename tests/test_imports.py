"""Who imports whom, where import-linter can't look: app.py, and what is loaded in the end."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]
# What brings torch or the compiler into a process, and these packages themselves.
HEAVY = {
    "torch",
    "torchvision",
    "numba",
    "scipy",
    "onnx",
    "lottery_core.running.engine",
    "lottery_core.training.models",
    "lottery_core.tickets.onnx_form",
    "lottery_core.tickets.torch_form",
    "lottery_core.tickets.ticket_data",
    "lottery_core.tickets.train_ticket",
    "lottery_core.training.calibration",
    "lottery_core.training.compiled",
    "lottery_core.training.loops",
    "lottery_core.training.sparse_loop",
    "lottery_core.training.torch_loop",
    "lottery_core.training.vectors",
    "lottery_core.running.worker",
}


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def loaded_by(statements: str) -> set[str]:
    """The modules in memory after a fresh Python has run the statements."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statements}\nimport sys\nprint('loaded:', *sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("loaded: ")
    return set(last.split()[1:])


def modules_in(package: str) -> list[str]:
    paths = sorted((ROOT / package).rglob("[!_]*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_imports_nothing_that_loads_torch_or_numba(path):
    assert not imported(path) & HEAVY


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_imports_no_other_page(path):
    pages = {"app", *(f"pages.{page.stem}" for page in PAGES[1:])}
    assert not imported(path) & pages


def test_the_web_process_loads_neither_torch_nor_numba():
    named = {name for path in PAGES for name in imported(path)} & {
        *modules_in("ui"),
        *modules_in("lottery_core"),
    }
    loaded = loaded_by("\n".join(f"import {name}" for name in sorted({*modules_in("ui"), *named})))
    assert "ui.shared.runtime" in loaded
    assert not loaded & HEAVY


def test_the_whole_core_loads_no_streamlit():
    loaded = loaded_by("\n".join(f"import {name}" for name in modules_in("lottery_core")))
    assert "lottery_core.running.engine" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in {"streamlit", "ui", "pages"}}


def test_a_command_without_training_loads_neither_torch_nor_numba():
    assert not loaded_by("import lottery_core.__main__") & HEAVY


def test_every_benchmark_finds_what_it_needs():
    """They run for an hour in all, so that nobody notices soon when one can't even start."""
    found = (ROOT / "benchmarks").glob("[!_]*.py")
    names = sorted(path.stem for path in found)
    loaded = loaded_by("\n".join(f"import benchmarks.{name}" for name in names))
    assert {f"benchmarks.{name}" for name in names} <= loaded
