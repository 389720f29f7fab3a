"""Whatever happens to a job ends up in its record."""

import os
import threading
import time
from dataclasses import replace

import numpy as np

from lottery_core.data import arrays
from lottery_core.findings import walk as story
from lottery_core.running import engine, pace, worker
from lottery_core.running.parts import Work, parts_of
from lottery_core.running.time_left import seconds_of_level
from lottery_core.running.worker import perform, perform_part, warm
from lottery_core.spec.arms import at
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Job
from lottery_core.training import loops


def job_of(experiment, **changes):
    job = Job(experiment.key, "queued", "queue", time.time(), experiment.as_dict())
    return replace(job, **changes)


def test_a_job_that_ends_well_is_done_and_was_seen_running(store, tiny):
    seen = []
    ended = perform(store, job_of(tiny), show=lambda level: seen.append(store.job(tiny.key)))
    assert [(job.state, job.process) for job in seen] == [("running", os.getpid())] * 3
    assert (ended.state, ended.message) == ("done", "")
    assert ended.submitted <= ended.started <= ended.finished
    assert store.job(tiny.key) == ended
    assert all(store.has(key) for key in tiny.keys)


def test_a_cancelled_job_says_so_and_keeps_its_finished_levels(store, tiny):
    ended = perform(store, job_of(tiny), show=lambda level: store.request_cancel(tiny.key))
    assert ended.state == store.job(tiny.key).state == "cancelled"
    assert store.has(tiny.keys[0])
    assert not store.has(tiny.keys[1])


def test_a_diverged_job_fails_with_the_remedy(store):
    recipe = Recipe(learning_rate=10, weight_decay=1, iterations=500, evaluate_every=250)
    ended = perform(store, job_of(Experiment(recipe)))
    assert ended.state == "failed"
    assert ended.message.endswith("choose a learning rate below 10")


def test_a_job_whose_data_cannot_be_had_fails_with_both_ways(store, tmp_path):
    experiment = Experiment(Recipe(dataset="emnist-digits"))
    ended = perform(store, job_of(experiment), folder=tmp_path)
    assert ended.state == "failed"
    assert "lacks emnist-digits-train-images-idx3-ubyte.gz" in ended.message


def test_a_job_for_a_device_that_is_not_here_fails_with_those_that_are(store, tiny):
    ended = perform(store, job_of(tiny, device="tpu"))
    assert (ended.state, ended.message) == (
        "failed", f"device='tpu' is not here; choose one of {', '.join(worker.devices())}"
    )  # fmt: skip


def test_a_record_that_breaks_a_rule_fails_with_the_rule(store, tiny):
    broken = tiny.as_dict()
    broken["recipe"]["batch_size"] = 0
    ended = perform(store, replace(job_of(tiny), experiment=broken))
    assert ended.state == "failed"
    assert ended.message.startswith("batch_size=0 must be a whole number")


def test_a_fault_of_ours_reaches_the_record_too(store, tiny, monkeypatch, capsys):
    def fail(*args, **options):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(engine, "train", fail)
    assert perform(store, job_of(tiny)).message == "ZeroDivisionError: ours"
    assert store.job(tiny.key).state == "failed"
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_of_the_output_that_goes_away_stops_the_job(store, tiny):
    def show(level):
        raise SystemExit(1)  # as rich does

    assert perform(store, job_of(tiny), show=show).state == "cancelled"
    assert store.job(tiny.key).state == "cancelled"
    assert store.has(tiny.keys[0])


def test_the_same_job_asked_of_two_workers_is_performed_by_one_after_the_other(store, tiny):
    first = threading.Event()
    other = threading.Thread(target=perform, args=(store, job_of(tiny)))

    def show(level):
        if not first.is_set():
            first.set()
            other.start()
            time.sleep(0.3)
            assert store.job(tiny.key).started == started[0]

    started = []
    write = store.write_job

    def noted(job):
        started.append(job.started)
        write(job)

    store.write_job = noted
    perform(store, job_of(tiny), show=show)
    other.join(60)
    # running and done of the one, then running and done of the other
    assert len(started) == 4
    assert started[0] == started[1] < started[2] == started[3]


def test_waiting_for_another_worker_can_be_cancelled(store, tiny):
    store.request_cancel(tiny.key)
    with store.held(f"job-{tiny.key}"):
        assert perform(store, job_of(tiny)).state == "cancelled"


def test_a_transplanted_mask_is_trained_after_the_dense_network_that_takes_it(store, tiny):
    control = at("permuted", tiny, 1)
    *before, last = parts_of(control, "run", store.has)
    lacking = perform_part(store, Work(last))
    assert (lacking.state, set(lacking.lacks)) == ("lacks", {control.keys[0], control.donor.key})
    assert [perform_part(store, Work(part)).state for part in (*before, last)] == ["done"] * 3
    level, donor = store.read(control.key), store.read(control.donor.key)
    for name, kept in level.mask.items():
        np.testing.assert_array_equal(level.start[name], np.where(kept, donor.start[name], 0))


def test_warming_up_measures_this_machine_once(store, monkeypatch):
    monkeypatch.setattr(worker.os, "nice", lambda more: None)  # not for the tests that follow
    loaded = threading.Event()
    monkeypatch.setattr(loops, "prepare", lambda store: loaded.set())
    warm(store.root)
    assert loaded.wait(60)  # beside the first job
    facts = store.read_machine()
    assert facts["devices"][0] == "cpu"
    assert facts["evaluation"] > 0
    assert all(seconds > 0 for _, seconds in facts["step"])
    assert all(min(row) > 0 for row in facts["convolutions"])
    lenet = Experiment(Recipe(network="lenet-5"), rounds_of([0.5]))
    assert 0.1 < seconds_of_level(facts, lenet, 1) < 36_000
    experiment = Experiment(Recipe(), rounds_of([0.5]))
    assert 0.1 < seconds_of_level(facts, experiment, 1) < 3_600
    # What a newcomer runs first finds its images scaled already.
    scaled = arrays._arrays.cache_info().misses
    for choice in (PRESETS["quick"].choice, story.read_story({})[1]):
        arrays.load_data(choice.recipe(), store.datasets)
    assert arrays._arrays.cache_info().misses == scaled

    monkeypatch.setattr(pace, "measure", lambda *_: {"step": "anew"})
    warm(store.root)
    assert store.read_machine() == facts
    store.revise_machine(lambda facts: {**facts, "torch": "another"})
    warm(store.root)
    assert store.read_machine()["step"] == "anew"
    store.revise_machine(lambda facts: {**facts, "convolutions": []})
    monkeypatch.setattr(pace, "measure", lambda *_: {"convolutions": "anew"})
    warm(store.root)
    assert store.read_machine()["convolutions"] == "anew"
