"""What docs/library.md and the notebook in examples/ show works as it stands there."""

import json
import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import lottery_core as lt
from lottery_core.method import criteria
from lottery_core.running import library
from lottery_core.spec import networks, presets
from tests.cells import run_cells

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "examples" / "ticket.ipynb"
BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)


@pytest.fixture
def here(make_store, tmp_path, monkeypatch):
    """An empty folder with a cache, where the quick preset takes a blink."""
    monkeypatch.setattr(library, "CACHE", make_store(tmp_path / "cache").root)
    monkeypatch.chdir(tmp_path)
    quick = presets.PRESETS["quick"]
    short = replace(
        quick.choice, network="16", length=30, unit="iterations", rounds=2, replicates=1
    )
    monkeypatch.setitem(presets.PRESETS, "quick", replace(quick, choice=short))
    before = [(known, dict(known)) for known in (criteria.CRITERIA, networks.OWN)]
    yield tmp_path
    for known, was in before:
        known.clear()
        known.update(was)


def test_every_block_of_the_library_page_runs(here, capsys):
    blocks = [textwrap.dedent(block) for block in BLOCK.findall(LIBRARY)]
    assert len(blocks) >= 8
    # Lengths are in epochs there, of the preset itself.
    found = run_cells([block.replace("length=0.1", "length=20") for block in blocks])
    assert "rate=2 must be a number" in capsys.readouterr().out
    assert found["last"].mask["fc1.weight"].mean() == 0.25
    assert found["run"].levels[-1].mask["conv.weight"].shape == (4, 1, 5, 5)
    assert (here / "cache" / "levels").is_dir()


def test_the_library_page_has_every_name_in_its_table():
    assert re.findall(r"^\| `lt\.(\w+)`", LIBRARY, re.MULTILINE) == lt.__all__


def test_every_cell_of_the_notebook_runs_in_order(here, capsys):
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    found = run_cells(["".join(cell["source"]) for cell in cells])
    said = capsys.readouterr().out
    assert len(found["table"]) == 3 * 3
    assert "25.0% of its weights are kept" in said
    assert len(re.findall(r"level \d: \d+% of the survivors are the same", said)) == 2
