"""Whatever way arrays lie in memory, what is kept of them is their values."""

import ast
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Level, Store, digest, tensors
from lottery_core.tickets import files
from tests.infos import info_of, progress_of

ROOT = Path(__file__).resolve().parents[1]


def transposed(values):
    return np.ascontiguousarray(values.T).T


def strided(values):
    spread = np.zeros([2 * side for side in values.shape], values.dtype)
    spread[tuple(slice(None, None, 2) for _ in values.shape)] = values
    return spread[tuple(slice(None, None, 2) for _ in values.shape)]


def backwards(values):
    return np.ascontiguousarray(values[::-1])[::-1]


def big_endian(values):
    return np.asfortranarray(values.astype(values.dtype.newbyteorder(">")))


LAYOUTS = [np.asfortranarray, transposed, strided, backwards, big_endian]


def laid_out(layout, arrays):
    """The same values otherwise in memory, so that the plain order would be another one."""
    changed = {name: layout(values) for name, values in arrays.items()}
    for name, values in arrays.items():
        assert np.array_equal(changed[name], values)
        assert values.ndim < 2 or not changed[name].flags.c_contiguous
    return changed


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, strict=True)


def arrays_of(shapes, kind, seed=0):
    source = np.random.default_rng(seed)
    return {name: (100 * source.random(shape)).astype(kind) for name, shape in shapes.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [bool, np.uint8, np.float16, np.float32, np.int64, np.float64])
def test_arrays_of_any_layout_come_back_equal(layout, kind, tmp_path):
    arrays = arrays_of({"a": (3, 5), "b": (4,), "c": (2, 3, 4)}, kind)
    content = tensors.save(laid_out(layout, arrays))
    assert_same(tensors.load(content), arrays)
    (tmp_path / "a").write_bytes(content)
    assert_same(load_file(tmp_path / "a"), arrays)  # as others read it


def test_a_single_number_and_no_array_at_all_come_back():
    assert_same(tensors.load(tensors.save({"a": np.array(7.0)})), {"a": np.array(7.0)})
    assert tensors.load(tensors.save({})) == {}


def test_an_array_spread_over_one_value_comes_back_as_all_of_them():
    spread = np.broadcast_to(np.float32(1.5), (3, 4))
    assert_same(tensors.load(tensors.save({"a": spread})), {"a": spread})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_level_a_ticket_and_what_is_taken_away_keep_values_of_any_layout(layout, tmp_path):
    experiment = Experiment(Recipe(network="4", iterations=12), rounds_of([0.5]))
    shapes = experiment.recipe.shapes
    biases = {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}
    mask = {name: values < 50 for name, values in arrays_of(shapes, np.float32).items()}
    start, end = (arrays_of(shapes | biases, np.float32, seed) for seed in (1, 2))
    info = info_of(
        key=experiment.key, level=1, experiment=experiment.as_dict(), weights=tuple(mask), layers={}
    )
    laid_mask, laid_start, laid_end = (laid_out(layout, part) for part in (mask, start, end))
    losses = np.zeros(12, np.float32)
    level = Level(info, laid_mask, laid_start, laid_end, losses, pd.DataFrame(), {0: laid_start})
    store = Store(tmp_path / "store")

    store.write(experiment.key, level)
    read = store.read(experiment.key)
    for found, expected in ((read.mask, mask), (read.start, start), (read.end, end)):
        assert_same(found, expected)
    assert_same(read.snapshots[0], start)

    name = digest(
        {f"mask/{name}": values for name, values in mask.items()}
        | {f"restart/{name}": values for name, values in start.items()}
    )
    store.write_ticket(name, laid_mask, laid_start)
    found_mask, found_start = store.read_ticket(name)
    assert_same(found_mask, mask)
    assert_same(found_start, start)

    assert_same(tensors.load(files.mask_safetensors(level)), mask)
    with np.load(io.BytesIO(files.mask_npz(level))) as archive:
        assert_same(dict(archive), mask)
    ticket = tensors.load(files.ticket_safetensors(level))
    for part, expected in (("mask", mask), ("restart", start), ("trained", end)):
        assert_same({name: ticket[f"{part}/{name}"] for name in expected}, expected)

    store.write_progress("p", progress_of(pictures=laid_end))
    assert_same(store.read_progress("p").pictures, end)


def test_the_texts_of_a_header_come_back():
    arrays = {"a": np.ones((2, 3), np.float32).T}
    assert tensors.metadata(tensors.save(arrays, {"x": "y", "é": "\n"})) == {"x": "y", "é": "\n"}
    assert tensors.metadata(tensors.save(arrays)) == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"x", bytes(8), b"\xff" * 99, b"\2" + bytes(7) + b"[]", b"\4" + bytes(7) + b"null",
     tensors.save({"a": np.ones((2, 3))})[:-1], b"\xa0\x86\1" + bytes(5) + b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_whole_file_is_a_value_error(content):
    with pytest.raises(ValueError, match="safetensors"):
        tensors.load(content)
    if b"dtype" not in content:
        with pytest.raises(ValueError, match="header"):
            tensors.metadata(content)


def test_nothing_else_writes_safetensors():
    for folder in ("lottery_core", "ui", "pages"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if path.name != "tensors.py" and isinstance(node, ast.ImportFrom):
                    names = {alias.name for alias in node.names}
                    assert not (
                        node.module.startswith("safetensors") and names & {"save", "save_file"}
                    ), path
