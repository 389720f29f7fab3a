"""What an instability measurement says is what was measured."""

import pytest

from lottery_core.findings import stability as paths
from lottery_core.store import Copies, Instability


def path(level: int, iteration: int, test: float, kept: int = 1000) -> Copies:
    return Copies(
        alphas=(0.0, 0.5, 1.0),
        train_error=(0.0, test / 2, 0.0),
        test_error=(0.0, test, 0.0),
        instability_train=test / 2,
        instability_test=test,
        level=level,
        kept=kept,
        first_iteration=iteration,
        orders=(1, 2),
        seconds=1.0,
    )


def measured(*found: Copies) -> Instability:
    return Instability(total=1000, seed=3, paths=found)


def test_curves_part_the_dense_network_from_its_levels():
    given = measured(path(0, 0, 0.1), path(0, 100, 0.01), path(1, 0, 0.03, 500))
    test, training = paths.against_iteration(given)
    assert (test.x, test.y) == ([0, 100], [0.1, 0.01])
    assert training.y == [0.05, 0.005]
    test, _ = paths.against_remaining(given)
    assert (test.x, test.y) == ([50.0], [0.03])


@pytest.mark.parametrize(
    ("rises", "words"),
    [
        ([0.1, 0.01], "10.00 points"),
        ([0.001, 0.001, 0.001], "stable from the start"),
        ([0.1, 0.001, 0.001], "stable from iteration 100 on"),
        ([0.1, 0.001, 0.1, 0.001], "stable from iteration 300 on"),
        ([0.1, 0.05], "parted at iteration 100 they are still 5.00: not stable at any step"),
    ],
)
def test_it_says_from_where_on_the_dense_network_is_stable(rises, words):
    given = measured(*(path(0, 100 * n, rise) for n, rise in enumerate(rises)))
    assert words in paths.in_words(given)
    assert paths.in_words(given).endswith("One pair of copies each, seed 3.")


def test_it_names_the_smallest_stable_level():
    given = measured(
        path(0, 0, 0.0), path(1, 0, 0.01, 500), path(2, 0, 0.015, 250), path(3, 0, 0.03, 125)
    )
    words = paths.in_words(given)
    assert "Of 3 pruned levels 2 are stable where they restart" in words
    assert "the smallest with 25\u202f% of the weights" in words
    assert paths.name(given.paths[2], 1000) == "level 2, 25\u202f% of weights, from iteration 0"
    assert paths.name(given.paths[0], 1000) == "dense, from iteration 0"
