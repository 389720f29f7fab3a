"""Which loop trains a level: asked for by name, or the faster one by this machine's costs."""

import os
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery_core.data import load_data
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.method.pruning import prune
from lottery_core.running.engine import run
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Store
from lottery_core.training import calibration, loops
from lottery_core.training.base import Training
from lottery_core.training.calibration import DENSITIES, Costs, costs_of
from lottery_core.training.context import Context, Monitor
from lottery_core.training.models import initial_weights
from tests.reference import settled

RECIPE = Recipe(network="8", iterations=12, evaluate_every=6, batch_size=16)
LAYERS = ("fc1.weight", "fc2.weight")


def nobody(moment):
    """Nobody looks."""


def costs(*, torch=2.0, compiled=1.0):
    """Costs of which the sparse form is the cheaper one below a density of 0.55."""
    sparse = [0.1, 0.2, 0.4, 0.6]
    return Costs(torch, compiled, dict.fromkeys(LAYERS, 0.5), dict.fromkeys(LAYERS, sparse))


@pytest.fixture
def unprepared(monkeypatch):
    """A process that has not loaded the compiled loop."""
    monkeypatch.setattr(loops, "_loaded", threading.Event())


@pytest.fixture
def prepared(unprepared, monkeypatch):
    """A process that has, on a machine with costs made up by the test."""

    def give(known):
        monkeypatch.setattr(calibration, "costs_of", lambda *args, **options: known)

    loops._loaded.set()
    give(costs())
    return give


def train(store, data, density=1.0, **options):
    """The loop that was used for RECIPE with this part of its weights kept."""
    draw = np.random.default_rng(0)
    mask = {
        name: draw.random(kept.shape) < density for name, kept in dense_mask(RECIPE.shapes).items()
    }
    start = apply(initial_weights(RECIPE), mask)
    monitor = Monitor(**{name: options.pop(name) for name in ("check", "say") if name in options})
    context = Context(store, monitor=monitor, **options)
    return loops.train(Training(RECIPE, start, mask), data, nobody, context)[1]


# Names


def test_a_loop_that_does_not_exist_is_refused_with_those_that_do(store, mnist):
    with pytest.raises(
        InvalidValue, match="loop='fastest' is unknown; choose one of auto, torch, compiled"
    ):
        train(store, mnist, loop="fastest")


@pytest.mark.usefixtures("prepared")
def test_the_compiled_loop_on_another_device_is_refused_with_the_remedy(store, mnist):
    with pytest.raises(
        InvalidValue, match=r"loop='compiled' runs on the CPU only; set device=cpu instead of mps"
    ):
        train(store, mnist, loop="compiled", device="mps")


@pytest.mark.usefixtures("prepared")
def test_another_device_is_left_to_torch(store, mnist):
    with pytest.raises(InvalidValue, match="device='abacus' is not here"):
        train(store, mnist, loop="auto", device="abacus")


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("loop", ["torch", "compiled"])
def test_the_loop_asked_for_is_the_one_used_whatever_it_costs(store, mnist, prepared, loop):
    for known in (costs(torch=9), costs(torch=0.01)):
        prepared(known)
        assert train(store, mnist, loop=loop) == loop


# The faster one


@pytest.mark.usefixtures("unprepared")
def test_until_the_compiled_loop_is_loaded_torch_trains_at_once(store, mnist):
    said = []
    assert train(store, mnist, say=said.append) == "torch"
    assert said == []
    assert "costs" not in store.read_machine()


def test_the_faster_loop_is_used_and_which_is_the_faster_depends_on_the_density(
    store, mnist, prepared
):
    prepared(costs(torch=0.7, compiled=1))
    assert train(store, mnist, density=1) == "torch"
    assert train(store, mnist, density=0.5) == "torch"  # 0.93
    assert train(store, mnist, density=0.2) == "compiled"  # 0.4


@pytest.fixture
def compiler(unprepared, monkeypatch, tmp_path):
    """Puts a shell script in the place of the process that compiles, on a new machine."""

    def give(script):
        path = tmp_path / "compiler"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path))

    monkeypatch.setattr(loops.kept, "is_ready", lambda *_: False)
    return give


def test_a_loop_that_has_to_be_loaded_first_says_what_is_waited_for(store, mnist, compiler):
    compiler("exit 0")
    said = []
    assert train(store, mnist, loop="compiled", say=said.append) == "compiled"
    assert [words.split()[0] for words in said] == ["compiling", "measuring"]
    assert train(store, mnist, loop="auto", say=said.append) in ("torch", "compiled")
    assert len(said) == 2


def test_waiting_for_the_compiler_can_be_cancelled_and_leaves_no_process(
    store, mnist, compiler, tmp_path
):
    class Stop(Exception):
        pass

    def check():
        if noted.exists() and noted.read_text().endswith("\n"):
            raise Stop

    noted = tmp_path / "process"
    compiler(f"echo $$ > {noted}\nexec sleep 60")
    with pytest.raises(Stop):
        train(store, mnist, loop="compiled", check=check)
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)
    assert train(store, mnist, loop="auto") == "torch"


def test_a_machine_that_cannot_compile_says_why_and_what_to_do(store, mnist, compiler):
    compiler("echo 'no such register' >&2; exit 3")
    with pytest.raises(RuntimeError, match=r"choose loop=torch\. .* said: no such register$"):
        train(store, mnist, loop="compiled")
    assert train(store, mnist, loop="auto") == "torch"


# Costs


shares = st.floats(1e-6, 1)
measured = st.builds(
    lambda torch, compiled, dense, sparse: Costs(
        torch,
        compiled,
        dict(zip(LAYERS, dense, strict=True)),
        dict(zip(LAYERS, sparse, strict=True)),
    ),
    shares,
    shares,
    st.tuples(shares, shares),
    # Whatever order: a disturbed measurement may call a sparser layer the slower one.
    st.tuples(*[st.lists(shares, min_size=len(DENSITIES), max_size=len(DENSITIES))] * 2),
)


def mask_with(*kept):
    return {name: np.arange(200) < count for name, count in zip(LAYERS, kept, strict=True)}


@given(measured, st.lists(st.tuples(*[st.integers(0, 200)] * 4), min_size=1, max_size=5))
def test_fewer_weights_never_cost_more_and_never_leave_the_sparse_form(known, pairs):
    for a, b, c, d in pairs:
        more, fewer = mask_with(max(a, b), max(c, d)), mask_with(min(a, b), min(c, d))
        assert known.compiled_at(fewer) <= known.compiled_at(more) + 1e-12
        before, after = known.forms(more), known.forms(fewer)
        assert all(after[name] for name in LAYERS if before[name])


@given(measured)
def test_a_whole_layer_is_dense_and_a_whole_network_costs_what_was_measured(known):
    assert known.forms(mask_with(200, 200)) == dict.fromkeys(LAYERS, False)
    assert known.compiled_at(mask_with(200, 200)) == known.compiled


def test_a_layer_takes_the_form_that_was_the_faster_one():
    assert costs().forms(mask_with(100, 120)) == {"fc1.weight": True, "fc2.weight": False}
    assert costs().sparse_at("fc1.weight", 0.3) == pytest.approx(0.3)
    assert costs().compiled_at(mask_with(40, 10)) == pytest.approx(1 - 0.3 - 0.4)


def test_costs_are_measured_once_for_each_kind_of_recipe_and_kept(store, mnist, monkeypatch):
    measurements, measure = [], calibration._measure

    def counted(*args):
        measurements.append(1)
        return measure(*args)

    monkeypatch.setattr(calibration, "_measure", counted)
    store.revise_machine(lambda facts: {"processor": "abacus"})
    one = costs_of(RECIPE, mnist, store)
    again = costs_of(replace(RECIPE, seed=1, learning_rate=0.1), mnist, Store(store.root))
    assert again == one
    assert len(measurements) == 1
    assert store.read_machine()["processor"] == "abacus"
    assert min(one.torch, one.compiled, *one.dense.values()) > 0
    for seconds in one.sparse.values():
        assert min(seconds) > 0
        assert len(seconds) == len(DENSITIES)

    costs_of(replace(RECIPE, batch_size=8), mnist, store)
    assert len(measurements) == 2
    assert costs_of(RECIPE, mnist, store) == one
    assert len(measurements) == 2


# Results


def test_a_level_says_which_loop_trained_it_and_serves_either(store, prepared):
    experiment = Experiment(RECIPE, rounds_of([0.5]))
    dense, pruned = run(experiment, Context(store, loop="compiled"))
    assert dense.info.loop == pruned.info.loop == "compiled"
    levels = run(experiment, Context(store, loop="torch"))
    assert [level.info.loop for level in levels] == ["compiled", "compiled"]


@pytest.mark.usefixtures("prepared")
def test_both_loops_find_the_same_ticket_but_for_ties(make_store, datasets, tmp_path):
    recipe, _, dense, reference, _ = settled(
        lambda recipe: (initial_weights(recipe), dense_mask(recipe.shapes)),
        lambda recipe: load_data(recipe, datasets),
        Recipe(network="12", batch_size=8, iterations=60, evaluate_every=60),
    )
    (step,) = rounds_of([0.5])
    for loop in ("torch", "compiled"):
        store = make_store(tmp_path / loop)
        _, ticket = run(Experiment(recipe, (step,)), Context(store, loop=loop))
        trained = reference.weights
        expected = prune(Evidence(trained, trained, dense), step.criterion, step.targets([*dense]))
        for name, kept in expected.items():
            found, magnitudes = ticket.mask[name], np.abs(trained[name])
            # Rounding can only swap weights whose magnitudes it makes equal.
            swapped = magnitudes[found != kept] - magnitudes[~kept].max()
            assert np.abs(swapped).max(initial=0) < 2e-5 * magnitudes.max()
            assert found.sum() == kept.sum()
