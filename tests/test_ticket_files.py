"""Files to take away hold what the store holds, and say what they are. Each is opened with its
format's own library in a process that can't import this project."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load
from torch.nn.utils import prune

from lottery_core.findings.forward import logits
from lottery_core.running import engine
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.networks import network
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store.info import plain_counts
from lottery_core.tickets import files
from lottery_core.tickets.content import FORMAT, digest, in_header
from lottery_core.training.context import Context
from lottery_core.training.models import Model
from lottery_core.training.models import load as set_weights
from tests.networks import CONVOLUTIONAL, make_level

pytestmark = pytest.mark.usefixtures("judged_on_few")

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ["fc1.weight", "fc2.weight"]


@pytest.fixture(scope="module")
def shelf(make_store, tmp_path_factory):
    """A store with a dense network and two rounds."""
    store = make_store(tmp_path_factory.mktemp("files") / "store")
    recipe = Recipe(network="8", iterations=12, evaluate_every=6, batch_size=16)
    experiment = Experiment(recipe, rounds_of([0.5, 0.75]))
    list(engine.run(experiment, Context(store)))
    return store, experiment


@pytest.fixture(scope="module")
def level(shelf):
    store, experiment = shelf
    return store.read(experiment.key)


@pytest.fixture(scope="module")
def taken(shelf, level, tmp_path_factory):
    """A folder with a file of every format, by name of the format."""
    store, experiment = shelf
    folder, paths = tmp_path_factory.mktemp("taken"), {}
    for name in files.offered(level):
        paths[name] = folder / files.file_name(level.info, name)
        paths[name].write_bytes(files.export(store, experiment.key, name))
    return paths


def elsewhere(statements: str, folder: Path) -> str:
    """What Python prints in a folder from which this project can't be imported."""
    first = "import importlib.util; assert importlib.util.find_spec('lottery_core') is None\n"
    done = subprocess.run(
        [sys.executable, "-c", first + statements],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SUMS = """
import hashlib, json
print(json.dumps({
    name: [str(a.dtype), list(a.shape), hashlib.sha256(a.tobytes()).hexdigest()]
    for name, a in arrays.items()
}))
"""


def sums(arrays):
    return {
        name: [str(a.dtype), list(a.shape), hashlib.sha256(a.tobytes()).hexdigest()]
        for name, a in arrays.items()
    }


def in_parts(level):
    parts = {"mask": level.mask, "restart": level.start, "trained": level.end}
    return {f"{part}/{name}": a for part, arrays in parts.items() for name, a in arrays.items()}


# Round trips


def test_numpy_alone_reads_the_mask(taken, level):
    path = taken["mask-npz"]
    opening = f"import numpy; arrays = dict(numpy.load({path.name!r}, allow_pickle=False))"
    assert json.loads(elsewhere(opening + SUMS, path.parent)) == sums(level.mask)
    assert all(kept.dtype == bool for kept in level.mask.values())


def test_safetensors_alone_reads_the_mask(taken, level):
    path = taken["mask"]
    opening = f"from safetensors.numpy import load_file; arrays = load_file({path.name!r})"
    assert json.loads(elsewhere(opening + SUMS, path.parent)) == sums(level.mask)


def test_safetensors_alone_reads_the_ticket(taken, level):
    path = taken["ticket"]
    opening = f"from safetensors.numpy import load_file; arrays = load_file({path.name!r})"
    assert json.loads(elsewhere(opening + SUMS, path.parent)) == sums(in_parts(level))


def test_torch_reads_pt_and_a_plain_pruned_model_takes_it(taken, level):
    ways = ("identity(layer, 'weight')", "l1_unstructured(layer, 'weight', 1)")
    parts = {taken["pt"]: level.start, taken["pt-trained"]: level.end}
    for way in ways:
        statements = f"""
import torch
from torch import nn
from torch.nn.utils import prune
class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 8), nn.Linear(8, 10)
    def forward(self, images):
        return self.fc2(torch.relu(self.fc1(images)))
for name in {[path.name for path in parts]}:
    state = torch.load(name, weights_only=True)
    model = Plain()
    for layer in (model.fc1, model.fc2):
        prune.{way}
    model.load_state_dict(state)  # strict: not a name too many or too few
    model(torch.zeros(1, 784))
    torch.optim.SGD(model.parameters(), 0.1).zero_grad()
    nn.functional.cross_entropy(model(torch.ones(4, 784)), torch.arange(4)).backward()
    assert (model.fc1.weight_orig.grad[state["fc1.weight_mask"] == 0] == 0).all()
    for layer in (model.fc1, model.fc2):
        prune.remove(layer, "weight")
    arrays = {{name: a.numpy() for name, a in model.state_dict().items()}}
"""
        printed = elsewhere(statements + SUMS.replace("\n", "\n    "), taken["pt"].parent)
        assert [json.loads(line) for line in printed.splitlines()] == list(
            map(sums, parts.values())
        )


def test_onnxruntime_answers_as_torch_does(taken, mnist):
    path = taken["onnx"]
    np.save(path.parent / "images.npy", mnist.test_images[:1_000])
    printed = elsewhere(
        f"""
import numpy, onnxruntime, torch
images = numpy.load("images.npy")
session = onnxruntime.InferenceSession({path.name!r})
(given,), (got,) = session.get_inputs(), session.get_outputs()
print(given.name, *given.shape, got.name, *got.shape)
answers = session.run(None, {{"image": images}})[0]
one = session.run(["logits"], {{"image": images[:1]}})[0]
state = torch.load({taken["pt-trained"].name!r}, weights_only=True)
x = torch.from_numpy(images)
for layer in ("fc1", "fc2"):
    weight = state[layer + ".weight_orig"] * state[layer + ".weight_mask"]
    x = torch.nn.functional.linear(x, weight, state[layer + ".bias"])
    x = x.relu() if layer == "fc1" else x
numpy.testing.assert_allclose(answers, x.numpy(), atol=1e-5)
numpy.testing.assert_allclose(one, answers[:1], atol=1e-6)
clear = numpy.ptp(numpy.sort(x.numpy(), axis=1)[:, -2:], axis=1) > 1e-4
print(clear.mean() > 0.99, (answers.argmax(1) == x.numpy().argmax(1))[clear].all())
""",
        path.parent,
    )
    assert printed.splitlines() == ["image batch 784 logits batch 10", "True True"]


# Every network


@pytest.fixture(scope="module", params=[*CONVOLUTIONAL, "lenet-5"])
def other(request, make_store, tmp_path_factory):
    """(level, folder with a file of every format by name) of a network with convolutions."""
    folder = tmp_path_factory.mktemp("other")
    store, level = make_store(folder / "store"), make_level(request.param)
    key, paths = level.info.key, {}
    store.write(key, level)
    level = store.read(key)
    for name in files.offered(level):
        paths[name] = folder / files.file_name(level.info, name)
        paths[name].write_bytes(files.export(store, key, name))
    return level, paths


def test_masks_and_tickets_of_convolutions_hold_what_the_store_holds(other):
    level, paths = other
    with np.load(paths["mask-npz"]) as archive:
        assert sums(dict(archive)) == sums(level.mask)
    assert sums(load(paths["mask"].read_bytes())) == sums(level.mask)
    assert sums(load(paths["ticket"].read_bytes())) == sums(in_parts(level))
    with zipfile.ZipFile(paths["bundle"]) as archive:
        assert archive.read(paths["card"].name) == paths["card"].read_bytes()


def test_the_header_lists_a_networks_operations_and_the_text_that_makes_them_again(other):
    level, paths = other
    for name in ("mask", "ticket"):
        with safe_open(paths[name], "numpy") as file:
            told = json.loads(file.metadata()["network"])
        net = network(told["text"], tuple(told["input"]), told["classes"])
        assert in_header(net) == told
        assert {n: k.shape for n, k in level.mask.items()} == net.shapes
        named = [at["name"] for at in told["operations"] if at["kind"] in ("conv", "fc")]
        assert [f"{name}.weight" for name in named] == [*level.mask]


def net_of(level):
    return Experiment.from_dict(level.info.experiment).recipe.net


def test_pruned_convolutions_with_batch_norm_go_into_a_plain_torch_model(other):
    level, paths = other
    for name, part in (("pt", level.start), ("pt-trained", level.end)):
        state = torch.load(paths[name], weights_only=True)
        model = Model(net_of(level))
        for layer in model.children():
            if isinstance(layer, torch.nn.BatchNorm2d):  # as torch makes it
                layer.num_batches_tracked = torch.tensor(0)
            else:
                prune.identity(layer, "weight")
        model.load_state_dict(state)  # strict: not a name too many or too few
        for layer in model.children():
            if not isinstance(layer, torch.nn.BatchNorm2d):
                prune.remove(layer, "weight")
        found = {n: values.numpy() for n, values in model.state_dict().items() if values.ndim}
        assert sums(found) == sums(part)


def test_onnxruntime_answers_for_convolutions_as_numpy_and_torch_do(other, mnist):
    level, paths = other
    net = net_of(level)
    images = mnist.test_images[:50].reshape(-1, *net.input)
    session = onnxruntime.InferenceSession(paths["onnx"])
    (given,), (got,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("image", ["batch", 1, 28, 28])
    assert (got.name, got.shape) == ("logits", ["batch", 10])
    answers = session.run(None, {"image": images})[0]
    expected = logits(net, level.end, images)
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-4)
    model = Model(net).eval()
    set_weights(model, level.end)
    with torch.no_grad():
        theirs = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(answers, theirs, rtol=1e-4, atol=1e-4)
    one = session.run(["logits"], {"image": images[:1]})[0]
    np.testing.assert_allclose(one, answers[:1], rtol=1e-5, atol=1e-5)


def test_an_onnx_file_of_convolutions_has_one_node_an_operation_and_names_its_image(other):
    level, paths = other
    net, model = net_of(level), onnx.load(paths["onnx"])
    assert len(model.graph.node) == len(net.operations)
    assert {values.name for values in model.graph.initializer} == set(level.end)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["image"] == "1x28x28: channels, rows, columns"
    assert told["network"] == net.title


def test_a_zip_holds_ticket_script_and_card(taken):
    with zipfile.ZipFile(taken["bundle"]) as archive:
        assert archive.namelist() == [taken[name].name for name in ("ticket", "script", "card")]
        assert archive.read(taken["script"].name) == taken["script"].read_bytes()
        assert archive.read(taken["card"].name) == taken["card"].read_bytes()
        inside = load(archive.read(taken["ticket"].name))
    assert sums(inside) == sums(load(taken["ticket"].read_bytes()))


# What the files say of themselves


def test_a_ticket_holds_the_weights_it_restarts_from_beside_the_trained_ones(shelf, level, taken):
    store, experiment = shelf
    dense = store.read(experiment.keys[0])
    with safe_open(taken["ticket"], "numpy") as file:
        for name, kept in level.mask.items():
            restart = file.get_tensor(f"restart/{name}")
            np.testing.assert_array_equal(restart[kept], dense.start[name][kept])
            assert (restart[~kept] == 0).all()
            trained = file.get_tensor(f"trained/{name}")
            assert (trained[~kept] == 0).all()
            assert (trained[kept] != restart[kept]).any()


@pytest.mark.parametrize("name", ["mask", "ticket"])
def test_the_header_tells_all_that_leads_to_it_and_what_came_of_it(shelf, level, taken, name):
    _, experiment = shelf
    with safe_open(taken[name], "numpy") as file:
        header = file.metadata()
    assert header["format"] == FORMAT
    assert header["key"] == experiment.key
    assert header["level"] == "2"
    read = {
        field: json.loads(header[field])
        for field in ("experiment", "layers", "results", "versions", "digests")
    }
    assert Experiment.from_dict(read["experiment"]) == experiment
    assert read["layers"] == plain_counts(level.info.layers)
    assert read["versions"] == level.info.versions
    assert read["results"] == {
        field: getattr(level.info, field)
        for field in (
            "test_accuracy",
            "validation_accuracy",
            "early_stop_iteration",
            "test_accuracy_at_early_stop",
            "iterations_trained",
            "explored",
            "settled",
        )
    }
    parts = {"mask": level.mask, "restart": level.start, "trained": level.end}
    told = parts if name == "ticket" else {"mask": level.mask}
    assert read["digests"] == {part: digest(arrays) for part, arrays in told.items()}


def test_a_ticket_names_both_its_restart_and_its_trained_weights(taken):
    with safe_open(taken["ticket"], "numpy") as file:
        contents = file.metadata()["contents"]
    assert "restart/*: the weights before training" in contents
    assert "trained/*: the weights after training" in contents
    with safe_open(taken["mask"], "numpy") as file:
        assert "mask alone" in file.metadata()["contents"]


def test_an_onnx_file_names_key_recipe_and_normalisation(shelf, taken):
    _, experiment = shelf
    model = onnx.load(taken["onnx"])
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["key"] == experiment.key
    assert json.loads(told["recipe"]) == experiment.as_dict()["recipe"]
    assert "(x - 0.5) / 0.5" in told["normalisation"]
    assert told["image"] == "1x28x28: channels, rows, columns, flat in that order"
    assert (told["mean"], told["deviation"]) == ("0.5", "0.5")


def test_an_onnx_file_tells_the_mean_and_deviation_of_its_data_set(store):
    recipe = Recipe(network="4", iterations=2, evaluate_every=2, normalisation="dataset")
    list(engine.run(Experiment(recipe), Context(store)))
    model = onnx.load_from_string(files.export(store, Experiment(recipe).key, "onnx"))
    told = {entry.key: float(entry.value) for entry in model.metadata_props if entry.key in
            ("mean", "deviation")}  # fmt: skip
    assert told == pytest.approx({"mean": 0.13066, "deviation": 0.30811}, abs=1e-5)


def test_names_say_level_and_key_so_that_files_stay_together(taken, shelf):
    short = shelf[1].key[:8]
    assert taken["ticket"].name == f"ticket-{short}-level2.safetensors"
    assert taken["script"].name == f"train-ticket-{short}-level2.py"
    assert f'TICKET = "{taken["ticket"].name}"' in taken["script"].read_text()
    assert len({path.name for path in taken.values()}) == len(taken)


# What can go wrong


@pytest.mark.parametrize("name", files.FORMATS)
def test_a_level_that_is_not_there_is_refused(shelf, name):
    with pytest.raises(InvalidValue, match="key='0000' is not in this cache"):
        files.export(shelf[0], "0000", name)


def test_a_damaged_level_is_refused(store, tiny):
    list(engine.run(tiny, Context(store)))
    path = store.root / "levels" / tiny.key / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(InvalidValue, match="is damaged; run its experiment again"),
    ):
        files.export(store, tiny.key, "ticket")


def test_an_unknown_format_is_refused(shelf):
    with pytest.raises(InvalidValue, match="format='gif' is unknown; choose one of ticket, mask"):
        files.export(*shelf[:1], shelf[1].key, "gif")


# Without torch in the process that asks


def test_only_the_formats_that_say_so_load_torch(shelf, level):
    store, experiment = shelf
    heavy = {name for name, form in files.FORMATS.items() if form.needs_torch}
    assert heavy == {"pt", "pt-trained", "smaller-pt"}
    light = [name for name in files.offered(level) if name not in heavy]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from lottery_core.store import Store\n"
            "from lottery_core.tickets import files\n"
            "assert 'onnx' not in sys.modules\n"
            f"store = Store({str(store.root)!r})\n"
            f"for name in {light}: files.export(store, {experiment.key!r}, name)\n"
            "assert 'onnx' in sys.modules\n"
            "assert not {'torch', 'numba', 'torchvision'} & set(sys.modules)\n",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_process_of_its_own_makes_the_same_file(shelf, taken):
    made = files.export_in_subprocess(shelf[0], shelf[1].key, "pt")
    with zipfile.ZipFile(io.BytesIO(made)) as a, zipfile.ZipFile(taken["pt"]) as b:
        assert [a.read(name) for name in a.namelist()] == [b.read(name) for name in b.namelist()]


def test_a_process_that_fails_or_takes_too_long_says_why(shelf, monkeypatch):
    with pytest.raises(files.ExportFailed, match="key='00000000' is of no level in"):
        files.export_in_subprocess(shelf[0], "00000000", "pt")
    monkeypatch.setattr(files, "_TIMEOUT", 0.01)
    with pytest.raises(files.ExportFailed, match="not made within"):
        files.export_in_subprocess(shelf[0], shelf[1].key, "pt")
