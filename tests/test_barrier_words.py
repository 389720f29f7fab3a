"""What a ticket's barriers are said to be is what was measured, over all seeds."""

import pytest

from lottery_core.findings import barriers
from lottery_core.report import barrier_figures
from lottery_core.running.parts import parts_of
from lottery_core.spec.barriers import ENDS
from lottery_core.spec.links import read_choice
from lottery_core.store import Barriers, LineTo, task_key
from tests.kept_runs import record
from tests.pages import open_page, said

pytestmark = pytest.mark.usefixtures("judged_on_few")

SMALL = {
    "preset": "quick", "replicates": "2", "network": "8", "length": "8", "unit": "iterations",
    "rounds": "2", "controls": "none",
}  # fmt: skip


def line(end: str, middle: float, last: float = 0.1) -> LineTo:
    errors = (0.1, middle, last)
    rise = max(errors) - (errors[0] + errors[-1]) / 2
    return LineTo(
        alphas=(0.0, 0.5, 1.0),
        train_error=errors,
        test_error=errors,
        instability_train=rise,
        instability_test=rise,
        end=end,
    )


def measured(seed: int, *lines: LineTo) -> Barriers:
    return Barriers(level=2, kept=10, total=100, seed=seed, lines=lines, seconds=1.0)


GIVEN = [
    measured(0, line("new-order", 0.1), line("reinit", 0.5), line("permuted", 0.11)),
    measured(1, line("new-order", 0.11), line("reinit", 0.3), line("permuted", 0.4, 0.2)),
]


def test_a_barrier_is_the_mean_over_the_seeds_from_the_least_to_the_greatest():
    same, other, matched = barriers.barriers(GIVEN)
    assert [one.end for one in (same, other, matched)] == ["new-order", "reinit", "permuted"]
    assert (other.test.mean, other.test.low, other.test.high) == pytest.approx((0.3, 0.2, 0.4))
    assert matched.test.high == pytest.approx(0.25)
    assert matched.above.mean == pytest.approx((0.01 + 0.2) / 2)
    assert matched.other == pytest.approx(0.15)
    assert [one.outcome for one in (same, other, matched)] == ["same", "other", "open"]


def test_what_was_not_retrained_is_no_valley_of_its_own_for_being_worse():
    (one,) = barriers.barriers([measured(0, line("pruned", 0.2, 0.3))])
    assert 100 * one.test.mean == pytest.approx(10)
    assert one.outcome == "same"
    (one,) = barriers.barriers([measured(0, line("pruned", 0.4, 0.3))])
    assert one.outcome == "other"


def test_it_says_in_which_valleys_they_lie_and_what_follows():
    words = barriers.in_words(GIVEN)
    assert words.startswith(
        "**In one valley:** between the ticket and itself, trained in another data order, the test "
        "error rises by 0.50 points (0.00 to 1.00). **In different valleys:** between the ticket "
        "and its mask with new random weights the test error rises by 30.00 points (20.00 to "
        "40.00). **In one valley or not, by the seed:** between"
    )
    assert "the weights it begins with" in words
    assert words.endswith("Over seeds 0 and 1.")
    alone = barriers.in_words([measured(3, line("reinit", 0.5))])
    assert alone.endswith("the test error rises by 40.00 points. One seed, 3.")


def test_the_table_and_the_curves_have_all_ends_in_their_order():
    given = [measured(0, *(line(end, 0.2) for end in reversed(ENDS)))]
    found = barriers.barriers(given)
    rows = barriers.table(found).to_dict("records")
    assert [row["between the ticket and"] for row in rows] == [f"**{one.title}**" for one in found]
    assert rows[0]["rise of test error, points"] == "10.00"
    drawn = barriers.curves(given, "test")
    assert [curve.name for curve in drawn] == [one.title for one in found]
    assert len({curve.style for curve in drawn}) == len(ENDS)
    figure = barrier_figures.lines_figure(drawn, "test")
    assert "10.00 % and 10.00 % at the ends, at most 20.00 %" in figure.layout.meta["alt"]
    assert figure.data[0].y[1] == pytest.approx(20)


def test_the_page_measures_every_seed_of_a_level_and_a_link_finds_it_again(shared, monkeypatch):
    choice = read_choice(SMALL)[1]
    runs = [record(shared.store, one, params=SMALL) for one in choice.arms()["main"]]
    page = open_page("pages/stability.py", key=runs[0].key, ticket="1")
    assert "The lines from this ticket are not measured yet." in said(page)
    assert "9 trainings, then the lines of 2 seeds" in said(page)
    asked = []
    monkeypatch.setattr(shared.queue, "submit", lambda one, **how: asked.append((one, how)))
    page.button(key="measure_barriers").click().run()
    assert [one.keys for one, _ in asked] == [run.keys for run in runs]
    assert {how["task"] for _, how in asked} == {"barriers"}
    needed = {part.key for one, _ in asked for part in parts_of(one, "barriers", shared.store.has)}
    assert len(needed) == 9 + 2

    for (one, _), found in zip(asked, GIVEN, strict=True):
        shared.store.write_measurement(task_key("barriers", one.key), found)
    page.run()
    assert barriers.in_words(GIVEN) in said(page)
    assert not any(button.key == "measure_barriers" for button in page.button)
    assert page.query_params == {"key": runs[0].key, "ticket": "1"}
    page.number_input[0].set_value(1).run()
    assert barriers.in_words(GIVEN[:1]) in said(page)
    assert page.query_params["seeds"] == "1"


def test_a_run_without_tickets_of_its_own_is_told_so(shared):
    kept = SMALL | {"restart": "keep", "replicates": "1"}
    run = record(shared.store, read_choice(kept)[1].experiment(), params=kept)
    assert "Choose a run that rewinds its tickets" in said(
        open_page("pages/stability.py", key=run.key)
    )
