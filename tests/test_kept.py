"""Where compiled code is kept."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lottery_core.store import Store
from lottery_core.training import kept, loops

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that has not settled on a place, of a user whose own cache is in `home`."""
    monkeypatch.setattr(kept, "_places", [])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path


def test_compiled_code_follows_the_cache_that_is_asked_for_first(fresh):
    assert kept.place(fresh / "one") == fresh / "one"
    assert kept.place(fresh / "two") == fresh / "one"
    assert kept.folder() == fresh / "one" / "compiled" / kept.tag()
    assert not (fresh / "two").exists()
    assert not kept.is_ready()
    kept.mark_ready()
    assert kept.is_ready()


def test_another_copy_of_the_app_in_another_folder_compiles_for_itself(tmp_path, monkeypatch):
    here, copy = Path(kept.__file__).parent, tmp_path / "training"
    shutil.copytree(here, copy)
    tags = {kept.tag()}
    monkeypatch.setattr(kept, "__file__", str(copy / "kept.py"))
    kept.tag.cache_clear()
    tags.add(kept.tag())
    kept.tag.cache_clear()
    assert len(tags) == 2


def test_the_compiler_is_told_the_cache(fresh, monkeypatch):
    store, noted, compiler = Store(fresh / "cache"), fresh / "noted", fresh / "compiler"
    compiler.write_text(f"#!/bin/sh\necho $@ > {noted}\nexit 1")
    compiler.chmod(0o700)
    monkeypatch.setattr(loops, "_loaded", threading.Event())
    monkeypatch.setattr(sys, "executable", str(compiler))
    with pytest.raises(kept.CannotCompile, match="choose loop=torch"):
        loops.prepare(store)
    *_, module, parent, place = noted.read_text().split()
    assert (module, parent) == ("lottery_core.training.loops", str(os.getpid()))
    assert place == str(store.root)


def test_compiled_code_is_read_from_and_written_to_the_place_that_was_settled_on(tmp_path):
    code = (
        "import sys; from pathlib import Path; from lottery_core.training import kept\n"
        "kept.place(Path(sys.argv[1])); from lottery_core.training import compiled\n"
        "print(compiled.numba.config.CACHE_DIR)"
    )
    command = [sys.executable, "-c", code, tmp_path]
    printed = subprocess.check_output(command, cwd=ROOT, text=True).strip()
    assert printed == str(tmp_path / "compiled" / kept.tag())


def test_a_worker_imports_no_compiler_before_it_knows_its_cache():
    code = "import sys, lottery_core.running.worker; print('numba' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT) == b"False\n"


def test_where_a_cache_can_not_be_written_the_users_own_holds_compiled_code(fresh):
    (fresh / "file").touch()
    assert kept.place(fresh / "file" / "cache") == fresh / "home" / "lottery-ticket-explorer"


def test_where_nothing_can_be_written_that_is_said_with_the_way_out(fresh):
    (fresh / "home").touch()
    with pytest.raises(kept.CannotCompile, match=r"kept nowhere .* choose loop=torch"):
        kept.place(fresh / "home" / "cache")


def test_compiled_code_is_its_users_alone(fresh):
    assert stat.S_IMODE(kept.folder(fresh / "one").stat().st_mode) == 0o700
