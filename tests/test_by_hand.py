"""Pruning by hand: what a stroke takes, and what is taken beside it, by their definitions."""

import numpy as np
import pytest
from scipy import stats

from lottery_core.data import load_data
from lottery_core.findings import by_hand
from lottery_core.method.masks import apply
from lottery_core.report.tiles import tiles
from lottery_core.running import engine
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.recipe import Recipe
from lottery_core.store.pictures import shrink
from lottery_core.training.context import Context
from tests import networks

SHAPES = [(5, 7), (3, 2), (6, 1, 5, 5), (7, 3, 3, 3), (16, 6, 5, 5), (600, 500), (300, 200, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_weight_is_rubbed_out_where_the_picture_shows_it(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    every = np.ones(shape, bool)
    at = by_hand.cells_of(shape)
    assert at.shape == shape
    drawn, _ = shrink(values, every, means=True)
    cells = tiles(by_hand.as_kernels(drawn)).cells.ravel()
    for cell in np.random.default_rng(1).choice(np.unique(at), 20):
        assert cells[cell] == pytest.approx(values[at == cell].mean(), abs=1e-6)
        left = by_hand.rub_out({"w": every}, [by_hand.Stroke("w", np.array([cell]))])
        assert (left["w"] == (at != cell)).all()


def test_strokes_add_up_and_take_back_nothing():
    mask = networks.masks((6, 5))
    name, other, last = mask
    strokes = [by_hand.Stroke(name, np.arange(40)), by_hand.Stroke(name, np.arange(30, 90))]
    left = by_hand.rub_out(mask, [*strokes, by_hand.Stroke(last, np.array([3]))])
    expected = mask[name].copy()
    expected.ravel()[:90] = False
    assert (left[name] == expected).all()
    assert left[other] is mask[other]
    assert left[last].sum() == mask[last].sum() - mask[last].ravel()[3]


@pytest.mark.parametrize("network", [(6, 5), networks.CONVOLUTIONAL[0]], ids=str)
def test_magnitude_takes_as_many_of_each_layer_the_smallest_of_what_is_left(network):
    mask, weights = networks.masks(network), networks.weights(network)
    strokes = [
        by_hand.Stroke(name, np.arange(3, by_hand.cells_of(kept.shape).max() // (2 + n)))
        for n, (name, kept) in enumerate(mask.items())
    ]
    left = by_hand.rub_out(mask, strokes)
    taken = by_hand.as_many("magnitude", weights, mask, left)
    for name, kept in mask.items():
        gone = int(kept.sum() - left[name].sum())
        smallest = sorted(np.flatnonzero(kept), key=lambda i: abs(weights[name].flat[i]))[:gone]
        expected = kept.copy()
        expected.flat[smallest] = False
        assert (taken[name] == expected).all()


def test_chance_takes_as_many_of_what_is_left_and_more_of_the_same_later():
    mask, weights = networks.masks((20, 10)), networks.weights((20, 10))
    name = next(iter(mask))
    before = mask
    for until in (50, 500, mask[name].size):
        left = by_hand.rub_out(mask, [by_hand.Stroke(name, np.arange(until))])
        taken = by_hand.as_many("random", weights, mask, left)
        assert {n: kept.sum() for n, kept in taken.items()} == {
            n: kept.sum() for n, kept in left.items()
        }
        assert all((taken[n] <= before[n]).all() for n in mask)
        before = taken


def test_what_a_browser_sends_is_read():
    shapes = networks.shapes((6, 5))
    first, second = by_hand.read_strokes([[0, [0, 3, 10, 2]], [1, []]], shapes)[:2]
    assert first.layer == "fc1.weight"
    assert first.cells.tolist() == [0, 1, 2, 10, 11]
    assert second.layer == "fc2.weight"
    assert not second.cells.size


@pytest.mark.parametrize(
    "sent",
    [
        None, "all", {"0": [0, 1]}, [[0]], [[0, 1, 2]], [["fc1", [0, 1]]], [[-1, [0, 1]]],
        [[3, [0, 1]]], [[0, [0]]], [[0, [-1, 2]]], [[0, [0, -2]]], [[0, [0.0, 1.0]]],
        [[0, [True, 1]]], [[0, [4704, 1]]], [[0, [4000, 4000]]], [[0, [0, 10**30]]],
        [[0, [0, 4704] * 1000]], [[0, []]] * 1001,
    ],
    ids=lambda sent: str(sent)[:30],
)  # fmt: skip
def test_what_no_page_of_ours_sends_is_refused(sent):
    with pytest.raises(InvalidValue):
        by_hand.read_strokes(sent, networks.shapes((6, 5)))


@pytest.mark.parametrize(
    ("network", "count"),
    [("128 64", 10_000), ("lenet-300-100", 5_000), ("lenet-5", 500), ("conv-2", 200)],
)
def test_as_many_images_are_looked_at_as_are_quick(network, count):
    assert by_hand.images_for(networks.net_of(network)) == count


def test_an_accuracy_is_that_of_the_masked_network(store, tiny):
    *_, level = engine.run(tiny, Context(store))
    sample = by_hand.sample(tiny.recipe, store.datasets)
    data = load_data(tiny.recipe, store.datasets)
    assert (np.bincount(sample.labels) == np.bincount(data.test_labels)).all()
    found = by_hand.accuracy(tiny.recipe, level.end, level.mask, sample)
    assert found == pytest.approx(level.info.test_accuracy, abs=2.5e-4)

    left = by_hand.rub_out(level.mask, [by_hand.Stroke("fc1.weight", np.arange(3_000))])
    flow = data.test_images[:]
    for name, kept in left.items():
        flow = np.maximum(flow, 0) if name != "fc1.weight" else flow
        bias = level.end[name.replace("weight", "bias")]
        flow = flow @ (level.end[name] * kept).T + bias
    expected = float((flow.argmax(axis=1) == data.test_labels).mean())
    found = by_hand.accuracy(tiny.recipe, level.end, left, sample)
    assert found == pytest.approx(expected, abs=2.5e-4)


def test_few_images_are_the_same_ones_each_time(datasets):
    recipe = Recipe(network="lenet-5")
    one, other = (by_hand.sample(recipe, datasets) for _ in range(2))
    np.testing.assert_array_equal(one.images, other.images)
    assert (len(one.labels), one.total) == (500, 10_000)
    for many, least in ((500, 25), (100, 2)):  # the first of them are as mixed as all
        assert (np.bincount(one.labels[:many], minlength=10) > least).all()


def test_what_is_counted_so_far_is_right_of_the_images_that_were_answered(store, tiny):
    *_, level = engine.run(tiny, Context(store))
    whole = by_hand.sample(tiny.recipe, store.datasets)
    few = by_hand.Sample(whole.images[:3_000], whole.labels[:3_000], whole.total)
    left = by_hand.rub_out(level.mask, [by_hand.Stroke("fc1.weight", np.arange(3_000))])
    net, weights = tiny.recipe.net, apply(level.end, left)
    way = by_hand.rubbed(net, level.end, few, by_hand.first_touched(net, level.mask, left, ""))
    ways = by_hand.counted(way, weights, few)
    first = by_hand.go_on(ways, lambda found: True)
    assert 0 < first.of < 3_000
    part = by_hand.Sample(few.images[: first.of], few.labels[: first.of], whole.total)
    expected = by_hand.accuracy(tiny.recipe, level.end, left, part)
    assert first.accuracy == pytest.approx(expected, abs=1.1 / first.of)
    last = by_hand.go_on(ways)
    assert last.of == 3_000
    expected = by_hand.accuracy(tiny.recipe, level.end, left, few)
    assert last.accuracy == pytest.approx(expected, abs=1e-3)
    assert by_hand.go_on(ways) is None


def test_it_begins_where_the_first_weights_went():
    net, mask = networks.net_of((6, 5)), networks.masks((6, 5))
    *_, last = mask
    left = by_hand.rub_out(mask, [by_hand.Stroke(last, np.arange(3))])
    of = {f"{at.name}.weight": n for n, at in enumerate(net.operations, 1)}
    assert by_hand.first_touched(net, mask, left, "fc1.weight") == of[last]
    assert by_hand.first_touched(net, mask, mask, "fc2.weight") == of["fc2.weight"]
    both = left | {"fc1.weight": ~mask["fc1.weight"]}
    assert by_hand.first_touched(net, mask, both, last) == of["fc1.weight"]


def test_some_images_leave_room_and_all_leave_none():
    some = by_hand.Right(190, 200, 10_000)
    # Wilson's score interval (1927), as scipy has it.
    expected = stats.binomtest(190, 200).proportion_ci(0.95, "wilson")
    assert some.interval == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert some.in_words == "of 200 test images, 91 to 97\u202f%"
    assert by_hand.Right(9_000, 10_000, 10_000).in_words == "of all 10,000 test images"
