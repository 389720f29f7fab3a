"""A researcher's own criterion and network: what they compute, what names them, and who may."""

import numpy as np
import pytest
import torch
from torch import nn

import lottery_core as lt
from lottery_core.running.library import Run
from lottery_core.spec import networks
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_choice
from lottery_core.spec.own import short
from lottery_core.spec.recipe import Recipe
from lottery_core.training.models import build, initial_weights, load
from tests.cells import run_cells
from tests.test_library import small

pytestmark = pytest.mark.usefixtures("forgotten")


def saliency(weights, gradients):
    return {name: np.abs(weights[name] * gradients[name]) for name in weights}


class Plain(nn.Module):
    """The network "8", as somebody else would write it."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 8)
        self.fc2 = nn.Linear(8, 10)

    def forward(self, images):
        return self.fc2(torch.relu(self.fc1(images.flatten(1))))


class Everything(nn.Module):
    """Layers of all kinds, in another order than they are used."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4 * 13 * 13, 10)
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.ln = nn.LayerNorm(4 * 13 * 13)
        self.scale = nn.Parameter(torch.full((1,), 2.0))
        self.spare = nn.Linear(3, 3)

    def forward(self, images):
        maps = self.drop(torch.relu(self.bn(self.conv(images))))
        return self.scale * self.out(self.ln(maps.flatten(1)))


# What they compute


def test_units_of_an_own_network_are_not_matched_and_that_is_said_before_anything_is_trained(store):
    own = lt.network("plain", 1, Plain)
    with pytest.raises(InvalidValue, match=r"controls='permuted' can't match the units"):
        lt.run(small(network=own, controls=["permuted"]), store.root)
    assert not store.keys()


@pytest.mark.parametrize(("reads", "known"), [("trained", "gradient-weight"), ("initial", "snip")])
def test_an_own_criterion_prunes_as_the_same_one_that_is_known(store, reads, known):
    own = lt.criterion("saliency", 1, saliency, reads=reads)
    masks = [
        lt.run(small(criterion=name, controls=[]), store.root, loop="torch").levels[1].mask
        for name in (own, known)
    ]
    for name, mask in masks[0].items():
        assert np.array_equal(mask, masks[1][name]), name


def test_a_criterion_is_shown_pruned_weights_and_their_slopes_as_zeros(store):
    def survivors_first(weights, gradients):
        gone = {name: values == 0 for name, values in weights.items()}
        if any(gradients[name][gone[name]].any() for name in weights):
            raise ValueError("a pruned weight has a slope")
        return {name: np.where(gone[name], 1.0, np.abs(weights[name])) for name in weights}

    own = lt.criterion("survivors-first", 1, survivors_first, steps=3)
    found = lt.run(small(criterion=own, controls=[]), store.root, loop="torch")
    known = lt.run(small(controls=[]), store.root, loop="torch")
    for level, same in zip(found.levels, known.levels, strict=True):
        for name, kept in level.mask.items():
            assert np.array_equal(kept, same.mask[name])


def test_a_criterion_without_scores_for_every_weight_is_told_what_is_missing(store):
    def one(weights, gradients):
        return {"fc1.weight": weights["fc1.weight"]}

    own = lt.criterion("one", 1, one)
    with pytest.raises(lt.InvalidValue, match=r"no array of \(10, 8\) scores for fc2.weight"):
        lt.run(small(criterion=own), store.root, loop="torch")


def test_an_own_network_is_what_its_module_is():
    own = Recipe(network=lt.network("plain", 1, Plain))
    known = Recipe(network="8")
    assert own.net.shapes == known.net.shapes
    assert own.net.parameters == known.net.parameters
    assert own.net.multiply_adds() == known.net.multiply_adds()
    drawn, same = initial_weights(own), initial_weights(known)
    for name, values in same.items():  # torch's default, from a generator with the same seed
        np.testing.assert_allclose(drawn[name], values, rtol=1e-6)
    again = initial_weights(own, "reinit", 1)
    assert not np.array_equal(again["fc1.weight"], drawn["fc1.weight"])


def test_layers_that_images_pass_are_pruned_in_their_order_and_the_rest_is_trained(store):
    own = lt.network("everything", 1, Everything)
    found = lt.run(small(network=own, learning_rate=0.01), store.root, loop="torch")
    assert list(found.levels[0].mask) == ["conv.weight", "out.weight"]
    first, last = found.levels[0], found.levels[-1]
    assert last.mask["conv.weight"].mean() == last.mask["out.weight"].mean() == 0.25
    assert not last.end["out.weight"][~last.mask["out.weight"]].any()
    moved = {name for name in first.start if not np.array_equal(first.start[name], first.end[name])}
    kept = {"spare.weight", "spare.bias"}
    assert moved == set(first.start) - kept
    assert first.start["scale"] == 2
    assert found.arms["main"][0].recipe.net.positions == {"conv.weight": 169, "out.weight": 1}
    assert repr(found)
    assert found.figure("accuracy").data


def test_the_same_run_of_layers_of_chance_gives_the_same_numbers(make_store, tmp_path):
    own = lt.network("everything", 1, Everything)
    torch.manual_seed(1)
    ends = []
    for folder in ("one", "other"):
        store = make_store(tmp_path / folder)
        choice = small(network=own, criterion="snip", controls=[], rounds=1, learning_rate=0.01)
        ends.append(lt.run(choice, store.root, loop="torch").levels[-1])
        torch.rand(3)
    for name, values in ends[0].end.items():
        assert np.array_equal(values, ends[1].end[name]), name


def test_with_another_initialisation_its_layers_are_drawn_anew_and_the_rest_is_as_built():
    recipe = Recipe(network=lt.network("everything", 1, Everything), init="glorot")
    drawn = initial_weights(recipe)
    fans = 4 * 13 * 13 + 10
    assert drawn["out.weight"].std() == pytest.approx(np.sqrt(2 / fans), rel=0.1)
    assert not drawn["out.bias"].any()
    assert drawn["scale"] == 2
    assert (drawn["ln.weight"] == 1).all()
    load(build(recipe), drawn)


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 7)), r"it must give \(2, 10\)"),
        (lambda: nn.Sequential(nn.Linear(3, 10)), "can't take images of 1x28x28: RuntimeError"),
        (lambda: nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.ConstantPad1d((0, 9), 0.0)),
         "no Conv2d or Linear layer"),
        (lambda: 3, "was built as a int; it must be a torch.nn.Module"),
    ],
)  # fmt: skip
def test_a_module_that_is_no_network_for_these_images_is_refused_before_anything_runs(
    module, problem
):
    with pytest.raises(lt.InvalidValue, match=problem):
        small(network=lt.network("odd", 1, module)).arms()


# What names them

PARTS = {
    "helper": "def half(x):\n    return x / 2\n",
    "factor": "factor = 3\n",
    "base": "class Base:\n    power = 2\n    def of(self, x):\n        return x ** self.power\n",
    "score": "def score(weights, gradients, more=1):\n"
    "    return {name: factor * half(Base().of(w)) + more for name, w in weights.items()}\n",
}


def name_of(version=1, name="mine", reads="trained", **changes) -> str:
    cells = [*(PARTS | changes).values()]
    return lt.criterion(name, version, run_cells(cells)["score"], reads=reads)


def test_the_same_source_has_the_same_name():
    assert name_of() == name_of()
    assert short(name_of()) == "mine"


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"name": "other"},
        {"reads": "initial"},
        {"helper": PARTS["helper"].replace("2", "4")},
        {"factor": "factor = 4\n"},
        {"base": PARTS["base"].replace("power = 2", "power = 3")},
        {"base": PARTS["base"].replace("**", "*")},
        {"score": PARTS["score"].replace("more=1", "more=2")},
        {"score": PARTS["score"].replace("+ more", "- more")},
    ],
)
def test_whatever_a_criterion_is_made_of_changes_its_name_and_key(changes):
    first, other = name_of(), name_of(**changes)
    keys = [small(criterion=name).experiment().keys for name in (first, other)]
    assert first != other
    assert keys[0][0] == keys[1][0]  # the dense network knows no criterion
    assert not set(keys[0][1:]) & set(keys[1][1:])


def test_variables_around_a_function_are_part_of_its_name():
    def scaled(by):
        return lambda weights, gradients: {name: by * w for name, w in weights.items()}

    names = [lt.criterion("scaled", 1, scaled(by)) for by in (1, 2, 1)]
    assert names[0] == names[2] != names[1]


WAYS = """
from abc import ABC
from dataclasses import dataclass
from functools import cached_property, partial
import torch
from torch import nn

@dataclass
class Sizes:
    width: int = 8

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}

class Net(nn.Module, ABC):
    sizes = Sizes(8)

    def __init__(self, width=sizes.width):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, 10))

    @cached_property
    def scale(self):
        return 1.0

    @torch.no_grad()
    def norm(self):
        return self.scale

    @classmethod
    def narrow(cls):
        return cls(4)

    @staticmethod
    def way(x):
        return ACTIVATIONS["relu"](x)

    def forward(self, x):
        return self.scale * self.layers(x)

wide = partial(Net, 16)
"""


def test_what_people_write_in_python_can_be_hashed_and_built():
    """Parts that have no source of their own: what dataclasses and decorators make, partials."""
    found, again = run_cells([WAYS]), run_cells([WAYS])
    for way in ("Net", "wide"):
        name = lt.network("mine", 1, found[way])
        assert lt.network("mine", 1, again[way]) == name
        assert Recipe(network=name).net.output == "layers.2.weight"
    assert Recipe(network=lt.network("mine", 1, found["Net"].narrow)).net.weights_total == 4 * 794
    changes = (("return 1.0", "return 2.0"), ("cls(4)", "cls(5)"),
               ("return self.scale\n\n    @classmethod", "return 0\n\n    @classmethod"),
               ('["relu"](x)', '["tanh"](x)'), ("torch.tanh", "torch.sin"),
               ("width: int = 8", "width: int = 9"))  # fmt: skip
    for old, new in changes:
        changed = run_cells([WAYS.replace(old, new)])
        assert lt.network("mine", 1, changed["Net"]) != lt.network("mine", 1, found["Net"]), new


def test_what_cannot_be_told_apart_is_refused_with_the_remedy():
    table = np.arange(3)
    with pytest.raises(lt.InvalidValue, match=r"code='table' is a ndarray from outside .*; make"):
        lt.criterion("mine", 1, lambda weights, gradients: dict.fromkeys(weights, table))
    made = Plain()
    with pytest.raises(lt.InvalidValue, match="code='made' is a Plain from outside the function"):
        lt.network("mine", 1, lambda: made)
    space: dict = {}
    exec("def unseen(weights, gradients): return weights", space)  # noqa: S102
    with pytest.raises(lt.InvalidValue, match="no source that can be read; write it in a file"):
        lt.criterion("mine", 1, space["unseen"])
    with pytest.raises(lt.InvalidValue, match="name='My one' must be small letters"):
        lt.criterion("My one", 1, saliency)
    with pytest.raises(lt.InvalidValue, match="version=0 must be a whole number"):
        lt.criterion("mine", 0, saliency)
    with pytest.raises(lt.InvalidValue, match="must be a function, or a class"):
        lt.criterion("mine", 1, np.abs)


def test_a_network_built_by_other_code_has_another_key():
    first = lt.network("plain", 1, Plain)
    assert lt.network("plain", 1, lambda: Plain()) != first
    keys = [Experiment(Recipe(network=name)).key for name in (first, lt.network("plain", 2, Plain))]
    assert keys[0] != keys[1]


# Who may name them


def test_no_link_and_no_command_can_name_them(command, tmp_path):
    own = {"criterion": lt.criterion("saliency", 1, saliency)}
    own["network"] = lt.network("plain", 1, Plain)
    for field, name in own.items():
        with pytest.raises(lt.InvalidValue, match="only Python can bring along; run it from there"):
            read_choice({field: name})
        code, said = command("run", f"--{field}", name, "--cache", tmp_path / "none")
        assert code == 2
        assert "only Python can bring along" in " ".join(said.replace("│", " ").split())
    assert not (tmp_path / "none").exists()


def test_another_process_takes_its_levels_for_what_it_does_not_know(store, command):
    own = lt.network("plain", 1, Plain)
    found = lt.run(small(network=own, controls=[]), store.root, loop="torch")
    info = found.levels[-1].info
    assert store.job(info.key).params == {}
    networks.OWN.clear()
    networks.network.cache_clear()
    assert Experiment.known(info.experiment) is None
    with pytest.raises(lt.InvalidValue, match="this process does not know; give it to lottery_co"):
        Run(small(network=own))
    code, said = command("list", "--levels", "--cache", store.root)
    assert code == 0
    assert info.key[:8] in said
