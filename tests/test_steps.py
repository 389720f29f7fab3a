"""Step by step: what a round does to the weights is what training after it begins with, and nothing
is trained before its visitor is there."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lottery_core.findings.steps import BARS, figure, steps_of, why_not
from lottery_core.method.criteria import CRITERIA
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.running import engine
from lottery_core.running.parts import asked_by
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.spec.symmetries import axes_of
from lottery_core.spec.terms import SCOPES_OF_UNITS
from lottery_core.store import Job
from lottery_core.training.context import Context
from tests.pages import open_page, said
from tests.test_pages import SMALL, wait_until_done
from ui.explorer.stepping import Place

pytestmark = pytest.mark.usefixtures("judged_on_few")

OPTIONS = [
    {},
    {"scope": "global"},
    {"scope": "erk"},
    {"criterion": "movement", "restart": "keep"},
    {"criterion": "random", "restart": "reinit"},
    {"restart": "signs"},
    {"restart": "new-signs"},
]


@pytest.fixture
def trained(store, tiny):
    def train(**options):
        experiment = Experiment(tiny.recipe, rounds_of([0.5, 0.75], **options))
        return experiment, [*engine.run(experiment, Context(store))]

    return train


@pytest.mark.parametrize("options", OPTIONS)
def test_a_round_is_what_the_next_level_begins_with(trained, options):
    experiment, levels = trained(**options)
    for n in (1, 2):
        seen = []
        found = steps_of(experiment, n, levels[0], levels[n - 1], seen.append)
        level, before = levels[n], levels[n - 1]
        (cut,) = seen  # what is judged: as trained, and cut
        for name, kept in apply(before.end, level.mask).items():
            np.testing.assert_array_equal(cut[name], kept)
        for name, layer in found.layers.items():
            mask, trained = level.mask[name], before.end[name]
            gone = before.mask[name] & ~mask
            assert (layer.before, layer.after) == (before.mask[name].sum(), mask.sum())
            assert layer.pruned == gone.sum() == layer.ranked.pruned
            edges = np.array(layer.weights.edges)
            assert len(edges) == BARS + 1
            for chosen, counts in ((mask, layer.weights.kept), (gone, layer.weights.pruned)):
                assert sum(counts) == chosen.sum()
                np.testing.assert_array_equal(np.histogram(trained[chosen], edges)[0], counts)
            if options.get("restart") in ("reinit", "new-signs"):  # drawn anew
                assert layer.restarted is None
            else:
                restarted = np.histogram(level.start[name][mask], edges)[0]
                np.testing.assert_array_equal(restarted, layer.restarted)


@pytest.mark.parametrize("scope", ["layerwise", "global"])
def test_the_threshold_parts_what_goes_from_what_stays(trained, scope):
    experiment, levels = trained(scope=scope)
    found = steps_of(experiment, 1, levels[0], levels[0])
    magnitudes = {name: np.abs(levels[0].end[name]) for name in found.layers}
    for name, layer in found.layers.items():
        together = [*found.layers] if scope == "global" else [name]
        kept = min(magnitudes[one][levels[1].mask[one]].min() for one in together)
        assert layer.ranked.threshold == kept
        assert magnitudes[name][~levels[1].mask[name]].max(initial=0) <= kept


@pytest.mark.parametrize("network", ["9 7", "3 pool 4@5 pool 5"])
@pytest.mark.parametrize("scope", SCOPES_OF_UNITS)
def test_of_whole_units_it_shows_the_units_of_each_layer_and_the_threshold(network, scope):
    recipe, source = Recipe(network=network), np.random.default_rng(0)
    experiment = Experiment(recipe, rounds_of([0.5], scope=scope, criterion="unit-norm"))
    weights = {name: source.normal(size=shape) for name, shape in recipe.net.parameters.items()}
    mask = dense_mask(recipe.shapes)
    dense = SimpleNamespace(start=weights, end=weights, mask=mask, snapshots={0: weights})
    found = steps_of(experiment, 1, dense, dense)
    evidence = Evidence(weights, weights, mask, axes=axes_of(recipe.net))
    after = experiment.round(1).pruned(evidence)
    *hidden, output = found.layers.values()
    assert output.ranked is None
    kept, gone, totals = [], [], {}
    for name, layer in [*found.layers.items()][:-1]:
        norm = np.abs(weights[name]).reshape(len(weights[name]), -1).sum(1)
        # What makes a unit that is gone is gone too, and of these networks nothing else.
        stays = after[name].reshape(len(norm), -1).any(1)
        score = norm / np.sqrt((norm**2).sum()) if scope == "global" else norm
        assert layer.ranked.what == ("channels" if "conv" in name else "units")
        assert (layer.ranked.before, layer.ranked.pruned) == (len(stays), (~stays).sum())
        counted = np.histogram(score[~stays], layer.ranked.scores.edges)[0]
        np.testing.assert_array_equal(counted, layer.ranked.scores.pruned)
        kept.append(score[stays])
        gone.append(score[~stays])
        had, left = totals.get(layer.ranked.what, (0, 0))
        totals[layer.ranked.what] = (had + len(stays), left + stays.sum())
        drawn = figure("rank", name, layer)
        assert sum(sum(bar.y) for bar in drawn.data) == len(stays)
        assert drawn.layout.yaxis.title.text == layer.ranked.what
    assert found.units == totals
    together = [np.concatenate([ours for ours in kept if len(ours) > 1])] * len(kept)
    for layer, ours, lost in zip(
        hidden, together if scope == "global" else kept, gone, strict=True
    ):
        at = layer.ranked.threshold
        if at is not None:
            assert at == pytest.approx(ours.min())
            assert max(lost, default=0) <= at


def test_every_stage_is_drawn_with_all_its_weights(trained):
    experiment, levels = trained()
    layer = steps_of(experiment, 1, levels[0], levels[0]).layers["fc1.weight"]
    for stage in ("rank", "cut"):
        drawn = figure(stage, "fc1", layer)
        assert sum(sum(bar.y) for bar in drawn.data) == layer.before
    outlines = figure("rewind", "fc1", layer).data
    assert [one.name for one in outlines] == ["as trained", "as they restart"]
    assert "3,136" in figure("rewind", "fc1", layer).layout.meta["alt"]


@pytest.mark.parametrize("name", CRITERIA)
def test_what_asks_for_images_is_refused_and_the_rest_looks_at_weights_alone(trained, tiny, name):
    step = rounds_of([0.5], criterion=name)[0]
    weights = {"fc1.weight": np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5}
    evidence = Evidence(weights, weights, {"fc1.weight": np.ones((2, 3), bool)})
    if not why_not(step):
        if not step.takes_units:
            assert CRITERIA[name].score(evidence)["fc1.weight"].shape == (2, 3)
        return
    with pytest.raises((AttributeError, TypeError)):  # there are no slopes, and no axes
        CRITERIA[name].score(evidence)
    with pytest.raises(InvalidValue, match="choose one that looks at the weights alone"):
        steps_of(Experiment(tiny.recipe, (step,)), 1, None, None)


def test_a_job_may_ask_for_the_first_levels_alone(store, tiny):
    job = Job(tiny.key, "queued", "nobody", 0.0, tiny.as_dict())
    for levels, asked in ((None, 3), (1, 1), (2, 2)):
        parts = asked_by(replace(job, levels=levels), tiny, lambda key: False)
        assert [part.key for part in parts] == [*tiny.keys[:asked]]


def test_places_follow_each_other_and_say_how_many_levels_they_need():
    places = [Place.at(number) for number in range(6)]
    assert [(place.n, place.stage, place.levels) for place in places] == [
        (0, "train", 1),
        (1, "rank", 1),
        (1, "cut", 1),
        (1, "rewind", 1),
        (1, "train", 2),
        (2, "rank", 2),
    ]
    assert [place.number for place in places] == [*range(6)]
    assert places[0].before == places[0]


def press(page, name):
    (button,) = (button for button in page.button if button.label == name)
    return button.click().run()


def test_a_run_is_gone_through_step_by_step(shared):
    page = open_page(**SMALL, steps="on")
    assert "The dense network is to be trained" in said(page)
    page = press(page, "Start: train")
    (job,) = shared.store.jobs()
    experiment = Experiment.from_dict(job.experiment)
    wait_until_done(shared, job.key)
    there = [shared.store.has(key) for key in experiment.keys]
    assert there == [True, False, False]  # it waits for its visitor
    page = page.run()
    for stage, says in (
        ("rank", "Round 1 of 2, rank. Weights go that are near zero after training"),
        ("cut", "Round 1 of 2, cut. 6,352 of 12,704 weights go, 6,352 stay. Not trained again"),
        ("rewind", "that stay restart from their initial weights (rewinding)."),
    ):
        page = press(page, f"Go on: {stage}")
        assert says in said(page).replace("**", "")
    page = press(page, "Go on: train")
    wait_until_done(shared, job.key)
    assert [shared.store.has(key) for key in experiment.keys] == [True, True, False]
    page = press(page.run(), "Back")
    assert "rewind" in said(page)
    # A link leads no further than what is there, and what is no number leads to the beginning.
    for nonsense in ("9" * 5_000, "-1", "x"):
        assert "trained network names" in said(open_page(**SMALL, steps="on", at=nonsense))
    late = open_page(**SMALL, steps="on", at="99")
    assert "Round 2 of 2, train" in said(late)
    assert page.query_params["at"] == "3"
