"""What pages answer with NumPy is what trainings answer with torch, on the same images."""

import numpy as np
import pytest
import torch

from lottery_core.data import DataUnavailable, load_data
from lottery_core.findings import answers
from lottery_core.running import engine
from lottery_core.spec.datasets import NORMALISATIONS
from lottery_core.spec.recipe import Recipe
from lottery_core.training.context import Context
from lottery_core.training.models import build


@pytest.mark.parametrize("place", ["prepared", "originals"])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_images_are_read_as_trainings_read_them(datasets, tmp_path, normalisation, place):
    recipe = Recipe(normalisation=normalisation)
    data = load_data(recipe, datasets)
    root = datasets if place == "prepared" else tmp_path
    images, labels = answers.unseen_images("mnist", root)
    np.testing.assert_array_equal(labels, data.test_labels)
    np.testing.assert_array_equal(answers.reader(recipe, root)(images), data.test_images[:])


def test_the_first_test_images_can_be_had_alone(datasets, tmp_path):
    for root in (datasets, tmp_path):
        images, labels = answers.unseen_images("mnist", root, 7)
        assert images.shape == (7, 28, 28)
        assert labels.tolist() == [7, 2, 1, 0, 4, 1, 4]


def test_a_data_set_that_was_never_fetched_says_so(tmp_path):
    with pytest.raises(DataUnavailable, match="KMNIST is not in this cache; train on it first"):
        answers.unseen_images("kmnist", tmp_path)


def test_both_networks_answer_as_torch_does(store, tiny):
    dense, *_, ticket = engine.run(tiny, Context(store))
    judged = answers.judge(tiny.recipe, dense.end, ticket.end, store.datasets)
    data = load_data(tiny.recipe, store.datasets)
    for which, level in (("dense", dense), ("ticket", ticket)):
        model = build(tiny.recipe)
        model.load_state_dict({name: torch.from_numpy(v) for name, v in level.end.items()})
        with torch.inference_mode():
            expected = model(torch.from_numpy(data.test_images[:]))
        np.testing.assert_allclose(getattr(judged, which), expected.numpy(), atol=1e-5)
        assert judged.accuracy(which) == pytest.approx(level.info.test_accuracy, abs=2.5e-4)
        np.testing.assert_allclose(
            answers.confidences(getattr(judged, which)),
            torch.softmax(expected, 1).numpy(),
            atol=1e-5,
        )
    differ = judged.disagree
    assert len(differ)
    assert (judged.dense[differ].argmax(1) != judged.ticket[differ].argmax(1)).all()


def test_a_confusion_matrix_counts_every_image_once():
    labels, named = np.array([0, 0, 3, 9, 9], np.uint8), np.array([0, 5, 3, 9, 9])
    found = answers.confusion(labels, named, 10)
    assert found.shape == (10, 10)
    assert found.sum() == 5
    assert (found[0, 0], found[0, 5], found[3, 3], found[9, 9]) == (1, 1, 1, 2)
