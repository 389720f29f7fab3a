"""Training images are shown mirrored and shifted as their recipe says, and never when judged."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lottery_core.data import Images, load_data
from lottery_core.method.masks import dense_mask
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.terms import AUGMENTATIONS, MAX_SHIFT
from lottery_core.training import augmentation, sparse_loop, torch_loop
from lottery_core.training.augmentation import Moves
from lottery_core.training.base import Training
from lottery_core.training.models import initial_weights

RECIPE = Recipe(network="8", iterations=4, evaluate_every=4, augmentation="flip-shift")
MOVED = [name for name in AUGMENTATIONS if name != "none"]


@pytest.fixture(scope="module")
def mnist(datasets):
    return load_data(RECIPE, datasets)


def moved(image: np.ndarray, down: int, right: int, is_mirrored: bool, black) -> np.ndarray:
    """An image (channels, rows, columns) as it is to be shown, pixel by pixel."""
    found = np.empty_like(image)
    channels, rows, columns = image.shape
    for c in range(channels):
        for y in range(rows):
            for x in range(columns):
                across = columns - 1 - x if is_mirrored else x
                at = y + down, across + right
                inside = 0 <= at[0] < rows and 0 <= at[1] < columns
                found[c, y, x] = image[c, at[0], at[1]] if inside else black[c]
    return found


@pytest.mark.parametrize("name", MOVED)
def test_every_image_is_shown_as_drawn_and_black_comes_in_from_the_sides(name):
    recipe = replace(RECIPE, augmentation=name)
    kind = AUGMENTATIONS[name]
    moves = Moves.of(recipe, epoch=3)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 2, 28, 28)).astype(np.float32)
    black = np.array([-1, -2], np.float32)
    batch = slice(100, 140)
    parts = [part[batch] for part in moves.on("cpu")]
    shown = augmentation.moved(torch.from_numpy(images), *parts, torch.from_numpy(black)).numpy()
    for n, image in enumerate(images):
        rows, columns = moves.rows[100 + n], moves.columns[100 + n]
        is_mirrored = columns[0] > columns[-1]
        down, right = rows[0] - MAX_SHIFT, min(columns) - MAX_SHIFT
        assert abs(down) <= (MAX_SHIFT if kind.shifts else 0) >= abs(right)
        assert kind.flips or not is_mirrored
        expected = moved(image, down, right, is_mirrored, black)
        np.testing.assert_allclose(shown[n], expected, atol=1e-6)


def test_all_shifts_and_both_sides_are_as_likely():
    moves = Moves.of(RECIPE, epoch=0)
    count = RECIPE.train_size
    for first in (moves.rows[:, 0], moves.columns.min(axis=1)):
        found = np.bincount(first, minlength=9)
        assert len(found) == 2 * MAX_SHIFT + 1
        # Five deviations of a binomial count.
        assert abs(found - count / 9).max() < 5 * math.sqrt(count * 8 / 81)
    mirrored = (moves.columns[:, 0] > moves.columns[:, -1]).sum()
    assert abs(mirrored - count / 2) < 5 * math.sqrt(count / 4)


def test_every_epoch_draws_anew_and_the_same_epoch_draws_the_same():
    first, again, next_ = (Moves.of(RECIPE, epoch) for epoch in (0, 0, 1))
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.columns, again.columns)
    assert not np.array_equal(first.rows, next_.rows)
    other = Moves.of(RECIPE, 0, order=1)
    assert not np.array_equal(first.rows, other.rows)
    assert Moves.of(replace(RECIPE, augmentation="none"), 0) is None


def test_images_are_judged_as_they_are_and_trained_on_as_moved(mnist):
    trained = {}
    for name in ("none", "flip-shift"):
        recipe = replace(RECIPE, augmentation=name)
        weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
        trained[name] = torch_loop.train(
            Training(recipe, weights, mask), mnist, lambda moment: None
        )
    first, moved_ = trained.values()
    assert first.history[0].test_loss == moved_.history[0].test_loss
    assert first.losses[0] != moved_.losses[0]


@pytest.mark.parametrize("train", [torch_loop.train, sparse_loop.train], ids=["torch", "compiled"])
def test_the_loss_is_that_of_the_images_as_they_are_shown(mnist, train):
    recipe = replace(RECIPE, batch_size=16, iterations=1, evaluate_every=1)
    weights, mask = initial_weights(recipe), dense_mask(recipe.shapes)
    trained = train(Training(recipe, weights, mask), mnist, lambda moment: None)
    chosen = mnist.train_index[torch_loop.batch_order(recipe, 0)][:16]
    moves = Moves.of(recipe, 0)
    black = mnist.images.values[:1]
    losses = []
    for n, (image, label) in enumerate(
        zip(mnist.images[chosen], mnist.labels[chosen], strict=True)
    ):
        rows, columns = moves.rows[n], moves.columns[n]
        is_mirrored = columns[0] > columns[-1]
        down, right = rows[0] - MAX_SHIFT, columns.min() - MAX_SHIFT
        shown = moved(image.reshape(1, 28, 28), down, right, is_mirrored, black).reshape(-1)
        hidden = np.maximum(weights["fc1.weight"].astype(float) @ shown + weights["fc1.bias"], 0)
        logits = weights["fc2.weight"].astype(float) @ hidden + weights["fc2.bias"]
        losses.append(np.log(np.exp(logits).sum()) - logits[label])
    assert trained.losses[0] == pytest.approx(np.mean(losses), abs=1e-6)


def test_an_augmentation_is_part_of_the_key_and_none_leaves_it_as_it_was():
    keys = {Experiment(replace(RECIPE, augmentation=name)).key for name in AUGMENTATIONS}
    assert len(keys) == len(AUGMENTATIONS)


def test_another_device_reads_the_same_numbers_from_bytes():
    rng = np.random.default_rng(1)
    for channels in (1, 3):
        pixels = rng.integers(0, 256, (12, channels, 5, 5), np.uint8)
        values = rng.normal(size=(channels, 256)).astype(np.float32)
        images = Images.of(pixels, "dataset", values if channels > 1 else values[0])
        labels = np.arange(12)
        here = torch_loop._Shown(images, labels)
        there = torch_loop._ShownElsewhere(images, labels, "cpu")
        chosen = np.array([3, 1, 4])
        assert torch.equal(here[chosen][0], there[there.index(chosen)][0])
        assert torch.equal(here[2:7][0], there[2:7][0])
        assert torch.equal(here.black, there.black)
