"""What is ready, whose turn it is, and that what several want is done once."""

from dataclasses import replace

import pytest

from lottery_core.running.forecast import played
from lottery_core.running.graph import Graph
from lottery_core.running.parts import parts_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Job, task_key

RECIPE = Recipe(network="8", iterations=100, batch_size=16)
ROUNDS = rounds_of([0.5, 0.75, 0.875])


def run(seed=0, control="", rounds=ROUNDS):
    return Experiment(replace(RECIPE, seed=seed), rounds, control)


def job(experiment, visitor="", task="run"):
    key = task_key(task, experiment.key)
    return Job(key, "queued", "", 0.0, experiment.as_dict(), visitor=visitor, task=task)


def nothing(key):
    return False


def ask(graph, experiment, visitor="", task="run", is_there=nothing):
    asked = job(experiment, visitor, task)
    graph.add(asked, parts_of(experiment, task, is_there))
    return asked.key


def taken(graph):
    """The keys of all that is ready, begun in turn."""
    found = []
    while entry := graph.take():
        found.append(entry[0].key)
    return found


def test_a_control_needs_its_trunks_levels_but_not_the_last_and_a_measurement_all_of_its_own():
    trunk, control = run(), run(control="reinit")
    parts = {part.key: set(part.needs) for part in parts_of(control, "run", nothing)}
    dense, first, second, third = trunk.keys
    assert third not in parts
    assert parts[control.keys[1]] == {dense}
    assert parts[control.keys[2]] == {dense, first}
    assert parts[control.keys[3]] == {dense, second}
    assert parts[second] == {dense, first}
    *levels, last = parts_of(trunk, "measure", nothing)
    assert [part.key for part in levels] == [*trunk.keys]
    assert set(last.needs) == set(trunk.keys)


def test_a_transplanted_mask_waits_for_the_dense_network_that_takes_it():
    control, donor = run(control="permuted", rounds=ROUNDS[:1]), run(seed=1, rounds=())
    parts = {part.key: part for part in parts_of(control, "run", nothing)}
    assert parts.keys() == {*control.keys, donor.key}
    assert set(parts[control.key].needs) == {control.keys[0], donor.key}
    assert parts[donor.key].experiment == donor
    graph = Graph()
    ask(graph, control)
    assert set(taken(graph)) == {control.keys[0], donor.key}
    # It is what another run begins with, and gone it is done again.
    again = parts_of(control, "run", nothing, {donor.key})
    assert [part.key for part in again] == [donor.key]


def test_only_what_is_missing_is_done_and_what_it_goes_on_from():
    trunk, control = run(), run(control="reinit")
    there = {*trunk.keys, *control.keys[:3]}
    assert [part.key for part in parts_of(control, "run", there.__contains__)] == [control.key]
    there = {control.keys[1], control.keys[2]}  # the trunk's levels have been removed
    found = [part.key for part in parts_of(control, "run", there.__contains__)]
    assert found == [*trunk.keys[:3], control.key]


def test_controls_are_ready_as_soon_as_the_level_before_is_done():
    graph, trunk, control = Graph(), run(), run(control="reinit")
    ask(graph, trunk)
    ask(graph, control)
    assert taken(graph) == [trunk.keys[0]]
    graph.done(trunk.keys[0])
    assert taken(graph) == [trunk.keys[1], control.keys[1]]
    graph.done(control.keys[1])
    assert taken(graph) == []
    graph.done(trunk.keys[1])
    assert taken(graph) == [trunk.keys[2], control.keys[2]]


def test_what_two_jobs_share_is_done_once_and_ends_both():
    graph, short, longer = Graph(), run(rounds=ROUNDS[:1]), run(rounds=ROUNDS[:2])
    one, two = ask(graph, short), ask(graph, longer)
    ended = []
    for key in longer.keys:
        assert taken(graph) == [key]
        ended.append(graph.done(key))
    assert ended == [[], [one], [two]]


def test_visitors_take_turns_and_one_visitors_jobs_come_in_their_order():
    graph = Graph()
    for seed, visitor in enumerate("aab"):
        ask(graph, run(seed), visitor)
    dense = [run(seed).keys[0] for seed in range(3)]
    assert taken(graph) == [dense[0], dense[2], dense[1]]


def test_a_dropped_job_takes_only_what_nobody_else_wants():
    graph, trunk, control = Graph(), run(), run(control="reinit")
    one, two = ask(graph, trunk), ask(graph, control)
    taken(graph)
    graph.done(trunk.keys[0])
    assert taken(graph) == [trunk.keys[1], control.keys[1]]
    assert graph.drop(two) == [control.keys[1]]
    graph.again(control.keys[1])
    graph.done(trunk.keys[1])
    assert taken(graph) == [trunk.keys[2]]
    assert graph.drop(one) == [trunk.keys[2]]
    graph.again(trunk.keys[2])
    assert taken(graph) == []


def test_levels_that_are_gone_when_they_are_needed_are_done_first():
    graph, trunk, control = Graph(), run(), run(control="reinit")
    there = {*trunk.keys[:3]}
    key = ask(graph, control, is_there=there.__contains__)
    assert taken(graph) == [*control.keys[1:]]
    gone = {trunk.keys[1]}
    graph.lacks(control.keys[2], gone, lambda one: one in there - gone)
    assert taken(graph) == [trunk.keys[1]]
    graph.done(control.keys[1])
    graph.done(control.keys[3])
    graph.done(trunk.keys[1])
    assert taken(graph) == [control.keys[2]]
    assert graph.done(control.keys[2]) == [key]


def test_what_died_is_ready_again_and_no_place_is_lost():
    graph = Graph()
    first, second = run(0), run(1)
    ask(graph, first)
    ask(graph, second)
    assert graph.take()[0].key == first.keys[0]
    graph.again(first.keys[0])
    assert graph.take()[0].key == first.keys[0]


@pytest.mark.parametrize(("workers", "ends"), [(1, 70.0), (2, 40.0), (8, 40.0)])
def test_a_run_and_its_control_take_the_longer_of_the_chain_and_the_work(workers, ends):
    both = run(), run(control="reinit")
    asked = [(job(one), parts_of(one, "run", nothing)) for one in both]
    seconds = {part.key: 10.0 for _, parts in asked for part in parts}
    found = played(asked, seconds, (0.0,) * workers)
    assert max(one.ends for one in found.values()) == ends
