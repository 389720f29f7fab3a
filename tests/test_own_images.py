"""Images of one's own: which files are read, how, what is told of them, and what is refused."""

import io
import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lottery_core.cli import app
from lottery_core.data import load_data, own, prepared
from lottery_core.data.own import Form
from lottery_core.data.own_images import decoding
from lottery_core.spec import datasets
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice
from lottery_core.spec.recipe import Recipe

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path):
    """An empty cache/datasets; what is added there is forgotten afterwards."""
    yield tmp_path / "cache" / "datasets"
    for name in [name for name, facts in DATASETS.items() if facts.is_own]:
        datasets.register(name, None)


def draw(path: Path, colour=RED, size=(8, 8), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def classes(source: Path, n: int = 10, names=("cat", "dog")) -> Path:
    """`n` images a class, each of another colour."""
    for c, name in enumerate(names):
        for i in range(n):
            draw(source / name / f"{i}.png", (10 * i, 100 * c, 7))
    return source


def add(source: Path, root: Path, **options) -> own.Added:
    form = Form(options.pop("size", 8), options.pop("grey", False))
    return own.add("mine", source, root, form, **options)


def data_of(root: Path, name: str = "mine"):
    return load_data(Recipe(dataset=name, validation_size=0), root)


def pixel(root: Path, found=None) -> list[tuple[int, ...]]:
    """The first pixel of every training image, channel by channel."""
    images = (found or data_of(root)).images.pixels
    channels = DATASETS["mine"].image[0]
    return sorted(map(tuple, images.reshape(len(images), channels, -1)[:, :, 0].tolist()))


def refusal(source: Path, root: Path, **options) -> str:
    """Why a source is refused; of which nothing is left."""
    with pytest.raises(InvalidValue) as refused:
        add(source, root, **options)
    assert not root.exists() or os.listdir(root) == []
    assert "mine" not in DATASETS
    return str(refused.value)


# What is read


def test_a_folder_of_class_folders_is_trained_and_tested_on_as_it_is_split(tmp_path, root):
    for part, n in (("train", 6), ("test", 2)):
        classes(tmp_path / "photos" / part, n)
    added = add(tmp_path / "photos", root)
    assert added.facts.class_names == ("cat", "dog")
    assert (added.facts.train_size, added.facts.test_size) == (12, 4)
    assert added.facts.image == (3, 8, 8)
    assert own.counts("mine", root) == {"cat": (6, 2), "dog": (6, 2)}
    data = data_of(root)
    for label, green in zip(data.labels, data.images.pixels[:, 64], strict=True):
        assert green == 100 * label  # each image still has its own label


def test_without_test_images_a_fifth_of_each_class_is_drawn_and_that_is_said(tmp_path, root):
    source = classes(tmp_path / "photos", 10)
    added = add(source, root)
    assert own.counts("mine", root) == {"cat": (8, 2), "dog": (8, 2)}
    assert any("4 images of 20, a fifth of each class drawn with seed 0" in n for n in added.notes)


def test_the_same_images_are_the_same_data_set_wherever_they_lie(tmp_path, root):
    digests = []
    for place in ("here", "there"):
        added = add(classes(tmp_path / place, 10), root)
        digests.append(added.facts.digest)
        own.remove("mine", root)
    draw(tmp_path / "there" / "cat" / "0.png", BLUE)
    changed = add(tmp_path / "there", root).facts.digest
    assert digests[0] == digests[1] != changed


def test_an_archive_of_arrays_keeps_its_order_and_its_test_set(tmp_path, root):
    rng = np.random.default_rng(0)
    x = {
        part: rng.integers(0, 256, (n, 8, 8, 3), np.uint8)
        for part, n in (("train", 12), ("test", 4))
    }
    y = {part: np.arange(len(x[part])) % 2 for part in x}
    arrays = {f"x_{part}": x[part] for part in x} | {f"y_{part}": y[part] for part in x}
    np.savez_compressed(tmp_path / "arrays.npz", **arrays)
    add(tmp_path / "arrays.npz", root)
    data = data_of(root)
    expected = x["train"].transpose(0, 3, 1, 2).reshape(12, -1)
    np.testing.assert_array_equal(data.images.pixels, expected)
    np.testing.assert_array_equal(data.labels, y["train"])
    np.testing.assert_array_equal(data.test_labels, y["test"])


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp"])
def test_every_usual_format_is_read(tmp_path, root, ending):
    options = {} if ending in ("png", "bmp") else {"quality": 100}
    for name, colour in (("a", 30), ("b", 220)):
        for i in range(8):
            draw(tmp_path / "photos" / name / f"{i}.{ending}", 3 * (colour,), **options)
    add(tmp_path / "photos", root)
    assert all(abs(red - 30) < 3 or abs(red - 220) < 3 for red, *_ in pixel(root))


def test_images_are_cropped_to_the_middle_and_scaled(tmp_path, root):
    source = classes(tmp_path / "photos")
    wide = Image.new("RGB", (48, 16), RED)
    wide.paste(GREEN, (16, 0, 32, 16))  # the middle square
    wide.save(source / "cat" / "0.png")
    added = add(source, root)
    data = data_of(root)
    everything = np.concatenate([data.images.pixels, data.test_images.pixels])
    green = np.repeat(GREEN, 64)
    assert (everything == green).all(axis=1).sum() == 1
    assert any("1 image not square: cropped to the middle." in note for note in added.notes)


def test_grey_images_have_one_channel_by_the_usual_weights(tmp_path, root):
    for name, colour in (("a", RED), ("b", BLUE)):
        for i in range(8):
            draw(tmp_path / "photos" / name / f"{i}.png", colour)
    added = add(tmp_path / "photos", root, grey=True)
    assert added.facts.image == (1, 8, 8)
    luma = [round(0.299 * 200), round(0.114 * 200)]  # ITU-R BT.601
    assert {p for (p,) in pixel(root)} == set(luma)
    assert any("made grey" in note for note in added.notes)


MODES = {
    "transparent, on white": ({"mode": "RGBA", "colour": (0, 0, 0, 0)}, (255, 255, 255)),
    "palette": ({"mode": "P", "colour": 0}, (0, 0, 0)),
    "black and white": ({"mode": "1", "colour": 1}, (255, 255, 255)),
    "grey": ({"mode": "L", "colour": 90}, (90, 90, 90)),
    "sixteen bits": ({"mode": "I;16", "colour": 0x5AFF}, (0x5A, 0x5A, 0x5A)),
}


@pytest.mark.parametrize("mode", MODES)
def test_images_of_any_mode_become_colours(tmp_path, mode):
    options, colour = MODES[mode]
    path = draw(tmp_path / "one.png", **options)
    pixels = np.frombuffer(decoding.decode(str(path), 8, grey=False).pixels, np.uint8)
    assert tuple(pixels.reshape(3, -1)[:, 0]) == colour


def test_printers_colours_become_those_of_screens(tmp_path):
    path = draw(tmp_path / "one.jpg", (0, 255, 255, 0), mode="CMYK", quality=100)
    pixels = np.frombuffer(decoding.decode(str(path), 8, grey=False).pixels, np.uint8)
    red, green, blue = pixels.reshape(3, -1)[:, 0]
    assert red > 200 > 60 > max(green, blue)


def test_a_photo_taken_on_its_side_stands_upright(tmp_path):
    image = Image.new("RGB", (16, 16), RED)
    image.paste(BLUE, (0, 0, 16, 8))  # blue above red as it is stored
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    image.save(tmp_path / "one.png", exif=exif)
    found = decoding.decode(str(tmp_path / "one.png"), 8, grey=False)
    pixels = np.frombuffer(found.pixels, np.uint8).reshape(3, 8, 8)
    assert tuple(pixels[:, 0, 0]) == RED
    assert "turned" in found.traits


def test_class_names_in_any_script_are_names(tmp_path, root):
    names = ("кошка", "犬", "ابن عرس")
    added = add(classes(tmp_path / "photos", 8, names), root)
    assert set(added.facts.class_names) == set(names)
    own.register(root)
    assert DATASETS["mine"].names == added.facts.class_names


def test_test_images_that_are_trained_on_too_are_told(tmp_path, root):
    for part in ("train", "test"):
        classes(tmp_path / "photos" / part, 6)
    notes = add(tmp_path / "photos", root).notes
    assert any("12 test images equal to a training image" in note for note in notes)


# What is not


def bomb() -> bytes:
    """A PNG that says it is 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        sum_ = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + sum_

    side = (30_000).to_bytes(4, "big")
    header = chunk(b"IHDR", side + side + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100)))


def cut_short() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()[:300]


BAD = {
    "empty.png": (b"", "is empty"),
    "cut.png": (cut_short(), "is cut short or damaged"),
    "page.jpg": (b"<!DOCTYPE html><html>", "is a web page"),
    "bomb.png": (bomb(), "has more than 50,000,000 pixels"),
    "scan.tif": (b"II*\0" + bytes(100), "is a TIFF image"),
    "words.png": (b"no image at all", "is a text"),
}


def test_bad_files_are_named_and_stop_it_unless_they_are_to_be_skipped(tmp_path, root):
    source = classes(tmp_path / "photos")
    for name, (content, _) in BAD.items():
        (source / "dog" / name).write_bytes(content)
    told = refusal(source, root)
    assert "6 unreadable files" in told
    assert "--skip-bad" in told
    for name, (_, reason) in BAD.items():
        assert f"dog/{name} {reason}" in told
    added = add(source, root, skip_bad=True)
    assert any("Skipped 6 unreadable files" in note for note in added.notes)
    assert added.facts.train_size + added.facts.test_size == 20


def test_links_out_of_the_folder_are_not_followed(tmp_path, root):
    source = classes(tmp_path / "photos")
    outside = draw(tmp_path / "secret.png", BLUE)
    (source / "cat" / "link.png").symlink_to(outside)
    (source / "more").symlink_to(tmp_path)
    added = add(source, root)
    assert added.facts.class_names == ("cat", "dog")
    assert added.facts.train_size + added.facts.test_size == 20
    assert any("2 links left out" in note for note in added.notes)


def test_files_that_are_no_images_are_left_out_and_counted(tmp_path, root):
    source = classes(tmp_path / "photos")
    (source / "cat" / "notes.txt").write_text("not an image")
    (source / "cat" / ".DS_Store").write_bytes(b"\0")
    (source / "README.md").write_text("about")
    notes = " ".join(add(source, root).notes)
    assert ".txt 1" in notes
    assert "1 name left out: hidden." in notes


def folders(source: Path, **names: int) -> Path:
    source.mkdir()
    for name, n in names.items():
        (source / name).mkdir()
        for i in range(n):
            draw(source / name / f"{i}.png", (9 * i, 0, 0))
    return source


REFUSED = {
    "one class": ({"cat": 12}, "holds one class, cat/"),
    "a class without images": ({"cat": 12, "dog": 0}, "has no images in dog/"),
    "no folders": ({}, "holds no folders of images"),
    "one image of a class": ({"cat": 12, "dog": 1}, "fewer than 2 readable images in dog"),
    "too few": ({"cat": 3, "dog": 3}, "at least 10 are needed"),
    "names alike": ({"cat": 8, "Cat": 8}, "differ only by case"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_folders_that_are_no_classes_of_images_are_refused(tmp_path, root, case):
    names, reason = REFUSED[case]
    assert reason in refusal(folders(tmp_path / "photos", **names), root)


def test_a_class_that_only_one_of_train_and_test_has_is_refused(tmp_path, root):
    classes(tmp_path / "photos" / "train", 8)
    classes(tmp_path / "photos" / "test", 3, ("cat", "bird"))
    assert "has classes in train/ that test/ lacks: dog" in refusal(tmp_path / "photos", root)


def test_more_than_a_hundred_classes_are_refused(tmp_path, root):
    source = folders(tmp_path / "photos", **{f"c{i}": 1 for i in range(101)})
    assert "holds 101 classes; choose at most 100" in refusal(source, root)


X, Y = np.zeros((12, 8, 8), np.uint8), np.arange(12) % 2
ARCHIVES = {
    "no labels": ({"x_train": X}, "name the arrays x_train, y_train"),
    "labels of another number": ({"x_train": X, "y_train": Y[:3]}, "give each image one whole"),
    "one class": ({"x_train": X, "y_train": 0 * Y}, "holds 1 class in y_train"),
    "labels that are no whole numbers": (
        {"x_train": X, "y_train": Y + 0.5}, "labels are whole numbers",
    ),
    "values that are no pixels": (
        {"x_train": X - np.float32(700), "y_train": Y}, "scale them to 0..255",
    ),
    "not finite": ({"x_train": X * np.float32("nan"), "y_train": Y}, "NaN or infinite"),
    "a pickle": ({"x_train": X.astype(object), "y_train": Y}, "save numbers"),
    "no images": ({"x_train": np.zeros((12, 64), np.uint8), "y_train": Y}, "of shape (12, 64)"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_hold_no_labelled_images_are_refused(tmp_path, root, case):
    arrays, reason = ARCHIVES[case]
    np.savez(tmp_path / "arrays.npz", **arrays)
    assert reason in refusal(tmp_path / "arrays.npz", root)


def test_a_file_that_is_no_archive_is_refused(tmp_path, root):
    (tmp_path / "arrays.npz").write_bytes(b"not a zip file")
    assert "can't be read as an .npz file" in refusal(tmp_path / "arrays.npz", root)
    (tmp_path / "photos.zip").write_bytes(b"")
    assert "unpack an archive of images first" in refusal(tmp_path / "photos.zip", root)
    assert "is not there" in refusal(tmp_path / "nowhere", root)


@pytest.mark.parametrize("size", [7, 65])
def test_sizes_out_of_bounds_are_refused(tmp_path, root, size):
    assert "must be a whole number from 8 to 64" in refusal(
        classes(tmp_path / "p"), root, size=size
    )


@pytest.mark.parametrize("name", ["mnist", "", "My Photos", "../up", "x" * 41])
def test_names_that_are_taken_or_no_names_are_refused(tmp_path, root, name):
    with pytest.raises(InvalidValue, match="name="):
        own.add(name, classes(tmp_path / "p"), root, Form())


def test_a_name_is_taken_once_added_and_free_once_removed(tmp_path, root):
    source = classes(tmp_path / "photos")
    add(source, root)
    with pytest.raises(InvalidValue, match="is taken"):
        add(source, root)
    own.remove("mine", root)
    with pytest.raises(InvalidValue, match="no data set that was added"):
        own.remove("mine", root)
    with pytest.raises(InvalidValue, match="no data set that was added"):
        own.remove("mnist", root)
    add(source, root)


def test_whoever_stops_it_leaves_nothing_behind(tmp_path, root):
    class Enough(Exception):
        pass

    def check():
        raise Enough

    with pytest.raises(Enough):
        add(classes(tmp_path / "photos"), root, check=check)
    assert os.listdir(root) == []


# What comes of it


def test_another_process_knows_what_was_added_until_it_is_removed(tmp_path, root):
    added = add(classes(tmp_path / "photos"), root)
    datasets.register("mine", None)
    own.register(root)
    assert DATASETS["mine"] == added.facts
    own.remove("mine", root)
    own.register(root)
    assert "mine" not in DATASETS


def test_a_damaged_file_is_no_data_set(tmp_path, root):
    add(classes(tmp_path / "photos"), root)
    path = prepared("mine", root)
    path.write_bytes(path.read_bytes()[:200])
    own.register(root)
    assert "mine" not in DATASETS


def test_keys_name_the_images_themselves(tmp_path, root):
    source = classes(tmp_path / "photos")
    add(source, root)
    first = Experiment(Recipe(dataset="mine", validation_size=0)).key
    own.remove("mine", root)
    draw(source / "cat" / "0.png", BLUE)
    add(source, root)
    assert Experiment(Recipe(dataset="mine", validation_size=0)).key != first


def test_a_small_data_set_holds_a_tenth_out_unless_asked_otherwise(tmp_path, root):
    add(classes(tmp_path / "photos", 100), root)
    _, choice = read_choice({"dataset": "mine"})
    assert choice.validation_size == 16
    with pytest.raises(InvalidValue, match=r"validation_size=5000 must be .* from 0 to 80"):
        replace(choice, validation_size=5_000).recipe()


def test_the_command_line_adds_lists_trains_and_removes(tmp_path, root, command):
    """On real images: the test digits that come with the project, as PNG files by their label."""
    data = load_data(Recipe(validation_size=0), ROOT / "cache" / "datasets")
    for i, label in enumerate(data.test_labels[:400]):
        folder = tmp_path / "digits" / f"digit {label}"
        folder.mkdir(parents=True, exist_ok=True)
        image = data.test_images.pixels[i].reshape(28, 28)
        Image.fromarray(image).save(folder / f"{i}.png")
    cache = ["--cache", str(tmp_path / "cache")]

    def call(*words: str) -> str:
        code, said = command(*words, *cache)
        assert code == 0, said
        return said

    said = call("data", "add", "photos", str(tmp_path / "digits"), "--size", "28", "--grey")
    assert "digit 7" in said
    assert "became the test set" in said
    assert "photos" in call("data", "list")
    options = ["--preset", "quick", "--network", "6 pool 16 pool 32", "--length", "30"]
    options += ["--unit", "iterations", "--rounds", "1", "--controls", "none", "--loop", "torch"]
    options += ["--replicates", "1"]
    out = tmp_path / "out"
    assert "Level 1" in call("run", "--dataset", "photos", *options, "--out", str(out))
    assert np.load(out / "mask.npz")["conv2.weight"].shape == (16, 6, 3, 3)
    call("data", "remove", "photos")
    assert "photos" not in call("data", "list")
    assert "6 pool 16 pool 32" not in call("list")  # of images that are gone
    again = CliRunner().invoke(app, ["run", "--dataset", "photos", *cache])
    assert again.exit_code == 2
    assert "dataset" in again.output


def test_what_is_added_says_what_it_is(tmp_path, root):
    added = add(classes(tmp_path / "photos"), root)
    with prepared("mine", root).open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert json.loads(header["__metadata__"]["about"])["class_names"] == list(
        added.facts.class_names
    )
