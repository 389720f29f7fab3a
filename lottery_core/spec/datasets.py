"""The data sets one can name: facts that are true before any file is read."""

from dataclasses import dataclass

PIXELS = 28 * 28
CLASSES = 10

NORMALISATIONS = {
    "half": "(x - 0.5) / 0.5, as in the notebook: pixels from -1 to 1",
    "dataset": "minus the training images' mean, divided by their standard deviation",
    "unit": "each image divided by its Euclidean norm, as in the code of Frankle and Carbin",
}


@dataclass(frozen=True)
class Dataset:
    """`source` is the class in torchvision.datasets; sizes are in images of 28x28 bytes."""

    title: str
    source: str
    train_size: int
    test_size: int
    image: tuple[int, int, int] = (1, 28, 28)  # channels, rows, columns
    classes: int = 10


DATASETS = {
    "mnist": Dataset("MNIST", "MNIST", 60_000, 10_000),
    "fashion-mnist": Dataset("Fashion-MNIST", "FashionMNIST", 60_000, 10_000),
    "kmnist": Dataset("KMNIST", "KMNIST", 60_000, 10_000),
    "emnist-digits": Dataset("EMNIST digits", "EMNIST", 240_000, 40_000),
}
