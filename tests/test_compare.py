"""The Compare page: which lines, what is added at a press, and differences seed by seed."""

import itertools
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lottery_core.findings.additions import CONTROLS, more_seeds
from lottery_core.findings.comparison import percents_of, row_in_words
from lottery_core.findings.lines import Line, line_id, lines_of, with_seed
from lottery_core.findings.naming import line_names, what_differs
from lottery_core.findings.view import View, read_view, write_view
from lottery_core.report import compared_figures, figures
from lottery_core.running import worker
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.links import read_choice, write_choice
from lottery_core.spec.presets import PRESETS
from lottery_core.store import Job
from tests.pages import open_page, said

pytestmark = pytest.mark.usefixtures("judged_on_few")

TINY = replace(
    PRESETS["quick"].choice,
    learning_rate=0.1,
    network="16",
    length=30,
    unit="iterations",
    evaluate_every=10,
    rounds=2,
    replicates=2,
    controls=("reinit", "dense-longer"),
)
LONE = replace(TINY, controls=(), validation_size=0, network="12", replicates=1)


def job(experiment, choice: Choice = TINY, submitted: float = 0.0) -> Job:
    params = write_choice("quick", choice)
    return Job(experiment.key, "queued", "", submitted, experiment.as_dict(), params=params)


def ids(choice: Choice) -> dict[str, str]:
    return {name: line_id(arm[0]) for name, arm in choice.arms().items()}


@pytest.fixture(scope="module")
def finished_runs(make_store, tmp_path_factory):
    """A store with `LONE`, and after it `TINY` with its controls."""
    store = make_store(tmp_path_factory.mktemp("finished") / "store")
    for at, choice in enumerate((LONE, TINY)):
        for experiment in choice.experiments():
            worker.perform(store, job(experiment, choice, at + 1.0))
    return store


@pytest.fixture
def filled(finished_runs, shared):
    """The pages' runtime over a copy of `finished_runs`."""
    for name in ("levels", "jobs"):
        shutil.copytree(finished_runs.root / name, shared.store.root / name, dirs_exist_ok=True)
    return shared


def compare(**params: str) -> AppTest:
    return open_page("pages/compare.py", **params)


def wait_until_idle(shared) -> None:
    end = time.monotonic() + 120
    while any(known.active for known in shared.store.jobs()):
        assert time.monotonic() < end
        time.sleep(0.05)


def picked(page: AppTest) -> list[str]:
    return page.multiselect[0].value


# The page


def test_an_empty_cache_is_explained_and_one_press_starts_something_to_compare(shared, monkeypatch):
    quick = replace(PRESETS["quick"], choice=replace(TINY, replicates=1))
    monkeypatch.setitem(PRESETS, "quick", quick)
    page = compare()
    assert "Nothing has been run yet" in said(page)
    page.button(key="start_quick").click().run()
    assert not page.exception
    wanted = replace(quick.choice, replicates=3)
    assert picked(page) == list(ids(wanted).values())
    assert {known.key for known in shared.store.jobs()} == {
        experiment.key for experiment in wanted.experiments()
    }
    wait_until_idle(shared)
    assert "Over 3 seeds" in said(page.run())


def test_the_newest_experiment_and_its_controls_are_shown_first(filled):
    page = compare()
    assert not page.exception
    assert picked(page) == list(ids(TINY).values())
    assert page.query_params == {"lines": ",".join(ids(TINY).values()), "seeds": "0,1"}
    *newest, oldest = page.multiselect[0].options
    assert oldest == "rewound ticket, 784-12-10, one seed"
    assert set(newest) == {
        "dense, equally long, 784-16-10, 2 seeds",
        "random reinit, 784-16-10, 2 seeds",
        "rewound ticket, 784-16-10, 2 seeds",
    }


def test_a_picked_line_is_compared_and_named_by_what_differs(filled):
    page = compare()
    other = ids(LONE)["main"]
    page.multiselect[0].set_value([ids(TINY)["main"], other]).run()
    assert not page.exception
    assert page.query_params["lines"] == f"{ids(TINY)['main']},{other}"
    assert "rewound ticket, 784-12-10" in page.selectbox[0].options
    assert "Rewound ticket, 784-16-10." in said(page).replace("**", "")
    captions = "\n".join(caption.value for caption in page.caption)
    assert "No early stop without images held out: rewound ticket, 784\\-12\\-10" in captions
    page.multiselect[0].set_value([]).run()
    assert not page.exception
    assert "Pick at least one" in said(page)


def test_a_link_shows_the_same_view(filled):
    arms = ids(TINY)
    params = {
        "lines": f"{arms['reinit']},{arms['main']}",
        "reference": arms["main"],
        "seeds": "0,1",
        "percent": "50",
        "bands": "interval",
        "curve": "loss",
        "axis": "near",
    }
    page = compare(**params)
    assert not page.exception
    assert page.query_params == params
    assert page.select_slider[0].value == 50
    assert page.selectbox[0].value == arms["main"]
    page.select_slider[0].set_value(100.0).run()
    assert page.query_params == params | {"percent": "100"}
    assert "Random reinit: it begins with the same dense network" in said(page).replace("**", "")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"lines": "<img src=x>,0123456789"}, "line='<img src=x>, 0123456789' is not in this"),
        ({"lines": "x" * 9_000}, "is not in this cache"),
        ({"lines": ",,,"}, ""),
        ({"reference": "[a](http://b)"}, "line='[a](http://b)' is not in this cache"),
        ({"percent": "nan"}, "percent=nan must be a number above 0"),
        ({"percent": "1e400"}, "percent=inf must be a number"),
        ({"percent": "many"}, "percent='many' must be a number"),
        ({"percent": "3"}, "No run here has a network with 3\u202f% of the weights"),
        ({"bands": "wide"}, "bands='wide' is unknown; choose one of range, interval"),
        ({"curve": ""}, "curve='' is unknown"),
        ({"axis": "$x$"}, "axis='$x$' is unknown"),
        ({"colour": "red"}, "colour='red' is unknown; known are lines, reference"),
    ],
)
def test_a_bad_value_in_a_link_spoils_only_itself(filled, params, words):
    page = compare(**params)
    assert not page.exception
    assert words in said(page)
    assert picked(page) == list(ids(TINY).values())


def test_a_line_that_is_gone_is_named_and_the_others_are_shown(filled):
    page = compare(lines=f"0123456789,{ids(LONE)['main']}")
    assert "line='0123456789' is not in this cache" in said(page)
    assert picked(page) == [ids(LONE)["main"]]
    assert "No early stop: these recipes hold out no images" in said(page)
    assert "One seed" in said(page)


def test_differences_are_those_of_each_pair_of_seeds(filled):
    page = compare(percent="25")
    arms = TINY.arms()
    ticket, reinit = (
        np.array([filled.store.read(e.keys[2]).info.test_accuracy for e in arms[name]])
        for name in ("main", "reinit")
    )
    gaps = 100 * (reinit - ticket)
    half = 12.706205 * gaps.std(ddof=1) / np.sqrt(2)
    table = page.dataframe[0].value
    assert table["% of weights"].round(2).tolist() == [50.0, 25.0]
    row = table.iloc[-1]
    assert row["line"] == "random reinit"
    assert row["accuracy, points"] == pytest.approx(gaps.mean())
    assert row["95\u202f% interval"] == f"{gaps.mean() - half:+.2f} to {gaps.mean() + half:+.2f}"
    assert row["pairs of seeds"] == 2
    way = "above" if gaps.mean() > 0 else "below"
    assert f"{abs(gaps.mean()):.2f} points {way} **rewound ticket**'s" in said(page)
    assert "nothing is pruned there" in said(page)


ROW = {
    "percent": 21.1, "mean": -0.004, "low": -0.006, "high": -0.002, "n": 3, "a": 0.95, "b": 0.954,
    "mean_early_stop": 120.0, "low_early_stop": -10.0, "high_early_stop": 250.0, "n_early_stop": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {},
            "At 21.1\u202f% of the weights a reaches 95.00\u202f% on the test images at the end "
            "of training, 0.40 "
            "points below b's 95.40\u202f% (95\u202f% interval -0.60 to -0.20, 3 seeds). It stops "
            "120 iterations later (95\u202f% interval -10 to +250).",
        ),
        (
            {"low": -0.011, "high": 0.003, "n_early_stop": 0},
            "At 21.1\u202f% of the weights a reaches 95.00\u202f% on the test images at the end "
            "of training, 0.40 "
            "points below b's 95.40\u202f% (95\u202f% interval -1.10 to +0.30, 3 seeds); "
            "chance alone may explain it.",
        ),
        (
            {"n": 1, "n_early_stop": 1, "mean_early_stop": -43.0},
            "At 21.1\u202f% of the weights a reaches 95.00\u202f% on the test images at the end "
            "of training, 0.40 "
            "points below b's 95.40\u202f%. It stops 43 iterations earlier. One seed.",
        ),
    ],
)
def test_a_comparison_is_said_in_words_with_its_interval_or_that_it_is_one_seed(changes, words):
    assert row_in_words(SimpleNamespace(**ROW | changes), "a", "b") == words


def test_a_layer_with_nothing_left_is_told_of_whichever_line_lost_it(filled):
    # One weight of two layers is left.
    lost = replace(LONE, schedule="list", sparsities=(0.9999,), scope="global", output_factor=1)
    for experiment in lost.experiments():
        worker.perform(filled.store, job(experiment, lost, 3.0))
    page = compare(lines=f"{ids(LONE)['main']},{ids(lost)['main']}")
    assert not page.exception
    (told,) = [one.value for one in page.caption if "no weights left" in one.value]
    assert "1 round" in told  # which of the two it is
    assert "no weights left" not in said(compare(lines=ids(LONE)["main"]))


def test_controls_are_one_press_away_and_lead_back_to_the_open_page(filled):
    main = ids(TINY)["main"]
    page = compare(lines=main)
    assert "One line alone" in said(page)
    page.button(key="add_controls").click().run()
    assert not page.exception
    wanted = replace(TINY, controls=(*TINY.controls, "random-mask", "fine-tune"))
    arms = wanted.arms()
    assert picked(page) == [main, *(ids(wanted)[name] for name in CONTROLS)]
    wait_until_idle(filled)
    for name in ("random-mask", "fine-tune"):
        for experiment in arms[name]:
            known = filled.store.job(experiment.key)
            assert known.state == "done"
            assert read_choice(known.params) == ("quick", wanted)
    # Those that were there are shown and not asked for again.
    assert filled.store.job(arms["reinit"][0].key).submitted < 10
    page.run()
    assert not any(button.key == "add_controls" for button in page.button)
    assert set(page.dataframe[0].value["line"]) == {ARMS[n].title for n in CONTROLS}
    link = open_page(**filled.store.job(arms["fine-tune"][0].key).params)
    assert "all are in the cache" in said(link)


def test_more_seeds_are_added_to_every_line(filled):
    lines = [ids(TINY)["main"], ids(LONE)["main"]]
    page = compare(lines=",".join(lines))
    page.button(key="add_seeds").click().run()
    assert not page.exception
    wait_until_idle(filled)
    known = lines_of(filled.store.jobs())
    assert [known[name].seeds for name in lines] == [(0, 1, 2), (0, 1, 2)]
    page.run()
    assert "Over 3 seeds" in said(page)
    table = page.dataframe[0].value  # of networks of different sizes, at equal percents
    assert table["% of weights"].round(1).tolist() == [100.0, 50.0, 25.0]
    assert set(table["pairs of seeds"]) == {3}
    params = known[lines[0]].params
    assert read_choice(params)[1] == replace(TINY, replicates=3)


def test_what_runs_can_be_stopped_and_taken_up_again(filled):
    choice = replace(TINY, length=40, controls=("reinit",))
    params = write_choice("quick", choice)
    lines = ",".join(ids(choice).values())
    with ExitStack() as held:
        for key in {one.keys[0] for one in choice.experiments()}:  # the runs wait for them
            held.enter_context(filled.store.held(f"level-{key}"))
        filled.queue.submit_all(choice.experiments(), params=params)
        page = compare(lines=lines)
        page.button(key="stop").click().run()
        assert not page.exception
        wait_until_idle(filled)
    states = [filled.store.job(e.key).state for e in choice.experiments()]
    assert set(states) == {"cancelled"}
    page.run()
    assert "stopped" in said(page)
    page.button(key="resume").click().run()
    assert not page.exception
    wait_until_idle(filled)
    page.run()
    assert {filled.store.job(e.key).state for e in choice.experiments()} == {"done"}
    assert filled.store.job(choice.experiment().key).params == params
    assert page.query_params["lines"] == lines


def test_what_the_queue_refuses_is_said(filled, monkeypatch):
    def refuse(*args, **options):
        raise InvalidValue("queue", 100, "is full; wait for a run to end")

    monkeypatch.setattr(filled.queue, "submit_all", refuse)
    page = compare(lines=ids(TINY)["main"])
    page.button(key="add_controls").click().run()
    assert "queue=100 is full" in said(page)
    assert picked(page) == [ids(TINY)["main"]]


# Lines, names and links


def test_a_line_holds_all_seeds_and_a_control_brings_the_experiment_it_stands_beside():
    control = TINY.arms()["reinit"]
    found = lines_of([job(control[1]), job(control[0])])
    assert {name: line.seeds for name, line in found.items()} == {
        ids(TINY)["reinit"]: (0, 1),
        ids(TINY)["main"]: (0, 1),
    }


def test_a_job_of_another_version_is_passed_over():
    strange = job(TINY.experiment())
    strange.experiment["recipe"]["colour"] = "red"
    assert lines_of([strange]) == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, [""]),
        ({"learning_rate": 0.05}, [", learning rate 0.1", ", learning rate 0.05"]),
        ({"network": "8", "learning_rate": 0.05}, [", 784-16-10", ", 784-8-10"]),
        ({"rewind_iteration": 10}, [", rewound to iteration 0", ", rewound to iteration 10"]),
        ({"criterion": "movement"}, ["", ", movement criterion"]),
    ],
)
def test_lines_are_told_apart_by_what_differs_and_no_more(changes, words):
    experiments = [TINY.experiment(), replace(TINY, **changes).experiment()]
    found = lines_of(map(job, experiments))
    names = line_names(list(found.values())).values()
    assert list(names) == [f"rewound ticket{more}" for more in words]


def test_lines_of_several_data_sets_name_theirs_whatever_else_tells_them_apart():
    changes = ({}, {"dataset": "kmnist", "network": "8"}, {"learning_rate": 0.05})
    found = lines_of(job(replace(TINY, **change).experiment()) for change in changes)
    names = [*line_names(list(found.values())).values()]
    assert [name.split(", ")[1] for name in names] == ["MNIST", "KMNIST", "MNIST"]
    alone = line_names(list(found.values())[::2]).values()
    assert not any("MNIST" in name for name in alone)


def test_no_two_lines_have_one_name():
    choices = [
        replace(TINY, **change)
        for change in (
            {},
            {"rate": 0.4},
            {"output_factor": 0.5},
            {"layer_factors": (("fc1", 0.5),)},
        )
    ]
    found = lines_of(map(job, itertools.chain(*(c.experiments() for c in choices))))
    names = line_names(list(found.values()))
    assert len(set(names.values())) == len(found)


def test_a_view_survives_being_written_as_a_link():
    view = View(("a", "b"), "b", 12.5, "interval", "loss", "near", (0, 7))
    assert read_view(write_view(view), {"a", "b"}) == (view, [])
    assert write_view(View(("a",), "a")) == {"lines": "a"}


def test_more_lines_than_can_be_shown_are_cut_and_said():
    view, problems = read_view({"lines": "a,b,c,d,e,f,g,h,i,a"}, "abcdefghi")
    assert view.lines == tuple("abcdefgh")
    assert problems == ["lines=9 are too many; the first 8 are shown"]


def test_seeds_are_filled_up_so_that_all_lines_can_be_paired():
    few, many = (
        Line("", tuple(with_seed(TINY.experiment(), s) for s in seeds)) for seeds in ((0,), (0, 3))
    )
    found = more_seeds([few, many], 2)
    assert [[e.recipe.seed for e in experiments] for _, experiments in found] == [[3, 4, 5], [4, 5]]
    with pytest.raises(InvalidValue, match="seeds=100 must be a whole number from 1 to 20"):
        more_seeds([few], 100)


def test_more_work_than_one_request_may_ask_for_is_refused():
    large = replace(PRESETS["paper"].choice, network="conv-6").experiment()
    line = Line("", (large,))
    with pytest.raises(InvalidValue, match="times the work one request may ask for"):
        more_seeds([line, line], 20)


def test_a_network_that_is_never_pruned_is_drawn_where_its_sibling_is(finished_runs):
    found = lines_of(finished_runs.jobs())
    ticket, longer = (found[ids(TINY)[name]] for name in ("main", "dense-longer"))
    infos = [finished_runs.read(key).info for key in ticket.main.keys]
    percents = percents_of(longer.main, [ticket], [{0: infos[:2]}])
    assert percents == pytest.approx([info.percent_remaining for info in infos])
    assert percents_of(longer.main, [], []) == [100.0] * 3


@pytest.mark.parametrize("arms", [["ticket"] * 8, [*ARMS][:8], [*ARMS][-8:], ["dense"] * 8])
def test_any_two_styles_differ_in_colour_dash_and_marker(arms):
    styles = compared_figures.distinct_styles(arms)
    assert len(styles) == len(arms) == 8 <= compared_figures.MAX_STYLES
    for part in ("colour", "dash", "symbol"):
        assert len({getattr(style, part) for style in styles}) == 8


def test_an_arm_keeps_its_look_where_it_can():
    styles = compared_figures.distinct_styles(["ticket", "reinit", "random-mask", "fine-tune"])
    names = ("main", "reinit", "random-mask", "fine-tune")
    assert styles == [figures.STYLES[name] for name in names]


def test_one_sees_the_seeds_one_came_with_and_the_link_keeps_them(filled):
    ticket = ids(TINY)["main"]
    page = compare(lines=ticket, seeds="1")
    assert not page.exception
    assert page.query_params["seeds"] == "1"
    assert page.multiselect[1].value == [1]
    assert "One seed" in said(page)
    page = compare(lines=ticket)
    assert page.query_params["seeds"] == "0,1"
    page.multiselect[1].set_value([0]).run()
    assert page.query_params["seeds"] == "0"
    page = compare(lines=ticket, seeds="7")
    assert page.multiselect[1].value == [0, 1]
    page = compare(lines=ticket, seeds="one")
    assert "seeds='one' must be whole numbers" in "".join(w.value for w in page.warning)


def test_every_choice_that_differs_is_named():
    lines = [
        Line(str(n), (replace(TINY, controls=(), **changes).experiment(),))
        for n, changes in enumerate(({}, {"scope": "global", "criterion": "random"}))
    ]
    assert what_differs(lines) == [
        "scope: global pruning or layerwise pruning",
        "criterion: magnitude or random",
    ]
    assert what_differs(lines[:1]) == []
