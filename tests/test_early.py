"""Early birds: distances between masks by their definition, and one cut when they stand still."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery_core.findings.early import cut_in_words, in_words, matrix, settled_by_size
from lottery_core.findings.outcome import Outcome
from lottery_core.method.dynamics import DYNAMICS, Memory, Moving, Sight, looks
from lottery_core.method.early import distance, drawn, stands_still
from lottery_core.report.early_figures import distance_figure, settled_figure
from lottery_core.running import engine
from lottery_core.running.early import measure
from lottery_core.running.looks import evaluations_of, looks_of
from lottery_core.spec.arms import ARMS, title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Distances, LevelDistances, LevelInfo, task_key
from lottery_core.store.measurements import plain_measurement, read_measurement
from lottery_core.training import torch_loop
from lottery_core.training.base import Training, drive
from lottery_core.training.context import Context, Monitor
from lottery_core.training.models import initial_weights
from tests.infos import info_of
from tests.pages import open_page, said
from tests.test_dynamics import Recorder
from tests.test_pages import SMALL, wait_until_done

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="6", iterations=80, evaluate_every=8, batch_size=16)
TICKET = Experiment(RECIPE, rounds_of([0.5, 0.8]))
KEPT = {"fc1.weight": 3, "fc2.weight": 1}


def weights_of(*lists):
    return {f"fc{n}.weight": np.array(one, float) for n, one in enumerate(lists, 1)}


def test_a_mask_is_drawn_by_magnitude_in_each_layer_and_ties_go_to_the_last():
    found = drawn(weights_of([[1, -5, 2], [-2, 2, 0]], [[7, -7]]), KEPT)
    assert found["fc1.weight"].tolist() == [[False, True, False], [True, True, False]]
    assert found["fc2.weight"].tolist() == [[False, True]]


@given(st.integers(0, 99))
def test_distance_is_the_part_of_all_places_that_differ(seed):
    chance = np.random.default_rng(seed)
    one, other = ({"a": chance.random((3, 4)) < 0.5, "b": chance.random(5) < 0.5} for _ in range(2))
    places = [(name, at) for name in one for at in np.ndindex(one[name].shape)]
    differing = [(name, at) for name, at in places if one[name][at] != other[name][at]]
    assert distance(one, other) == len(differing) / 17
    assert distance(one, other) == distance(other, one)
    assert distance(one, one) == 0


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([], False),
        ([0, 0, 0], False),  # five masks are needed
        ([0, 0, 0, 0], True),
        ([0.0999, 0, 0, 0], True),
        ([0.1, 0, 0, 0], False),
        ([0.9, 0.05, 0.05, 0.05, 0.05], True),  # the one before the last five says nothing
        ([0, 0, 0, 0, 0.5], False),
    ],
)
def test_a_mask_has_settled_when_it_is_near_each_of_the_four_before_it(distances, expected):
    assert stands_still(distances) is expected


def test_it_looks_at_evaluations_until_three_quarters_are_done():
    assert list(looks(80, 8)) == [0, 8, 16, 24, 32, 40, 48, 56]
    assert list(looks(80, 60)) == [0, 60]
    assert list(looks(80, 61)) == [0, 60]  # evaluated later alone
    assert list(looks(2, 2)) == [0, 1]
    moving = Moving("early-bird", KEPT, 0, None)
    assert moving.changes(80, 8) == looks(80, 8)
    assert Moving("gradual", KEPT, 0, None).changes(80, 8) != looks(80, 8)


def test_the_rule_keeps_all_until_then_and_never_looks_again():
    rule, memory = DYNAMICS["early-bird"].change, Memory()
    whole = {"fc1.weight": np.ones((2, 3), bool), "fc2.weight": np.ones((1, 2), bool)}
    still = weights_of([[6, 5, 4], [3, 2, 1]], [[1, 2]])
    other = weights_of([[1, 2, 3], [4, 5, 6]], [[2, 1]])
    masks = []
    for iteration, weights in enumerate([other, still, still, still, still, still, other]):
        mask = masks[-1] if masks else whole
        sight = Sight(
            mask, weights, KEPT, iteration / 9, None, None, iteration=iteration, memory=memory
        )
        masks.append(rule(sight))
    assert [mask is whole for mask in masks] == [True] * 5 + [False] * 2
    assert memory.settled == 5
    for mask in masks[5:]:
        np.testing.assert_array_equal(mask["fc1.weight"], [[1, 1, 1], [0, 0, 0]])
        np.testing.assert_array_equal(mask["fc2.weight"], [[0, 1]])


def test_one_that_never_settles_is_cut_at_the_last_look():
    """The recorder's weights are drawn anew at every iteration."""
    whole = {name: np.ones(shape, bool) for name, shape in RECIPE.shapes.items()}
    counts = {name: mask.size // 2 for name, mask in whole.items()}
    network = Recorder(whole)
    training = Training(RECIPE, {}, whole, moving=Moving("early-bird", counts, 0, None))
    trained = drive(training, network, lambda moment: None)
    assert trained.settled is None
    full = [all(now.all() for now in network.masks[at].values()) for at in range(80)]
    assert full == [at < 56 for at in range(80)]
    assert {name: int(now.sum()) for name, now in trained.mask.items()} == counts
    assert trained.explored == 1


@pytest.fixture(scope="module")
def trained(make_store, tmp_path_factory):
    """The ticket and the early bird beside it, in torch; nobody writes to the store."""
    store = make_store(tmp_path_factory.mktemp("early") / "store")
    context = Context(store, loop="torch")
    found = [list(engine.run(one, context)) for one in (TICKET, ARMS["early-bird"].of(TICKET))]
    return store, *found


@pytest.fixture(scope="module")
def masks(trained, mnist):
    """By level, the masks of the dense network at each evaluation: drawn by sorting."""
    _, ticket, _ = trained
    looks = (*range(0, 80, 8),)
    start = Training(RECIPE, initial_weights(RECIPE), ticket[0].mask, snapshots=looks)
    dense = torch_loop.train(start, mnist, lambda moment: None)
    at = [*(dense.snapshots[look] for look in looks), dense.weights]
    found = {}
    for n in (1, 2):
        found[n] = []
        for weights in at:
            flat = []
            for name, kept in ticket[n].mask.items():
                order = np.argsort(abs(weights[name]).ravel(), kind="stable")
                flat.append(np.isin(np.arange(kept.size), order[kept.size - kept.sum() :]))
            found[n].append(np.concatenate(flat))
    return found


def settled_by_hand(masks):
    """The first look that differs at less than a tenth of all places from each of the last four."""
    for n in range(4, len(masks)):
        if all((masks[n] != one).mean() < 0.1 for one in masks[n - 4 : n]):
            return n
    return None


def test_an_arm_is_cut_where_the_dense_networks_mask_settles_to_the_tickets_counts(trained, masks):
    _, ticket, bird = trained
    for n in (1, 2):
        info, look = bird[n].info, settled_by_hand(masks[n][:8])  # in three quarters of 80
        assert info.settled == (None if look is None else 8 * look)
        flat = np.concatenate([kept.ravel() for kept in bird[n].mask.values()])
        np.testing.assert_array_equal(flat, masks[n][7 if look is None else look])
        for name, kept in bird[n].mask.items():
            assert kept.sum() == ticket[n].mask[name].sum()
            assert not bird[n].end[name][~kept].any()
            np.testing.assert_array_equal(bird[n].start[name], ticket[0].start[name])
        assert (info.iterations_trained, info.explored) == (80, 1)
    arms = {"main": (TICKET,), "early-bird": (ARMS["early-bird"].of(TICKET),)}
    runs = {"main": {0: [one.info for one in ticket]}, "early-bird": {0: [o.info for o in bird]}}
    said = " ".join(Outcome(arms, runs).sentences())
    assert f"early bird, {cut_in_words([bird[Outcome(arms, runs).level].info])}, reaches" in said
    assert title_of(arms["early-bird"][0]) == "early bird"


def test_distances_are_those_between_the_masks_of_any_two_evaluations(trained, masks):
    store, ticket, _ = trained
    told = []
    context = Context(store, loop="torch", monitor=Monitor(report=told.append))
    found = measure(TICKET, context)
    assert found.looks == (*range(0, 81, 8),)
    assert told == [*range(11)]
    for level in found.levels:
        expected = masks[level.level]
        hamming = [[(one != other).mean() for one in expected] for other in expected]
        np.testing.assert_allclose(matrix(level, found.total), hamming, atol=1e-12)
        look = settled_by_hand(expected)
        assert level.settled == (None if look is None else 8 * look)
        assert level.kept == ticket[level.level].info.weights_kept
    plain = json.loads(json.dumps(plain_measurement(found)))
    assert read_measurement(task_key("early", TICKET.key), plain) == found


def test_of_many_evaluations_some_are_shown_and_all_are_looked_at(trained):
    often = replace(TICKET, recipe=replace(RECIPE, evaluate_every=1))
    assert len(evaluations_of(often)) == 81
    shown = looks_of(often)
    assert (len(shown), shown[0], shown[-1]) == (40, 0, 80)
    assert looks_of(TICKET) == evaluations_of(TICKET)


def distances(**settled):
    levels = tuple(
        LevelDistances(
            level=n, kept=kept, settled=at, differing=tuple((kept // 2,) * n for n in range(5))
        )
        for n, (kept, at) in enumerate(settled.values(), 1)
    )
    return Distances(total=1_000, seed=3, looks=(0, 2, 4, 6, 8), levels=levels)


def test_what_is_measured_is_said_and_what_says_nothing_is_named():
    found = distances(a=(500, 4), b=(200, 6), c=(100, None), d=(50, 4))
    words = in_words(found)
    assert "from iteration 4 of 8 on where it keeps 50\u202f% of the weights, from 6 on" in words
    assert "At 1 of 4 sizes it never does. At 1 of 4 sizes this says nothing: masks that" in words
    assert words.endswith("One training, seed 3.")
    assert settled_by_size(found) == ([50.0, 20.0], [4, 6])
    assert "prunes nothing" in in_words(distances())
    few = replace(found, looks=(0, 4, 8))
    assert "It takes 5 masks to see" in in_words(few)
    assert "has 3 evaluations: choose more" in in_words(few)


def test_distances_are_drawn_in_percent_with_where_they_settled():
    one = distances(a=(500, 8))
    figure = distance_figure(one.looks, matrix(one.levels[0], 1_000), 8)
    np.testing.assert_allclose(figure.data[0].z, 25 * (1 - np.eye(5)))
    assert (
        "differ at up to 25.0 % of all places; the mask has settled at iteration 8"
        in (figure.layout.meta["alt"])
    )
    assert "has not settled" in distance_figure([0, 8], [[0, 0], [0, 0]]).layout.meta["alt"]
    assert list(settled_figure([50.0, 20.0], [4, 6], 8).data[-1].y) == [4, 6]
    assert "none has" in settled_figure([], [], 8).layout.meta["alt"]


def test_the_stability_page_measures_when_masks_stand_still(shared):
    params = SMALL | {"length": "20", "evaluate_every": "2"}
    experiment = read_choice(params)[1].experiment()
    shared.queue.submit(experiment, params=params)
    wait_until_done(shared, experiment.key)
    page = open_page("pages/stability.py", key=experiment.key)
    assert "draws masks at each of its 11 evaluations" in said(page)
    assert "Not measured yet. A picture will show" in said(page)
    page.button(key="measure_early").click().run()
    key = task_key("early", experiment.key)
    wait_until_done(shared, key)
    page.run()
    assert not page.exception
    found = shared.store.read_measurement(key)
    assert in_words(found) in said(page)
    assert not any(button.key == "measure_early" for button in page.button)
    assert any(button.key == "measure" for button in page.button)  # the other part's
    page.selectbox[1].select_index(1).run()
    link = {"key": experiment.key, "size": "1"}
    assert page.query_params == link
    assert open_page("pages/stability.py", **link).selectbox[1].index == 1
    (run,) = shared.shelf.look().runs
    assert run.measured == ("early",)


def test_a_level_from_before_is_read_and_says_nothing_of_it():
    plain = info_of().as_dict()
    assert plain.pop("settled") is None
    info = LevelInfo.from_dict(plain)
    assert info.settled is None
    assert cut_in_words([info]) == ""


def test_several_seeds_are_told_with_how_many_never_settled():
    experiment = ARMS["early-bird"].of(TICKET).as_dict()
    told = [info_of(level=2, experiment=experiment, settled=at) for at in (32, 48, None)]
    assert cut_in_words(told[:1]) == "cut at iteration 32, where its mask had settled"
    assert cut_in_words(told) == (
        "cut at iteration 32 to 48, where its mask had settled; in 1 of 3 seeds at the last look, "
        "56, unsettled"
    )
    assert cut_in_words(told[2:]) == "cut at iteration 56, the last look, without having settled"
