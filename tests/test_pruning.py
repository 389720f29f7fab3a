"""Exactly the weights that should go do go, in a stable order, and stay gone."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask, removed_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, iterative, rounds_of
from lottery_core.training.models import initial_weights
from tests.rounds import prune

# guide/science.md, from the notebook's own output; rounds 78.4 and 95.33 are 1-0.6^3 and 1-0.6^6.
NOTEBOOK = {
    0.4: (40140, 3276, 256),
    0.6: (60211, 4915, 384),
    1 - 0.6**2: (64225, 5242, 409),
    1 - 0.6**3: (78675, 6422, 501),
    0.8: (80281, 6553, 512),
    0.95: (95334, 7782, 608),
    1 - 0.6**6: (95669, 7809, 610),
}


def pruned(weights, mask, step, seed=0):
    """The next mask by a criterion that asks for the trained weights at most."""
    return prune(Evidence(weights, weights, mask, seed), step)


def removed(mask):
    return tuple(int((~kept).sum()) for kept in mask.values())


@pytest.mark.parametrize("sparsity", NOTEBOOK)
@pytest.mark.parametrize("values", ["drawn", "all alike"])
def test_notebook_counts_are_exact_ties_included(sparsity, values):
    recipe = Recipe()
    weights = initial_weights(recipe)
    if values == "all alike":
        weights = {name: np.full_like(array, -0.25) for name, array in weights.items()}
    (step,) = rounds_of([sparsity])
    mask = pruned(weights, dense_mask(recipe.shapes), step)
    assert removed(mask) == NOTEBOOK[sparsity]


def test_notebook_counts_are_the_same_when_reached_round_after_round():
    recipe = Recipe()
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    counts = []
    for step in rounds_of(iterative(0.4, 6)):
        mask = pruned(weights, mask, step)
        counts.append(removed(mask))
    assert counts[0] == NOTEBOOK[0.4]
    assert counts[1] == NOTEBOOK[1 - 0.6**2]
    assert counts[2] == NOTEBOOK[1 - 0.6**3]
    assert counts[5] == NOTEBOOK[1 - 0.6**6]


@given(st.integers(1, 9_999), st.integers(1, 2_000_000))
@example(2_900, 100)  # 0.29 * 100 is 28.999999999999996
def test_the_count_is_the_floor_of_the_decimal_that_was_typed(ten_thousandths, count):
    sparsity = Fraction(ten_thousandths, 10_000)
    assert removed_of(float(sparsity), count) == math.floor(sparsity * count)


@given(st.floats(0, 0.999), st.integers(1, 500))
def test_a_small_layer_never_loses_one_weight_too_many(sparsity, count):
    exact = Fraction(sparsity) * count
    assert removed_of(sparsity, count) in (
        math.floor(exact),
        math.floor(exact + Fraction(1, 10**9)),
    )


# Few distinct values, so that ties and survivors that are exactly 0.0 are common.
VALUES = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0]) | st.floats(-9, 9, width=32)


@st.composite
def networks(draw):
    """(weights, mask, a later sparsity, a still later one) of a random two-layer network."""
    weights, mask = {}, {}
    for i in (1, 2):
        shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
        weights[f"fc{i}.weight"] = draw(arrays(np.float32, shape, elements=VALUES))
        mask[f"fc{i}.weight"] = np.ones(shape, bool)
    first, second = sorted(draw(st.lists(st.integers(1, 99), min_size=2, max_size=2, unique=True)))
    scope = draw(st.sampled_from(["layerwise", "global"]))
    criterion = draw(st.sampled_from(["magnitude", "random"]))  # of all: tests/test_criteria.py
    rounds = rounds_of([first / 100, second / 100], scope=scope, criterion=criterion)
    return weights, mask, rounds


@given(networks(), st.integers(0, 5))
def test_each_round_removes_exactly_its_count_and_pruned_stay_pruned(network, seed):
    weights, mask, rounds = network
    for step in rounds:
        later = pruned(weights, mask, step, seed)
        if step.scope == "global":
            total = sum(kept.size for kept in mask.values())
            assert sum(removed(later)) == math.floor(Fraction(str(step.sparsity)) * total)
        else:
            for kept in later.values():
                expected = math.floor(Fraction(str(step.sparsity)) * kept.size)
                assert (~kept).sum() == expected
        for name, kept in later.items():
            assert kept.shape == mask[name].shape
            assert not (kept & ~mask[name]).any()
        mask = later


@given(networks())
def test_no_survivor_is_smaller_than_a_weight_that_went(network):
    weights, mask, rounds = network
    step = Round(rounds[0].sparsity, rounds[0].output_sparsity, rounds[0].scope)
    later = pruned(weights, mask, step)

    def sizes(selected):
        return {name: np.abs(weights[name][selected[name]]) for name in weights}

    kept, gone = sizes(later), sizes({name: ~array for name, array in later.items()})
    if step.scope == "global":
        kept, gone = (
            {"all": np.concatenate([*kept.values()])},
            {"all": np.concatenate([*gone.values()])},
        )
    for name in kept:
        if kept[name].size and gone[name].size:
            assert kept[name].min() >= gone[name].max()


def test_ties_go_in_order_of_position():
    weights = {"fc1.weight": np.array([[1, -1, 1], [-1, 1, 1]], np.float32)}
    mask = pruned(weights, dense_mask({"fc1.weight": (2, 3)}), Round(0.5, 0.5))
    assert mask["fc1.weight"].tolist() == [[False, False, False], [True, True, True]]


def test_ties_go_in_order_of_position_in_a_large_layer_too():
    values = np.random.default_rng(0).choice([1, -1, 2, -2, 3], (100, 784)).astype(np.float32)
    mask = pruned({"fc1.weight": values}, dense_mask({"fc1.weight": (100, 784)}), Round(0.5, 0.5))
    flat = values.ravel()
    order = sorted(range(flat.size), key=lambda i: (abs(flat[i]), i))
    assert np.array_equal(np.flatnonzero(~mask["fc1.weight"]), sorted(order[:39_200]))


def test_a_survivor_that_is_exactly_zero_does_not_change_places_with_a_pruned_weight():
    weights = {"fc1.weight": np.array([[0.0, 0.0, 5.0, 7.0]], np.float32)}
    mask = {"fc1.weight": np.array([[True, False, True, True]])}
    same = pruned(weights, mask, Round(0.25, 0.25))
    assert same["fc1.weight"].tolist() == [[True, False, True, True]]
    more = pruned(weights, mask, Round(0.5, 0.5))
    assert more["fc1.weight"].tolist() == [[False, False, True, True]]


def test_pruned_weights_stay_pruned_though_their_values_grew():
    weights = {"fc1.weight": np.array([[9.0, 9.0, 1.0, 2.0]], np.float32)}
    mask = {"fc1.weight": np.array([[False, False, True, True]])}
    later = pruned(weights, mask, Round(0.75, 0.75))
    assert later["fc1.weight"].tolist() == [[False, False, False, True]]


def test_global_scope_ranks_all_layers_together():
    weights = {
        "fc1.weight": np.full((2, 5), 0.1, np.float32),
        "fc2.weight": np.full((1, 10), -3.0, np.float32),
    }
    mask = dense_mask({name: array.shape for name, array in weights.items()})
    later = pruned(weights, mask, Round(0.6, 0.6, scope="global"))
    assert removed(later) == (10, 2)


def test_the_output_layer_loses_half_the_rate_of_the_others_as_in_the_paper():
    rounds = rounds_of(iterative(0.2, 19), output_factor=0.5)
    for n, step in enumerate(rounds, 1):
        assert step.sparsity == pytest.approx(1 - 0.8**n, abs=1e-11)
        assert step.output_sparsity == pytest.approx(1 - 0.9**n, abs=1e-11)
    recipe = Recipe(network="300 100")
    weights = initial_weights(recipe)
    mask = pruned(weights, dense_mask(recipe.shapes), rounds[0])
    assert removed(mask) == (47_040, 6_000, 100)


def test_an_output_factor_of_zero_spares_the_output_layer():
    recipe = Recipe(network="8")
    (step,) = rounds_of([0.9], output_factor=0)
    mask = pruned(initial_weights(recipe), dense_mask(recipe.shapes), step)
    assert removed(mask) == (5_644, 0)


def test_random_pruning_repeats_with_its_seed_and_changes_with_it():
    recipe = Recipe(network="20")
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    step = Round(0.5, 0.5, criterion="random")
    first, again, other = (pruned(weights, mask, step, seed) for seed in (1, 1, 2))
    for name in mask:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_random_pruning_looks_at_no_weight():
    recipe = Recipe(network="20")
    mask, step = dense_mask(recipe.shapes), Round(0.5, 0.5, criterion="random")
    one = pruned(initial_weights(recipe), mask, step, 3)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in recipe.shapes.items()}
    other = pruned(zeros, mask, step, 3)
    assert all(np.array_equal(one[name], other[name]) for name in mask)


def test_an_unknown_criterion_is_refused_with_the_known_ones():
    with pytest.raises(InvalidValue, match=r"criterion='sine' is unknown; .*magnitude, .*random"):
        Round(0.5, 0.5, criterion="sine")


def test_applying_a_mask_zeroes_the_pruned_and_copies_everything_else():
    weights = {
        "fc1.weight": np.array([[1.0, -2.0]], np.float32),
        "fc1.bias": np.array([3.0], np.float32),
    }
    masked = apply(weights, {"fc1.weight": np.array([[False, True]])})
    assert masked["fc1.weight"].tolist() == [[0.0, -2.0]]
    masked["fc1.bias"][0] = masked["fc1.weight"][0, 1] = 9
    assert weights["fc1.bias"].tolist() == [3.0]
    assert weights["fc1.weight"].tolist() == [[1.0, -2.0]]
