"""Layer budgets: exactly as many weights as are asked for, each layer's share by its formula."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery_core.method.budgets import BUDGETS, kept_by, respread, spread
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import dense_mask
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.training.models import initial_weights
from tests.rounds import prune

NETWORKS = ["300 100", "lenet-5", "3 pool 4@5v pool 7", "norm 4 pool 6 mean"]
each_budget = pytest.mark.parametrize("budget", BUDGETS)


def one_by_one(total, shares, room):
    """Each weight in turn to the layer to which it is due most: Sainte-Laguë's rule."""
    counts = dict.fromkeys(room, 0)
    for _ in range(min(total, sum(room.values()))):
        due = {
            name: Fraction(2 * shares[name], 2 * counts[name] + 1)
            for name in room
            if counts[name] < room[name]
        }
        counts[max(due, key=due.get)] += 1
    return counts


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), min_size=1, max_size=6),
    st.integers(0, 300),
)
def test_weights_are_given_out_as_one_by_one_and_all_of_them(layers, total):
    shares = {str(n): share for n, (share, _) in enumerate(layers)}
    room = {str(n): most for n, (_, most) in enumerate(layers)}
    found = spread(total, shares, room)
    assert found == one_by_one(total, shares, room)
    assert sum(found.values()) == min(total, sum(room.values()))
    # No layer keeps more of a smaller total, so what one round pruned the next does not miss.
    fewer = spread(max(0, total - 1), shares, room)
    assert all(fewer[name] <= count for name, count in found.items())


def densities(budget, shapes, density):
    """As in the papers, without rounding: layers that would be more than dense are dense, and the
    factor of the others makes up for it."""
    sizes = {name: np.prod(shape) for name, shape in shapes.items()}
    raw = {
        name: sum(shape) / sizes[name] if budget == "erk" else 1 / sizes[name]
        for name, shape in shapes.items()
    }
    dense: set[str] = set()
    while True:
        rest = [name for name in shapes if name not in dense]
        left = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        factor = left / sum(raw[name] * sizes[name] for name in rest)
        if not (over := {name for name in rest if factor * raw[name] > 1}):
            return {name: 1.0 if name in dense else factor * raw[name] for name in shapes}
        dense |= over


@each_budget
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("density", [0.9, 0.5, 0.2, 0.05, 0.01])
def test_each_layer_has_its_density_by_the_papers_formula_but_for_a_weight(
    budget, network, density
):
    shapes = Recipe(network=network).shapes
    mask = dense_mask(shapes)
    total = round(density * sum(kept.size for kept in mask.values()))
    kept = kept_by(budget, total, mask)
    assert sum(kept.values()) == total
    for name, expected in densities(budget, shapes, density).items():
        assert 0 <= kept[name] <= mask[name].size
        assert kept[name] == pytest.approx(expected * mask[name].size, abs=1.5)


def test_erk_of_a_convolution_counts_its_kernel():
    """Evci et al. 2020, section 3: 1 - (n_in + n_out + w + h) / (n_in n_out w h)."""
    mask = dense_mask({"conv1.weight": (16, 8, 3, 5), "fc1.weight": (20, 96)})
    # 32 : 116, so that of 370 weights there are 80 and 290.
    assert kept_by("erk", 370, mask) == {"conv1.weight": 80, "fc1.weight": 290}
    assert kept_by("balanced", 371, mask) == {"conv1.weight": 186, "fc1.weight": 185}


@each_budget
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_rounds_reach_exactly_their_sparsity_and_rank_each_layer_by_itself(budget, criterion):
    recipe = Recipe(network="30 20")
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    total = recipe.weights_total
    for step in rounds_of([0.3, 0.7, 0.9, 0.99], scope=budget, criterion=criterion):
        later = prune(Evidence(weights, weights, mask, 5), step)
        left = total - int(step.sparsity * total + 1e-9)
        assert {name: kept.sum() for name, kept in later.items()} == kept_by(
            budget, left, dense_mask(recipe.shapes)
        )
        assert not any((later[name] & ~mask[name]).any() for name in mask)
        if criterion == "magnitude":
            for name, kept in later.items():
                sizes = np.abs(weights[name])
                assert not kept.any() or sizes[kept].min() >= sizes[~kept].max(initial=0)
        mask = later


@each_budget
def test_what_a_layer_lost_before_is_kept_elsewhere(budget):
    """As after a round of another scope, or with a mask from outside."""
    recipe = Recipe(network="30 20")
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    mask["fc2.weight"][:] = False
    later = prune(Evidence(weights, weights, mask), Round(0.9, 0.9, scope=budget))
    total = recipe.weights_total
    assert sum(kept.sum() for kept in later.values()) == total - int(0.9 * total)


@each_budget
def test_a_mask_is_spread_over_whole_layers(budget):
    source = np.random.default_rng(0)
    mask = {"fc1.weight": source.random((40, 50)) < 0.1, "fc2.weight": source.random((5, 4)) < 0.1}
    found = respread(mask, budget)
    count = sum(kept.sum() for kept in mask.values())
    assert {name: kept.sum() for name, kept in found.items()} == kept_by(
        budget, int(count), dense_mask({name: kept.shape for name, kept in mask.items()})
    )
