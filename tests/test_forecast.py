"""What a visitor is told of the queue is what the queue then does."""

from dataclasses import replace

import pytest

from lottery_core.running.forecast import Queued, forecast
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Job

RECIPE = Recipe(network="8", iterations=1_000, batch_size=16)


@pytest.fixture
def timed(store, monkeypatch):
    """A store on a machine where each training takes 10 s."""
    monkeypatch.setattr(
        "lottery_core.running.forecast.seconds_of_level", lambda *args, **options: 10.0
    )
    return store


def ask(visitor: str, seed: int, state: str = "queued", rounds: int = 1):
    experiment = Experiment(
        replace(RECIPE, seed=seed), rounds_of([1 - 0.5**n for n in range(1, rounds + 1)])
    )
    job = Job(experiment.key, state, "", 0.0, experiment.as_dict(), visitor=visitor)
    return job, experiment


def expected(store, asked, workers: int = 1):
    return forecast(store, Queued((0.0,) * workers, tuple(job for job, _ in asked)))


def test_one_visitors_runs_follow_each_other(timed):
    jobs = [ask("a", seed) for seed in range(3)]
    found = [expected(timed, jobs, 1)[job.key] for job, _ in jobs]
    assert [(one.begins, one.ends) for one in found] == [(0, 20), (20, 40), (40, 60)]


def test_visitors_share_a_worker_training_by_training(timed):
    jobs = [ask("a", 0, "running", rounds=3), ask("b", 1), ask("c", 2)]
    a, b, c = (expected(timed, jobs, 1)[job.key] for job, _ in jobs)
    # a 0 | b 0 | c 0 | a 1 | b 1 | c 1 | a 2 and 3
    assert (b.begins, c.begins) == (10, 20)
    assert (b.ends, c.ends, a.ends) == (50, 60, 80)


def test_the_sixth_is_told_of_the_five_before_it(timed):
    jobs = [ask(str(n), n, rounds=6) for n in range(6)]
    found = expected(timed, jobs, 2)
    last = found[jobs[5][0].key]
    assert last.begins == 20
    assert last.ends == 6 * 7 * 10 / 2


def test_what_two_runs_share_is_reckoned_once(timed):
    (job, experiment), (other, longer) = ask("a", 0, rounds=1), ask("a", 0, rounds=2)
    assert experiment.keys[0] == longer.keys[0]
    found = expected(timed, [(job, experiment), (other, longer)], 1)
    assert max(one.ends for one in found.values()) == 30


def test_nothing_is_told_while_a_time_is_not_known(store):
    assert expected(store, [ask("a", 0)]) == {}
