"""A chart travels small, and arrives with the numbers that are read in it."""

import base64
import json
import zlib

import numpy as np
import plotly.graph_objects as go
import pytest

from lottery_core.report.weight_figures import weights_figure
from ui.shared.plot import packed
from ui.shared.reading import SHADES


def sent(values: np.ndarray) -> dict:
    chart = packed(weights_figure(values, "fc1.weight", 0.1))
    return next(
        trace for trace in json.loads(zlib.decompress(chart.content))["data"]
        if trace["type"] == "heatmap"
    )["z"]  # fmt: skip


def arrived(z: dict) -> np.ndarray:
    """As plot.js reads it."""
    if z["bytes"] == 1:
        codes = np.frombuffer(z["cells"].encode(), np.uint8).reshape(z["shape"])
        return np.where(codes == ord("!"), np.nan, (codes - 66.0) * z["unit"])
    whole = np.frombuffer(base64.b64decode(z["cells"]), np.int16).reshape(z["shape"])
    return np.where(whole == -32768, np.nan, whole * z["unit"])


@pytest.fixture
def weights() -> np.ndarray:
    values = np.random.default_rng(0).normal(0, 0.05, (40, 60)).astype(np.float32)
    values[np.random.default_rng(1).random((40, 60)) < 0.5] = np.nan
    return values


def test_weights_arrive_to_the_decimals_that_are_read_and_pruned_ones_as_none(weights):
    z = sent(weights)
    assert z["bytes"] == 2
    np.testing.assert_allclose(arrived(z), weights, atol=0.5001e-4, rtol=0)


def test_weights_of_a_level_that_trains_take_a_byte_each(weights):
    unit = np.float32(np.nanmax(np.abs(weights)) / SHADES)
    rounded = np.rint(weights / unit) * unit
    z = sent(rounded)
    assert z["bytes"] == 1
    np.testing.assert_allclose(arrived(z), rounded, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("by", [1e-3, 1e3])
def test_weights_too_small_or_too_large_for_these_decimals_travel_as_they_are(weights, by):
    z = sent(weights * np.float32(by))
    content = np.frombuffer(base64.b64decode(z["bdata"]), np.float32).reshape(weights.shape)
    np.testing.assert_array_equal(content, weights * np.float32(by))


def test_no_weights_and_endless_ones_are_charts_too(weights):
    for value in (np.nan, 0.0, np.inf):
        values = np.full_like(weights, value)
        assert packed(go.Figure(go.Heatmap(z=values), layout={"meta": {"alt": "x"}})).content


def test_equal_charts_have_one_name_and_others_another(weights):
    one, same, other = (
        packed(weights_figure(values, "fc1.weight", 0.1))
        for values in (weights, weights.copy(), -weights)
    )
    assert one.name == same.name != other.name
