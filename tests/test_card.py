"""The ticket card tells what is known of a level, over how many seeds, and how to repeat it."""

import math
import re
import shlex
from dataclasses import replace
from itertools import cycle

import pytest

from lottery_core.findings.lines import with_seed
from lottery_core.findings.replicates import band, paired
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.tickets import files, transfer
from lottery_core.tickets.card import card, gather
from lottery_core.tickets.content import digest
from lottery_core.tickets.incoming import read_upload
from lottery_core.tickets.repeat import command_of
from lottery_core.training.context import Context
from tests.networks import CONVOLUTIONAL, make_level

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="8", iterations=40, evaluate_every=20, batch_size=64, learning_rate=0.1)
EXPERIMENT = Experiment(RECIPE, rounds_of([0.5, 0.75]))


@pytest.fixture(scope="module")
def shelf(make_store, tmp_path_factory):
    """A store with three seeds of an experiment and two controls, one of them for two seeds."""
    store = make_store(tmp_path_factory.mktemp("card") / "store")
    for seed in range(3):
        one = with_seed(EXPERIMENT, seed)
        for experiment in (one, ARMS["reinit"].of(one), ARMS["fine-tune"].of(one)):
            if seed < 2 or experiment == one or experiment.control:
                list(engine.run(experiment, Context(store)))
    return store


def written(store, key: str) -> str:
    return card(gather(store, store.read(key)))


def section(text: str, title: str) -> str:
    return re.search(rf"## {title}\n\n(.*?)(?=\n\n## |\Z)", text, re.DOTALL)[1]


def row(text: str, begins: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {begins}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def infos(store, experiment: Experiment, seeds, n: int = 2) -> dict[int, dict]:
    return {seed: store.info(with_seed(experiment, seed).keys[n]) for seed in seeds}


def accuracy(infos) -> dict[int, float]:
    return {seed: info.test_accuracy for seed, info in infos.items()}


# What it says


def test_files_that_nobody_verified_are_named(shelf):
    level = shelf.read(EXPERIMENT.key)
    recipe = replace(RECIPE, dataset="kmnist", content="ab" * 32)
    other = replace(EXPERIMENT, recipe=recipe)
    info = replace(level.info, experiment=other.as_dict(), key=other.key)
    text = card(gather(shelf, replace(level, info=info)))
    assert "on KMNIST (unverified files abababab)\n" in text
    assert row(text, "SHA-256 of the data")[1] == f"`{'ab' * 32}`"
    assert f"--content {'ab' * 32}" in section(text, "Repeat it")
    assert "with `--dataset-folder` and the folder" in section(text, "Repeat it")


def test_accuracies_have_their_spread_and_the_number_of_seeds(shelf):
    text = section(written(shelf, EXPERIMENT.key), "Numbers")
    values = accuracy(infos(shelf, EXPERIMENT, range(3)))
    dense = accuracy(infos(shelf, EXPERIMENT, range(3), 0))
    spread = band(list(values.values()), "range")
    assert row(text, "Test accuracy, last iteration") == [
        "Test accuracy, last iteration",
        f"{values[0]:.2%}",
        f"{dense[0]:.2%}",
        f"{spread.mean:.2%} ({spread.low:.2%} to {spread.high:.2%}, n = 3)",
    ]
    gap = paired(values, dense)
    assert f"{100 * gap.mean:+z.2f} points (95 % interval {100 * gap.low:+z.2f}" in text
    assert "Seeds: 0, 1, 2." in text


def test_controls_are_compared_seed_by_seed(shelf):
    text = section(written(shelf, EXPERIMENT.key), "Controls")
    ticket = accuracy(infos(shelf, EXPERIMENT, range(3)))
    for name, seeds in (("reinit", range(3)), ("fine-tune", range(2))):
        found = accuracy(infos(shelf, ARMS[name].of(EXPERIMENT), seeds))
        gap = paired(ticket, found)
        assert gap.n == len(seeds)
        cells = row(text, ARMS[name].title)
        assert f"n = {len(seeds)}" in cells[2]
        assert cells[3].startswith(f"{100 * gap.mean:+z.2f} points (95 % interval")
        assert cells[3].endswith(f"n = {gap.n})")
    assert ARMS["random-mask"].title not in text


def test_layers_add_up(shelf):
    text = section(written(shelf, EXPERIMENT.key), "Layers")
    first = ["`fc1.weight`", "8 x 784", "6,272", "1,568", "25.00", "1,568"]
    assert row(text, "`fc1.weight`") == first
    assert row(text, "`fc2.weight`") == ["`fc2.weight`", "10 x 8", "80", "20", "25.00", "20"]
    assert row(text, "all") == ["all", "", "6,352", "1,588", "25.00", "1,588"]


@pytest.mark.parametrize("network", [*CONVOLUTIONAL, "resnet-20"])
def test_layers_of_convolutions_have_their_kernels_and_multiply_adds(store, network):
    level = make_level(network)
    store.write(level.info.key, level)
    text = written(store, level.info.key)
    net = Experiment.from_dict(level.info.experiment).recipe.net
    layers = section(text, "Layers")
    for name, kept in level.mask.items():
        cells = row(layers, f"`{name}`")
        assert cells[1] == " x ".join(map(str, kept.shape))
        assert cells[3] == f"{kept.sum():,}"
        # Every kept weight is used once for each pixel of its layer's result.
        made = next(at for at in net.operations if name == f"{at.name}.weight")
        assert cells[5] == f"{kept.sum() * math.prod(made.shape[1:]):,}"
    assert f"the dense network takes {net.multiply_adds():,}." in layers
    told = row(section(text, "Recipe"), "network")[1]
    assert told.startswith(net.title)
    assert "images of 1x28x28, 10 classes" in told
    assert ("batch norm" in told) == bool(net.buffers)
    assert f"% of {net.title} on MNIST" in text.partition("\n")[0]


def test_key_digests_and_versions_are_the_levels(shelf):
    level = shelf.read(EXPERIMENT.key)
    text = section(written(shelf, EXPERIMENT.key), "Identity and versions")
    assert row(text, "key")[1] == f"`{EXPERIMENT.key}`"
    assert row(text, "SHA-256 of mask")[1] == f"`{digest(level.mask)}`"
    assert row(text, "SHA-256 of trained")[1] == f"`{digest(level.end)}`"
    assert row(text, "version of numpy")[1] == level.info.versions["numpy"]


def test_one_seed_is_called_one_seed(store, tiny):
    list(engine.run(tiny, Context(store)))
    text = written(store, tiny.key)
    assert "One seed" in section(text, "Numbers")
    assert "one seed" in text.partition("## Numbers")[0]
    assert "n = " not in text
    assert "None are at hand" in section(text, "Controls")


def test_it_says_what_a_level_may_be_selected_by(shelf, store, tiny):
    assert section(written(shelf, EXPERIMENT.key), "How it was selected").startswith(
        "5,000 training images were held out."
    )
    bare = replace(tiny, recipe=replace(tiny.recipe, validation_size=0))
    list(engine.run(bare, Context(store)))
    text = written(store, bare.key)
    assert "picks it on the test images" in section(text, "How it was selected")
    assert "Validation accuracy" not in text
    assert "nothing was held out" in text.partition("## Numbers")[0]


def test_only_a_ticket_is_said_to_win_or_not(shelf):
    assert "winning ticket**" in written(shelf, EXPERIMENT.key)
    for key in (EXPERIMENT.keys[0], ARMS["reinit"].of(EXPERIMENT).key):
        text = written(shelf, key)
        assert "winning" not in text.lower()
    assert "new random weights" in text
    assert text.startswith(f"# Random reinit {key[:8]}, level 2: 25\u202f% of 784-8-10 on MNIST")
    assert "It is the dense network" in written(shelf, EXPERIMENT.keys[0])


def test_a_level_of_another_version_still_gets_a_card(store, tiny):
    list(engine.run(tiny, Context(store)))
    level = store.read(tiny.key)
    fields = level.info.experiment | {"recipe": level.info.experiment["recipe"] | {"x": 1}}
    text = card(gather(store, replace(level, info=replace(level.info, experiment=fields))))
    assert text.startswith(f"# Network {tiny.key[:8]}, level 2")
    assert "No command line expresses this experiment" in text


def test_a_ticket_from_outside_is_said_to_be_one(shelf, tmp_path):
    upload = read_upload("t", files.export(shelf, EXPERIMENT.key, "ticket"))
    shelf.write_ticket(upload.content_digest, upload.mask, upload.restart)
    brought = transfer.experiment(upload, replace(RECIPE, seed=5))
    list(engine.run(brought, Context(shelf)))
    text = written(shelf, brought.key)
    assert "Its mask was brought here from outside. Its survivors restart from the weights" in text
    assert row(text, "pruned by")[1] == f"the mask of ticket `{upload.content_digest}`"
    assert "this does it, the ticket's file once brought" in text


# The command that repeats it


def keys_of(command: str) -> set[str]:
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "lottery_core", "run"]
    names = [word.removeprefix("--").replace("-", "_") for word in words[4::2]]
    _, choice = read_choice(dict(zip(names, words[5::2], strict=True)))
    return {key for one in choice.experiments() for key in one.keys}


CHOICES = {
    "quick": PRESETS["quick"].choice,
    "notebook": PRESETS["notebook"].choice,
    "paper": PRESETS["paper"].choice,
    "another seed": replace(PRESETS["quick"].choice, seed=7),
    "one shot": Choice(schedule="one-shot", sparsity=0.87),
    "list": Choice(sparsities=(0.3, 0.62, 0.9), schedule="list"),
    "layers": Choice(layer_factors=(("fc1", 0.5), ("fc3", 0.0)), rate=0.3),
    "output": Choice(output_factor=0.25, rate=0.37),
    "schedules": Choice(warmup=100, decay_at=(500, 900), length=1_001, unit="iterations"),
    "no decay": Choice(decay_at=(500,), decay_factor=0.3, length=0.37),
    "global": Choice(scope="global", criterion="movement", rewind_percent=5.0),
    "ERK": Choice(scope="erk", criterion="obd"),
    "balanced": Choice(scope="balanced", criterion="random", rate=0.3),
    "adam": Choice(optimiser="adam", learning_rate=0.001, evaluate_every=77),
    "linear": Choice(network="none", dataset="fashion-mnist", restart="rate-rewind"),
    "lenet-5": Choice(network="lenet-5", layer_factors=(("conv1", 0.5), ("conv2", 0.5))),
    "residual": Choice(network="resnet-20 x0.5", length=900, unit="iterations", warmup=100),
    "batch norm": Choice(network="norm 8@5v pool 16 mean", rewind_percent=1.0),
}


# Every choice, and every arm of three of them: a command names the arm beside the rest.
TURNS = [[*CHOICES][n:] + [*CHOICES][:n] for n in range(len(CHOICES))]
PAIRS = [(name, "main") for name in CHOICES] + [
    (name, arm) for turn, arm in zip(cycle(TURNS), ARMS, strict=False) for name in turn[::6]
]


@pytest.mark.parametrize(("name", "arm"), PAIRS)
def test_the_command_repeats_the_experiment(name, arm):
    experiment = CHOICES[name].experiment()
    experiment = experiment if arm == "main" else ARMS[arm].of(experiment)
    assert set(experiment.keys) <= keys_of(command_of(experiment))


@pytest.mark.parametrize("name", CHOICES)
def test_a_level_on_the_way_has_a_command_of_its_own(name):
    experiment = CHOICES[name].experiment()
    for n in range(len(experiment.rounds)):
        part = replace(experiment, rounds=experiment.rounds[:n])
        assert set(part.keys) <= keys_of(command_of(part))


def test_the_command_says_no_more_than_is_needed():
    choice = replace(PRESETS["quick"].choice, rounds=3, seed=2, replicates=1)
    assert command_of(choice.experiment()) == (
        "python -m lottery_core run --preset quick --rounds 3 --controls none --seed 2 "
        "--replicates 1"
    )
    fine = ARMS["reinit"].of(PRESETS["notebook"].choice.experiment())
    assert command_of(fine) == "python -m lottery_core run --preset notebook --controls reinit"


def test_it_says_what_of_a_control_is_chance_and_what_is_not(store):
    experiment = Experiment(RECIPE, rounds_of([0.9]))
    for arm, words in {
        "random-mask": "initial weights; which weights of a layer survive is chance, how many is",
        "new-order": "initial weights; they are trained on the images in another order than the",
        "permuted": "which is not its own but the next seed's; of its mask the units are in the or",
        "new-signs": "with the magnitudes that they had in the dense network at iteration 0 and wi",
        "random-erk": "as many are kept in all as in its experiment, of each layer by ERK's budget",
    }.items():
        control = ARMS[arm].of(experiment)
        list(engine.run(control, Context(store)))
        assert words in written(store, control.key)


def test_what_no_command_expresses_gets_a_few_lines_of_python(store):
    odd = Experiment(RECIPE, (Round(0.5, 0.5), Round(0.6, 0.6, criterion="random")))
    assert command_of(odd) is None
    list(engine.run(odd, Context(store)))
    text = section(written(store, odd.key), "Repeat it")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    imports_and_experiment = lines[: next(i for i, line in enumerate(lines) if line[:4] == "for ")]
    found: dict = {}
    exec("\n".join(imports_and_experiment), found)  # noqa: S102
    assert found["experiment"] == odd


def test_the_cards_command_is_that_of_its_level(shelf):
    text = section(written(shelf, EXPERIMENT.key), "Repeat it")
    command = next(line.strip() for line in text.splitlines() if line.startswith("    python"))
    assert set(EXPERIMENT.keys) <= keys_of(command)
