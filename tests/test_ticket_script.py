"""The downloaded script runs by itself and repeats the training that made its ticket."""

import ast
import hashlib
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from lottery_core.data import archives, identify, load_data, own
from lottery_core.data.own_images import Form
from lottery_core.findings.forward import logits
from lottery_core.method.seeds import seed_of
from lottery_core.running import engine
from lottery_core.spec import datasets
from lottery_core.spec.arms import ARMS
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.spec.terms import CONTROLS
from lottery_core.store import Store
from lottery_core.store.tensors import load, metadata, save
from lottery_core.tickets import files, script, ticket_data, train_ticket
from lottery_core.tickets.content import in_header
from lottery_core.training import torch_loop
from lottery_core.training.base import Training, batch_order
from lottery_core.training.context import Context
from lottery_core.training.models import Model, build, initial_weights
from lottery_core.training.models import load as set_weights
from lottery_core.training.torch_loop import one_torch_thread
from tests.images import judged_on_few, write_files
from tests.infos import info_of
from tests.networks import CONVOLUTIONAL, make_level

ROOT = Path(__file__).resolve().parents[1]
STILL = [name for name in ARMS if not {"dynamics", "supermask"} & CONTROLS.get(name, {}).keys()]
# An epoch at batch 128: it takes a second and learns to 93 or 94 %.
RECIPE = Recipe(
    normalisation="dataset",
    network="32",
    learning_rate=0.1,
    batch_size=128,
    iterations=430,
    evaluate_every=215,
)
SCHEDULED = replace(RECIPE, iterations=60, evaluate_every=60, warmup=20, decay_at=(30, 50))


def download(store, experiment, folder: Path) -> Path:
    """The files of an experiment's last level in a folder, as somebody would save them."""
    info = store.read(experiment.key).info
    for name in ("ticket", "script"):
        (folder / files.file_name(info, name)).write_bytes(
            files.export(store, experiment.key, name)
        )
    return folder / files.file_name(info, "script")


@pytest.fixture
def home(tmp_path):
    """A folder without this project, where MNIST lies as torchvision keeps it."""
    raw = tmp_path / "home" / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in archives("mnist", tmp_path):
        shutil.copy(file, raw)
    return tmp_path / "home"


@pytest.fixture
def few(mnist):
    """MNIST cut down to what five small batches see; as many indices as the recipe counts."""
    some = slice(500)
    return replace(
        mnist,
        images=mnist.images.take(some),
        labels=mnist.labels[some],
        train_index=mnist.train_index % 500,
        validation_index=mnist.validation_index[:20] % 500,
        test_images=mnist.test_images.take(slice(20)),
        test_labels=mnist.test_labels[:20],
    )


def run(script: Path, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, script.name, *map(str, arguments)],
        cwd=script.parent,
        capture_output=True,
        text=True,
        env={},
        timeout=300,
    )


def accuracies(printed: str) -> dict[str, float]:
    """Percents, by what the line begins with."""
    return {
        begins: float(re.search(rf"^{begins}.*?: (\d+\.\d+)%", printed, re.MULTILINE)[1])
        for begins in ("The trained", "Trained now", "Recorded")
    }


def test_it_needs_torch_torchvision_and_numpy_alone():
    tree = ast.parse(script.in_one_file())
    named = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    named |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    used = {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names)
    assert used == {"torch", "torchvision", "numpy"}


@pytest.mark.slow
def test_as_downloaded_it_lands_on_the_recorded_accuracy(store, home):
    experiment = Experiment(RECIPE, rounds_of([0.5, 0.8]))
    *_, level = engine.run(experiment, Context(store, loop="torch"))
    done = run(download(store, experiment, home))
    assert done.returncode == 0, done.stderr
    found = accuracies(done.stdout)
    recorded = level.info.test_accuracy
    assert recorded > 0.9
    assert found["Recorded"] == pytest.approx(100 * recorded, abs=0.006)
    assert found["The trained"] == found["Recorded"]
    # The same torch on the same batches in the same order: the same bits.
    assert found["Trained now"] == found["Recorded"]
    assert "level 2: 5,082 of 25,408 weights (20.00%), seed 0" in done.stdout


@pytest.mark.slow
def test_it_trains_with_another_seed_or_not_at_all_when_told_so(store, home):
    experiment = Experiment(SCHEDULED, rounds_of([0.5]))
    *_, level = engine.run(experiment, Context(store, loop="torch"))
    script = download(store, experiment, home)
    other = run(script, "--seed", 5)
    assert other.returncode == 0, other.stderr
    assert "seed 5" in other.stdout
    # Six seeds gave 84.5 to 88.8 percent for the dense network.
    assert abs(accuracies(other.stdout)["Trained now"] - 100 * level.info.test_accuracy) < 15
    only = run(script, "--from", "trained")
    assert only.returncode == 0, only.stderr
    assert "Trained now" not in only.stdout
    assert f"The trained weights in the file: {level.info.test_accuracy:.2%}" in only.stdout


def test_a_ticket_that_is_not_there_is_missed_in_words(store, tiny, tmp_path):
    list(engine.run(tiny, Context(store)))
    script = download(store, tiny, tmp_path)
    next(tmp_path.glob("ticket-*")).unlink()
    done = run(script)
    assert done.returncode == 2
    assert "is not there; download the ticket too, or name its file" in done.stderr
    assert "Traceback" not in done.stderr


def test_of_a_mask_that_moved_it_says_that_it_trains_the_last(store, tiny, monkeypatch, capsys):
    def missing(*about):
        raise OSError("it is elsewhere")

    moved = ARMS["rigl"].of(tiny)
    list(engine.run(moved, Context(store)))
    path = store.root / "ticket.safetensors"
    path.write_bytes(files.export(store, moved.key, "ticket"))
    monkeypatch.setattr(sys, "argv", ["train-ticket.py", str(path)])
    monkeypatch.setattr(train_ticket, "load_data", missing)
    with pytest.raises(SystemExit, match="not to be had"):
        train_ticket.main()
    assert "does not repeat: it trains the mask that it ended with" in capsys.readouterr().out
    late = replace(moved, rounds=rounds_of([0.5], rewind_iteration=10, restart="rate-rewind"))
    assert train_ticket.schedule_of(late.as_dict())[1] == 0


@pytest.mark.parametrize("name", ARMS)
def test_what_it_can_not_repeat_it_says_with_the_command_that_does(name):
    arm = ARMS[name].of(Experiment(RECIPE, rounds_of([0.5])))
    text = script.script(info_of(experiment=arm.as_dict(), key=arm.key), "it.py", "it.safetensors")
    says = ast.get_docstring(ast.parse(text))
    if name in STILL:
        assert "does not repeat" not in says
        return
    assert "The script does not repeat this training" in says
    (command,) = re.findall(r"python -m lottery_core run .*", says)
    _, _, _, _, *options = shlex.split(command)
    names = [name.removeprefix("--").replace("-", "_") for name in options[::2]]
    _, choice = read_choice(dict(zip(names, options[1::2], strict=True)))
    assert arm.key in {one.key for one in choice.experiments()}


# The same procedure as the core's, part by part


def tensors_of(data) -> tuple:
    """What the script's loop trains on: images, labels, and what a black pixel is."""
    black = data.images.values.reshape(-1, 256)[:, 0].copy()
    some = (data.images[data.train_index], data.labels[data.train_index], black)
    return tuple(map(train_ticket.torch.from_numpy, some))


@pytest.fixture(scope="module")
def tensors(datasets):
    return tensors_of(load_data(SCHEDULED, datasets))


def trained_by_the_script(store, experiment, tensors) -> dict[str, np.ndarray]:
    """The weights that the script's own loop makes of an experiment's last level."""
    path = store.root / "ticket.safetensors"
    path.write_bytes(files.export(store, experiment.key, "ticket"))
    header, parts = train_ticket.read_tensors(path)
    told = json.loads(header["experiment"])
    model = train_ticket.build(json.loads(header["network"]), parts["restart"])
    recipe, first = train_ticket.schedule_of(told)
    train_ticket.train(model, parts["mask"], recipe, first, tensors)
    return {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "case",
    ["dense", "rewound", "adam", "decayed", "mirrored and shifted", *STILL, "reshuffled-once"],
)
def test_it_repeats_every_kind_of_level_to_the_bit(store, case, tensors):
    recipe = SCHEDULED
    if case == "adam":
        recipe = replace(recipe, optimiser="adam", momentum=0.0, learning_rate=0.002)
    if case in ("mirrored and shifted", "new-order"):
        recipe = replace(recipe, augmentation="flip-shift")
    if case == "decayed":
        recipe = replace(recipe, weight_decay=0.001)
    whole = ("reshuffled-reinit", "fine-tune", "dense-longer")
    rewound = ("rewound", *(name for name in ARMS if name not in whole))
    rewind = 20 if case in rewound else 0
    experiment = Experiment(recipe, rounds_of([0.5, 0.75], rewind_iteration=rewind))
    if case == "dense":
        experiment = Experiment(recipe)
    elif case in STILL:
        experiment = ARMS[case].of(experiment)
    elif case == "reshuffled-once":
        last = replace(experiment.rounds[-1], reshuffled=True)
        experiment = replace(experiment, rounds=(*experiment.rounds[:-1], last))
    with judged_on_few():
        *_, level = engine.run(experiment, Context(store, loop="torch"))
    with one_torch_thread():
        found = trained_by_the_script(store, experiment, tensors)
    assert set(found) == set(level.end)
    for name, values in level.end.items():
        np.testing.assert_array_equal(found[name], values)
        if name in level.mask:
            assert (found[name][~level.mask[name]] == 0).all()


# Convolutions, batch norm, and ResNets with their shortcuts.
@pytest.mark.parametrize("network", [*CONVOLUTIONAL, "lenet-5"])
def test_it_trains_every_network_as_the_cores_torch_loop_does(store, few, network):
    recipe = replace(
        SCHEDULED, network=network, batch_size=8, iterations=5, decay_at=(4,), warmup=3
    )
    level, experiment = make_level(network), Experiment(recipe, rounds_of([0.5, 0.75]))
    info = replace(level.info, experiment=experiment.as_dict(), key=experiment.key)
    store.write(experiment.key, replace(level, info=info))
    trained = torch_loop.train(Training(recipe, level.start, level.mask), few, lambda moment: None)
    with one_torch_thread():
        found = trained_by_the_script(store, experiment, tensors_of(few))
    assert set(found) == set(trained.weights)
    for name, values in trained.weights.items():
        moved = np.abs(values - level.start[name]).max()
        assert np.abs(found[name] - values).max() < moved / 100 + 1e-6, name
        if name in level.mask:
            assert (found[name][~level.mask[name]] == 0).all()


@pytest.mark.parametrize("network", ["16", "lenet-5", "resnet-20 x1.5", "resnet-20 x0.25"])
def test_images_lie_in_memory_as_where_the_network_was_trained(network):
    """Sums are rounded by where numbers lie, and of narrow networks torch takes only one way."""
    recipe = Recipe(network=network)
    theirs = train_ticket.Network(in_header(recipe.net), initial_weights(recipe))
    assert theirs.layout == build(recipe).layout


@pytest.mark.parametrize("network", [*CONVOLUTIONAL, "lenet-5"])
def test_its_networks_are_the_cores_with_gradients_and_running_statistics(network):
    start, chance = make_level(network).start, np.random.default_rng(0)
    net = Recipe(network=network).net
    core = Model(net)
    set_weights(core, start)
    both = core.double(), train_ticket.build(in_header(net), start).double()
    images = train_ticket.torch.from_numpy(chance.normal(size=(6, *net.input)))
    results, upstream = [], train_ticket.torch.from_numpy(chance.normal(size=(6, net.classes)))
    for model in both:
        logits = model(images)
        (logits * upstream).sum().backward()
        slopes = {name: p.grad.numpy() for name, p in model.named_parameters()}
        kept = {name: values.numpy() for name, values in model.named_buffers()}
        results.append({"logits": logits.detach().numpy()} | slopes | kept)
    ours, theirs = results
    assert ours.keys() == theirs.keys() == {"logits", *start}
    for name, values in ours.items():
        np.testing.assert_allclose(theirs[name], values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("network", [*CONVOLUTIONAL, "lenet-5"])
def test_it_judges_every_network_as_numpy_does(network, few):
    level = make_level(network)
    net = Experiment.from_dict(level.info.experiment).recipe.net
    images, labels = (train_ticket.torch.from_numpy(a) for a in (few.images[:], few.labels))
    model = train_ticket.build(in_header(net), level.end)
    named = logits(net, level.end, few.images[:].reshape(-1, *net.input)).argmax(1)
    found = train_ticket.accuracy(model, images, labels)
    assert found == pytest.approx((named == few.labels).mean(), abs=1.5 / len(images))


def test_a_ticket_that_does_not_say_its_network_is_sent_back_in_words(store, tiny, tmp_path):
    list(engine.run(tiny, Context(store)))
    script = download(store, tiny, tmp_path)
    ticket = next(tmp_path.glob("ticket-*"))
    header = metadata(ticket.read_bytes())
    del header["network"]
    ticket.write_bytes(save(load(ticket.read_bytes()), metadata=header))
    done = run(script)
    assert done.returncode == 2
    assert "does not say which network it is; export the ticket again" in done.stderr


def test_torchvision_can_be_imported_where_its_library_does_not_load():
    code = """
import torch
def fail(path): raise OSError("undefined symbol")
torch.ops.load_library = fail
from lottery_core.tickets.ticket_data import import_datasets
for _ in range(2):
    print(import_datasets().MNIST.__name__)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["MNIST"] * 2


def test_where_the_library_loads_nothing_is_defined(monkeypatch):
    def refuse(*args):
        raise AssertionError("defined an operator that the library brings")

    whole = ModuleType("torchvision")  # as it is where its library fits
    whole.__spec__, whole.datasets = importlib.util.find_spec("torchvision"), "its data sets"
    monkeypatch.setitem(sys.modules, "torchvision", whole)
    monkeypatch.setattr(train_ticket.torch.ops, "load_library", lambda path: None)
    monkeypatch.setattr(train_ticket.torch.library, "Library", refuse)
    ticket_data.import_datasets.cache_clear()
    assert ticket_data.import_datasets() == "its data sets"
    ticket_data.import_datasets.cache_clear()


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_random_numbers_are_the_cores(seed):
    recipe = replace(RECIPE, seed=seed)
    assert train_ticket.seed_of(seed, "order", 3) == seed_of(seed, "order", 3)
    for epoch, order in ((0, 0), (4, 0), (4, 1)):
        told = asdict(recipe) | {"order": order}
        found = train_ticket.batch_order(told, epoch, recipe.train_size)
        np.testing.assert_array_equal(found.numpy(), batch_order(recipe, epoch, order))


@pytest.mark.parametrize("recipe", [RECIPE, SCHEDULED, replace(RECIPE, warmup=430)])
def test_learning_rates_are_the_cores(recipe):
    told = asdict(recipe)
    found = [train_ticket.learning_rate(told, i) for i in range(recipe.iterations)]
    expected = recipe.learning_rates(0, recipe.iterations)
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.slow
def test_images_are_the_cores(home, datasets):
    recipes = [
        Recipe(normalisation=normalisation, validation_size=1_000, seed=3)
        for normalisation in NORMALISATIONS
    ]
    # In a process of its own: what stands in for torchvision's library is for the whole process.
    (home / "script.py").write_text(script.in_one_file())
    statements = f"""
import hashlib, pathlib, script
for recipe in {[asdict(recipe) for recipe in recipes]}:
    (images, labels, _), *test = script.load_data(recipe, pathlib.Path("data"))
    for tensor in (images, labels, *test):
        print(hashlib.sha256(tensor.numpy().tobytes()).hexdigest())
"""
    done = subprocess.run(
        [sys.executable, "-c", statements], cwd=home, capture_output=True, text=True, env={}
    )
    assert done.returncode == 0, done.stderr
    expected = []
    for recipe in recipes:
        data = load_data(recipe, datasets)
        kept = data.train_index
        expected += [data.images[kept], data.labels[kept], data.test_images[:], data.test_labels]
    sums = [hashlib.sha256(array.tobytes()).hexdigest() for array in expected]
    assert done.stdout.split() == sums


def test_other_files_are_taken_where_the_recipe_names_them_and_no_others(home):
    raw = write_files(home / "data" / "KMNIST" / "raw")
    recipe = Recipe(dataset="kmnist", content=identify("kmnist", raw))
    (home / "script.py").write_text(script.in_one_file())
    statements = f"""
import pathlib, script
recipe = {asdict(recipe)}
print(script.load_data(recipe, pathlib.Path("data"))[0][0].shape)
script.load_data(recipe | {{"content": "ab" * 32}}, pathlib.Path("data"))
"""
    done = subprocess.run(
        [sys.executable, "-c", statements], cwd=home, capture_output=True, text=True, env={}
    )
    assert done.stdout.strip() == "torch.Size([55000, 784])"
    last = done.stderr.splitlines()[-1]
    assert last.startswith("RuntimeError: the ticket was trained on files whose SHA-256 is abab")
    assert last.endswith(f"that of these is {recipe.content}")


def test_it_knows_every_data_set():
    published = {name: facts.folder for name, facts in DATASETS.items() if not facts.is_own}
    assert published == ticket_data.SOURCES


# Images in colour


@pytest.fixture
def colours(tmp_path):
    """A folder of data sets with one of a person's own, `mine`: 60 and 20 images of 3x8x8 in three
    classes."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (60, 8, 8, 3), np.uint8),
        "y_train": rng.permutation(np.repeat(np.arange(3), 20)),
        "x_test": rng.integers(0, 256, (20, 8, 8, 3), np.uint8),
        "y_test": np.arange(20) % 3,
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    root = tmp_path / "cache" / "datasets"
    own.add("mine", tmp_path / "mine.npz", root, Form(8, False))
    yield root
    datasets.register("mine", None)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_ones_own_images_are_the_cores_channel_by_channel(colours, normalisation):
    recipe = Recipe(dataset="mine", normalisation=normalisation, validation_size=10, seed=3)
    data = load_data(recipe, colours)
    (images, labels, black), test, answers = ticket_data.load_data(
        asdict(recipe), colours, data.digest
    )
    kept = data.train_index
    for found, expected in (
        (images, data.images[kept]), (labels, data.labels[kept]), (test, data.test_images[:]),
        (answers, data.test_labels),
    ):  # fmt: skip
        np.testing.assert_array_equal(found.numpy(), expected)
    values = np.broadcast_to(data.images.values, (3, 256))
    np.testing.assert_array_equal(black.numpy(), values[:, 0])


def test_a_ticket_of_ones_own_colour_images_is_trained_from_their_file_alone(colours, tmp_path):
    store = Store(colours.parent)
    recipe = Recipe(
        dataset="mine", network="resnet-8 x0.25", batch_size=10, iterations=6, evaluate_every=6,
        validation_size=10, augmentation="flip-shift",
    )  # fmt: skip
    experiment = Experiment(recipe, rounds_of([0.5]))
    list(engine.run(experiment, Context(store, loop="torch")))
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    script = download(store, experiment, folder)
    alone = run(script)
    assert alone.returncode == 1
    assert "somebody's own images: put mine.safetensors, from the folder datasets" in alone.stderr
    assert "Traceback" not in alone.stderr
    shutil.copy(colours / "mine.safetensors", folder / "data")
    done = run(script)
    assert done.returncode == 0, done.stderr
    found = accuracies(done.stdout)
    assert found["The trained"] == found["Recorded"]
    # Six steps move an image or two of twenty.
    assert abs(found["Trained now"] - found["Recorded"]) <= 15
    other = bytearray((folder / "data" / "mine.safetensors").read_bytes())
    other[-1] ^= 1
    (folder / "data" / "mine.safetensors").write_bytes(other)
    changed = run(script)
    assert changed.returncode == 1
    assert "the ticket was trained on files whose SHA-256 is" in changed.stderr


@pytest.mark.parametrize("name", ["cifar-10", "cifar-100"])
def test_torchvisions_colour_images_are_laid_out_one_channel_after_another(monkeypatch, name):
    rng = np.random.default_rng(0)
    made = {train: (rng.integers(0, 256, (n, 3, 32, 32), np.uint8), [*range(n)])
            for train, n in ((True, 12), (False, 5))}  # fmt: skip

    def source(folder, train, download):  # as torchvision's class: channels last, labels a list
        pixels, labels = made[train]
        return SimpleNamespace(data=pixels.transpose(0, 2, 3, 1), targets=labels)

    stand_in = SimpleNamespace(**{ticket_data.SOURCES[name]: source})
    monkeypatch.setattr(ticket_data, "import_datasets", lambda: stand_in)
    recipe = asdict(Recipe(dataset=name, normalisation="half", validation_size=2))
    (images, labels, black), test, answers = ticket_data.load_data(recipe, Path())
    kept = ticket_data.training_images(recipe, 12)
    for found, pixels in ((images, made[True][0][kept]), (test, made[False][0])):
        expected = (pixels.reshape(len(pixels), -1) / 255 - 0.5) / 0.5
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert (labels.tolist(), answers.tolist()) == (kept.tolist(), [*range(5)])
    assert black.tolist() == [-1, -1, -1]


@pytest.mark.slow
def test_a_lenet_5_with_another_seed_lands_near_the_recorded_accuracy(store, home):
    recipe = replace(
        RECIPE, network="lenet-5", batch_size=60, iterations=200, evaluate_every=200,
        learning_rate=0.03,
    )  # fmt: skip
    experiment = Experiment(recipe, rounds_of([0.8]))
    *_, level = engine.run(experiment, Context(store, loop="torch"))
    recorded = 100 * level.info.test_accuracy
    assert recorded > 90
    script = download(store, experiment, home)
    done = run(script, "--seed", 1)
    assert done.returncode == 0, done.stderr
    found = accuracies(done.stdout)
    # Batches of 100 sum in another order than the core's: one image may change its mind.
    assert found["The trained"] == pytest.approx(recorded, abs=0.03)
    assert found["Trained now"] == pytest.approx(recorded, abs=3)
