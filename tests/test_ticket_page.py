"""The Ticket page's logic, without a browser: any level, every view, and files brought back."""

import io
import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from lottery_core.findings.verdict import level_to_show
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import network
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.spec.sizes import as_percent
from lottery_core.store import Job
from lottery_core.store.tensors import save
from lottery_core.tickets import files
from lottery_core.tickets.content import FORMAT, in_header
from lottery_core.training.context import Context
from tests.networks import masks
from tests.pages import go_to, open_page, said
from ui.ticket.subject import VIEWS

pytestmark = pytest.mark.usefixtures("judged_on_few")

PAGE = "pages/ticket.py"
RECIPE = Recipe(
    network="12 11", iterations=120, evaluate_every=40, batch_size=64, normalisation="dataset",
    learning_rate=0.05,
)  # fmt: skip
EXPERIMENT = Experiment(RECIPE, rounds_of([0.5, 0.75]))


@pytest.fixture(scope="module")
def finished_runs(make_store, tmp_path_factory):
    """A store with one finished run, its random reinit, and the jobs that asked."""
    store = make_store(tmp_path_factory.mktemp("finished") / "store")
    for when, experiment in enumerate((EXPERIMENT, ARMS["reinit"].of(EXPERIMENT))):
        list(engine.run(experiment, Context(store)))
        store.write_job(
            Job(experiment.key, "done", "", submitted=when, experiment=experiment.as_dict())
        )
    return store


@pytest.fixture
def trained(finished_runs, shared):
    """The page's store, a copy of `finished_runs`."""
    for name in ("levels", "jobs"):
        shutil.copytree(finished_runs.root / name, shared.store.root / name, dirs_exist_ok=True)
    return shared.store


def metric(page, label: str) -> str:
    return next(metric.value for metric in page.metric if metric.label == label)


def wait_for(store, keys) -> None:
    end = time.monotonic() + 60
    while not all(map(store.has, keys)):
        assert time.monotonic() < end
        time.sleep(0.05)


# Which level


def test_an_empty_cache_is_explained_and_still_takes_files(shared):
    page = open_page(PAGE)
    assert not page.exception
    assert "There is no trained network in this cache yet" in said(page)
    page = open_page(PAGE, view="bring")
    assert not page.exception
    assert len(page.file_uploader) == 1


def test_the_first_look_is_at_the_level_that_every_page_begins_with(trained):
    page = open_page(PAGE)
    infos = [trained.info(key) for key in EXPERIMENT.keys]
    best = infos[level_to_show({EXPERIMENT.recipe.seed: infos})]
    assert metric(page, "Weights kept") == f"{best.weights_kept:,}"
    assert metric(page, "Test accuracy, end of training") == as_percent(best.test_accuracy, 2)
    assert page.query_params["key"] == EXPERIMENT.key
    assert page.query_params["level"] == str(best.level)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_link_names_an_experiment_and_a_level_or_a_level_alone(trained, n):
    info = trained.info(EXPERIMENT.keys[n])
    links = [{"key": EXPERIMENT.key, "level": str(n)}]
    if n != 2:  # whose key is the experiment's
        links.append({"key": EXPERIMENT.keys[n]})
    for link in links:
        page = open_page(PAGE, **link)
        assert not page.exception
        assert metric(page, "Weights kept") == f"{info.weights_kept:,}"
        untrained = trained.read(EXPERIMENT.keys[n]).history["test_accuracy"][0]
        assert metric(page, "Test accuracy, at its start") == as_percent(untrained, 2)
        assert EXPERIMENT.keys[n] in said(page)


def test_of_a_mask_that_takes_weights_back_the_survival_map_says_so(trained):
    drawn = ARMS["random-mask"].of(EXPERIMENT)
    list(engine.run(drawn, Context(trained)))
    words = "keeps weights that the ticket had lost before"
    for key, is_said in ((EXPERIMENT.key, False), (drawn.key, True)):
        page = open_page(PAGE, key=key, level="2", view="survival")
        assert not page.exception
        assert (words in said(page)) == is_said


def test_a_level_that_no_request_speaks_of_is_found_by_its_key(trained):
    alone = Experiment(RECIPE, rounds_of([0.9]))
    list(engine.run(alone, Context(trained)))
    page = open_page(PAGE, key=alone.key, level="1")
    assert not page.exception
    assert metric(page, "Weights kept") == f"{trained.info(alone.key).weights_kept:,}"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("experiment", [EXPERIMENT, ARMS["reinit"].of(EXPERIMENT)], ids=["t", "c"])
def test_every_view_shows_every_level(trained, view, experiment):
    for n in range(3):
        page = open_page(PAGE, key=experiment.key, level=str(n), view=view)
        assert not page.exception
        assert page.query_params["view"] == view


@pytest.mark.parametrize(
    "link",
    [
        {"key": "0" * 40}, {"key": "../../etc/passwd"}, {"key": "<b>x</b>"}, {"level": "-1"},
        {"level": "9" * 40}, {"level": "x"}, {"view": "nothing"}, {"ticket": "../x"},
        {"ticket": "f" * 64, "view": "bring"}, {"ticket": '"', "view": "bring"}, {"other": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_a_link_says_the_page_stands(trained, link):
    page = open_page(PAGE, **link)
    assert not page.exception
    assert page.title


# What it says


def test_inside_counts_are_those_of_the_mask(trained):
    page = open_page(PAGE, key=EXPERIMENT.key, level="2", view="inside")
    table = page.dataframe[0].value
    layers = trained.info(EXPERIMENT.key).layers
    assert table["kept"].tolist() == [layer.kept for layer in layers.values()]
    assert "of the survivors moved away from zero" in said(page)


def test_both_networks_answer_about_a_test_image(trained):
    page = open_page(PAGE, key=EXPERIMENT.key, level="2", view="try")
    assert "Both networks answer as soon as you lift the pen" in said(page)
    assert "different classes for" in said(page)
    next(w for w in page.button_group if w.label == "Ask about").set_value("pick").run()
    assert not page.exception
    assert "dense says" in said(page)
    page.button(key="trial_differ").click().run()
    assert "They disagree: dense says" in said(page)


def test_every_format_is_offered_and_the_card_is_shown(trained):
    page = open_page(PAGE, key=EXPERIMENT.key, level="2", view="take")
    labels = [button.label for button in page.get("download_button")]
    assert labels.count("Ticket, .pt") == 1
    offered = files.offered(trained.read(EXPERIMENT.key))
    assert set(labels) == {files.FORMATS[name].title for name in offered}
    assert "One seed" in said(page)
    assert EXPERIMENT.key in said(page)


# Brought back


def brought(content: bytes, name: str = "ticket.safetensors"):
    page = open_page(PAGE, view="bring")
    page.file_uploader[0].upload(name, content).run()
    assert not page.exception
    return page


def npz(mask) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **mask)
    return buffer.getvalue()


def test_our_own_file_is_known_bit_for_bit(trained):
    page = brought(files.export(trained, EXPERIMENT.key, "ticket"))
    assert "This is level 2 of an experiment in this cache, bit for bit." in said(page)
    lists = [caption.value for caption in page.caption]
    assert lists.count("Nothing.") == 2  # left out, and worked out


def test_a_changed_file_is_told(trained):
    content = bytearray(files.export(trained, EXPERIMENT.key, "ticket"))
    first = 8 + int.from_bytes(content[:8], "little")
    content[first + 1] ^= 0x11  # in a weight
    assert "has been changed" in said(brought(bytes(content)))


def test_masks_of_convolutions_are_read_and_the_network_can_be_named(trained):
    text = "8 8 16 pool 16 pool 10"
    page = brought(npz(masks(text)), "mask.npz")
    assert "taken for those of 8 8 pool 16 16 pool 10" in said(page)
    next(w for w in page.text_input if "Its network" in w.label).set_value(text).run()
    assert not page.exception
    assert "taken for" not in said(page)
    shapes = next(one.value for one in page.dataframe if "shape" in one.value.columns)
    assert [*shapes["shape"][:2]] == ["8 x 1 x 3 x 3", "8 x 8 x 3 x 3"]
    assert not page.button(key="bring_train").disabled


def test_a_mask_that_no_data_set_here_fits_is_verified_and_not_trained(trained):
    net = network("4 pool", (3, 14, 14), 10)
    header = {"format": FORMAT, "network": json.dumps(in_header(net))}
    mask = {name: np.ones(shape, bool) for name, shape in net.shapes.items()}
    page = brought(save(mask, metadata=header))
    assert "for images of 3x14x14 in 10 classes, and no data set here has such" in said(page)
    assert "Nothing in this cache has this mask" in said(page)
    assert "bring_train" not in {button.key for button in page.button}


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n123", b"PK\x03\x04" + b"x" * 99, b"\x80\x04K\x01."]
)
def test_a_bad_file_gets_one_sentence_and_nothing_to_press(trained, content):
    page = brought(content, "<b>bad</b>.npz")
    (error,) = page.error
    assert "\n" not in error.value
    assert "bring_train" not in {button.key for button in page.button}
    assert not list(trained.root.glob("tickets/*"))


def test_every_name_of_a_file_is_in_one_of_three_lists(trained):
    shapes = RECIPE.shapes
    arrays = {
        f"{name}_mask": np.eye(*shape) for name, shape in shapes.items() if name != "fc3.weight"
    }
    arrays |= {name: np.full(shape, 0.5) for name, shape in shapes.items()}
    arrays |= {"<b>loss</b>": np.ones(12), "[x](y)": np.array(1.0)}
    page = brought(npz(arrays), "state.npz")
    table = next(frame.value for frame in page.dataframe if "used as" in frame.value.columns)
    used = dict(table.itertuples(index=False))
    assert used == {
        name: f"{'mask' if name.endswith('mask') else 'weights'} of {name[:3]}"
        for name in arrays
        if name.startswith("fc")
    }
    assert "- <b>loss</b>: named as something other than a bias" in said(page)
    assert "- [x](y): a single number" in said(page)
    assert "- 'fc3.weight' has no mask: fc3 is kept whole." in said(page)
    captions = "".join(caption.value for caption in page.caption)
    assert "<b>" not in captions
    assert "[x](y)" not in captions


def test_a_brought_ticket_is_trained_beside_dense_and_a_random_mask(trained):
    page = brought(files.export(trained, EXPERIMENT.key, "ticket"))
    ticket = page.query_params["ticket"]
    assert "3 trainings; 1 is already in the cache" in said(page)
    page.button(key="bring_train").click().run()
    assert not page.exception
    keys = {key for job in trained.jobs() for key in Experiment.from_dict(job.experiment).keys}
    wait_for(trained, keys)
    page = open_page(PAGE, view="bring", ticket=ticket)  # as a reload or another browser does
    table = next(one.value for one in page.dataframe if "dense" in one.value.columns)
    again = table.iloc[0]
    assert again["dense"] == as_percent(trained.info(EXPERIMENT.keys[0]).test_accuracy, 2)
    assert again["random mask"].endswith("%")
    assert again["random reinit"] == "not run"
    assert "the ticket reaches" in said(page)
    page = open_page("pages/runs.py")
    rows = page.dataframe[0].value
    assert {"brought ticket", "random mask"} <= set(rows["arm"])


def test_a_file_and_its_form_are_there_again_when_one_comes_back(trained):
    page = brought(files.export(trained, EXPERIMENT.key, "ticket"))
    ticket = page.query_params["ticket"]
    next(w for w in page.number_input if w.label == "Iterations").set_value(77).run()
    go_to(page, "pages/runs.py")
    go_to(page, PAGE)
    assert page.query_params["ticket"] == ticket
    assert "What was brought before: **ticket.safetensors**" in said(page)
    assert "bit for bit" in said(page)
    assert next(w for w in page.number_input if w.label == "Iterations").value == 77
    assert page.query_params["iterations"] == "77"
    page.button(key="bring_away").click().run()
    assert "bit for bit" not in said(page)
    assert "ticket" not in page.query_params
    assert "iterations" not in page.query_params


def test_a_link_to_a_ticket_shows_its_file_or_says_that_it_is_not_here(trained):
    content = files.export(trained, EXPERIMENT.key, "ticket")
    link = {"view": "bring", "ticket": brought(content).query_params["ticket"]}
    assert "whose file this cache does not have" in said(open_page(PAGE, **link))
    page = brought(content)
    page.button(key="bring_train").click().run()
    page = open_page(PAGE, **link)
    assert not page.exception
    assert "What was brought before: **ticket" in said(page)
    assert "whose file this cache does not have" not in said(page)
    assert page.query_params["ticket"] == link["ticket"]
    assert not page.button(key="bring_train").disabled


def test_a_link_to_a_ticket_says_how_it_is_to_be_trained(trained):
    page = brought(files.export(trained, EXPERIMENT.key, "ticket"))
    page.button(key="bring_train").click().run()  # which keeps the file
    for kind, label, value in (
        ("selectbox", "Optimiser", "adam"),
        ("number_input", "Seed", 3),
        ("number_input", "Seeds", 2),
        ("radio", "Survivors start from", "initial"),
        ("multiselect", "Run beside it", []),
    ):
        next(one for one in getattr(page, kind) if one.label == label).set_value(value).run()
    link = dict(page.query_params)
    assert {name: link[name] for name in ("optimiser", "seed", "seeds", "weights", "beside")} == {
        "optimiser": "adam", "seed": "3", "seeds": "2", "weights": "initial", "beside": "none",
    }  # fmt: skip
    assert "rate" not in link
    other = open_page(PAGE, **link)
    values = {one.label: one.value for one in (*other.selectbox, *other.number_input)}
    assert (values["Optimiser"], values["Seed"], values["Seeds"]) == ("adam", 3, 2)
    assert other.query_params == link
    odd = open_page(PAGE, **link | {"seed": "x", "optimiser": "y", "beside": "z", "on": "w"})
    assert not odd.exception


def test_the_form_says_what_does_not_go_together(trained):
    page = brought(npz({name: np.eye(*shape, dtype=bool) for name, shape in RECIPE.shapes.items()}))
    assert "The file has no weights" in said(page)
    field = next(w for w in page.number_input if w.label == "Iterations")
    field.set_value(0).run()
    assert not page.exception
    assert "iterations=0 must be a whole number from 1" in said(page)
    assert page.button(key="bring_train").disabled


def test_a_mask_of_this_cache_is_trained_with_its_own_seed_and_recipe(trained):
    other = replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, seed=7))
    for level in engine.run(other, Context(trained)):
        mask = level.mask
    page = brought(npz(mask), "mask.npz")
    assert "though the file does not say so" in said(page)
    (seed,) = (field for field in page.number_input if field.label == "Seed")
    assert seed.value == 7
    assert "the seed of the level it is of here, seed 7" in said(page)
    iterations = next(field for field in page.number_input if field.label == "Iterations")
    assert iterations.value == EXPERIMENT.recipe.iterations
