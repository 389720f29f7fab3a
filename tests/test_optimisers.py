"""Steps are those of `torch.optim`, which is where their meaning is written down."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lottery_core.spec.recipe import Recipe
from lottery_core.training.optimisers import Optimiser

RECIPE = Recipe(learning_rate=0.1, momentum=0.0, weight_decay=0.01)
RECIPES = {
    "SGD": replace(RECIPE, optimiser="sgd"),
    "momentum": replace(RECIPE, optimiser="sgd", momentum=0.9),
    "Adam": replace(RECIPE, optimiser="adam"),
}
ROOT = Path(__file__).resolve().parents[1]


def torchs_own(parameters: list[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimiser == "adam":
        return torch.optim.Adam(parameters, **options)
    return torch.optim.SGD(parameters, momentum=recipe.momentum, **options)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_step_is_torchs_also_with_another_rate_or_without_a_gradient(recipe):
    source = torch.Generator().manual_seed(5)
    drawn = [torch.randn(4, 3, dtype=torch.float64, generator=source) for _ in range(3)]
    ours, theirs = ([torch.nn.Parameter(one.clone()) for one in drawn] for _ in range(2))
    ours[2].requires_grad_(False)
    theirs[2].requires_grad_(False)
    our, their = Optimiser(ours, recipe, "cpu"), torchs_own(theirs, recipe)
    for step in range(6):
        if step == 3:
            our.set_rate(0.02)
            their.param_groups[0]["lr"] = 0.02
        our.zero_grad()
        their.zero_grad()
        for n in (0, 1) if step not in (0, 4) else (1,):  # the first joins later, and rests once
            gradient = torch.randn(4, 3, dtype=torch.float64, generator=source)
            ours[n].grad, theirs[n].grad = gradient.clone(), gradient.clone()
        our.step()
        their.step()
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert torch.equal(ours[2], drawn[2])


def test_parameters_of_two_kinds_of_numbers_each_take_their_step():
    ours = [
        torch.nn.Parameter(torch.ones(2, dtype=kind)) for kind in (torch.float32, torch.float64)
    ]
    optimiser = Optimiser(ours, replace(RECIPES["SGD"], weight_decay=0.0), "cpu")
    for one in ours:
        one.grad = torch.full_like(one, 2.0)
    optimiser.step()
    for one in ours:
        torch.testing.assert_close(one.detach(), torch.full_like(one, 0.8))


def test_a_training_in_torch_loads_no_compiler():
    """It would take a second of every worker's start."""
    program = (
        "import sys, tempfile, pathlib\n"
        "from lottery_core.running import engine\n"
        "from lottery_core.spec.experiment import Experiment\n"
        "from lottery_core.spec.recipe import Recipe\n"
        "from lottery_core.store import Store\n"
        "from lottery_core.training.context import Context\n"
        "store = Store(pathlib.Path(tempfile.mkdtemp()))\n"
        f"store.datasets.symlink_to({str(ROOT / 'cache' / 'datasets')!r})\n"
        "recipe = Recipe(network='2 pool 4', iterations=2, evaluate_every=2)\n"
        "assert len([*engine.run(Experiment(recipe), Context(store, loop='torch'))]) == 1\n"
        "print(sorted({'torch._dynamo', 'sympy'} & {*sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
