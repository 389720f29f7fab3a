"""Between a ticket and other networks of its mask lies what the networks on the line get wrong."""

from dataclasses import replace

import numpy as np
import pytest

from lottery_core.method.masks import apply
from lottery_core.running import barriers, engine, instability
from lottery_core.running.instability import path_of
from lottery_core.running.parts import Outcome, Work, parts_of
from lottery_core.running.worker import perform_part
from lottery_core.spec.arms import ARMS
from lottery_core.spec.barriers import ENDS, trained_ends
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Job, PartsDone, task_key
from lottery_core.training.context import Context
from tests.parts import do


def job_for(experiment):
    key = task_key("barriers", experiment.key)
    return Job(key, "queued", "", 0.0, experiment.as_dict(), task="barriers")


@pytest.fixture
def few(mnist, monkeypatch):
    """MNIST with 200 images to be judged on."""
    data = replace(
        mnist,
        validation_index=mnist.validation_index[:50],
        test_images=mnist.test_images.take(slice(200)),
        test_labels=mnist.test_labels[:200],
    )
    monkeypatch.setattr(instability, "TRAIN_IMAGES", 200)
    for module in (engine, barriers):
        monkeypatch.setattr(module, "load_data", lambda *asked, **how: data)
    return data


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def nothing(key):
    return False


def test_the_other_ends_are_the_arms_own_levels(tiny):
    found = trained_ends(tiny)
    assert [*found] == [end for end in ENDS if end != "pruned"]
    for arm, experiment in found.items():
        assert experiment.key == ARMS[arm].of(tiny).key


@pytest.mark.parametrize("rounds", [(), rounds_of([0.5], restart="keep")], ids=["dense", "kept"])
def test_what_is_no_ticket_has_no_barriers(tiny, rounds):
    with pytest.raises(InvalidValue, match="choose a run that prunes and rewinds"):
        trained_ends(Experiment(tiny.recipe, rounds))


def test_a_job_needs_its_levels_the_arms_and_the_other_dense_network(tiny):
    *levels, last = parts_of(tiny, "barriers", nothing)
    arms = [arm.key for arm in trained_ends(tiny).values()]
    assert {part.key for part in levels} == {*tiny.keys, tiny.donor.key, *arms}
    assert set(last.needs) == {part.key for part in levels}
    gone = parts_of(tiny, "barriers", lambda key: key != arms[1], [arms[1]])
    assert [part.key for part in gone] == [arms[1]]


@pytest.mark.parametrize("network", ["8 6", "norm 2@3 pool 3@3 mean"])
def test_each_line_has_one_mask_and_the_ticket_at_its_beginning(store, few, network):
    recipe = Recipe(network=network, iterations=4, evaluate_every=4, batch_size=8)
    experiment = Experiment(recipe, rounds_of([0.3, 0.6]))
    for one in (experiment.donor, experiment, *trained_ends(experiment).values()):
        list(engine.run(one, Context(store, loop="torch")))
    *_, before, ticket = engine.run(experiment, Context(store))
    found = {end: (one, other) for end, one, other in barriers.ends(experiment, store)}
    assert tuple(found) == ENDS
    arms = trained_ends(experiment)
    for end, (one, other) in found.items():
        mask = ticket.mask if end == "pruned" else store.read(arms[end].key).mask
        for name, kept in mask.items():
            assert not one[name][~kept].any()
            assert not other[name][~kept].any()
        if end != "permuted":
            assert same(one, ticket.end)
            assert same(mask, ticket.mask)
        if end != "pruned":
            assert same(other, store.read(arms[end].key).end)
        # In another order of its units the ticket names every image as it did.
        line, own = (path_of(recipe, each, other, few) for each in (one, ticket.end))
        assert line.test_error[0] == pytest.approx(own.test_error[0], abs=0.005)
    assert same(found["pruned"][1], apply(before.end, ticket.mask))


def test_a_job_trains_what_is_missing_and_measures_every_line(store, tiny, few):
    seen = []
    write = store.write_progress

    def noted(key, progress):
        if key.startswith("barriers") and isinstance(progress, PartsDone):
            seen.append((progress.done, progress.of))
        write(key, progress)

    store.write_progress = noted
    job = job_for(tiny)
    assert do(store, job) == Outcome("done")
    assert seen == [(n, len(ENDS)) for n in range(len(ENDS))]
    found, ticket = store.read_measurement(job.key), store.read(tiny.key)
    assert [line.end for line in found.lines] == [*ENDS]
    assert (found.level, found.kept) == (2, ticket.info.weights_kept)
    assert (found.total, found.seed) == (tiny.recipe.weights_total, tiny.recipe.seed)
    arms = trained_ends(tiny)
    for line in found.lines:
        assert line.test_error[0] == pytest.approx(1 - ticket.info.test_accuracy, abs=2.5e-4)
        if line.end in arms:
            accuracy = store.read(arms[line.end].key).info.test_accuracy
            assert line.test_error[-1] == pytest.approx(1 - accuracy, abs=2.5e-4)
        errors = line.test_error
        assert line.instability_test == max(errors) - (errors[0] + errors[-1]) / 2


def test_an_arm_that_was_deleted_meanwhile_is_trained_again(store, tiny, few):
    assert do(store, job_for(tiny)).state == "done"
    gone = trained_ends(tiny)["reinit"].key
    store.drop_level(gone)
    *_, last = parts_of(tiny, "barriers", nothing)
    assert perform_part(store, Work(last)) == Outcome("lacks", lacks=(gone,))
    assert do(store, job_for(tiny)).state == "done"
    assert store.has(gone)
