"""Files to take away hold what the store holds, and say what they are."""

import io
import json

import numpy as np
import pytest
from safetensors import safe_open

from lottery_core import engine
from lottery_core.experiment import Experiment
from lottery_core.tickets import files


@pytest.fixture
def level(store, tiny):
    list(engine.run(tiny, store))
    return store.read(tiny.key)


def opened(content: bytes, tmp_path):
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    return safe_open(path, "numpy")


def test_a_mask_is_one_boolean_array_per_weight(level, tmp_path):
    with np.load(io.BytesIO(files.mask_npz(level)), allow_pickle=False) as arrays:
        assert list(arrays) == ["fc1.weight", "fc2.weight"]
        for name, kept in level.mask.items():
            assert arrays[name].dtype == bool
            np.testing.assert_array_equal(arrays[name], kept)
    with opened(files.mask_safetensors(level), tmp_path) as file:
        assert set(file.keys()) == set(level.mask)
        for name, kept in level.mask.items():
            np.testing.assert_array_equal(file.get_tensor(name), kept)


def test_a_ticket_holds_the_mask_and_the_weights_it_restarts_from(store, tiny, level, tmp_path):
    dense = store.read(tiny.keys[0])
    with opened(files.ticket_safetensors(level), tmp_path) as file:
        for name, kept in level.mask.items():
            np.testing.assert_array_equal(file.get_tensor(f"mask/{name}"), kept)
            restart = file.get_tensor(f"restart/{name}")
            np.testing.assert_array_equal(restart[kept], dense.start[name][kept])
            assert (restart[~kept] == 0).all()
            assert not np.array_equal(restart, level.end[name])
        for name in ("fc1.bias", "fc2.bias"):
            np.testing.assert_array_equal(file.get_tensor(f"restart/{name}"), dense.start[name])


def test_the_header_names_contents_level_key_and_experiment(tiny, level, tmp_path):
    with opened(files.ticket_safetensors(level), tmp_path) as file:
        header = file.metadata()
    assert "the weights training starts from" in header["contents"]
    assert header["level"] == "2"
    assert header["key"] == tiny.key
    assert Experiment.from_dict(json.loads(header["experiment"])) == tiny
