"""What the Speed page says follows from the numbers it was given, and from nothing else."""

from dataclasses import replace

import pytest

from lottery_core.findings import speed as catch
from lottery_core.spec.arms import ARMS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import AnswerTimes, LevelSpeed, Machine, Sizes, Speed, StepTimes, Timed


def alike(seconds):
    return Timed(seconds, seconds, seconds)


def measured(ours, masked=1e-3):
    """A measurement of levels that keep 100, 50, 25 ... % and whose own steps take `ours`."""
    rows = [
        LevelSpeed(
            level=level,
            kept=1024 >> level,
            iterations=200,
            multiply_adds_step=90_000 >> level,
            seconds=3.0,
            loop="compiled" if level else "torch",
            step=StepTimes(
                masked=alike(masked),
                csr=Timed(2e-3, 1e-3, 3e-3),
                ours=Timed(seconds, 0.9 * seconds, 1.1 * seconds),
                products=alike(3e-4),
            ),
            forward={
                1: AnswerTimes(dense=alike(4e-5), ticket=alike(5e-6)),
                1024: AnswerTimes(dense=alike(4e-3), ticket=alike(8e-3)),
            },
            bytes=Sizes(dense=4096, dense_compressed=2048, ticket=1024, ticket_compressed=512),
        )
        for level, seconds in enumerate(ours)
    ]
    return Speed(
        machine=Machine("a processor", 1, "3.11", "2", "0.6", "2"),
        measured=0.0,
        total=1024,
        multiply_adds_step=90_000,
        iterations_per_epoch=100,
        batch_size=32,
        levels=tuple(rows),
    )


def test_sparse_pays_from_the_first_density_whose_slowest_turn_beats_every_dense_one():
    given = measured([4e-4, 3.9e-4, 2e-4, 1e-4])
    first, second = catch.in_words(given, given.levels[3])
    assert first == (
        "On this machine sparse starts to pay at 25\u202f% of the weights: an epoch of the "
        "compiled loop takes 20\u202fms there and 40\u202fms dense."
    )
    assert second == (
        "At the ticket's 12.5\u202f% an epoch takes 10\u202fms, where masked dense tensors take "
        "100\u202fms: 10.0 times as fast, and 4.0 times as fast compared with the compiled loop on "
        "the dense network."
    )


def test_a_density_that_pays_above_one_that_does_not_is_not_where_it_starts():
    given = measured([4e-4, 1e-4, 5e-4, 1e-4])
    assert "starts to pay at 12.5\u202f%" in catch.in_words(given, given.levels[3])[0]


def test_it_is_said_when_sparse_pays_nowhere_and_when_the_ticket_is_slower():
    given = measured([4e-4, 4e-4, 2e-3])
    first, second = catch.in_words(given, given.levels[2])
    assert "does not pay at any density measured here" in first
    assert "2.0 times as slow, and 5.0 times as slow compared with" in second


def test_a_measurement_is_called_disturbed_when_most_turns_of_a_step_were_slow():
    given = measured([4e-4, 2e-4])
    assert not catch.was_disturbed(given)

    def with_ours(*seconds):
        step = replace(given.levels[1].step, ours=Timed(*seconds))
        return replace(given, levels=(given.levels[0], replace(given.levels[1], step=step)))

    assert not catch.was_disturbed(with_ours(2e-4, 1.9e-4, 9e-4))  # one turn alone
    assert catch.was_disturbed(with_ours(4e-4, 2e-4, 5e-4))


def test_epochs_are_steps_times_the_steps_of_an_epoch_with_their_range():
    curves = catch.epochs(measured([4e-4, 2e-4]))
    assert [curve.name for curve in curves] == [name for name, *_ in catch.WAYS.values()]
    assert list(curves[0].percent) == [100, 50]
    assert curves[1].seconds == [pytest.approx((0.2, 0.1, 0.3))] * 2
    assert curves[2].seconds[1] == pytest.approx((0.02, 0.018, 0.022))


def test_the_whole_experiment_adds_up_level_by_level():
    masked, ours, recorded = catch.cumulative(measured([4e-4, 2e-4, 1e-4]))
    assert [seconds[0] for seconds in masked.seconds] == pytest.approx([0.2, 0.4, 0.6])
    assert [seconds[0] for seconds in ours.seconds] == pytest.approx([0.08, 0.12, 0.14])
    assert [seconds[0] for seconds in recorded.seconds] == pytest.approx([3, 6, 9])
    assert "compiled and torch" in recorded.name


def test_answers_and_sizes_are_compared_row_by_row():
    given = measured([4e-4, 2e-4])
    answers = catch.answers_table(given, given.levels[1])
    assert answers["images"].tolist() == [1, 1024]
    assert answers["ticket"].tolist() == ["5\u202fµs", "8\u202fms"]
    assert answers["dense, per second"].tolist() == ["25\u202fk", "256\u202fk"]
    assert answers["faster"].tolist() == ["8.0x", "0.5x"]
    sizes = catch.size_table(given, given.levels[1])
    assert sizes["ticket"].tolist() == ["1.0 KB", "0.5 KB", "512", "45,000"]
    assert sizes["times less"].tolist() == ["4.0", "4.0", "2.0", "2.0"]


def test_a_network_pruned_to_nothing_can_be_shown():
    given = measured([4e-4, 2e-4])
    empty = replace(given.levels[1], kept=0, multiply_adds_step=0)
    assert catch.size_table(given, empty)["times less"].tolist()[2:] == ["-", "-"]


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ("set", "under the last ones, with as many weights as all before"),
        ("gradual", "began with all weights, so that it took longer"),
        ("early-bird", "began with all weights, so that it took longer"),
        ("edge-popup", "No weight of these levels was trained"),
        ("reinit", ""),
    ],
)
def test_a_mask_that_was_not_there_from_the_beginning_is_said_to_be_timed_as_the_last(arm, says):
    experiment = ARMS[arm].of(Experiment(Recipe(), rounds_of([0.5])))
    words = catch.last_mask_in_words(experiment)
    assert says in words
    assert bool(words) == bool(says)
