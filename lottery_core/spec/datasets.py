"""The data sets one can name: facts that are true before any file is read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lottery_core.spec.checks import InvalidValue

# The arrays of a data set, in the order in which they are kept and hashed.
PARTS = ("test_images", "test_labels", "train_images", "train_labels")

NORMALISATIONS = {
    "half": "(x - 0.5) / 0.5, as in the notebook: pixels from -1 to 1",
    "dataset": "minus the training images' mean, divided by their standard deviation",
    "unit": "each image divided by its Euclidean norm, as in the code of Frankle and Carbin",
}


@dataclass(frozen=True)
class Dataset:
    """`folder` is where torchvision keeps the archives: <root>/<folder>/raw. `archives` are the
    published files with their MD5 sums, to be had from each of `addresses`; what comes out of
    them is either four files of images and labels, in `idx` by their part in `PARTS`, or `batches`
    of both, with their MD5 sums. Sizes are in images. `digest` is the SHA-256 of what is published
    (see `data.files.digest_of`), where we have seen it; "" where only archives can be verified.
    """

    title: str
    folder: str
    train_size: int
    test_size: int
    archives: Mapping[str, str]
    addresses: tuple[str, ...]
    idx: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    transposed: bool = False  # in the files; ours are upright
    image: tuple[int, int, int] = (1, 28, 28)  # channels, rows, columns
    classes: int = 10
    batches: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()  # empty: the classes are digits, or have numbers alone

    @property
    def names(self) -> tuple[str, ...]:
        """What the classes are called, one name each."""
        return self.class_names or tuple(map(str, range(self.classes)))

    @property
    def is_own(self) -> bool:
        """Whether it was added by a person, and not published."""
        return not self.archives

    def shape(self, part: str) -> tuple[int, ...]:
        """Of the array that is one of `PARTS`: (n, rows, columns) of idx files, (n, channels,
        rows, columns) of other images, or (n,)."""
        size = self.train_size if part.startswith("train") else self.test_size
        image = self.image[1:] if self.idx else self.image
        return (size, *image) if part.endswith("images") else (size,)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of all `PARTS`, in their order."""
        return {part: self.shape(part) for part in PARTS}

    @property
    def size(self) -> int:
        """Bytes of all images and labels."""
        return sum(map(math.prod, self.shapes.values()))


def _idx(train: str, test: str) -> Mapping[str, str]:
    names = {"train": train, "test": test}
    kinds = {"images": "images-idx3-ubyte", "labels": "labels-idx1-ubyte"}
    return {f"{part}_{kind}": f"{names[part]}-{kinds[kind]}" for part in names for kind in kinds}


_MNIST = _idx("train", "t10k")


def _four(*sums: str) -> Mapping[str, str]:
    """The MD5 sums of MNIST's four archives, or of their namesakes, in the order of `PARTS`."""
    names = (f"{_MNIST[part]}.gz" for part in PARTS)
    return dict(zip(names, sums, strict=True))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in text.split())


# CIFAR-100's fine labels, in their order.
_FINE = _names("""
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
""")

# Addresses and MD5 sums are those of torchvision 0.28, datasets/mnist.py.
DATASETS = {
    "mnist": Dataset(
        "MNIST",
        "MNIST",
        60_000,
        10_000,
        _four(
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        _MNIST,
        "87ea53c66e633545fe169d7df5839f90c413c874610a6d3fb39f9685ab74186b",
    ),
    "fashion-mnist": Dataset(
        "Fashion-MNIST",
        "FashionMNIST",
        60_000,
        10_000,
        _four(
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
        ),
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        _MNIST,
        "f637f44247cd73bdfa995c3d2d93b582ceb958b1426023a03de3f689acf70215",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "kmnist": Dataset(
        "KMNIST",
        "KMNIST",
        60_000,
        10_000,
        _four(
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
        ),
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        _MNIST,
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "emnist-digits": Dataset(
        "EMNIST digits",
        "EMNIST",
        240_000,
        40_000,
        {"gzip.zip": "58c8d27c78d21e728a6bc7b3cc06412e"},
        ("https://biometrics.nist.gov/cs_links/EMNIST/",),
        _idx("emnist-digits-train", "emnist-digits-test"),
        transposed=True,
    ),
    # Addresses and MD5 sums of torchvision 0.28, datasets/cifar.py.
    "cifar-10": Dataset(
        "CIFAR-10",
        "CIFAR10",
        50_000,
        10_000,
        {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"},
        ("https://www.cs.toronto.edu/~kriz/",),
        batches={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
        image=(3, 32, 32),
        class_names=_names("airplane automobile bird cat deer dog frog horse ship truck"),
    ),
    "cifar-100": Dataset(
        "CIFAR-100",
        "CIFAR100",
        50_000,
        10_000,
        {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"},
        ("https://www.cs.toronto.edu/~kriz/",),
        batches={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
        image=(3, 32, 32),
        classes=100,
        class_names=_FINE,
    ),
}


_PUBLISHED = tuple(DATASETS)


def register(name: str, dataset: Dataset | None) -> None:
    """Have this process know a data set that a person added, or with None no more. Raises
    `InvalidValue` for the name of a published one."""
    if name in _PUBLISHED:
        raise InvalidValue("name", name, "is that of a published data set; choose another")
    if dataset is None:
        DATASETS.pop(name, None)
    elif DATASETS.get(name) != dataset:  # other threads may be looking
        DATASETS[name] = dataset


def unverified_in_words(dataset: str, content: str) -> str:
    """What becomes of files with that content that can't be verified as the published ones."""
    facts = DATASETS[dataset]
    archives = ", ".join(sorted(facts.archives))
    return (
        f"These files could not be verified as {facts.title} as published (its archives "
        f"{archives} could be): their results are kept apart, under content {content[:8]}."
    )


def title_of(dataset: str, content: str = "") -> str:
    """The data set in words; with a `content` (see `Recipe`) it says that these are not known
    to be the published files."""
    title = DATASETS[dataset].title
    return f"{title} (unverified files {content[:8]})" if content else title
