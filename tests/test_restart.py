"""What survivors restart from is what the rule's name says."""

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


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(
        InvalidValue, match=r"restart='undo' .* choose one of rewind, keep, rate-rewind, reinit"
    ):
        Round(0.5, 0.5, restart="undo")
