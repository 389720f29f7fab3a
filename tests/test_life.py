"""What became of one weight is what its levels say."""

import numpy as np
import pandas as pd
import pytest

from lottery_core.findings.life import life_of
from lottery_core.report.tiles import weight_at
from lottery_core.report.weight_figures import kernels_figure
from lottery_core.store import Level

NAME = "fc1.weight"


def level(mask: list, start: list, end: list) -> Level:
    kept = np.array(mask, bool)
    start, end = (np.where(kept, values, 0).astype(np.float32) for values in (start, end))
    return Level({}, {NAME: kept}, {NAME: start}, {NAME: end}, np.zeros(0), pd.DataFrame())


START, LATER = [[1, -2, 3, 4]], [[1.5, -2.5, 3.5, 4.5]]
LEVELS = [
    level([[1, 1, 1, 1]], START, [[0.1, -7, 8, -9]]),
    level([[0, 1, 1, 1]], LATER, [[0, -0.2, 6, 5]]),
    level([[0, 0, 1, 1]], LATER, [[0, 0, -2, 3]]),
]


@pytest.mark.parametrize(
    ("at", "cut", "wanted"),
    [
        (0, 1, (1, 1, 0.1, 0, 1, 4, 1)),  # restarted in level 0 from its initial value
        (1, 2, (-2, -2.5, -0.2, 1, 1, 3, 2)),
        (2, 0, (3, 3.5, -2, 2, 1, 2, 0)),
        (3, 0, (4, 4.5, 3, 2, 2, 2, 0)),
    ],
)
def test_a_weight_has_the_values_and_the_rank_of_the_last_level_that_trained_it(at, cut, wanted):
    life = life_of(LEVELS.__getitem__, 2, cut, NAME, (0, at))
    initial, restart, end, *counts = wanted
    assert (life.initial, life.restart) == (initial, restart)
    assert life.end == pytest.approx(end)
    assert [life.level, life.rank, life.among, life.cut] == counts
    words = life.in_words()
    assert (f"Cut in round {cut}" if cut else "Kept") in words
    assert f"{life.rank} of {life.among}" in words


@pytest.mark.parametrize("shape", [(3, 5), (6, 1, 5, 5), (7, 3, 3, 3), (5, 9, 3, 3), (1, 1, 5, 5)])
def test_every_weight_is_found_where_its_cell_is_drawn(shape):
    found = set()
    if len(shape) == 2:
        cells = [(x, y) for y in range(shape[0]) for x in range(shape[1])]
    else:
        values = np.arange(np.prod(shape), dtype=float).reshape(shape)
        drawn = kernels_figure(values, "", 1.0).data[0]
        rows, columns = drawn.z.shape
        cells = [
            (drawn.x0 + drawn.dx * column, drawn.y0 + drawn.dy * row)
            for row in range(rows)
            for column in range(columns)
        ]
        for x, y in cells:
            at = weight_at(shape, x, y)
            row, column = round((y - drawn.y0) / drawn.dy), round((x - drawn.x0) / drawn.dx)
            assert at is None or values[at] == drawn.z[row, column]
    for x, y in cells:
        if (at := weight_at(shape, x, y)) is not None:
            found.add(at)
    assert found == set(np.ndindex(*shape))
    assert weight_at(shape, -3, 0) is None
