"""Figures draw the numbers they are given, and say their takeaway in words."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import ImageColor

from lottery_core.findings.outcome import Outcome
from lottery_core.report import compared_figures, figures, story_figures, weight_figures
from lottery_core.report.network_figure import network_figure
from lottery_core.report.sparsity_figures import layer_colours, sparsity_figure
from lottery_core.spec.links import read_choice
from lottery_core.spec.networks import network
from lottery_core.store.pictures import shrink


def history(*accuracies: float, validation: bool = True) -> pd.DataFrame:
    rows = len(accuracies)
    return pd.DataFrame(
        {
            "iteration": np.arange(rows) * 10,
            "train_loss": np.linspace(1, 0.5, rows),
            "validation_loss": np.linspace(1, 0.5, rows) if validation else np.full(rows, np.nan),
            "validation_accuracy": accuracies if validation else np.full(rows, np.nan),
            "test_loss": np.linspace(1, 0.5, rows),
            "test_accuracy": accuracies,
        }
    )


def traces(figure) -> dict:
    return {trace.name: trace for trace in figure.data}


def test_accuracy_falls_left_to_right_on_a_log_axis_beside_the_dense_line():
    curve = figures.Curve("ticket", [100, 51.3, 21.1], [0.97, 0.98, 0.96], figures.STYLES["main"])
    figure = figures.accuracy_figure([curve], 0.97)
    assert figure.layout.xaxis.type == "log"
    left, right = figure.layout.xaxis.range
    assert 10**left > 100 > 21.1 > 10**right
    np.testing.assert_allclose(traces(figure)["ticket"].x, [100, 51.3, 21.1])
    np.testing.assert_allclose(traces(figure)["ticket"].y, [97, 98, 96])
    assert figure.layout.shapes[0].y0 == pytest.approx(97)
    assert "dense: 97.0%" in figure.layout.meta["alt"]
    assert "ticket: 96.0% with 21.1 % of weights" in figure.layout.meta["alt"]


def test_near_the_dense_network_only_a_few_points_are_shown():
    curve = figures.Curve("ticket", [100, 1], [0.97, 0.1], figures.STYLES["main"])
    low, high = figures.accuracy_figure([curve], 0.97, near_dense=True).layout.yaxis.range
    assert low > 90
    assert high < 100.5


def test_axes_stand_still_while_a_run_grows():
    params = {"preset": "quick", "replicates": "1", "rounds": "3", "controls": "none"}
    outcome = Outcome(read_choice(params)[1].arms(), {"main": {}})
    ranges, legends = [], []
    sizes = (100, 50, 25, 12.5)
    for n in range(4):
        points = [figures.Curve("ticket", sizes[:n], [0.97, 0.5, 0.1][:n], figures.STYLES["main"])]
        figure = figures.accuracy_figure(points, None, sizes=sizes, chance=0.1)
        ranges.append((figure.layout.xaxis.range, figure.layout.yaxis.range))
        legends.append(len(figure.data))
    empty = outcome.accuracy()
    assert {*ranges, (empty.layout.xaxis.range, empty.layout.yaxis.range)} == {ranges[0]}
    (left, right), (low, high) = ranges[0]
    assert 10**left > 100 > 12.5 > 10**right
    assert low <= 10 < 100 <= high
    assert legends == [1] * 4  # the curve is told of before it has a point
    for draw in (
        lambda frame: figures.level_accuracy_figure(frame, chance=0.1, iterations_total=20),
        lambda frame: figures.loss_figure([], [], frame, chance=0.1, iterations_total=20),
    ):
        before, after = (draw(frame).layout for frame in (history(), history(0.1, 0.93)))
        assert before.xaxis.range == after.xaxis.range
        assert before.yaxis.range == after.yaxis.range


@pytest.mark.parametrize(
    "draw",
    [
        lambda curves: compared_figures.compared_accuracy_figure(
            curves, None, sizes=(100, 50, 25), chance=0.1
        ),
        lambda curves: compared_figures.early_stop_figure(curves, (100, 50, 25), 100),
        lambda curves: compared_figures.training_figure(
            curves, "accuracy", 50, total=100, chance=0.1
        ),
        lambda curves: compared_figures.training_figure(curves, "loss", 50, total=100, chance=0.1),
        lambda curves: story_figures.learning_figure(curves, 100, "Learning"),
    ],
    ids=["accuracy", "early stop", "training accuracy", "training loss", "learning"],
)
def test_axes_of_compare_and_story_are_known_before_and_stand_still(draw):
    points = [100, 50, 25], [0.2, 0.9, 0.6], figures.STYLES["main"]
    whole = figures.Curve("ticket", *points)
    begun = replace(whole, x=whole.x[:1], y=whole.y[:1])
    first, last = (draw([curve]).layout for curve in (begun, whole))
    for axis in ("xaxis", "yaxis"):
        assert first[axis].range == last[axis].range is not None
        assert first[axis].autorange is False


WIDE = figures.Curve(
    "ticket", [100, 50], [0.9, 0.8], figures.STYLES["main"], [-0.4, 0.7], [2.2, 0.9], n=2
)


@pytest.mark.parametrize(
    ("figure", "band"),
    [
        (figures.accuracy_figure([WIDE], 0.9), [100, 90, 70, 0]),
        (
            compared_figures.training_figure([WIDE], "accuracy", 50, total=100, chance=0.1),
            [100, 90, 70, 0],
        ),
        (compared_figures.early_stop_figure([WIDE], [100, 50], 1), [1.05, 0.9, 0.7, 0]),
        # On a log axis there is no 0.
        (
            compared_figures.training_figure([WIDE], "loss", 50, total=100, chance=0.1),
            [2.2, 0.9, 0.7, 0.4],
        ),
    ],
)
def test_an_interval_over_few_seeds_is_not_drawn_where_nothing_can_be(figure, band):
    drawn, curve = figure.data
    assert list(drawn.y) == pytest.approx(band)
    assert curve.name == "ticket"


def test_curves_differ_by_dash_and_marker_and_not_by_colour_alone():
    curves = [
        figures.Curve("a", [100], [0.9], figures.STYLES["main"]),
        figures.Curve("b", [100], [0.9], figures.STYLES["fine-tune"]),
    ]
    first, second = figures.accuracy_figure(curves, None).data
    assert first.line.dash != second.line.dash
    assert first.marker.symbol != second.marker.symbol


def test_nothing_yet_is_an_empty_figure_with_a_title():
    for figure in (
        figures.accuracy_figure([], None),
        sparsity_figure({}, [], []),
        figures.loss_figure([], [], history()),
        figures.level_accuracy_figure(history()),
    ):
        assert figure.layout.title.text
        assert figure.layout.meta["alt"]


def test_a_level_is_drawn_beside_the_dense_network():
    dense, own = history(0.1, 0.9, 0.97), history(0.1, 0.95)
    figure = figures.level_accuracy_figure(own, dense, level=3, iterations_total=20)
    assert set(traces(figure)) == {"dense, test", "validation", "test"}
    np.testing.assert_allclose(traces(figure)["test"].y, [10, 95])
    assert "95.0%" in figure.layout.meta["alt"]
    loss = figures.loss_figure([5, 10], [2.0, 1.0], own, dense, level=3)
    np.testing.assert_allclose(traces(loss)["training"].y, [2, 1])


def test_a_loss_worse_than_guessing_is_not_cut_off():
    bad = history(0.1, 0.2).assign(test_loss=[2.3, 37.0])
    for frame, dense in ((bad, None), (history(0.1, 0.2), bad)):
        figure = figures.loss_figure([], [], frame, dense, chance=0.1, iterations_total=20)
        assert 10 ** figure.layout.yaxis.range[1] == pytest.approx(50)


def test_every_marker_of_an_arm_has_its_picture_in_the_legend_outside_a_chart():
    script = (Path(__file__).parents[1] / "ui/shared/plot.js").read_text()
    known = script.partition("const SYMBOLS = {")[2].partition("};")[0]
    for style in figures.STYLES.values():
        assert re.search(rf'\b{style.symbol.removesuffix("-open")}"?: "M', known), style.symbol


def test_blocks_of_a_large_layer_stand_at_the_channels_and_inputs_they_hold():
    for shape in ((512, 512, 3, 3), (300, 4000)):
        shrunk = shrink(np.ones(shape, np.float32), np.ones(shape, bool))
        (cells, *_) = weight_figures.layer_figure(shrunk, "conv9.weight", shape, 1.0).data
        rows, columns = cells.z.shape
        assert 1 < cells.dx == shrunk[1]
        assert 0 < shape[0] - (cells.y0 + cells.dy * (rows - 1)) <= cells.dy
        assert 0 < shape[1] - (cells.x0 + cells.dx * (columns - 1)) <= cells.dx


def test_without_a_validation_split_there_is_no_early_stop_to_draw():
    curve = figures.Curve("ticket", [100, 50], [math.nan] * 2, figures.STYLES["main"])
    assert compared_figures.early_stop_figure([curve], [100, 50], 60).data[0].name == "ticket"


def test_without_a_validation_split_no_validation_curve_is_drawn():
    own = history(0.1, 0.95, validation=False)
    assert set(traces(figures.level_accuracy_figure(own))) == {"test"}
    assert set(traces(figures.loss_figure([], [], own))) == {"training", "test"}


def test_sparsity_steps_up_when_a_level_begins():
    figure = sparsity_figure({"fc1.weight": [0, 0.4]}, [0, 0.39], [100, 200])
    np.testing.assert_allclose(traces(figure)["total"].x, [0, 100, 100, 200])
    np.testing.assert_allclose(traces(figure)["total"].y, [0, 0, 39, 39])
    np.testing.assert_allclose(traces(figure)["fc1"].y, [0, 0, 40, 40])


def test_weights_are_centred_at_zero_and_pruned_ones_are_off_the_scale():
    picture = np.array([[0.5, np.nan], [-0.25, 0.0]], np.float32)
    figure = weight_figures.weights_figure(picture, "fc1.weight", 0.5)
    heatmap, legend = figure.data
    np.testing.assert_array_equal(heatmap.z, picture)
    assert (heatmap.zmin, heatmap.zmax) == (-0.5, 0.5)
    brightness = [sum(ImageColor.getrgb(colour)) for _, colour in heatmap.colorscale]
    assert brightness == [*sorted(brightness[:3], reverse=True), *sorted(brightness[3:])]
    assert sum(ImageColor.getrgb(figures.PRUNED)) < min(brightness)
    assert figure.layout.plot_bgcolor == figures.PRUNED
    assert figures.PRUNED not in [colour for _, colour in heatmap.colorscale]
    assert legend.name == "pruned"
    assert legend.marker.color == figures.PRUNED
    assert "75.0% of the cells hold a weight, from -0.250 to 0.500" in figure.layout.meta["alt"]


@pytest.mark.parametrize(
    ("scale", "end"), [(0.113, 0.15), (0.5, 0.5), (7e-4, 8e-4), (96, 100), (0, 1), (math.nan, 1)]
)
def test_a_colour_bar_ends_at_a_whole_tick(scale, end):
    picture = np.array([[scale, -scale]], np.float32)
    (heatmap, _) = weight_figures.weights_figure(picture, "fc1.weight", scale).data
    assert (heatmap.zmin, heatmap.zmax) == (-end, end)
    assert heatmap.colorbar.tickvals[0] == -end
    assert heatmap.colorbar.ticktext[-1] == f"{end:g}"


def test_no_colour_of_the_explorer_means_two_things():
    arms = [style.colour for style in figures.STYLES.values()]
    training = [figures.TRAINING, figures.VALIDATION, figures.TEST]
    layers = layer_colours(7)
    every = [*arms, *training, *layers, *(colour for _, colour in figures.DIVERGING)]
    assert len(set(every)) == len(every)
    drawn = {trace.line.color for trace in figures.loss_figure([1], [1.0], history(0.5)).data}
    assert drawn == set(training)


def test_a_layer_without_weights_is_drawn_and_said_to_be_pruned():
    figure = weight_figures.weights_figure(np.full((2, 2), np.nan, np.float32), "fc3.weight", 1.0)
    assert figure.layout.meta["alt"] == "Weights of fc3: all pruned."


def test_the_pixel_map_is_the_image_and_counts_unread_pixels():
    kept = np.arange(784)
    figure = weight_figures.pixels_figure(kept.reshape(28, 28), 800)
    np.testing.assert_array_equal(figure.data[0].z, kept.reshape(28, 28))
    assert "1 of 784 pixels keep none" in figure.layout.meta["alt"]


@pytest.mark.parametrize("text", ["128 64", "lenet-5", "conv-2", "resnet-20"])
def test_a_network_as_a_picture_has_a_box_a_layer_filled_by_its_density(text):
    net = network(text, (3, 32, 32) if "-" in text else (1, 28, 28), 10)
    kept = {name: math.prod(shape) // (n + 2) for n, (name, shape) in enumerate(net.shapes.items())}
    figure = network_figure(net, kept)
    boxes, filled = figure.data
    assert [f"{name}.weight" for name in boxes.x] == list(net.shapes)
    for n, (name, shape) in enumerate(net.shapes.items()):
        assert boxes.y[n] == pytest.approx(math.log10(math.prod(shape)))
        assert filled.y[n] / boxes.y[n] == pytest.approx(kept[name] / math.prod(shape))
    assert net.in_words in figure.layout.meta["alt"]
