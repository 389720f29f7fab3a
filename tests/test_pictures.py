"""A picture shows each survivor to half a step, and nothing where a weight is gone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lottery_core.store.pictures import MAX_CELLS, PRUNED, pack, shrink, unpack

VALUES = st.floats(-1e6, 1e6, width=32)


@given(st.data())
def test_survivors_are_exact_to_half_a_step_and_pruned_weights_are_nan(given_data):
    shape = given_data.draw(array_shapes(min_dims=2, max_dims=2, max_side=8))
    values = given_data.draw(arrays(np.float32, shape, elements=VALUES))
    kept = given_data.draw(arrays(bool, shape))
    pictures, scales = pack({"w": values}, {"w": kept})
    assert pictures["w"].dtype == np.int8
    unit = scales["w"]["unit"]
    drawn = unpack(pictures["w"], unit)
    assert np.array_equal(np.isnan(drawn), ~kept)
    assert drawn[kept] == pytest.approx(values[kept], abs=unit * 0.5001, rel=1e-6)


def test_the_largest_survivor_sets_the_scale_and_a_pruned_weight_does_not():
    values = np.array([[127.0, -1e9, 1.0]], np.float32)
    pictures, scales = pack({"w": values}, {"w": np.array([[True, False, True]])})
    assert scales["w"] == {"unit": 1.0, "block": 1, "kept": 2}
    assert pictures["w"].tolist() == [[127, PRUNED, 1]]


@pytest.mark.parametrize("kept", [True, False])
def test_a_layer_of_zeros_or_without_survivors_can_be_drawn(kept):
    pictures, scales = pack({"w": np.zeros((2, 3), np.float32)}, {"w": np.full((2, 3), kept)})
    assert (pictures["w"] == (0 if kept else PRUNED)).all()
    assert scales["w"]["unit"] == 1.0


def test_infinite_weights_are_drawn_at_the_ends_of_the_scale():
    values = np.array([[np.inf, -np.inf, 2.0, np.nan]], np.float32)
    pictures, scales = pack({"w": values}, {"w": np.ones((1, 4), bool)})
    assert pictures["w"].tolist() == [[127, -127, 127, PRUNED]]
    assert np.isfinite(scales["w"]["unit"])


def test_layers_of_the_papers_size_are_drawn_weight_by_weight():
    values = np.random.default_rng(0).random((300, 784), np.float32)
    picture, block = shrink(values, np.ones(values.shape, bool))
    assert block == 1
    assert np.array_equal(picture, values)


@pytest.mark.parametrize("shape", [(2048, 784), (784, 2048), (1001, 999)])
def test_a_larger_layer_is_drawn_in_blocks_that_show_their_density(shape):
    source = np.random.default_rng(1)
    values = source.normal(size=shape).astype(np.float32)
    kept = source.random(shape) < 0.02
    kept[:40, :40] = False
    picture, block = shrink(values, kept)
    assert block > 1
    assert picture.size < 1.1 * MAX_CELLS
    assert picture.shape == tuple(-(-size // block) for size in shape)
    for row, column in [(0, 0), (5, 7), (20, 30), (picture.shape[0] - 1, picture.shape[1] - 1)]:
        cell = np.s_[row * block : (row + 1) * block, column * block : (column + 1) * block]
        if kept[cell].any():
            assert picture[row, column] == pytest.approx(kept[cell].mean())
        else:
            assert np.isnan(picture[row, column])
    assert np.isnan(picture[0, 0])


def test_a_cell_for_a_kernel_shows_how_much_of_it_is_kept():
    kept = np.zeros((300, 300, 3, 3), bool)
    kept[0, 1, 0] = True
    picture, block = shrink(np.ones(kept.shape, np.float32), kept)
    assert block == 1
    assert picture[0, 1] == pytest.approx(1 / 3)
    assert np.isnan(picture).sum() == picture.size - 1


def test_means_count_pruned_weights_as_none():
    values = np.arange(600 * 600, dtype=np.float32).reshape(600, 600) - 1000
    kept = np.arange(600) % 3 > 0  # whole columns are gone
    picture, block = shrink(values, np.broadcast_to(kept, values.shape), means=True)
    assert block == 2
    for row, column in ((0, 0), (7, 100), (299, 299)):
        cell = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        mean = (values * kept)[cell].mean(dtype=float)
        assert picture[row, column] == pytest.approx(mean, rel=1e-5)
