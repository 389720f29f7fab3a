"""A data set arrives whole and verified or not at all, under its own content, split by its seed."""

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import socket
import threading
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lottery_core.data import (
    DataUnavailable,
    fetching,
    identify,
    is_prepared,
    load_data,
    prepare,
    prepared,
    preparing,
)
from lottery_core.data.files import digest_of
from lottery_core.data.originals import _content, find, read
from lottery_core.running import engine
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS, PARTS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Store
from lottery_core.tickets.ticket_data import import_datasets
from lottery_core.training.context import Context
from tests.images import contents_of, write_files

ROOT = Path(__file__).resolve().parents[1]
ORIGINALS = ROOT / "cache" / "datasets" / "MNIST" / "raw"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # its package dataset-fashion-mnist
FILES = list(DATASETS["mnist"].idx.values())


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
def mnist(datasets):
    """All of it."""
    return load_data(Recipe(), datasets)


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """A folder of files of the right names and sizes, all zeros: nobody's published ones."""
    return write_files(tmp_path_factory.mktemp("blank") / "files")


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """The same with other pixels."""
    return write_files(tmp_path_factory.mktemp("grey") / "files", grey=7)


@pytest.fixture
def small(monkeypatch):
    """KMNIST and EMNIST with thirty images each."""
    for name in ("kmnist", "emnist-digits"):
        facts = replace(DATASETS[name], train_size=20, test_size=10)
        monkeypatch.setitem(DATASETS, name, facts)


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def publish(monkeypatch, name, folder, **changes):
    """From now on the archives in `folder` are the published ones of that data set."""
    archives = {file: md5(folder / file) for file in DATASETS[name].archives}
    facts = replace(DATASETS[name], archives=archives, **changes)
    monkeypatch.setitem(DATASETS, name, facts)
    _content.cache_clear()


def assert_nothing_left(root):
    """No data set, nor any part of one."""
    left = [path.name for path in root.iterdir()] if root.exists() else []
    assert [name for name in left if not name.endswith(".lock")] in ([], ["MNIST"])


# MNIST, from the files that come with the project


def test_torchvision_itself_verifies_and_unpacks_the_files_without_network(
    originals, no_network, mnist
):
    datasets = import_datasets()
    from torchvision import transforms

    whole = datasets.MNIST(
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


def test_archives_and_their_sums_are_those_that_torchvision_knows():
    datasets = import_datasets()
    for name in ("mnist", "fashion-mnist", "kmnist"):
        theirs = getattr(datasets, DATASETS[name].folder)
        assert dict(theirs.resources) == DATASETS[name].archives
        assert set(theirs.mirrors) == set(DATASETS[name].addresses)
    emnist = DATASETS["emnist-digits"]
    assert emnist.archives == {"gzip.zip": datasets.EMNIST.md5}
    assert emnist.addresses == (datasets.EMNIST.url.removesuffix("gzip.zip"),)


def test_mnist_is_prepared_without_network(originals, no_network, datasets):
    assert is_prepared("mnist", originals)
    prepare("mnist", originals)
    made, known = (load_file(root / "mnist.safetensors") for root in (originals, datasets))
    assert made.keys() == known.keys() == set(PARTS)
    assert all(np.array_equal(made[name], known[name]) for name in made)
    assert [made[part].shape for part in PARTS] == [
        (10_000, 28, 28), (10_000,), (60_000, 28, 28), (60_000,)
    ]  # fmt: skip
    assert not [path for path in originals.iterdir() if path.name.startswith(".")]


def test_a_file_that_an_earlier_version_prepared_is_taken(root, no_network, datasets):
    root.mkdir()
    arrays = load_file(datasets / "mnist.safetensors")
    save_file(arrays, root / "mnist.safetensors", {"sha256": DATASETS["mnist"].digest})
    before = (root / "mnist.safetensors").read_bytes()
    found = load_data(Recipe(), root).test_images.pixels
    assert np.array_equal(found, arrays["test_images"].reshape(-1, 784))
    assert (root / "mnist.safetensors").read_bytes() == before


def test_a_damaged_prepared_file_is_made_anew_with_a_warning(originals, no_network, datasets):
    prepare("mnist", originals)
    good = (originals / "mnist.safetensors").read_bytes()
    content = bytearray(good)
    content[len(content) // 3] ^= 4
    (originals / "mnist.safetensors").write_bytes(content)
    with pytest.warns(UserWarning, match=r"mnist\.safetensors is damaged and is made anew"):
        prepare("mnist", originals)
    assert (originals / "mnist.safetensors").read_bytes() == good


@pytest.mark.parametrize("length", [0, 5, 1_000])
def test_a_prepared_file_cut_short_is_made_anew_with_a_warning(originals, no_network, length):
    prepare("mnist", originals)
    good = (originals / "mnist.safetensors").read_bytes()
    (originals / "mnist.safetensors").write_bytes(good[:length])
    with pytest.warns(UserWarning, match="damaged"):
        prepare("mnist", originals)
    assert (originals / "mnist.safetensors").read_bytes() == good


def test_a_damaged_original_is_not_used(originals, no_network):
    path = originals / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataUnavailable, match="MNIST could not be downloaded"):
        prepare("mnist", originals)
    assert_nothing_left(originals)


def test_of_many_that_ask_at_once_one_prepares(originals, monkeypatch):
    calls, write = [], preparing.write

    def counted(*args, **options):
        calls.append(1)
        return write(*args, **options)

    monkeypatch.setattr(preparing, "write", counted)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: prepare("mnist", originals), range(4)))
    assert len(calls) == 1


def test_an_unknown_data_set_is_refused_with_the_known_ones(root):
    with pytest.raises(InvalidValue, match=r"'cifar' is unknown; choose one of mnist, fashion-"):
        prepare("cifar", root)


def test_mnist_is_there_wherever_results_are_kept(tmp_path):
    assert is_prepared("mnist", tmp_path / "elsewhere")
    assert not is_prepared("kmnist", tmp_path / "elsewhere")
    data = load_data(Recipe(), tmp_path / "elsewhere")
    assert len(data.images) == 60_000
    assert [path.name for path in (tmp_path / "elsewhere").glob("*.safetensors")] == [
        "mnist.safetensors"
    ]


def test_what_is_done_between_a_time_out_and_the_look_at_it_is_done(root, monkeypatch):
    class Late(Future):
        def result(self, timeout=None):
            if timeout is not None:
                raise TimeoutError
            return super().result()

    class Pool:
        def __init__(self, *args, **options):
            pass

        def submit(self, *args):
            return work

        def shutdown(self, wait):
            pass

    work = Late()

    def ends() -> None:
        if not work.done():
            work.set_result(None)

    monkeypatch.setattr(preparing, "ThreadPoolExecutor", Pool)
    prepare("mnist", root, check=ends)


def full_disk(*args, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("place", [(preparing, "write"), (os, "fsync"), (fetching, "_fetch")])
def test_a_full_disk_is_told_as_such_and_nothing_half_written_is_left(
    originals, monkeypatch, no_network, place
):
    name = "kmnist" if place[1] == "_fetch" else "mnist"
    monkeypatch.setattr(*place, full_disk)
    with pytest.raises(DataUnavailable) as caught:
        prepare(name, originals)
    message = str(caught.value)
    assert message.startswith(f"no space to prepare {DATASETS[name].title}: it needs 55 MB in ")
    assert "MB are free. Make room" in message
    assert "downloaded (" not in message
    assert_nothing_left(originals)


def test_a_folder_that_cannot_be_written_is_told_as_such(tmp_path, no_network):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        DataUnavailable, match=r"MNIST can't be prepared in .*file/datasets \(Not a"
    ):
        prepare("mnist", tmp_path / "file" / "datasets")


# Values and splits


def test_half_normalisation_is_exact_for_every_grey(mnist):
    import_datasets()
    from torchvision import transforms

    _, first = np.unique(mnist.images.pixels, return_index=True)
    assert len(first) == 256
    both = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    for i in np.unique(first // 784):
        image = mnist.images.pixels[i].reshape(28, 28, 1)
        assert both(image).numpy().tobytes() == mnist.images[i].tobytes()


def test_unit_normalisation_gives_every_image_the_norm_1(datasets):
    found = load_data(Recipe(normalisation="unit"), datasets)
    for images in (found.images[:], found.test_images[:]):
        norms = np.linalg.norm(images.astype(np.float64), axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-6)
        assert images.min() == 0


def test_data_set_normalisation_makes_mean_0_and_deviation_1_of_the_training_images(datasets):
    found = load_data(Recipe(normalisation="dataset"), datasets)
    images, test_images = found.images[:], found.test_images[:]
    assert images.mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)
    assert images.std(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    # The test images are moved by the same amounts, not by their own.
    assert abs(test_images.mean(dtype=np.float64)) > 1e-3
    assert test_images.min() == images.min()


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_images_of_a_single_grey_are_numbers_all_the_same(root, small, tmp_path, normalisation):
    folder = write_files(tmp_path / "files")
    recipe = Recipe(
        dataset="kmnist", content=identify("kmnist", folder), normalisation=normalisation,
        validation_size=0,
    )  # fmt: skip
    assert np.isfinite(load_data(recipe, root, folder=folder).images[:]).all()


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_images_are_the_same_numbers_however_they_are_asked_for(datasets, normalisation):
    images = load_data(Recipe(normalisation=normalisation), datasets).images
    chosen = np.array([5, 0, 59_999, 5])
    few = images[chosen]
    assert (few.shape, few.dtype) == ((4, 784), np.float32)
    assert few[1].tobytes() == images[0].tobytes() == images[:3][0].tobytes()
    assert few.tobytes() == images.take(chosen)[:].tobytes()
    assert len(images.take(chosen)) == 4


def test_images_are_bytes_in_memory_that_all_processes_share(mnist):
    for images in (mnist.images, mnist.test_images):
        assert images.pixels.dtype == np.uint8
        owner = images.pixels
        while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
            owner = owner.base
        assert isinstance(owner, np.memmap)
    numbers = sum(
        array.nbytes
        for part in (mnist.images, mnist.test_images)
        for array in (part.values, part.lengths)
    )
    assert numbers < 1_000_000  # and no float copy beside them


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
    assert (mnist.images[:].shape, mnist.images[:2].dtype) == ((60_000, 784), np.float32)
    assert (mnist.test_images[:].shape, mnist.test_labels.shape) == ((10_000, 784), (10_000,))
    assert (mnist.labels.dtype, set(mnist.labels)) == (np.int64, set(range(10)))
    assert (mnist.images.values.min(), mnist.images.values.max()) == (-1, 1)
    assert mnist.digest == DATASETS["mnist"].digest


# Other data sets, from a folder: under which names


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("folder", ["none", "file", "~nobody-of-that-name/files", "nul\0"])
def test_a_folder_that_is_none_is_refused_for_every_data_set(tmp_path, name, folder):
    (tmp_path / "file").write_text("mine")
    given = folder if folder[0] == "~" else str(tmp_path / folder)
    for look in (identify, lambda name, folder: prepare(name, tmp_path / "root", folder=folder)):
        with pytest.raises(
            InvalidValue, match="is not a folder on this machine; name one"
        ) as caught:
            look(name, given)
        assert caught.value.field == "dataset_folder"
    assert_nothing_left(tmp_path / "root")


def test_a_named_folder_is_looked_at_even_where_the_data_set_is_prepared(datasets, tmp_path):
    with pytest.raises(InvalidValue, match=r"lacks train-images-idx3-ubyte\.gz; name the folder"):
        load_data(Recipe(), datasets, folder=tmp_path)


def test_the_home_may_be_written_as_a_tilde(root, blank, monkeypatch, small):
    write_files(blank.parent / "few")
    monkeypatch.setenv("HOME", str(blank.parent))
    content = identify("kmnist", "~/few")
    prepare("kmnist", root, content=content, folder="~/few")
    assert is_prepared("kmnist", root, content)


def dotted(folder):
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("-idx", ".idx"))


def plain(folder):
    for path in list(folder.iterdir()):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def plain_and_dotted(folder):
    plain(folder)
    dotted(folder)


def in_folders_of_their_own_names(folder):
    plain(folder)
    for path in list(folder.iterdir()):
        path.rename(folder / "file")
        path.mkdir()
        (folder / "file").rename(path / path.name.replace("-idx", ".idx"))


def under(*parts):
    def move(folder):
        paths = list(folder.iterdir())
        inside = folder.joinpath(*parts)
        inside.mkdir(parents=True)
        for path in paths:
            path.rename(inside / path.name)

    return move


def unpacked_in_spite_of_the_name(folder):
    for path in folder.iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))


PLACES = {
    "unpacked": plain,
    "a dot before idx": dotted,
    "unpacked, a dot before idx": plain_and_dotted,
    "a folder of the file's own name": in_folders_of_their_own_names,
    "unpacked under the packed name": unpacked_in_spite_of_the_name,
    "raw": under("raw"),
    "torchvision's root": under("KMNIST", "raw"),
    "a folder of the data set's name": under("KMNIST"),
    "gzip": under("gzip"),
}


@pytest.mark.parametrize("move", PLACES.values(), ids=PLACES)
def test_files_are_found_under_the_names_that_people_have_them_by(small, tmp_path, move):
    folder = write_files(tmp_path / "files")
    expected = identify("kmnist", folder)
    move(folder)
    assert identify("kmnist", folder) == expected


def test_the_folder_of_the_data_sets_own_name_goes_before_the_one_above(small, tmp_path):
    folder = write_files(tmp_path / "data")
    write_files(folder / "KMNIST" / "raw", grey=9)
    assert identify("kmnist", folder) == identify("kmnist", folder / "KMNIST" / "raw")
    assert identify("kmnist", folder) != identify("kmnist", write_files(tmp_path / "other"))


def test_similar_names_are_told(tmp_path):
    for name in ("train_images-idx3-ubyte.gz", "holiday.jpg", "emnist-letters-test-labels.gz"):
        (tmp_path / name).write_text("")
    with pytest.raises(InvalidValue) as caught:
        identify("mnist", tmp_path)
    assert str(caught.value).endswith(
        "lacks train-images-idx3-ubyte.gz; name the folder that holds MNIST's files "
        "(similar names there: train_images-idx3-ubyte.gz)"
    )


def test_emnists_archive_is_named_where_it_would_do(tmp_path):
    with pytest.raises(InvalidValue, match=r"-train-images-idx3-ubyte\.gz or gzip\.zip; name"):
        identify("emnist-digits", tmp_path)


# What a folder holds


def test_published_files_are_known_packed_or_unpacked(tmp_path):
    assert identify("mnist", ORIGINALS) == ""
    shutil.copytree(ORIGINALS, tmp_path / "files")
    plain(tmp_path / "files")
    assert identify("mnist", tmp_path / "files") == ""


def test_the_archives_as_published_are_known_by_their_sums(small, tmp_path, monkeypatch):
    folder = write_files(tmp_path / "files")
    assert identify("kmnist", folder) != ""
    publish(monkeypatch, "kmnist", folder)
    assert identify("kmnist", folder) == ""
    plain(folder)  # and unpacked, nobody can say
    assert len(identify("kmnist", folder)) == 64


def test_other_files_are_named_by_all_they_hold(small, tmp_path):
    folder = write_files(tmp_path / "files")
    before = identify("kmnist", folder)
    for file in FILES:
        path = folder / f"{file}.gz"
        kept = path.read_bytes()
        content = bytearray(gzip.decompress(kept))
        content[-1] ^= 1
        path.write_bytes(gzip.compress(content))
        assert identify("kmnist", folder) != before
        path.write_bytes(kept)
    assert identify("kmnist", folder) == before
    digest = hashlib.sha256()
    for part in PARTS:
        shape = DATASETS["kmnist"].shape(part)
        digest.update(f"{part} {shape} ".encode() + bytes(int(np.prod(shape))))
    assert before == digest.hexdigest()


def test_mnists_files_are_refused_as_another_data_set(root, no_network):
    with pytest.raises(InvalidValue, match="holds MNIST's files, not Fashion-MNIST's; name the"):
        prepare("fashion-mnist", root, folder=ORIGINALS)
    with pytest.raises(InvalidValue, match="holds MNIST's files, not KMNIST's"):
        prepare("kmnist", root, folder=ORIGINALS)
    assert_nothing_left(root)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_other_content_is_refused_where_the_published_one_is_known(root, blank, no_network, name):
    with pytest.raises(InvalidValue, match=r"holds files that are not .*MNIST's; fetch"):
        prepare(name, root, folder=blank)
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
    "with labels beyond 9": lambda content: gzip.compress(content[:-1] + b"\x0a", 1),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_file_is_refused_by_its_name(root, blank, tmp_path, no_network, spoil):
    folder = tmp_path / "spoiled"
    shutil.copytree(blank, folder)
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(spoil(gzip.decompress(path.read_bytes())))
    with pytest.raises(InvalidValue, match=r"has a (damaged )?train-labels-idx1-ubyte") as caught:
        prepare("kmnist", root, folder=folder)
    assert caught.value.field == "dataset_folder"
    assert str(caught.value).endswith("fetch the original again")
    assert_nothing_left(root)


def numbered(folder):
    """EMNIST's four files with thirty images of pixels that tell where they stand."""
    facts = DATASETS["emnist-digits"]
    folder.mkdir()
    for (file, content), part in zip(contents_of("emnist-digits"), facts.idx, strict=True):
        size = int(np.prod(facts.shape(part)))
        values = (np.arange(size) % (251 if part.endswith("images") else 10)).astype(np.uint8)
        packed = gzip.compress(content[:-size] + values.tobytes(), 1, mtime=0)
        (folder / f"{file}.gz").write_bytes(packed)
    return folder


def test_emnist_is_turned_upright(root, small, tmp_path):
    folder = numbered(tmp_path / "files")
    content = identify("emnist-digits", folder)
    prepare("emnist-digits", root, content=content, folder=folder)
    arrays = load_file(prepared("emnist-digits", root, content))
    stored = (np.arange(20 * 784) % 251).reshape(20, 28, 28)
    assert np.array_equal(arrays["train_images"], stored.transpose(0, 2, 1))
    assert arrays["test_labels"].tolist() == list(range(10))


def test_emnists_one_archive_is_read_as_it_is_published(root, small, tmp_path, monkeypatch):
    files = numbered(tmp_path / "files")
    archive = tmp_path / "named" / "gzip.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for path in files.iterdir():
            packed.write(path, f"gzip/{path.name}")
        packed.writestr("gzip/emnist-letters-mapping.txt", "1 65 97")
    content = identify("emnist-digits", files)
    assert identify("emnist-digits", archive.parent) == content
    publish(monkeypatch, "emnist-digits", archive.parent)
    assert identify("emnist-digits", archive.parent) == ""
    assert identify("emnist-digits", files) == content  # the archive alone can be verified
    prepare("emnist-digits", root, folder=archive.parent)
    assert load_data(Recipe(dataset="emnist-digits", validation_size=0), root).digest == content
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(InvalidValue, match=r"lacks emnist-digits-train-images-idx3-ubyte\.gz"):
        identify("emnist-digits", archive.parent)


# Each content apart


def test_contents_lie_beside_each_other(root, blank, grey, no_network):
    contents = [identify("kmnist", folder) for folder in (blank, grey)]
    for content, folder in zip(contents, (blank, grey), strict=True):
        prepare("kmnist", root, content=content, folder=folder)
    for content, pixel in zip(contents, (0, 7), strict=True):
        assert is_prepared("kmnist", root, content)
        found = load_data(Recipe(dataset="kmnist", content=content), root)
        assert found.digest == content
        assert (found.images.pixels == pixel).all()
    assert not is_prepared("kmnist", root)
    assert sorted(path.name for path in root.glob("*.safetensors")) == sorted(
        f"kmnist-{content[:16]}.safetensors" for content in contents
    )


def test_another_folder_than_the_recipe_names_is_refused(root, blank, grey):
    content, other = (identify("kmnist", folder) for folder in (blank, grey))
    with pytest.raises(InvalidValue, match=f"^dataset_folder=.* but .* say content={other}"):
        prepare("kmnist", root, content=content, folder=grey)
    with pytest.raises(InvalidValue, match=r"unverified files .*but KMNIST is asked for"):
        prepare("kmnist", root, folder=blank)
    assert_nothing_left(root)


def test_a_content_that_is_not_here_is_told_with_the_remedy(root, no_network):
    with pytest.raises(DataUnavailable, match=r"\(unverified files abababab\) is not in this cac"):
        load_data(Recipe(dataset="kmnist", content="ab" * 32), root)
    assert_nothing_left(root)


def test_a_prepared_file_of_another_content_is_never_loaded(root, blank, grey):
    contents = [identify("kmnist", folder) for folder in (blank, grey)]
    prepare("kmnist", root, content=contents[0], folder=blank)
    there = prepared("kmnist", root, contents[0])
    for wrong in ("", contents[1]):
        shutil.copy(there, prepared("kmnist", root, wrong))
        assert not is_prepared("kmnist", root, wrong)
        with pytest.raises(DataUnavailable, match=r"holds other files than KMNIST.*; move it away"):
            load_data(Recipe(dataset="kmnist", content=wrong), root)


def test_what_nobody_verified_is_not_taken_for_the_published_files(root, blank, no_network):
    content = identify("kmnist", blank)
    prepare("kmnist", root, content=content, folder=blank)
    # As earlier versions wrote it, whatever the folder they were given held.
    arrays = load_file(prepared("kmnist", root, content))
    save_file(arrays, prepared("kmnist", root), {"sha256": content})
    assert not is_prepared("kmnist", root)
    with pytest.raises(DataUnavailable, match="KMNIST could not be downloaded"):
        load_data(Recipe(dataset="kmnist"), root)


def test_a_second_folder_with_other_pixels_trains_anew(tmp_path, blank, grey):
    store, trained = Store(tmp_path), []
    for folder in (blank, grey, blank):
        recipe = Recipe(
            dataset="kmnist", content=identify("kmnist", folder), network="4", iterations=2,
            evaluate_every=2,
        )  # fmt: skip
        (level,) = engine.run(Experiment(recipe), Context(store, loop="torch", folder=folder))
        trained.append(level)
    assert [level.info.data for level in trained[:2]] == [
        identify("kmnist", folder) for folder in (blank, grey)
    ]
    assert trained[2].info.seconds == trained[0].info.seconds  # read, not trained
    assert len(store.keys()) == 2


# Other data sets, from the network


@contextlib.contextmanager
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


@pytest.fixture
def fetched_from(monkeypatch):
    """Has KMNIST fetched from these addresses, whatever proxy there is."""
    monkeypatch.setenv("no_proxy", "*")

    def redirect(*addresses):
        facts = replace(DATASETS["kmnist"], addresses=addresses)
        monkeypatch.setitem(DATASETS, "kmnist", facts)

    return redirect


def send(request, content):
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def begin_file(request, length=1_000_000):
    request.send_response(200)
    request.send_header("Content-Length", str(length))
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
    "another file": lambda request: send(request, gzip.compress(b"a page that says welcome")),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_download_that_fails_names_both_ways_and_leaves_nothing(root, fetched_from, answer):
    with server(answer) as address:
        fetched_from(address)
        with pytest.raises(DataUnavailable) as caught:
            prepare("kmnist", root)
    message = str(caught.value)
    assert message.startswith("KMNIST could not be downloaded (")
    assert "start again when the network allows it, or name a folder that holds" in message
    for name in FILES:
        assert f"{name}.gz" in message
    assert_nothing_left(root)
    assert not is_prepared("kmnist", root)


def test_a_download_is_what_was_published_from_the_first_address_that_has_it(
    root, small, tmp_path, monkeypatch, fetched_from
):
    files = write_files(tmp_path / "files")
    publish(monkeypatch, "kmnist", files)

    def answer(request):
        send(request, (files / request.path[1:]).read_bytes())

    with server(ANSWERS["not found"]) as broken, server(answer) as working:
        fetched_from(broken, working)
        prepare("kmnist", root)
    assert is_prepared("kmnist", root)
    found = load_data(Recipe(dataset="kmnist", validation_size=0), root)
    shapes = DATASETS["kmnist"].shapes
    assert found.digest == digest_of(shapes, read("kmnist", find("kmnist", files)))


def test_a_stalled_download_is_cancelled_at_once_and_leaves_nothing(root, fetched_from):
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
        fetched_from(address)
        with pytest.raises(Stop):
            prepare("kmnist", root, check=check)
        fetching = [t for t in threading.enumerate() if t.name.startswith("prepare-data")]
        assert fetching  # nobody waited for it
        go_on.set()
        for thread in fetching:
            thread.join(60)
    assert_nothing_left(root)


def test_a_download_that_nobody_waits_for_ends(root, fetched_from):
    sent, begun = [], threading.Event()

    def endless(request):
        begin_file(request, 10**12)
        with contextlib.suppress(OSError):
            while len(sent) < 10_000:
                request.wfile.write(bytes(100_000))
                sent.append(1)
                begun.set()

    class Stop(Exception):
        pass

    def check():
        if begun.is_set():
            raise Stop

    with server(endless) as address:
        fetched_from(address)
        with pytest.raises(Stop):
            prepare("kmnist", root, check=check)
        for thread in threading.enumerate():
            if thread.name.startswith("prepare-data"):
                thread.join(60)
                assert not thread.is_alive()
    assert len(sent) < 10_000
    assert_nothing_left(root)
