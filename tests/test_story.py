"""The story's numbers are the core's, its sentences true, and no link breaks its page."""

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lottery_core.findings import walk as story
from lottery_core.findings.answers import reader, unseen_images
from lottery_core.method.masks import dense_mask, removed_of
from lottery_core.report import figures, story_figures
from lottery_core.running import engine, measurement
from lottery_core.store import LayerCounts, measurement_key
from lottery_core.training.context import Context
from tests.pages import go_to, open_page, said

ROOT = Path(__file__).resolve().parents[1]
TINY = {"network": "16", "length": "30", "unit": "iterations", "sparsities": "0.4,0.9"}
HOSTILE = ["nan", "-1", "9" * 40, "", " ", "<b>x</b>", "0x10", "1e999", "None", "07"]


# The experiment


def test_the_story_walks_the_notebooks_sparsities_with_one_control():
    preset, choice, problems = story.read_story({})
    assert not problems
    assert (preset, choice.controls, choice.replicates) == ("quick", ("reinit",), 1)
    experiment = choice.experiment()
    assert [step.sparsity for step in experiment.rounds] == [0.4, 0.64, 0.784, 0.953344]
    total = sum(removed_of(0.953344, r * c) for r, c in experiment.recipe.shapes.values())
    assert experiment.recipe.weights_total - total == 5_096


def test_a_link_changes_what_is_free_and_nothing_else():
    _, choice, problems = story.read_story(TINY | {"seed": "7", "dataset": "kmnist", "step": "2"})
    assert not problems
    assert (choice.network, choice.length, choice.seed) == ("16", 30, 7)
    assert choice.dataset == "mnist"


@pytest.mark.parametrize("value", HOSTILE[:-1])
@pytest.mark.parametrize("name", ["seed", "length", "network", "sparsities"])
def test_what_a_link_says_wrongly_is_told_and_spoils_nothing(name, value):
    _, choice, problems = story.read_story({name: value, "batch_size": "64"})
    assert choice.batch_size == 64
    choice.arms()
    assert problems or name in ("network", "sparsities")
    assert all(name in problem for problem in problems)


# Digits and answers


def test_the_nearest_average_reads_most_digits_without_any_network(datasets):
    found = story.averages(datasets)
    assert found.images.shape == (10, 28, 28)
    assert 0.75 < found.accuracy < 0.85


@pytest.fixture(scope="module")
def tiny(make_store, tmp_path_factory):
    """(experiment, its levels, its control's levels) of a real run with 2 rounds."""
    store = make_store(tmp_path_factory.mktemp("story") / "store")
    main, reinit = (arm[0] for arm in story.read_story(TINY)[1].arms().values())
    return (
        main,
        list(engine.run(main, Context(store))),
        list(engine.run(reinit, Context(store))),
        store,
    )


@pytest.fixture(scope="module")
def points(tiny):
    experiment, levels, _, store = tiny
    images, labels = unseen_images("mnist", store.datasets)
    read = reader(experiment.recipe, store.datasets)(images)
    return list(story.falling(experiment, levels[0].end, read, labels))


def test_the_slider_says_what_the_core_says(tiny, points):
    experiment, levels, _, _ = tiny
    by_sparsity = {point.sparsity: point for point in points}
    rounding = 2.5e-4  # another library's rounding may turn an image or two of 10,000
    assert points[0].accuracy == pytest.approx(levels[0].info.test_accuracy, abs=rounding)
    for step, level in zip(experiment.rounds, levels[1:], strict=True):
        point = by_sparsity[step.sparsity]
        expected = level.info.test_accuracy_dense_pruned
        assert point.accuracy == pytest.approx(expected, abs=rounding)
        assert point.kept == level.info.weights_kept


def test_the_slider_goes_from_nothing_to_nearly_everything(tiny, points):
    assert len(points) >= 40
    assert points[0].sparsity == 0
    assert points[0].kept == sum(mask.size for mask in dense_mask(tiny[0].recipe.shapes).values())
    assert points[-1].sparsity == 0.99
    assert all(a.kept > b.kept for a, b in pairwise(points))


# Sentences


def test_each_sentence_names_what_the_levels_hold(tiny, points):
    _, levels, reinit, _ = tiny
    infos = [level.info for level in levels]
    shown = [f"{info.test_accuracy:.1%}".replace("%", "\u202f%") for info in infos]
    assert "**12,704 weights**" in story.trained(infos[0])
    assert f"**{shown[0]}** of 10,000" in story.trained(infos[0])
    assert "After 30 iterations" in story.trained(infos[0])
    assert shown[1] in story.retrained(infos[0], infos[1])
    assert "40\u202f% sparsity" in story.retrained(infos[0], infos[1])
    words = story.again(infos, 2)
    assert f"After 2 rounds **{infos[2].weights_kept:,} of 12,704**" in words
    assert words.endswith("One seed.")
    assert "After one round of 2" in story.again(infos[:2], 2)
    lost = replace(infos[2], layers=infos[2].layers | {"fc2.weight": LayerCounts(160, 0)})
    assert "fc2 has no weights left" in story.again([*infos[:2], lost], 2)
    words = story.new_weights(levels[2], reinit[2])
    assert shown[2] in words
    assert f"{reinit[2].info.test_accuracy:.1%}".replace("%", "\u202f%") in words
    assert "One seed" in words
    assert f"{points[-5].accuracy:.1%}".replace("%", "\u202f%") in story.pruned_alone(points)


def changed(level, accuracy):
    return replace(level, info=replace(level.info, test_accuracy=accuracy))


@pytest.mark.parametrize(
    ("ticket", "reinit", "said"),
    [
        (0.95, 0.93, "2.0 points less."),
        (0.93, 0.95, "2.0 points more. Here the new weights did better"),
        (0.95, 0.95, "no difference to speak of"),
    ],
)
def test_new_weights_may_be_better_and_it_is_said(tiny, ticket, reinit, said):
    level = tiny[1][2]
    assert said in story.new_weights(changed(level, ticket), changed(level, reinit))


@pytest.mark.parametrize(
    ("alone", "after", "said"),
    [
        (0.2, 0.95, "75.0 points more"),
        (0.95, 0.9, "5.0 points less, so training again did not help here"),
        (0.9, 0.9, "no more and no less"),
    ],
)
def test_training_again_may_not_help_and_it_is_said(tiny, alone, after, said):
    info = replace(tiny[1][1].info, test_accuracy=after, test_accuracy_dense_pruned=alone)
    assert said in story.retrained(tiny[1][0].info, info)


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ((0.95, 0.95, 0.945, 0.3, 0.2), "can lose **60\u202f%** of its weights"),
        ((0.95, 0.9, 0.9, 0.9, 0.2), "can hardly spare any: without 30\u202f% of its weights"),
        ((0.95, 0.95, 0.95, 0.95, 0.95), "Even without 99\u202f% of its weights"),
    ],
)
def test_where_a_network_breaks_is_read_off_the_points(accuracies, said):
    sparsities = (0, 0.3, 0.6, 0.95, 0.99)
    points = [story.Point(s, 1, a) for s, a in zip(sparsities, accuracies, strict=True)]
    words = story.pruned_alone(points)
    assert said in words
    assert ("only" in words) == (accuracies[3] < 0.9)


def test_a_network_that_learned_nothing_is_called_so(tiny):
    info = tiny[1][0].info
    assert "next to nothing" in story.trained(replace(info, test_accuracy=0.1))
    assert "next to nothing" not in story.trained(replace(info, test_accuracy=0.5))


# The page


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    """Speed is measured in turns too short to mean anything."""
    monkeypatch.setattr(measurement, "_SECONDS", 0.002)


def visit(**params: str) -> AppTest:
    return open_page("pages/story.py", **params)


def run_until(page: AppTest, text: str) -> AppTest:
    end = time.monotonic() + 120
    while text not in said(page.run()):
        assert not page.exception
        assert time.monotonic() < end, said(page)
        time.sleep(0.1)
    return page


def test_a_first_visit_defines_the_words_and_has_something_to_look_at(shared):
    page = visit()
    assert not page.exception
    text = said(page)
    for word in ("weights", "prune", "Sparsity", "rewind", "winning ticket"):
        assert f"**{word}**" in text
    assert "trains 9 small networks and measures how fast they are" in text
    assert (
        f"reads {100 * story.averages(shared.store.datasets).accuracy:.1f}\u202f% correctly" in text
    )
    assert len(page.header) == 6
    assert page.button(key="story_begin").label == "Begin"


def test_begin_runs_everything_and_every_step_tells_its_numbers(shared):
    page = visit(**TINY)
    page.button(key="story_begin").click().run()
    assert page.button(key="story_stop")
    text = said(run_until(page, "All of this is computed"))
    page = run_until(page, "Your network can")
    experiment = story.read_story(TINY)[1].experiment()
    levels = [shared.store.read(key).info for key in experiment.keys]
    assert story.trained(levels[0]) in text
    assert story.retrained(levels[0], levels[1]) in text
    assert story.again(levels, 2) in text
    assert "with their own initial weights they reach" in text
    assert "On this machine sparse" in text
    assert "One machine, this one" in text
    assert shared.store.read_measurement(measurement_key(experiment.key)).beside == 0
    assert not [button for button in page.button if button.key == "story_begin"]
    # Another visitor finds it, and a step alone is the same.
    assert story.again(levels, 2) in said(visit(**TINY, step="4"))


@pytest.mark.parametrize("step", "123456")
def test_each_step_alone_on_an_empty_store_begins_what_it_needs(shared, step):
    page = visit(**TINY, step=step)
    assert not page.exception
    assert [header.value[:2] for header in page.header] == [f"{step}."]
    page.button(key="story_begin").click().run()
    needed = run_until(page, "All of this is computed")
    assert not needed.exception
    tasks = sorted((job.task, "control" in job.experiment) for job in shared.store.jobs())
    assert len(tasks) == {"5": 2, "6": 2}.get(step, 1)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["step", "seed"])
def test_no_link_breaks_the_page(shared, name, value):
    page = visit(**{name: value})
    assert not page.exception
    if name == "step" or value != "07":
        assert "In the link" in said(page)


def test_another_seed_is_in_the_url_and_a_story_of_its_own(shared):
    page = visit(**TINY, step="1")
    page.button(key="story_begin").click().run()
    run_until(page, "All of this is computed")
    page.button(key="story_seed").click().run()
    assert page.query_params["seed"] in ("1", ["1"])
    assert "All of this is computed" not in said(page)  # at once
    go_to(page, "pages/runs.py")
    go_to(page, "pages/story.py")
    assert page.query_params == TINY | {"step": "1", "seed": "1"}
    page.button(key="story_begin").click().run()
    run_until(page, "All of this is computed")
    assert shared.store.jobs()[0].experiment["recipe"]["seed"] == 1


def test_what_is_looked_at_in_a_step_is_there_again_when_one_comes_back(shared):
    page = visit(**TINY)
    rounds = len(story.read_story(TINY)[1].experiment().rounds)
    sizes = [one for one in page.segmented_control if one.key.startswith("round_")]
    sizes[0].set_value("2").run()
    assert page.query_params["round"] == "2"
    go_to(page, "pages/runs.py")
    go_to(page, "pages/story.py")
    for shown in (page, visit(**page.query_params)):
        sizes = [one for one in shown.segmented_control if one.key.startswith("round_")]
        assert [one.value for one in sizes] == ["2"]
        assert len(sizes[0].options) == rounds


def test_stop_keeps_what_is_finished(shared):
    params = TINY | {"length": "4000"}
    page = visit(**params)
    page.button(key="story_begin").click().run()
    page.button(key="story_stop").click().run()
    run_until(page, "Stopped. What is finished is kept")
    assert not shared.store.read_measurement(
        measurement_key(story.read_story(params)[1].experiment().key)
    )


# Its figures


def test_a_learning_curve_begins_at_guessing_and_says_where_it_ends():
    curve = figures.Curve("ticket", [0, 50, 100], [0.1, 0.9, 0.96], figures.STYLES["main"])
    figure = story_figures.learning_figure([curve], 100, "Learning")
    np.testing.assert_allclose(figure.data[0].y, [10, 90, 96])
    low, high = figure.layout.yaxis.range
    assert low < 10 < 100 < high
    assert figure.layout.meta["alt"] == "Learning. ticket: 96.0%."
    empty = story_figures.awaited(
        story_figures.learning_figure([], 100, "Learning"), "in about 5 s"
    )
    assert empty.layout.yaxis.range == (low, high)
    assert empty.layout.annotations[0].text == "in about 5 s"
    assert "Nothing is trained yet" in empty.layout.meta["alt"]


def test_the_last_trace_of_the_falling_curve_is_the_marker_that_the_slider_moves():
    figure = story_figures.falling_figure([0, 0.5, 0.99], [0.96, 0.9, 0.1])
    line, marker = figure.data
    np.testing.assert_allclose(line.x, [0, 50, 99])
    np.testing.assert_allclose(line.y, [96, 90, 10])
    assert (marker.mode, list(marker.x), list(marker.y)) == ("markers", [0], [96])
    assert "96.0% with all weights, 10.0% without 99% of them" in figure.layout.meta["alt"]
    assert "Nothing is computed yet" in story_figures.falling_figure([], []).layout.meta["alt"]
