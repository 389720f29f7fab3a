"""A drawn digit becomes an image like MNIST's, so that networks trained on those can read it."""

import base64

import numpy as np
import pytest

from lottery_core.findings import answers
from lottery_core.findings.drawing import SIDE, as_digit, read_drawing
from lottery_core.running import engine
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.training.context import Context

pytestmark = pytest.mark.usefixtures("judged_on_few")


def drawn(image: np.ndarray, times: int = 3, top: int = 0, left: int = 0) -> np.ndarray:
    """A 28x28 image as if drawn larger, somewhere on the canvas."""
    ink = np.zeros((SIDE, SIDE), np.uint8)
    large = np.repeat(np.repeat(image, times, 0), times, 1)[: SIDE - top, : SIDE - left]
    ink[top : top + large.shape[0], left : left + large.shape[1]] = large
    return ink


@pytest.fixture(scope="module")
def mnist_digits(datasets):
    images, labels = answers.unseen_images("mnist", datasets)
    return images, labels


@pytest.mark.parametrize(("times", "top", "left"), [(1, 0, 0), (3, 20, 40), (4, 27, 0)])
def test_mnists_own_digits_come_back_as_they_were(mnist_digits, times, top, left):
    images = mnist_digits[0][:300]
    again = np.stack([as_digit(drawn(image, times, top, left)) for image in images])
    # Grey levels within 2 of 255 on average: rounding, and the centre of mass at half a pixel.
    assert np.abs(again.astype(int) - images).mean() < 2
    assert np.median(np.abs(again.astype(int) - images).mean(axis=(1, 2))) < 0.5


def test_a_network_reads_redrawn_digits_as_it_reads_the_originals(mnist_digits, store):
    recipe = Recipe(
        network="64", iterations=400, evaluate_every=400, batch_size=64, learning_rate=0.01
    )
    (dense,) = engine.run(Experiment(recipe), Context(store))
    images, labels = (part[:1000] for part in mnist_digits)
    read = answers.reader(recipe, store.datasets)
    redrawn = np.stack([as_digit(drawn(image, 3, 30, 50)) for image in images])
    one, other = (answers.answers(recipe, dense.end, read(some)) for some in (images, redrawn))
    assert (one == labels).mean() > 0.8  # six seeds gave 0.88 to 0.90
    assert (one != other).mean() < 0.01  # 0 to 0.004


def test_a_digit_fills_mnists_box_and_its_mass_is_centred():
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[100:130, 5:20] = 255
    ink[120:130, 5:60] = 255
    image = as_digit(ink)
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    mass = image.astype(float) / image.sum()
    assert abs((mass.sum(axis=1) @ np.arange(28)) - 14) <= 0.5
    assert abs((mass.sum(axis=0) @ np.arange(28)) - 14) <= 0.5
    assert image.max() == 255


def test_thin_lines_do_not_fade_and_dots_do_not_fail():
    line = np.zeros((SIDE, SIDE), np.uint8)
    line[:, 70] = 255
    assert as_digit(line).max() == 255
    dot = np.zeros((SIDE, SIDE), np.uint8)
    dot[0, 139] = 255
    assert as_digit(dot).sum() > 0


def test_an_empty_canvas_is_no_digit():
    assert as_digit(np.zeros((SIDE, SIDE), np.uint8)) is None


def test_what_a_browser_sends_is_what_was_drawn():
    ink = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    sent = base64.b64encode(ink.tobytes()).decode()
    np.testing.assert_array_equal(read_drawing(sent), ink)


@pytest.mark.parametrize(
    "sent", [None, 7, "", "x", "!" * 26136, "A" * 26135, "A" * 26137, "A" * 10**7, ["A"], {}]
)
def test_what_no_canvas_sends_is_refused(sent):
    with pytest.raises(InvalidValue, match=r"drawing=.* must be"):
        read_drawing(sent)
