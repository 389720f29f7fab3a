"""What survivors restart from is what the rule's name says."""

import math

import numpy as np
import pytest

from lottery_core.method.restart import RULES, Origins
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.rounds import Round


def weights(value):
    return {"fc1.weight": np.full((1, 2), value), "fc1.bias": np.full(1, value)}


SNAPSHOTS = {0: weights(0.0), 100: weights(1.0)}
ORIGINS = Origins(SNAPSHOTS, weights(2.0), lambda: weights(3.0), weights(4.0))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Round(0.5, 0.5, restart="rewind"), 0.0),
        (Round(0.5, 0.5, restart="rewind", rewind_iteration=100), 1.0),
        (Round(0.5, 0.5, restart="keep"), 2.0),
        (Round(0.5, 0.5, restart="reinit"), 3.0),
        (Round(0.5, 0.5, restart="ticket", ticket="ab" * 32), 4.0),
    ],
)
def test_weights_and_biases_come_from_the_named_origin(step, expected):
    found = RULES[step.restart].start(ORIGINS, step.rewind_iteration)
    assert set(found) == {"fc1.weight", "fc1.bias"}
    assert all((array == expected).all() for array in found.values())


def test_signs_keep_a_sign_and_have_one_magnitude_a_layer():
    """That of the initial weights; what can't be pruned is as it was, and so is level 0."""
    initial = {
        "fc1.weight": np.array([[1.0, -3.0, 0.0], [-0.0, 0.5, -0.5]], np.float32),
        "fc2.weight": np.full((1, 2), -2.0, np.float32),
        "norm1.weight": np.array([1.0, -7.0], np.float32),
        "fc1.bias": np.array([0.25, -0.5], np.float32),
    }
    before = {name: values.tobytes() for name, values in initial.items()}
    origins = Origins(
        {0: initial, 100: weights(9.0)}, weights(2.0), dict, prunable=("fc1.weight", "fc2.weight")
    )
    found = RULES["signs"].start(origins, 0)
    numbers = [1.0, -3.0, 0.0, 0.0, 0.5, -0.5]
    mean = sum(numbers) / 6
    spread = np.float32(math.sqrt(sum((number - mean) ** 2 for number in numbers) / 6))
    signs = np.array([[1, -1, 1], [1, 1, -1]], np.float32)
    np.testing.assert_array_equal(found["fc1.weight"], signs * spread)
    assert (found["fc2.weight"] == 0).all()  # all alike: they have no deviation
    for name in ("norm1.weight", "fc1.bias"):
        np.testing.assert_array_equal(found[name], initial[name])
    assert found["fc1.weight"].dtype == np.float32
    assert {name: values.tobytes() for name, values in initial.items()} == before


def test_new_signs_or_magnitudes_are_those_of_new_weights():
    """All else is level 0's, at the iteration that is rewound to; 0 counts as positive."""
    own = {
        "fc1.weight": np.array([[1.0, -3.0, 0.0, -0.5]], np.float32),
        "fc1.bias": np.array([0.25], np.float32),
    }
    drawn = {
        "fc1.weight": np.array([[-0.1, -0.2, -0.3, 0.0]], np.float32),
        "fc1.bias": np.array([9.0], np.float32),
    }
    snapshots = {0: weights(7.0), 100: own}
    origins = Origins(snapshots, weights(2.0), lambda: drawn, prunable=("fc1.weight",))
    for rule, expected in {
        "new-magnitudes": [[0.1, -0.2, 0.3, -0.0]],
        "new-signs": [[-1.0, -3.0, -0.0, 0.5]],
    }.items():
        found = RULES[rule].start(origins, 100)
        np.testing.assert_array_equal(found["fc1.weight"], np.array(expected, np.float32))
        assert found["fc1.weight"].dtype == np.float32
        np.testing.assert_array_equal(found["fc1.bias"], own["fc1.bias"])


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(
        InvalidValue, match=r"restart='undo' .* choose one of rewind, keep, rate-rewind, reinit"
    ):
        Round(0.5, 0.5, restart="undo")
