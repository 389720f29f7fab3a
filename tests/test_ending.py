"""Runs that stop when validation accuracy falls: which levels are trained, and what is said."""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module

import pandas as pd
import pytest

import lottery_core as lt
from lottery_core.findings.ending import ended, ended_arms, in_words
from lottery_core.findings.handout.asked import asked_for, line_of
from lottery_core.findings.lines import line_id, lines_of
from lottery_core.findings.naming import line_names
from lottery_core.findings.shelf import Shelf
from lottery_core.running import engine, many
from lottery_core.running.crew import Crew
from lottery_core.running.queue import Queue
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.links import read_choice
from lottery_core.spec.rounds import rounds_of
from lottery_core.training.context import Context
from tests.infos import judged_info
from tests.pages import open_page, said
from tests.test_pages import generation
from tests.test_queue import wait_until

pytestmark = pytest.mark.usefixtures("judged_on_few")

# Of levels 0, 1, ... of seed 0 and of seed 1: the first falls at level 2, the other at level 3.
GIVEN = {0: [0.90, 0.91, 0.88, 0.95, 0.95], 1: [0.90, 0.90, 0.89, 0.80, 0.90]}
PARAMS = {
    "preset": "quick", "replicates": "1", "network": "8", "length": "12", "unit": "iterations",
    "evaluate_every": "6", "batch_size": "16", "validation_size": "100", "controls": "none",
    "schedule": "until", "rate": "0.5", "rounds": "4", "fall": "0.015",
}  # fmt: skip


UNTIL = Until(0.015, read_choice(PARAMS)[1].experiment().rounds)


def choice(**changes: str) -> lt.Choice:
    return read_choice(PARAMS | changes)[1]


@pytest.fixture
def given(monkeypatch):
    """Levels are trained as ever, and say the accuracies of `GIVEN`."""
    plain = engine._info

    def info(experiment, n, trained, **how):
        accuracy = GIVEN[experiment.recipe.seed][n]
        return replace(plain(experiment, n, trained, **how), validation_accuracy=accuracy)

    monkeypatch.setattr(engine, "_info", info)


@pytest.fixture
def crew():
    return Crew(2, start=lambda root: ThreadPoolExecutor(1))


@pytest.fixture
def queue(store, crew, given):
    found = Queue(store, crew)
    yield found
    found.close()


def all_of(arms):
    return [experiment for arm in arms.values() for experiment in arm]


def idle(queue):
    wait_until(lambda: not queue.jobs() and not queue._busy)


@pytest.mark.parametrize(
    ("fall", "accuracies", "expected"),
    [
        (0.5, [0.97, 0.965], None),
        (0.005, [0.97, 0.965], None),  # by so much it may fall
        (0.005, [0.97, 0.9649], 1),
        (0.005, [0.97, 0.99, 0.9], 2),
        (0.0, [0.97, 0.97, 0.9699, 0.1], 2),
        (0.005, [0.97], None),
        (0.005, [], None),
        (0.005, [None, None], None),
    ],
)
def test_the_first_level_further_below_the_dense_network_is_the_last(fall, accuracies, expected):
    assert Until(fall, rounds_of([0.5])).fell_at(accuracies) == expected


def test_its_levels_are_those_of_the_iterative_schedule_under_the_same_keys():
    (one,) = choice().arms()["main"]
    (plain,) = choice(schedule="iterative").arms()["main"]
    assert one.keys == plain.keys
    assert one.up_to(4) == plain
    assert one.key not in plain.keys  # another request, which ends elsewhere
    assert choice(fall="0.01").arms()["main"][0].key != one.key
    for arm in all_of(choice(controls="reinit,fine-tune,dense-longer").arms()):
        assert arm.until == one.until
        assert Experiment.from_dict(arm.as_dict()) == arm
        assert Experiment.from_dict(arm.as_dict()).key == arm.key


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation_size": "0"}, "validation_size=0 leaves nothing to see accuracy fall by"),
        ({"fall": "1"}, "fall=1"),
        ({"fall": "-0.1"}, "fall=-0.1"),
        ({"rounds": "0"}, "rounds=0"),
    ],
)
def test_what_can_not_be_is_refused_with_a_remedy(changes, words):
    with pytest.raises(InvalidValue, match=words):
        choice(**changes).arms()
    choice(**changes | {"schedule": "one-shot"}).arms()  # where it says nothing


def test_a_run_trains_up_to_the_level_that_fell_and_no_further(store, given):
    (one,) = choice().arms()["main"]
    levels = list(engine.run(one, Context(store, loop="torch")))
    assert [level.info.level for level in levels] == [0, 1, 2]
    assert {*store.keys()} == {*one.keys[:3]}
    assert levels[-1].info.experiment == one.up_to(2).as_dict()
    assert ended(store, one) == one.up_to(2)
    # A control that is asked for by itself goes as far.
    (beside,) = choice(controls="reinit").arms()["reinit"]
    assert len(list(engine.run(beside, Context(store, loop="torch")))) == 3


def test_controls_are_trained_at_the_levels_that_the_ticket_has_and_jobs_become_the_shorter_runs(
    store, queue
):
    asked = choice(controls="reinit,fine-tune")
    arms = asked.arms()
    jobs = queue.submit_all(all_of(arms), params=PARAMS)
    assert queue.submit(arms["main"][0]).key == jobs[0].key  # joined
    idle(queue)
    assert {*store.keys()} == {key for one in all_of(arms) for key in one.keys[:3]}
    assert not any(store.job(one.key) for one in all_of(arms))
    shorter = ended_arms(store, arms)
    assert shorter == choice(controls="reinit,fine-tune", schedule="iterative", rounds="2").arms()
    for one in all_of(shorter):
        assert (store.job(one.key).state, store.job(one.key).params) == ("done", PARAMS)
    before = store.marks()
    again = queue.submit_all(all_of(arms), params=PARAMS)
    assert [job.key for job in again] == [one.key for one in all_of(shorter)]
    idle(queue)
    assert store.marks() == before
    assert {store.job(one.key).state for one in all_of(shorter)} == {"done"}
    # The whole schedule is another request: it goes on from there.
    (whole,) = choice(schedule="iterative").arms()["main"]
    queue.submit(whole)
    idle(queue)
    assert all(map(store.has, whole.keys))
    assert ended(store, arms["main"][0]) == whole.up_to(2)


def test_each_seed_stops_for_itself_and_one_run_is_told_of_all(store, queue):
    arms = choice(replicates="2").arms()
    queue.submit_all(all_of(arms), params=PARAMS | {"replicates": "2"})
    (before,) = lines_of(store.jobs()).values()
    idle(queue)
    first, other = ended_arms(store, arms)["main"]
    assert (len(first.rounds), len(other.rounds)) == (2, 3)
    assert {*store.keys()} == {*first.keys, *other.keys}
    asked = asked_for(store, first.key)
    assert asked.arms["main"] == (first, other)
    outcome = asked.outcome(store)
    assert any("seed 0 stopped after 2 rounds" in words for words in outcome.sentences())
    assert any("seed 1 stopped after 3 rounds" in words for words in outcome.sentences())
    assert outcome.level <= 2  # of which both have something to say
    assert any("2 down to 25\u202f%, 1 down to 12.5" in words for words in outcome.sentences())
    outcome.accuracy()
    shelf = Shelf(store)
    runs = {run.key: run for run in shelf.look().runs}
    assert {key: len(run.levels) for key, run in runs.items()} == {first.key: 3, other.key: 4}
    assert {run.state for run in runs.values()} == {"done"}
    # Seeds that ended at other rounds are one line and one row, called as before they ended.
    (line,) = lines_of(store.jobs()).values()
    assert (line.id, line.seeds, line.main, line.until) == (before.id, (0, 1), other, UNTIL)
    assert line.with_another(1) == arms["main"][1]
    assert line_of(store, first.key, [0, 1]).experiments == (first, other)
    (row,) = shelf.rows(shelf.look(), folded=True)
    assert (row.facts.line, len(row.runs)) == (line.id, 2)
    assert row.schedule.endswith("1.5 points: 2 rounds (1 seed), 3 rounds (1 seed)")


def test_a_control_beside_seeds_that_end_at_other_rounds_is_one_line_too(store, queue):
    params = PARAMS | {"replicates": "2", "controls": "reinit,fine-tune"}
    arms = read_choice(params)[1].arms()
    queue.submit_all(all_of(arms), params=params)
    idle(queue)
    found = lines_of(store.jobs())
    assert {*found} == {line_id(arm[0]) for arm in arms.values()}
    assert all(line.seeds == (0, 1) for line in found.values())
    names = line_names([*found.values()])
    assert len({*names.values()}) == 3


def test_one_that_never_falls_has_all_its_rounds_and_one_that_is_stopped_goes_on(store, queue):
    (one,) = choice(fall="0.5").arms()["main"]
    queue.submit(one, levels=2)
    idle(queue)
    assert [store.has(key) for key in one.keys] == [True, True, False, False, False]
    assert ended(store, one) == one
    queue.submit(one)
    idle(queue)
    assert ended(store, one) == one.up_to(4)
    assert store.job(one.up_to(4).key).state == "done"
    assert store.job(one.key) is None


def test_many_are_over_when_each_has_ended(store, crew, given):
    asked = [many.Asked(one, PARAMS) for one in all_of(choice(replicates="2").arms())]
    (*_, last) = many.run_all(store, crew, asked, loop="torch")
    assert (last.done, last.of, last.failed) == (7, 7, {})


def test_the_library_trains_no_more_and_says_where_it_ended(store, given, capsys):
    asked = choice(controls="reinit")
    assert len(lt.Run(asked, store.root)) == 2 * 5  # at most
    run = lt.run(asked, store.root, loop="torch")
    assert len(run) == 2 * 3
    assert len(run.table()) == 6
    assert [len(run.levels), len(run.levels_of("reinit"))] == [3, 3]
    assert capsys.readouterr().out.count("level 2") == 2
    assert "Stopped after 2 rounds: validation accuracy 88.00\u202f% is 2.00 points below" in repr(
        run
    )
    assert len(list(run)) == 6
    assert store.job(run.arms["main"][0].key).state == "done"
    assert len(lt.Run(asked, store.root)) == 6


def test_the_end_is_said(command, store, given):
    options = [f"--{name.replace('_', '-')}={text}" for name, text in PARAMS.items()]
    for _ in range(2):
        code, printed = command("run", *options, "--cache", store.root, "--loop", "torch")
        assert code == 0
        assert printed.count("Sparsity in model") == 3
        assert (
            "Stopped after 2 rounds: validation accuracy 88.00\u202f% is 2.00 points below the "
            "dense network's 90.00\u202f%." in printed
        )
    code, printed = command("list", "--cache", store.root)
    assert "3 of 3" in printed


def test_words_of_one_that_did_not_fall_and_of_none():
    until = Until(0.005, rounds_of([0.5, 0.75]))
    infos = functools.partial(judged_info, test=0.9)
    one = [infos(0, validation=0.9), infos(1, validation=0.9), infos(2, validation=0.9)]
    assert in_words(until, {0: one}) == (
        "Went through all 2 rounds: validation accuracy never fell by more than 0.5 points."
    )
    assert in_words(until, {0: one[:2]}) == ""
    assert in_words(until, {0: one[:2], 1: one}).startswith("Each seed stops for itself: seed 1 we")
    assert in_words(until, dict.fromkeys(range(30), one)) == (
        "Each seed stops for itself, where validation accuracy is first more than 0.5 points below "
        "the dense network's: 30 after 2 rounds."
    )


def test_the_explorer_says_at_most_before_and_where_it_ended_after_to_every_visitor(shared, given):
    page = open_page(**PARAMS)
    assert "At most 5 trainings of 12 iterations" in said(page)
    assert page.number_input(key=f"rounds{generation(page)}").label == "Rounds, at most"
    page.button(key="start").click().run()
    idle(shared.queue)
    for one in (page.run(), open_page(**PARAMS)):
        assert not one.exception
        assert "3 trainings of 12 iterations; all are in the cache." in said(one)
        assert "Stopped after 2 rounds: validation accuracy 88.00\u202f% is 2.00 points" in said(
            one
        )
        assert [button.key for button in one.button if button.key in ("start", "stop")] == []
    refused = open_page(**PARAMS | {"validation_size": "0"})
    assert "hold out some training images for validation" in said(refused)


def test_a_sweep_says_at_most_before_and_writes_each_run_as_it_ended(
    command, store, given, crew, monkeypatch, tmp_path
):
    module = import_module("lottery_core.cli.sweep")  # whose name is the command's too
    monkeypatch.setattr(module, "crew_of", lambda *_, **__: crew)
    fields = {name: text for name, text in PARAMS.items() if name != "replicates"}
    options = [f"--{name.replace('_', '-')}={text}" for name, text in fields.items()]
    asked = ("sweep", *options, "--seeds", "0:2", "--cache", store.root, "--loop", "torch")
    assert "2 runs, at most 10 trainings" in command(*asked, "--dry-run")[1]
    code, printed = command(*asked, "--out", tmp_path / "out")
    assert code == 0
    assert "7 of 7 levels are finished." in printed
    table = pd.read_csv(tmp_path / "out" / "levels.csv")
    assert table["seed"].value_counts().to_dict() == {0: 3, 1: 4}
    assert "2 runs, 7 trainings; all are in the cache." in command(*asked, "--dry-run")[1]
