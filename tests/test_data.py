"""A data set arrives whole and verified or not at all, and is split by its seed alone."""

import gc
import gzip
import os
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lottery_core import data
from lottery_core.data import (
    DataUnavailable,
    import_torchvision,
    is_prepared,
    load_data,
    prepare,
)
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Recipe

ROOT = Path(__file__).resolve().parents[1]
ORIGINALS = ROOT / "cache" / "datasets" / "MNIST" / "raw"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # its package dataset-fashion-mnist
HEADERS = {
    "train-images-idx3-ubyte": (2051, 60_000, 28, 28),
    "train-labels-idx1-ubyte": (2049, 60_000),
    "t10k-images-idx3-ubyte": (2051, 10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (2049, 10_000),
}


@pytest.fixture
def no_network(monkeypatch):
    """Whoever asks for a connection fails."""

    def refuse(*args, **options):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def root(tmp_path):
    """An empty folder for data sets."""
    return tmp_path / "datasets"


@pytest.fixture
def originals(root):
    """`root` with MNIST's archives, as they come with the project."""
    shutil.copytree(ORIGINALS, root / "MNIST" / "raw")
    return root


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """A folder of the four files of a data set, whole but for their content: all zeros."""
    folder = tmp_path_factory.mktemp("blank")
    for name, numbers in HEADERS.items():
        header = b"".join(number.to_bytes(4, "big") for number in numbers)
        content = header + bytes(int(np.prod(numbers[1:])))
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    return folder


def assert_nothing_left(root):
    """No data set, nor any part of one."""
    assert [path.name for path in root.iterdir() if path.suffix != ".lock"] in ([], ["MNIST"])


# MNIST, from the files that come with the project


def test_torchvision_itself_verifies_and_unpacks_the_files_without_network(
    originals, no_network, mnist
):
    transforms = import_torchvision("transforms")
    whole = import_torchvision("datasets").MNIST(
        root=originals,
        download=True,
        transform=transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]),
    )
    assert len(whole) == 60_000
    # "half" is the notebook's normalisation, bit for bit.
    for i in (0, 1, 7, 30_000, 59_999):
        image, label = whole[i]
        assert image.numpy().tobytes() == mnist.images[i].tobytes()
        assert label == mnist.labels[i]


def test_mnist_is_prepared_without_network(originals, no_network, datasets):
    assert is_prepared("mnist", originals)
    prepare("mnist", originals)
    made, known = (load_file(root / "mnist.safetensors") for root in (originals, datasets))
    assert made.keys() == known.keys()
    assert all(np.array_equal(made[name], known[name]) for name in made)
    assert [array.shape for _, array in sorted(made.items())] == [
        (10_000, 28, 28), (10_000,), (60_000, 28, 28), (60_000,)
    ]  # fmt: skip
    assert not [path for path in originals.iterdir() if path.name.startswith(".")]


def test_a_damaged_prepared_file_is_made_anew_with_a_warning(originals, no_network, datasets):
    content = bytearray((datasets / "mnist.safetensors").read_bytes())
    content[len(content) // 3] ^= 4
    (originals / "mnist.safetensors").write_bytes(content)
    with pytest.warns(UserWarning, match=r"mnist\.safetensors is damaged and is made anew"):
        prepare("mnist", originals)
    made = (originals / "mnist.safetensors").read_bytes()
    assert made == (datasets / "mnist.safetensors").read_bytes()


@pytest.mark.parametrize("length", [0, 5, 1_000])
def test_a_prepared_file_cut_short_is_made_anew_with_a_warning(
    originals, no_network, datasets, length
):
    content = (datasets / "mnist.safetensors").read_bytes()
    (originals / "mnist.safetensors").write_bytes(content[:length])
    with pytest.warns(UserWarning, match="damaged"):
        prepare("mnist", originals)
    assert (originals / "mnist.safetensors").read_bytes() == content


def test_a_damaged_original_is_not_used(originals, no_network):
    path = originals / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataUnavailable, match="MNIST could not be downloaded"):
        prepare("mnist", originals)
    assert_nothing_left(originals)


def test_of_many_that_ask_at_once_one_prepares(originals, monkeypatch):
    calls, fetch = [], data._from_torchvision

    def counted(*args):
        calls.append(1)
        return fetch(*args)

    monkeypatch.setattr(data, "_from_torchvision", counted)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: prepare("mnist", originals), range(4)))
    assert len(calls) == 1


def test_an_unknown_data_set_is_refused_with_the_known_ones(root):
    with pytest.raises(InvalidValue, match=r"'cifar' is unknown; choose one of mnist, fashion-"):
        prepare("cifar", root)


# Values and splits


def test_half_normalisation_is_exact_for_every_grey(mnist, datasets):
    transforms = import_torchvision("transforms")
    grey = load_file(datasets / "mnist.safetensors")["train_images"]
    _, first = np.unique(grey, return_index=True)
    assert len(first) == 256
    images = np.unique(first // 784)
    both = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    for i in images:
        assert both(grey[i][:, :, None]).numpy().tobytes() == mnist.images[i].tobytes()


def test_unit_normalisation_gives_every_image_the_norm_1(datasets):
    found = load_data(Recipe(normalisation="unit"), datasets)
    for images in (found.images, found.test_images):
        norms = np.linalg.norm(images.astype(np.float64), axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-6)
        assert images.min() == 0


def test_data_set_normalisation_makes_mean_0_and_deviation_1_of_the_training_images(datasets):
    found = load_data(Recipe(normalisation="dataset"), datasets)
    assert found.images.mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)
    assert found.images.std(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    # The test images are moved by the same amounts, not by their own.
    assert abs(found.test_images.mean(dtype=np.float64)) > 1e-3
    assert found.test_images.min() == found.images.min()


@pytest.mark.parametrize("size", [0, 1, 5_000, 10_000])
def test_held_out_images_are_disjoint_from_trained_ones_and_none_is_lost(datasets, size):
    found = load_data(Recipe(validation_size=size), datasets)
    assert len(found.validation_index) == size
    together = np.concatenate([found.train_index, found.validation_index])
    assert np.array_equal(np.sort(together), np.arange(60_000))


def test_the_split_repeats_with_its_seed_and_changes_with_it(datasets):
    one, again, other = (load_data(Recipe(seed=seed), datasets) for seed in (4, 4, 5))
    assert np.array_equal(one.validation_index, again.validation_index)
    assert not np.array_equal(one.validation_index, other.validation_index)


def test_arrays_are_what_a_loop_expects(mnist):
    assert (mnist.images.shape, mnist.images.dtype) == ((60_000, 784), np.float32)
    assert (mnist.test_images.shape, mnist.test_labels.shape) == ((10_000, 784), (10_000,))
    assert (mnist.labels.dtype, set(mnist.labels)) == (np.int64, set(range(10)))
    assert (mnist.images.min(), mnist.images.max()) == (-1, 1)
    assert mnist.digest == data._KNOWN_CONTENT["mnist"]


# Other data sets, from a folder


@pytest.fixture
def published(monkeypatch):
    """A folder of Fashion-MNIST's files: Debian's, or where it is not installed MNIST's, which
    have the same names, taken for them."""
    if DEBIAN.is_dir():
        return DEBIAN
    content = {"fashion-mnist": data._KNOWN_CONTENT["mnist"]}
    monkeypatch.setattr(data, "_KNOWN_CONTENT", content)
    return ORIGINALS


def test_a_data_set_comes_from_a_folder_of_its_published_files(root, published, no_network):
    prepare("fashion-mnist", root, folder=published)
    found = load_data(Recipe(dataset="fashion-mnist"), root)
    assert found.images.shape == (60_000, 784)
    assert found.digest == data._KNOWN_CONTENT["fashion-mnist"]


def test_a_folder_that_is_not_there_is_refused(root, tmp_path):
    with pytest.raises(InvalidValue, match=r"^dataset_folder='.*/none' is not a folder"):
        prepare("fashion-mnist", root, folder=tmp_path / "none")
    assert_nothing_left(root)


def test_a_folder_without_the_files_is_told_which_one_it_lacks(root, tmp_path):
    with pytest.raises(InvalidValue, match=r"lacks train-images-idx3-ubyte\.gz"):
        prepare("fashion-mnist", root, folder=tmp_path)
    assert_nothing_left(root)


def test_mnists_files_are_refused_as_another_data_set(root, no_network):
    with pytest.raises(DataUnavailable, match="these files are not Fashion-MNIST's"):
        prepare("fashion-mnist", root, folder=ORIGINALS)
    with pytest.raises(DataUnavailable, match="these files are MNIST's, not KMNIST's"):
        prepare("kmnist", root, folder=ORIGINALS)
    assert_nothing_left(root)


def test_files_of_the_right_size_with_other_content_are_refused(root, blank, no_network):
    with pytest.raises(DataUnavailable, match="these files are not Fashion-MNIST's"):
        prepare("fashion-mnist", root, folder=blank)
    assert_nothing_left(root)


def flipped(content, place):
    changed = bytearray(content)
    changed[place] ^= 255
    return bytes(changed)


SPOILED = {
    "too short": lambda content: gzip.compress(content[:-1], 1),
    "too long": lambda content: gzip.compress(content + b"\0", 1),
    "unpacking to a thousand times its size": lambda content: gzip.compress(
        content + bytes(60_000_000), 1
    ),
    "another kind of file": lambda content: gzip.compress(bytes(len(content)), 1),
    "empty": lambda content: b"",
    "no archive": lambda content: b"<html>not found</html>",
    "cut off": lambda content: gzip.compress(content, 1)[:-100],
    "damaged inside": lambda content: flipped(gzip.compress(os.urandom(60_008), 1), 20_000),
    "of a wrong checksum": lambda content: flipped(gzip.compress(content, 1), -6),
    "with a broken block": lambda content: flipped(gzip.compress(content, 1), 10),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_file_is_refused_by_its_name(root, blank, tmp_path, no_network, spoil):
    folder = tmp_path / "spoiled"
    shutil.copytree(blank, folder)
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(spoil(gzip.decompress(path.read_bytes())))
    with pytest.raises(InvalidValue, match=r"has a (damaged )?train-labels-idx1-ubyte") as caught:
        prepare("fashion-mnist", root, folder=folder)
    assert caught.value.field == "dataset_folder"
    assert_nothing_left(root)


def test_unpacked_files_are_taken_too(root, blank, tmp_path, no_network):
    folder = tmp_path / "plain"
    folder.mkdir()
    for path in blank.glob("*.gz"):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    prepare("kmnist", root, folder=folder)
    assert not load_data(Recipe(dataset="kmnist"), root).labels.any()


def test_emnist_is_turned_upright(tmp_path, monkeypatch):
    pixels = torch.arange(2 * 784, dtype=torch.int32).reshape(2, 28, 28) % 251
    stored = SimpleNamespace(data=pixels.to(torch.uint8), targets=torch.tensor([3, 9]))
    fake = SimpleNamespace(EMNIST=lambda *args, **options: stored)
    monkeypatch.setattr(data, "import_torchvision", lambda module: fake)
    found = data._from_torchvision("emnist-digits", tmp_path / "t", tmp_path, None)
    assert np.array_equal(found["train_images"], stored.data.numpy().transpose(0, 2, 1))
    assert found["test_labels"].tolist() == [3, 9]


# Other data sets, from the network


@contextmanager
def server(answer):
    """The address of a server on this machine that answers every request with `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/"
        finally:
            running.shutdown()
            thread.join()


def begin_file(request):
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    request.wfile.write(b"\x1f\x8b beginning")
    request.wfile.flush()


def garbage(request):
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"no chunk\r\n")


ANSWERS = {
    "cut off": begin_file,
    "not found": lambda request: request.send_error(404),
    "garbage": garbage,
    "closed": lambda request: None,
}


# torchvision leaves the socket of an HTTP error to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_download_that_fails_names_both_ways_and_leaves_nothing(root, monkeypatch, answer):
    monkeypatch.setenv("no_proxy", "*")
    with server(answer) as address:
        monkeypatch.setattr(import_torchvision("datasets").KMNIST, "mirrors", [address])
        with pytest.raises(DataUnavailable) as caught:
            prepare("kmnist", root)
    message = str(caught.value)
    del caught
    gc.collect()
    assert message.startswith("KMNIST could not be downloaded (")
    assert "start again when the network allows it, or name a folder that holds" in message
    for name in HEADERS:
        assert f"{name}.gz" in message
    assert_nothing_left(root)
    assert not is_prepared("kmnist", root)


def test_a_stalled_download_is_cancelled_at_once_and_leaves_nothing(root, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    stalled, go_on = threading.Event(), threading.Event()

    def stall(request):
        begin_file(request)
        stalled.set()
        go_on.wait(60)

    class Stop(Exception):
        pass

    def check():
        if stalled.is_set():
            raise Stop

    with server(stall) as address:
        monkeypatch.setattr(import_torchvision("datasets").KMNIST, "mirrors", [address])
        with pytest.raises(Stop):
            prepare("kmnist", root, check=check)
        fetching = [t for t in threading.enumerate() if t.name.startswith("prepare-data")]
        assert fetching  # nobody waited for it
        go_on.set()
        for thread in fetching:
            thread.join(60)
    assert_nothing_left(root)


# torchvision beside a torch it was not compiled for


def run_python(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def test_torchvision_can_be_imported_here():
    code = "from lottery_core.data import *; print(import_torchvision('datasets').MNIST.__name__)"
    assert run_python(code) == ["MNIST"]


def test_torchvision_can_be_imported_where_its_library_does_not_load():
    code = """
import torch
def fail(path): raise OSError("undefined symbol")
torch.ops.load_library = fail
from lottery_core import data
for _ in range(2):
    print(data.import_torchvision("datasets").MNIST.__name__, len(data._STAND_INS))
"""
    assert run_python(code) == ["MNIST", "1"] * 2


def test_where_the_library_loads_nothing_is_defined(monkeypatch):
    def refuse(*args):
        raise AssertionError("defined an operator that the library brings")

    monkeypatch.setattr(torch.ops, "load_library", lambda path: None)
    monkeypatch.setattr(torch.library, "Library", refuse)
    assert import_torchvision("datasets").MNIST


def test_without_torchvision_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataUnavailable, match=r"not installed; install requirements\.txt"):
        import_torchvision("datasets")


def test_mnist_is_there_wherever_results_are_kept(tmp_path):
    assert is_prepared("mnist", tmp_path / "elsewhere")
    assert not is_prepared("kmnist", tmp_path / "elsewhere")
    data = load_data(Recipe(), tmp_path / "elsewhere")
    assert data.images.shape == (60_000, 784)
    assert [path.name for path in (tmp_path / "elsewhere").glob("*.safetensors")] == [
        "mnist.safetensors"
    ]
