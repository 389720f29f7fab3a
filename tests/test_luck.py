"""What makes a ticket is told by paired intervals, and trained from its page at one level alone."""

from dataclasses import replace

import pytest
from scipy import stats

from lottery_core.findings import luck
from lottery_core.findings.replicates import Difference
from lottery_core.report import compared_figures, figures
from lottery_core.spec.arms import ARMS, arm_of, has_ticket
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice
from lottery_core.spec.rounds import rounds_of
from tests.kept_runs import record
from tests.pages import open_page, said

pytestmark = pytest.mark.usefixtures("judged_on_few")

TICKET = {0: 0.95, 1: 0.96, 2: 0.94}
ACCURACIES = {
    "ticket": TICKET,
    "new-order": {0: 0.951, 1: 0.961, 2: 0.939},
    "new-magnitudes": {0: 0.94, 1: 0.98, 2: 0.93},
    "new-signs": {0: 0.93, 1: 0.939, 2: 0.921},
    "reinit": {0: 0.97, 1: 0.981, 2: 0.96},
    "random-mask": {0: 0.8},
}


def effect(low: float, high: float, n: int = 3) -> luck.Effect:
    return luck.Effect("new-signs", Difference((low + high) / 2, low, high, n))


def test_an_effect_is_the_paired_difference_to_the_ticket():
    found = {one.arm: one.difference for one in luck.effects(ACCURACIES)}
    assert list(found) == list(luck.ALTERATIONS)
    for arm in ("new-order", "new-magnitudes", "new-signs", "reinit"):
        gaps = [ACCURACIES[arm][seed] - TICKET[seed] for seed in TICKET]
        low, high = stats.t.interval(0.95, 2, sum(gaps) / 3, stats.sem(gaps))
        one = found[arm]
        assert (one.mean, one.low, one.high) == pytest.approx((sum(gaps) / 3, low, high), abs=1e-6)
    assert (found["ticket"].mean, found["ticket"].n) == (0, 3)
    assert found["random-mask"].n == 1
    assert found["reshuffled-reinit"].n == 0


@pytest.mark.parametrize(
    ("low", "high", "n", "outcome"),
    [
        (-0.03, -0.01, 3, "loses"),
        (-0.004, -0.001, 3, "loses"),  # little, but certainly
        (-0.004, 0.03, 3, "keeps"),
        (0.0, 0.0, 2, "keeps"),
        (-0.006, 0.03, 3, "open"),
        (0.001, 0.03, 3, "gains"),
        (-0.03, -0.01, 1, "unknown"),
    ],
)
def test_an_outcome_is_by_the_interval_alone(low, high, n, outcome):
    assert effect(low, high, n).outcome == outcome


def test_one_sentence_each_says_what_loses_the_ticket_what_does_not_and_what_nobody_can_tell():
    assert luck.in_words(ACCURACIES) == (
        "Over 3 seeds the ticket reaches 95.00\u202f% on test images. "
        "**Lost by changing** the signs (-2.00 points). "
        "**Kept within 0.5 points by changing** the data order (+0.03 points). "
        "**Improved by changing** the signs and magnitudes at once (+2.03 points). "
        "**Can't be told from chance: changing** the magnitudes (+0.00 points). "
        "**Not trained over two seeds yet: changing** the weights; the weights and unit order at "
        "once; the mask (-15.00 points); the mask, signs and magnitudes at once."
    )


def test_one_seed_or_none_says_nothing_of_an_alteration():
    assert "The ticket itself is not trained yet" in luck.in_words({})
    words = luck.in_words({"ticket": TICKET})
    assert words.endswith("None of its alterations is trained yet.")
    alone = {"ticket": {0: 0.9}, "random-mask": {0: 0.1}}
    assert "One seed can't tell" in luck.in_words(alone)
    same = dict.fromkeys(luck.ALTERATIONS, TICKET)
    assert "Nothing that was changed is known to lose" in luck.in_words(same)


def test_a_matched_mask_is_held_against_the_mask_as_it_is_on_the_same_weights():
    on = {"transplanted": {0: 0.90, 1: 0.92, 2: 0.91}, "permuted": {0: 0.93, 1: 0.94, 2: 0.935}}
    assert luck.in_words(ACCURACIES | on).endswith(
        "On the other weights the mask with its units matched ends 2.50 points above the plain "
        "mask's 91.00\u202f% (95\u202f% interval +1.26 to +3.74)."
    )
    same = on | {"permuted": {0: 0.89, 1: 0.94, 2: 0.91}}
    assert luck.in_words(ACCURACIES | same).endswith("; that may be chance.")


def test_the_table_has_a_row_an_alteration_from_nothing_to_all():
    rows = luck.table(luck.effects(ACCURACIES)).to_dict("records")
    assert [row["changed"].split("**")[1] for row in rows] == [
        "nothing", "data order", "magnitudes", "signs", "signs + magnitudes", "weights",
        "weights + unit order", "mask", "mask + signs + magnitudes",
    ]  # fmt: skip
    assert rows[3] == {
        "changed": f"**signs**: {ARMS['new-signs'].summary}",
        "test accuracy": "93.00\u202f%",
        "minus the ticket": "-2.00",
        "95\u202f% interval": "-2.25 to -1.75",
        "outcome": "lost",
    }
    assert rows[7]["95\u202f% interval"] == ""
    assert rows[8]["outcome"] == "not trained yet"


def test_alterations_are_the_arms_own_levels_and_train_one_level_each(tiny):
    found = luck.altered(tiny, 1)
    assert found["ticket"].keys == tiny.keys[:2]
    for arm, experiment in found.items():
        if arm != "ticket":
            assert arm_of(experiment) == arm
            assert experiment.keys == (tiny.keys[0], ARMS[arm].of(tiny).keys[1])
    assert has_ticket(tiny)
    assert not has_ticket(found["reinit"])
    assert not has_ticket(Experiment(tiny.recipe, rounds_of([0.5], restart="keep")))


def test_seeds_go_on_after_those_that_are_known():
    assert luck.seeds_of([5, 1, 3], 2) == [1, 3]
    assert luck.seeds_of([5, 1], 4) == [1, 5, 6, 7]


def test_the_chart_has_a_row_each_with_its_interval_and_says_so():
    style = figures.STYLES["main"]
    rows = [
        figures.Curve("mask", [], [-0.02], style, [-0.3], [0.26], 2),
        figures.Curve("signs", [], [0.01], style, [0.01], [0.01], 1),
        figures.Curve("data order", [], [], style),
    ]
    figure = compared_figures.differences_figure(rows, 0.005, title="Beside it")
    mask, signs, order = figure.data
    assert mask.x == (-2,)
    assert mask.x[0] - mask.error_x.arrayminus[0] == pytest.approx(-30)
    assert mask.x[0] + mask.error_x.array[0] == pytest.approx(26)
    assert (signs.x, signs.error_x.array) == ((1,), None)  # one seed has no interval
    assert order.x == (None,)
    assert [*figure.layout.yaxis.tickvals] == ["mask", "signs", "data order"]
    low, high = figure.layout.xaxis.range
    assert -7 < low < -5 < 5 < high < 7  # not as far as what two seeds leave open
    alt = "Beside it. mask: -2.00 points (-30.00 to +26.00); signs: +1.00 points."
    assert figure.layout.meta["alt"] == alt
    empty = compared_figures.differences_figure(rows[2:], 0.005, title="Beside it")
    assert empty.layout.meta["alt"] == "Beside it. Nothing yet."


PARAMS = {
    "preset": "quick", "replicates": "2", "learning_rate": "0.1", "network": "8", "length": "8",
    "unit": "iterations", "rounds": "2", "controls": "none",
}  # fmt: skip


@pytest.fixture
def trained(store):
    """A run over two seeds, of three trainings each."""
    experiments = read_choice(PARAMS)[1].experiments()
    return [record(store, experiment, params=PARAMS) for experiment in experiments]


def test_the_page_asks_for_what_is_missing_and_for_nothing_else(trained, shared, monkeypatch):
    page = open_page("pages/luck.py", key=trained[0].key, part="0")
    assert not page.exception
    assert "None of its alterations is trained yet." in said(page)
    # Of the third seed nothing is there, and its level 0 comes first, and the fourth's, which
    # takes its mask.
    assert "**29 trainings** of the ticket and its alterations; 2 are already" in said(page)
    page.number_input[0].set_value(2).run()
    assert page.query_params["seeds"] == "2"
    assert "**19 trainings** of the ticket and its alterations; 2 are already" in said(page)
    asked = {}
    monkeypatch.setattr(
        shared.queue, "submit_all", lambda those, **how: asked.update({**how, 0: those})
    )
    page.button(key="train").click().run()
    assert not page.exception
    each = [luck.altered(seed, 1) for seed in trained]
    wanted = [seed[arm] for arm in luck.ALTERATIONS if arm != "ticket" for seed in each]
    assert asked == {0: wanted, "device": "cpu", "loop": "auto", "params": PARAMS}


def test_the_page_says_what_loses_the_ticket_and_a_link_finds_it_again(trained, shared):
    store, accuracies = shared.store, {arm: {} for arm in luck.ALTERATIONS}
    for number, seed in enumerate(trained):
        ticket = store.read(seed.keys[1])
        for n, (arm, experiment) in enumerate(luck.altered(seed, 1).items()):
            accuracies[arm][number] = 0.95 - 0.01 * n - 0.002 * number * n
            told = {"key": experiment.key, "experiment": experiment.as_dict()}
            info = replace(ticket.info, test_accuracy=accuracies[arm][number], **told)
            store.write(experiment.key, replace(ticket, info=info))
    page = open_page("pages/luck.py", key=trained[0].key, part="0", seeds="2")
    assert not page.exception
    assert (page.selectbox[1].index, page.number_input[0].value) == (0, 2)
    assert (page.query_params["key"], page.query_params["seeds"]) == (trained[0].key, "2")
    found = luck.effects(accuracies)
    assert luck.in_words(accuracies) in said(page)
    assert page.table[0].value.to_dict("list") == luck.table(found).to_dict("list")
    assert not any(button.key in ("train", "stop") for button in page.button)
    page.selectbox[1].select_index(1).run()  # another level: nothing of it is altered yet
    assert "None of its alterations is trained yet." in said(page)


def test_a_page_without_a_run_offers_the_presets(shared):
    page = open_page("pages/luck.py")
    assert not page.exception
    assert "The ticket itself is not trained yet" in said(page)
    assert any(button.key == "train" for button in page.button)
