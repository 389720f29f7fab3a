"""The proof of rewinding holds for what was rewound, and for nothing that is off by a bit."""

from dataclasses import replace

import numpy as np
import pytest

from lottery_core.findings.rewinding import proof, rewinding, rewound_to
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.tickets.card import card, gather
from lottery_core.training.context import Context
from tests.pages import open_page, said

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="8", iterations=12, evaluate_every=12, batch_size=16)
TICKET = Experiment(RECIPE, rounds_of([0.5, 0.8], rewind_iteration=10))
REWOUND = ("random-mask", "random-erk", "new-order")
UNTRAINED = ("edge-popup", "learned-mask")


@pytest.fixture(scope="module")
def full(make_store, tmp_path_factory):
    """A store with a ticket and all its arms; nobody writes to it."""
    store = make_store(tmp_path_factory.mktemp("rewinding") / "store")
    for one in (TICKET, *(arm.of(TICKET) for arm in ARMS.values())):
        list(engine.run(one, Context(store, loop="torch")))
    return store


@pytest.fixture
def level(full):
    return full.read(TICKET.key)


@pytest.mark.parametrize("name", ["ticket", *REWOUND])
def test_it_holds_for_every_level_that_rewinds(full, name):
    experiment = TICKET if name == "ticket" else ARMS[name].of(TICKET)
    for key in experiment.keys[1:]:
        level = full.read(key)
        found = proof(full, level)
        assert found.holds
        assert found.iteration == 10
        assert found.kept == level.info.weights_kept
        assert found.kept + found.pruned == level.info.weights_total
        assert found.others == sum(
            values.size for name, values in level.start.items() if name not in level.mask
        )


def test_batch_norm_is_rewound_with_its_running_statistics(store):
    recipe = replace(RECIPE, network="norm 1@5v pool mean")
    experiment = Experiment(recipe, rounds_of([0.5], rewind_iteration=10))
    dense, level = engine.run(experiment, Context(store))
    found = proof(store, level)
    assert found.holds
    assert found.others == 10 + 4  # biases of fc1; of one channel scale, shift, mean and variance
    later = changed(level.start, "norm1.running_var", 0, dense.end["norm1.running_var"][0])
    assert rewinding(level.mask, later, dense.snapshots[10], 10).others_unlike == 1


@pytest.mark.parametrize("name", [name for name in ARMS if name not in REWOUND + UNTRAINED])
def test_what_restarts_from_something_else_has_none(full, name):
    experiment = ARMS[name].of(TICKET)
    assert rewound_to(experiment, 0) is None
    for n, key in enumerate(experiment.keys):
        assert rewound_to(experiment, n) is None
        assert proof(full, full.read(key)) is None


@pytest.mark.parametrize("name", UNTRAINED)
def test_of_a_learned_mask_it_says_that_no_weight_was_trained(full, name):
    for key in ARMS[name].of(TICKET).keys[1:]:
        level = full.read(key)
        found = proof(full, level)
        assert found.holds
        assert (found.iteration, found.kept) == (0, level.info.weights_kept)
        assert found.in_words().startswith("Proof that no weight was trained: at the end all")
        moved = replace(level, end=changed(level.end, "fc1.bias", 0, np.float32(7)))
        assert proof(full, moved).in_words().startswith("Weights were trained: beside")


def test_without_its_dense_network_there_is_none(make_store, tmp_path, full, level):
    alone = make_store(tmp_path / "alone")
    alone.write(TICKET.key, level)
    assert proof(alone, level) is None
    assert "rewinding:" not in card(gather(alone, level))


def changed(arrays, name, at, value):
    values = arrays[name].copy()
    values[at] = value
    return {**arrays, name: values}


@pytest.mark.parametrize("part", ["kept", "others", "pruned"])
def test_it_fails_by_a_single_bit(full, level, part):
    snapshot = full.read(TICKET.keys[0]).snapshots[10]
    name = "fc1.bias" if part == "others" else "fc1.weight"
    kept = level.mask["fc1.weight"]
    at = 0 if part == "others" else tuple(np.argwhere(kept == (part == "kept"))[0])
    nearest = np.nextafter(level.start[name][at], np.float32(9))
    found = rewinding(level.mask, changed(level.start, name, at, nearest), snapshot, 10)
    assert not found.holds
    unlike = {one: getattr(found, f"{one}_unlike") for one in ("kept", "others", "pruned")}
    assert unlike == {"kept": 0, "others": 0, "pruned": 0, part: 1}
    assert found.in_words().startswith(
        "This is no rewinding: beside the dense network at iteration"
    )


def test_a_zero_of_another_sign_is_another_survivor_but_no_revived_weight():
    mask = {"fc1.weight": np.array([[True, False]])}
    start = {"fc1.weight": np.array([[-0.0, -0.0]], np.float32)}
    found = rewinding(mask, start, {"fc1.weight": np.zeros((1, 2), np.float32)}, 0)
    assert (found.kept_unlike, found.pruned_unlike) == (1, 0)


@pytest.mark.parametrize("gone", ["fc1.bias", "fc1.weight"])
def test_what_is_missing_counts_as_unlike(full, level, gone):
    snapshot = full.read(TICKET.keys[0]).snapshots[10]
    less = {name: values for name, values in level.start.items() if name != gone}
    for start, other in ((less, snapshot), (level.start, {**snapshot, "fc9.bias": np.ones(3)})):
        assert not rewinding(level.mask, start, other, 10).holds


def test_another_networks_snapshot_is_no_proof(full, level):
    snapshot = full.read(TICKET.keys[0]).snapshots[10]
    wider = {**snapshot, "fc1.weight": np.zeros((9, 784), np.float32)}
    without = {name: values for name, values in level.start.items() if name != "fc1.weight"}
    for start in (level.start, without):
        found = rewinding(level.mask, start, wider, 10)
        assert found.kept_unlike == level.mask["fc1.weight"].sum()
        assert not found.holds


def test_it_is_held_against_the_iteration_that_was_asked_for(full, level):
    dense = full.read(TICKET.keys[0])
    assert not rewinding(level.mask, level.start, dense.snapshots[0], 0).holds


def test_the_card_says_it(full, level):
    words = "such as biases, are the dense network's at iteration 10, bit for bit; all "
    assert words in card(gather(full, level))
    known = gather(full, level)
    broken = replace(known, rewinding=replace(known.rewinding, kept_unlike=3))
    assert "This is no rewinding" in card(broken)
    assert "rewinding" not in card(gather(full, full.read(ARMS["reinit"].of(TICKET).key)))


def test_the_page_says_it(shared):
    for one in (TICKET, ARMS["reinit"].of(TICKET)):
        list(engine.run(one, Context(shared.store, loop="torch")))
    page = open_page("pages/ticket.py", key=TICKET.key, level="1")
    assert "Proof of rewinding: the restart weights of all" in said(page)
    for asked in ({"key": TICKET.key, "level": "0"}, {"key": ARMS["reinit"].of(TICKET).key}):
        assert "Proof of rewinding" not in said(open_page("pages/ticket.py", **asked))


def test_the_page_says_it_if_it_fails(shared):
    list(engine.run(TICKET, Context(shared.store, loop="torch")))
    level = shared.store.read(TICKET.key)
    wrong = {name: values + np.float32(1) for name, values in level.start.items()}
    shared.store.write(TICKET.key, replace(level, start=wrong))
    page = open_page("pages/ticket.py", key=TICKET.key, level="2")
    assert "This is no rewinding: " in "".join(one.value for one in page.error)
