"""CIFAR's archives: pickles that are read only where they are the published ones."""

import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from lottery_core.data import identify, load_data, prepare
from lottery_core.data.originals import _content
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.recipe import Recipe

N = 12  # images of a batch


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def batch(name: str, number: int) -> dict[bytes, object]:
    rng = np.random.default_rng(number)
    classes = DATASETS[name].classes
    key = b"labels" if name == "cifar-10" else b"fine_labels"
    return {
        b"data": rng.integers(0, 256, (N, 3072), np.uint8),
        key: rng.integers(0, classes, N).tolist(),
        b"filenames": [b"x.png"] * N,
    }


class Harmful:
    """A pickle that writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(params=["cifar-10", "cifar-100"])
def name(request):
    return request.param


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """Write an archive of these batches, which from then on is the published one."""

    def publish(name, contents):
        facts = DATASETS[name]
        (archive,) = facts.archives
        folder = tmp_path / "files"
        folder.mkdir(exist_ok=True)
        inside = archive.removesuffix(".tar.gz")
        with tarfile.open(folder / archive, "w:gz") as file:
            for batch, content in contents.items():
                member = tarfile.TarInfo(f"{inside}/{batch}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
        facts = replace(
            facts,
            archives={archive: md5((folder / archive).read_bytes())},
            batches={batch: md5(content) for batch, content in contents.items()},
            train_size=N * (len(contents) - 1),
            test_size=N,
        )
        monkeypatch.setitem(DATASETS, name, facts)
        _content.cache_clear()
        return folder

    return publish


@pytest.fixture
def contents(name):
    """The batches of a data set, pickled."""
    return {
        file: pickle.dumps(batch(name, number), protocol=3)
        for number, file in enumerate(DATASETS[name].batches)
    }


def assert_whole(name, root, folder):
    prepare(name, root, folder=folder)
    data = load_data(Recipe(dataset=name, validation_size=0), root)
    numbers = {file: number for number, file in enumerate(DATASETS[name].batches)}
    key = b"labels" if name == "cifar-10" else b"fine_labels"
    for which, images, labels in (
        (False, data.images, data.labels),
        (True, data.test_images, data.test_labels),
    ):
        made = [batch(name, n) for file, n in numbers.items() if file.startswith("test") == which]
        np.testing.assert_array_equal(images.pixels, np.concatenate([m[b"data"] for m in made]))
        np.testing.assert_array_equal(labels, np.concatenate([m[key] for m in made]))


def test_the_archive_is_read_in_its_own_order(name, contents, publish, tmp_path):
    folder = publish(name, contents)
    assert identify(name, folder) == ""
    assert_whole(name, tmp_path / "datasets", folder)


def test_what_it_unpacks_to_is_as_good(name, contents, publish, tmp_path):
    publish(name, contents)
    inside = "cifar-10-batches-py" if name == "cifar-10" else "cifar-100-python"
    folder = tmp_path / "unpacked"
    (folder / inside).mkdir(parents=True)
    for file, content in contents.items():
        (folder / inside / file).write_bytes(content)
    assert identify(name, folder) == identify(name, folder / inside) == ""
    assert_whole(name, tmp_path / "datasets", folder)


@pytest.mark.parametrize("packed", [True, False])
def test_a_pickle_that_is_not_the_published_one_is_never_opened(
    name, contents, publish, tmp_path, packed
):
    publish(name, contents)
    published = DATASETS[name]
    harmful = dict.fromkeys(contents, pickle.dumps(Harmful(tmp_path / "harm"), protocol=3))
    folder = publish(name, harmful)
    DATASETS[name] = published
    if not packed:
        folder = tmp_path / "unpacked"
        folder.mkdir()
        for file, content in harmful.items():
            (folder / file).write_bytes(content)
    with pytest.raises(InvalidValue, match="not the published one"):
        identify(name, folder)
    with pytest.raises(InvalidValue, match="not the published one"):
        prepare(name, tmp_path / "datasets", folder=folder)
    assert not (tmp_path / "harm").exists()


def test_even_a_published_pickle_can_name_nothing_but_arrays(name, contents, publish, tmp_path):
    harmful = dict.fromkeys(contents, pickle.dumps(Harmful(tmp_path / "harm"), protocol=3))
    folder = publish(name, harmful)
    with pytest.raises(InvalidValue, match="which is no array"):
        prepare(name, tmp_path / "datasets", folder=folder)
    assert not (tmp_path / "harm").exists()


def test_a_batch_with_too_few_labels_is_named(name, contents, publish, tmp_path):
    file = next(iter(contents))
    wrong = batch(name, 0)
    wrong[b"labels" if name == "cifar-10" else b"fine_labels"].pop()
    folder = publish(name, contents | {file: pickle.dumps(wrong, protocol=3)})
    with pytest.raises(InvalidValue, match=f"damaged {file}"):
        prepare(name, tmp_path / "datasets", folder=folder)


def test_a_folder_without_it_says_what_is_missing(name, tmp_path):
    (archive,) = DATASETS[name].archives
    with pytest.raises(InvalidValue, match=archive):
        identify(name, tmp_path)


def test_there_are_as_many_names_as_classes(name):
    facts = DATASETS[name]
    assert len(set(facts.names)) == len(facts.names) == facts.classes
    assert facts.image == (3, 32, 32)
