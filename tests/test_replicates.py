"""Several seeds together: no more is claimed than they bear out, and `n` is always with it."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lottery_core.findings.replicates import (
    band,
    curve,
    difference_in_words,
    differences,
    history_curve,
    paired,
)
from lottery_core.running import engine
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.training.context import Context
from tests.infos import judged_info as info

pytestmark = pytest.mark.usefixtures("judged_on_few")

values = st.floats(0, 1)
several = st.lists(values, min_size=2, max_size=20)


def missing(*numbers: float) -> bool:
    return all(math.isnan(number) for number in numbers)


# Bands


@given(several)
def test_a_range_goes_from_the_least_seed_to_the_greatest(numbers):
    found = band(numbers, "range")
    assert (found.low, found.high, found.n) == (min(numbers), max(numbers), len(numbers))
    assert found.mean == pytest.approx(np.mean(numbers))


@pytest.mark.parametrize("n", [*range(2, 42), 100, 1000])
def test_an_interval_is_scipys(n):
    numbers = np.random.default_rng(n).normal(0.97, 0.01, n)
    low, high = stats.t.interval(0.95, n - 1, np.mean(numbers), stats.sem(numbers))
    found = band(numbers, "interval")
    assert found.high - found.low == pytest.approx(high - low, rel=1e-6 if n <= 31 else 1e-4)
    assert (found.mean, found.n) == (pytest.approx((low + high) / 2), n)


def test_one_seed_says_nothing_of_the_spread():
    assert band([0.9], "range") == band([None, 0.9, math.nan], "range")
    assert (band([0.9], "range").low, band([0.9], "range").high) == (0.9, 0.9)
    found = band([0.9], "interval")
    assert (found.mean, found.n) == (0.9, 1)
    assert missing(found.low, found.high)


@pytest.mark.parametrize("kind", ["range", "interval"])
@given(numbers=several, gaps=st.integers(1, 3))
def test_missing_values_are_left_out_and_not_counted(kind, numbers, gaps):
    found, whole = band([*numbers, *[None, math.nan] * gaps], kind), band(numbers, kind)
    assert found.n == whole.n
    assert (found.mean, found.low, found.high) == pytest.approx((whole.mean, whole.low, whole.high))


@pytest.mark.parametrize("kind", ["range", "interval"])
def test_no_values_make_no_numbers(kind):
    for nothing in ([], [None], [math.nan]):
        found = band(nothing, kind)
        assert found.n == 0
        assert missing(found.mean, found.low, found.high)


def test_an_unknown_kind_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="'sd' is unknown; choose one of range, interval"):
        band([1.0], "sd")


# Paired differences


@given(st.lists(st.tuples(values, values), min_size=2, max_size=20))
def test_a_paired_difference_is_that_of_the_paired_t_test(pairs):
    a, b = (dict(enumerate(side)) for side in zip(*pairs, strict=True))
    found = paired(a, b)
    assert found.mean == pytest.approx(np.mean([x - y for x, y in pairs]), abs=1e-12)
    if np.ptp([x - y for x, y in pairs]) > 1e-6:  # scipy has no interval without spread
        interval = stats.ttest_rel(list(a.values()), list(b.values())).confidence_interval()
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_only_seeds_that_both_have_are_paired():
    found = paired({3: 0.5, 1: 0.9, 2: None, 7: 0.1}, {1: 0.8, 2: 0.7, 3: 0.1, 8: 0.2})
    assert (found.seeds, found.n) == ((1, 3), 2)
    assert found.mean == pytest.approx(0.25)


def test_one_pair_has_no_interval_and_none_no_difference():
    one = paired({1: 0.9}, {1: 0.8, 2: 0.7})
    assert one.mean == pytest.approx(0.1)
    assert missing(one.low, one.high)
    none = paired({1: 0.9}, {2: 0.8})
    assert (none.n, none.seeds) == (0, ())
    assert missing(none.mean, none.low, none.high)


def test_pairs_see_what_the_spread_of_seeds_would_hide():
    dense = {seed: 0.9 + seed / 100 for seed in range(5)}
    ticket = {seed: 0.903 + seed / 100 + seed % 2 / 1000 for seed in range(5)}
    assert paired(ticket, dense).low > 0
    overlap = band(list(ticket.values()), "interval"), band(list(dense.values()), "interval")
    assert overlap[0].low < overlap[1].high


# Curves


def test_a_curve_has_one_row_a_level_and_counts_the_seeds_that_reached_it():
    runs = {
        0: [info(0, 0.96), info(1, 0.97), info(2, 0.90)],
        5: [info(0, 0.98), info(1, 0.95)],
    }
    table = curve(runs, "test_accuracy")
    assert list(table) == ["level", "percent", "mean", "low", "high", "n"]
    assert table["level"].tolist() == [0, 1, 2]
    assert table["percent"].tolist() == [100, 50, 25]
    assert table["mean"].tolist() == pytest.approx([0.97, 0.96, 0.90])
    assert table["low"].tolist() == [0.96, 0.95, 0.90]
    assert table["n"].tolist() == [2, 2, 1]
    assert curve(runs, "early_stop_iteration")["n"].tolist() == [0, 0, 0]
    assert curve({}, "test_accuracy").empty


def test_replicates_that_keep_different_numbers_of_weights_are_refused():
    other = info(1, 0.9, layers={"fc1.weight": (1000, 501)})
    with pytest.raises(ValueError, match=r"level=1 keeps 500 of 1,000 and 501 of 1,000 weights"):
        curve({0: [info(0, 0.9), info(1, 0.9)], 1: [info(0, 0.9), other]}, "test_accuracy")


def test_seeds_whose_units_were_ranked_together_may_differ_in_size_and_pair_by_seed():
    rounds = rounds_of([0.5], scope="global", criterion="unit-norm")
    experiment = Experiment(Recipe(network="8", iterations=12, evaluate_every=6), rounds).as_dict()

    def of(accuracy, kept):
        layers = {"fc1.weight": (1000, kept)}
        return info(1, accuracy, layers=layers, experiment=experiment)

    ticket = {0: [info(0, 0.9), of(0.9, 480)], 1: [info(0, 0.9), of(0.8, 500)]}
    assert curve(ticket, "test_accuracy")["percent"].tolist() == [100, 49]
    other = {1: [info(0, 0.9), of(0.7, 500)]}  # of seed 0 there is nothing yet
    table = differences(ticket, other, "test_accuracy")
    assert (table["level"].tolist(), table["n"].tolist()) == ([0, 1], [1, 1])
    assert table["mean"].tolist() == pytest.approx([0, 0.1])
    unlike = {1: [of(0.7, 480)]}
    assert differences(ticket, unlike, "test_accuracy").empty


def test_training_curves_are_averaged_iteration_by_iteration():
    histories = {
        0: pd.DataFrame({"iteration": [0, 6, 12], "validation_loss": [2.0, 1.0, math.nan]}),
        1: pd.DataFrame({"iteration": [0, 6], "validation_loss": [4.0, 3.0]}),
    }
    table = history_curve(histories, "validation_loss")
    assert table["iteration"].tolist() == [0, 6, 12]
    assert table["mean"].tolist()[:2] == [3, 2]
    assert table["low"].tolist()[:2] == [2, 1]
    assert table["n"].tolist() == [2, 2, 0]
    assert history_curve({}, "validation_loss").empty


def test_levels_that_were_trained_make_curves(store, tiny):
    seeds = [replace(tiny, recipe=replace(tiny.recipe, seed=seed)) for seed in (0, 1)]
    levels = {one.recipe.seed: list(engine.run(one, Context(store))) for one in seeds}
    runs = {seed: [level.info for level in run] for seed, run in levels.items()}
    assert curve(runs, "test_accuracy")["n"].tolist() == [2, 2, 2]
    table = history_curve({seed: run[1].history for seed, run in levels.items()}, "test_accuracy")
    assert table["iteration"].tolist() == [0, 6, 12]
    assert table["mean"].iloc[-1] == curve(runs, "test_accuracy")["mean"][1]


# Differences between arms


def test_arms_are_compared_at_equal_density_and_seed_by_seed():
    a = {0: [info(0, 0.9), info(1, 0.8), info(2, 0.7)], 1: [info(0, 0.9), info(1, 0.9)]}
    quarter = replace(info(2, 0.5), level=1)  # this arm goes there in one round
    b = {0: [info(0, 0.9), quarter], 1: [info(0, 0.8), quarter], 2: [info(0, 0.1)]}
    table = differences(a, b, "test_accuracy")
    assert list(table) == ["level", "percent", "mean", "low", "high", "n", "a", "b"]
    assert table["a"].tolist() == pytest.approx([0.9, 0.7])
    assert table["b"].tolist() == pytest.approx([0.85, 0.5])
    assert table["level"].tolist() == [0, 2]
    assert table["percent"].tolist() == [100, 25]
    assert table["mean"].tolist() == pytest.approx([0.05, 0.2])
    assert table["n"].tolist() == [2, 1]
    assert missing(table["low"][1], table["high"][1])


def test_levels_that_keep_equally_many_go_together_in_order():
    again = replace(info(1, 0.8), level=2)  # trained on, with nothing pruned
    a = {0: [info(0, 0.9), info(1, 0.6), again]}
    b = {0: [info(0, 0.9), info(1, 0.5), replace(again, test_accuracy=0.4)]}
    assert differences(a, b, "test_accuracy")["mean"].tolist() == pytest.approx([0, 0.1, 0.4])
    assert differences(a, {0: b[0][:2]}, "test_accuracy")["level"].tolist() == [0, 1]


# Words


def test_a_difference_of_arms_is_said_with_both_numbers_and_its_chance():
    b = dict.fromkeys(range(3), 0.9)
    clear = paired({0: 0.91, 1: 0.911, 2: 0.912}, b)
    assert difference_in_words(clear, "the ticket", "random reinit", 3.6) == (
        "At 3.6\u202f% of the weights the ticket reaches 91.10\u202f% on the test images at the "
        "end of training, 1.10 "
        "points above random reinit's 90.00\u202f% (95\u202f% interval +0.85 to +1.35, 3 seeds)."
    )
    unclear = paired({0: 0.91, 1: 0.911, 2: 0.88}, b)
    words = difference_in_words(unclear, "the ticket", "random reinit", 3.6)
    assert words.endswith("; chance alone may explain it.")
    assert "equal to itself's 90.00" in difference_in_words(paired(b, b), "one", "itself", 50)
    nobody = difference_in_words(paired({}, b), "the ticket", "random reinit", 50)
    assert nobody == "At 50\u202f% of the weights no seed has both the ticket and random reinit."


def test_one_pair_is_said_to_be_one_seed_and_has_no_interval():
    words = difference_in_words(paired({1: 0.9}, {1: 0.8}), "**the ticket**", "**reinit**")
    assert words == (
        "**The ticket** reaches 90.00\u202f% on the test images at the end of training, 10.00 "
        "points above "
        "**reinit**'s 80.00\u202f%. One seed."
    )
