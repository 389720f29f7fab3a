"""One rule says what wins, picks the level that every page shows, and names both numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery_core.findings.lines import asked_with
from lottery_core.findings.outcome import Outcome
from lottery_core.findings.verdict import (
    STOP,
    TEST,
    VALIDATION,
    has_won,
    level_to_show,
    picked,
    verdict_in_words,
    verdicts,
)
from lottery_core.running import engine
from lottery_core.spec.links import read_choice
from lottery_core.store import Job, LevelInfo
from lottery_core.training.context import Context
from tests.infos import judged_info as info

values = st.floats(0, 1)


def replicates(*gaps: float, stops: tuple[int, ...] | None = None) -> dict[int, list[LevelInfo]]:
    """One seed a gap: a dense network and one level, that much better on the test images, both
    judged by validation images where `stops` says how much later the level's early stop comes."""
    judged = [{} if stops is None else {"stop": 500, "validation": 0.95} for _ in gaps]
    later = stops or [0] * len(gaps)
    return {
        seed: [
            info(0, 0.9 + seed / 100, **more),
            info(1, 0.9 + seed / 100 + gap, **more | ({"stop": 500 + late} if more else {})),
        ]
        for seed, (gap, late, more) in enumerate(zip(gaps, later, judged, strict=True))
    }


def held_out(validation: float, test: float, later: int) -> dict[int, list[LevelInfo]]:
    """One seed whose pruned level is that much better, on both kinds of images, and stops that
    much later."""
    return {0: [info(0, 0.9, 500, 0.9), info(1, 0.9 + test, 500 + later, 0.9 + validation)]}


@pytest.mark.parametrize(
    ("gaps", "stops", "wins", "certain", "chance"),
    [
        ((0.01, 0.011, 0.012), (-100, -110, -120), True, True, None),
        ((0.0, 0.0, 0.0), (0, 0, 0), True, True, None),  # no less, no later
        ((0.01, 0.01, -0.01), (-100, -110, -120), True, False, None),
        ((0.01, 0.011, 0.012), (-100, -100, 100), True, False, None),
        ((-0.01, -0.011, -0.012), (-100, -110, -120), False, False, False),
        ((0.01, 0.011, 0.012), (100, 110, 120), False, False, False),
        ((0.01, -0.01, -0.01), (-100, -110, -120), False, False, True),
        ((0.01, 0.011, 0.012), (-100, 100, 100), False, False, True),
        ((0.01,), (-100,), True, False, None),
        ((-0.0001,), (-100,), False, False, False),
        ((0.01,), (1,), False, False, False),
    ],
)
def test_a_ticket_wins_by_accuracy_and_iterations(gaps, stops, wins, certain, chance):
    (found,) = verdicts(replicates(*gaps, stops=stops))
    assert (found.wins, found.is_certain, found.n) == (wins, certain, len(gaps))
    assert wins or found.may_be_chance == chance
    won = [gap >= 0 and stop <= 0 for gap, stop in zip(gaps, stops, strict=True)]
    assert found.held == sum(won)


@pytest.mark.parametrize(
    ("validation", "test", "later", "missed"),
    [
        (0.01, 0.01, 0, []),
        (-0.01, 0.01, 0, [VALIDATION]),
        (0.01, -0.01, 0, [TEST]),
        (0.01, 0.01, 20, [STOP]),
        (-0.01, -0.01, 20, [VALIDATION, STOP, TEST]),
    ],
)
def test_what_is_missed_is_named_with_both_numbers(validation, test, later, missed):
    (found,) = verdicts(held_out(validation, test, later))
    assert [one.what for one in found.missed] == missed
    assert found.wins == (not missed)
    assert found.is_picked == (set(missed) <= {TEST})
    said = {
        VALIDATION: "validation accuracy 89.00\u202f%, 1.00 points below the dense network's 90.00",
        TEST: "test accuracy at the early stop 89.00\u202f%, 1.00 points below the dense "
        "network's 90.00\u202f%",
        STOP: "early stop at iteration 520, 20 iterations later than the dense network's 500",
    }
    for what in missed:
        assert said[what] in found.reasons()


def test_rounding_does_not_decide():
    # 1 right answer of 10,000 more and 1 less, yet the sum of the gaps is not quite 0.
    runs = {
        0: [info(0, 0.9), info(1, 0.9001)],
        1: [info(0, 0.9008), info(1, 0.9007)],
    }
    (found,) = verdicts(runs)
    assert -1e-12 < found.conditions[0].difference.mean < 0
    assert found.wins


def test_without_validation_images_accuracy_alone_is_judged_and_said_to_be():
    (found,) = verdicts(replicates(0.01, 0.01))
    assert found.wins
    assert found.is_by_accuracy_alone
    assert "judged on accuracy alone and picked on the test images" in verdict_in_words(
        replicates(0.01, 0.01)
    )


def test_with_validation_images_test_accuracy_is_judged_at_the_early_stop():
    runs = {
        seed: [
            info(0, 0.9, 100, 0.9, test_accuracy_at_early_stop=0.90),
            info(1, 0.8, 100, 0.9, test_accuracy_at_early_stop=0.95),
        ]
        for seed in range(2)
    }
    (found,) = verdicts(runs)
    assert found.wins
    assert found.conditions[-1].difference.mean == pytest.approx(0.05)


def test_seeds_without_a_dense_network_judge_nothing():
    runs = replicates(0.01, 0.01) | {7: [info(1, 0.1)]}
    assert verdicts(runs)[0].n == 2
    assert verdicts({7: [info(1, 0.1)]}) == []
    assert verdicts({}) == []
    assert level_to_show({}) == 0


@given(
    validation=st.lists(st.integers(-2, 2), min_size=6, max_size=6),
    test=st.lists(values, min_size=16, max_size=16),
)
def test_test_images_never_pick_a_level_where_others_were_held_out(validation, test):
    def runs(tests):
        return {
            seed: [
                info(0, tests[0], 500, 0.9, test_accuracy_at_early_stop=tests[1]),
                *[
                    info(
                        n,
                        tests[2 * n],
                        400,
                        0.9 + validation[3 * seed + n - 1] / 100,
                        test_accuracy_at_early_stop=tests[2 * n + 1],
                    )
                    for n in (1, 2, 3)
                ],
            ]
            for seed, tests in enumerate((tests[:8], tests[8:]))
        }

    found, other = picked(runs(test)), picked(runs([0.5] * 16))
    good = [n for n in (1, 2, 3) if validation[n - 1] + validation[n + 2] >= 0]
    assert (found and found.level) == (other and other.level) == max(good, default=None)
    assert level_to_show(runs(test)) == max(good, default=3)


def test_the_smallest_is_picked_among_levels_that_all_seeds_reached():
    runs = {
        0: [info(0, 0.9), info(1, 0.9), info(2, 0.9), info(3, 0.9)],
        1: [info(0, 0.9), info(1, 0.9), info(2, 0.9)],
    }
    assert picked(runs).level == 2
    assert picked(replicates(-0.1, -0.1)) is None


# Words


def test_the_verdict_is_said_with_its_seeds_intervals_and_both_numbers():
    words = verdict_in_words(replicates(0.01, 0.011, 0.012, stops=(-100, -110, -120)))
    assert words == (
        "Over 3 seeds the smallest winning ticket keeps 50\u202f% of the weights: test accuracy "
        "at the early stop "
        "92.10\u202f%, 1.10 points above the dense network's 91.00\u202f% (95\u202f% interval "
        "+0.85 to +1.35); early stop at iteration 390, 110 iterations earlier than the dense "
        "network's 500 (95\u202f% interval -135 to -85); validation accuracy 95.00\u202f%, equal "
        "to the dense network's 95.00\u202f%. It wins by itself in 3 of 3 seeds."
    )
    words = verdict_in_words(replicates(0.01, -0.002, 0.012, stops=(-100, -110, -120)))
    assert "by itself in 2 of 3 seeds; the intervals do not rule out a loss." in words


def test_one_seed_is_said_to_be_one():
    for runs in (replicates(0.01, stops=(0,)), replicates(0.01), replicates(-0.01)):
        words = verdict_in_words(runs)
        assert words.endswith("One seed.")
        assert "interval" not in words
        assert "nan" not in words


def test_what_validation_picked_is_not_called_winning_when_the_test_images_disagree():
    lost = replicates(-0.01, -0.011, stops=(-1, -1))
    words = verdict_in_words(lost)
    assert "the smallest ticket that wins on the validation images keeps" in words
    assert "The test images do not bear it out: test accuracy at the early stop 89.45" in words
    assert "1.05 points below the dense network's 90.50" in words
    assert "winning ticket" not in words
    assert not has_won(lost)
    words = verdict_in_words(replicates(-0.01, 0.002, stops=(-1, -1)), "network")
    assert "the smallest network that wins on the validation images" in words
    assert "chance alone may explain that" in words


def test_where_none_wins_the_nearest_is_named_with_what_it_misses():
    runs = {0: [info(0, 0.9), info(1, 0.85), info(2, 0.89), info(3, 0.5)]}
    assert verdict_in_words(runs).startswith(
        "There is no winning ticket. The nearest keeps 25\u202f% of the weights and misses it by "
        "its test accuracy 89.00\u202f%, 1.00 points below the dense network's 90.00\u202f%."
    )


def test_nothing_to_judge_is_said_so():
    assert verdict_in_words({}) == "No seed has a dense network and a pruned one yet."
    untaught = {0: [info(0, 0.1), info(1, 0.1)]}
    assert "learned next to nothing" in verdict_in_words(untaught)
    assert not has_won(untaught)


# A run with its controls

RUN = {
    "preset": "quick", "network": "8", "length": "12", "unit": "iterations", "rounds": "2",
    "replicates": "2", "controls": "reinit,fine-tune,dense-longer",
}  # fmt: skip


def test_every_control_is_said_at_the_same_level_with_both_numbers():
    arms = read_choice(RUN)[1].arms()
    runs = {
        name: {
            one.recipe.seed: [info(n, 0.9 - n / 100 - i / 50, 500, 0.9 - n / 100) for n in range(3)]
            for one in arm
        }
        for i, (name, arm) in enumerate(arms.items())
    }
    outcome = Outcome(arms, runs)
    assert outcome.level == 2
    words = outcome.in_words()
    assert "winning ticket keeps" not in words
    for title, reached, below in (
        ("At 25\u202f% of the weights random reinit reaches", "86.00", "2.00"),
        ("fine-tuned, no rewind, trained 3 times as long, reaches", "84.00", "4.00"),
        ("Dense, equally long, trained 3 times as long, reaches", "82.00", "6.00"),
    ):
        said = (
            f"{title} {reached}\u202f% on the test images at the end of training, {below} points "
            "below the ticket's 88.00"
        )
        assert said in words


def test_a_layer_that_lost_everything_is_named():
    arms = read_choice(RUN | {"controls": "none", "replicates": "1"})[1].arms()
    layers = {"fc1.weight": (1000, 500), "fc2.weight": (10, 0)}
    seed = arms["main"][0].recipe.seed
    runs = {"main": {seed: [info(0, 0.97), info(1, 0.2, layers=layers)]}}
    words = Outcome(arms, runs).in_words()
    assert "fc2 has no weights left" in words
    assert words.endswith("One seed. It can't say how much of this is chance.")
    assert words.count("One seed") == 1


def test_the_seeds_asked_for_together_are_judged_together(store):
    arms = read_choice(RUN)[1].arms()
    one = arms["reinit"][1]
    job = Job(one.key, "done", "me", 0.0, one.as_dict(), params=RUN)
    assert asked_with(store, one, job) == arms["reinit"]
    assert asked_with(store, one, None) == (one,)
    assert asked_with(store, one, replace(job, params={})) == (one,)
    assert asked_with(store, one, replace(job, params={"preset": "unheard of"})) == (one,)


def test_levels_that_were_trained_are_judged(store, tiny):
    seeds = [replace(tiny, recipe=replace(tiny.recipe, seed=seed)) for seed in (0, 1)]
    runs = {
        one.recipe.seed: [level.info for level in engine.run(one, Context(store))] for one in seeds
    }
    assert [len(verdict.conditions) for verdict in verdicts(runs)] == [3, 3]
    assert "Over 2 seeds" in verdict_in_words(runs)
